import { expect, test } from 'vitest';
import { aPolicy, type SpecParts } from '../../test/policy/fixtures.ts';
import { policyRules } from './certificate-request-policy-rules.ts';

function errors(spec: SpecParts): string[] {
  return policyRules(aPolicy('p', spec)).map(({ path, message }) => `${path} ${message}`);
}

test.each<[string, SpecParts]>([
  ['the smallest', {}],
  [
    'one with everything',
    {
      selector: {
        sources: { cidrs: ['10.0.0.0/8', '2001:db8::/32'], except: ['10.66.0.0/16', '192.0.2.1'] },
        namespace: { matchNames: ['a*'] },
        publicKeys: ['aB'.repeat(32)],
      },
      allowed: {
        commonName: { value: '*.example.com' },
        dnsNames: { values: ['**.{{namespace}}.svc', '*'], except: ['a.b'] },
        ipAddresses: { cidrs: ['10.0.0.0/8'], except: ['10.1.0.0/16'] },
        uris: { values: ['spiffe://c/ns/{{namespace}}/**'] },
        emailAddresses: { values: ['*@example.com'] },
        validations: [{ rule: 'this is not CEL' }],
      },
      constraints: {
        servers: { verifyPTR: true },
        maxDuration: '1s',
        privateKey: [
          { algorithm: 'RSA', minSize: 2048 },
          { algorithm: 'ECDSA', sizes: [256, 384, 521] },
          { algorithm: 'Ed25519' },
        ],
      },
    },
  ],
  ['one for namespaces by label', { selector: { namespace: { matchLabels: {} } } }],
])('%s is fine', (_what, spec) => {
  expect(errors(spec)).toEqual([]);
});

test.each<[SpecParts, string]>([
  [
    { selector: { sources: { cidrs: ['10.0.0.1/8'] } } },
    'spec.selector.sources.cidrs[0] has bits set beyond its prefix length',
  ],
  [
    { selector: { sources: { except: ['10.0.0.0/33'] } } },
    'spec.selector.sources.except[0] is not an IPv4 or IPv6 network or address',
  ],
  [{ selector: { sources: {} } }, 'spec.selector.sources needs cidrs or except; leave it out to match every source'],
  [
    { selector: { namespace: {} } },
    'spec.selector.namespace needs matchNames or matchLabels; leave it out to match every requester',
  ],
  [{ selector: { publicKeys: ['ab'] } }, 'spec.selector.publicKeys[0] must be a SHA-256 in 64 hexadecimal digits'],
  [
    { allowed: { ipAddresses: { except: ['10.0.0.0/8'] } } },
    'spec.allowed.ipAddresses needs cidrs: what is not listed is not allowed',
  ],
  [
    { allowed: { commonName: { value: 'a*.b' } } },
    'spec.allowed.commonName.value "*" and "**" stand for whole labels or segments',
  ],
  [{ allowed: { dnsNames: { values: ['a.b', '**.**'] } } }, 'spec.allowed.dnsNames.values[1] has more than one "**"'],
  [
    { allowed: { dnsNames: { values: ['a.b'], except: ['{{account}}.b'] } } },
    'spec.allowed.dnsNames.except[0] knows no placeholder but {{namespace}}',
  ],
  [
    { allowed: { uris: { values: ['spiffe://a/b*'] } } },
    'spec.allowed.uris.values[0] "*" and "**" stand for whole labels or segments',
  ],
  [
    { allowed: { emailAddresses: { values: ['example.com'] } } },
    'spec.allowed.emailAddresses.values[0] needs one "@" after a local part',
  ],
  [
    { constraints: { servers: { cidrs: ['x'] } } },
    'spec.constraints.servers.cidrs[0] is not an IPv4 or IPv6 network or address',
  ],
  [
    { constraints: { maxDuration: '0h' } },
    'spec.constraints.maxDuration must be a duration longer than zero, such as 2160h',
  ],
  [
    { constraints: { maxDuration: '90d' } },
    'spec.constraints.maxDuration must be a duration longer than zero, such as 2160h',
  ],
  [
    { constraints: { privateKey: [{ algorithm: 'RSA', sizes: [1024] }] } },
    'spec.constraints.privateKey[0].sizes[0] must be at least 2048 and a multiple of 8 for RSA',
  ],
  [
    { constraints: { privateKey: [{ algorithm: 'RSA', minSize: 1024 }] } },
    'spec.constraints.privateKey[0].minSize must be at least 2048 and a multiple of 8 for RSA',
  ],
  [
    { constraints: { privateKey: [{ algorithm: 'ECDSA', sizes: [256, 2048] }] } },
    'spec.constraints.privateKey[0].sizes[1] must be 256, 384 or 521 for ECDSA',
  ],
  [
    { constraints: { privateKey: [{ algorithm: 'ECDSA', minSize: 2048 }] } },
    'spec.constraints.privateKey[0].minSize must be 256, 384 or 521 for ECDSA',
  ],
  [
    { constraints: { privateKey: [{ algorithm: 'Ed25519', minSize: 256 }] } },
    'spec.constraints.privateKey[0].minSize has no meaning for Ed25519',
  ],
  [
    { constraints: { privateKey: [{ algorithm: 'RSA', sizes: [4096], minSize: 2048 }] } },
    'spec.constraints.privateKey[0].minSize cannot stand beside sizes: use one of them',
  ],
])('%j is told: %s', (spec, message) => {
  expect(errors(spec)).toEqual([message]);
});

test('every mistake is told at once', () => {
  const spec: SpecParts = {
    selector: { sources: { cidrs: ['x', 'y'] } },
    allowed: { dnsNames: { values: ['w*.a'] } },
    constraints: { maxDuration: '0s' },
  };
  expect(errors(spec)).toHaveLength(4);
});
