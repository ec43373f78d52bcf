import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import type { CertificateClaimSpec } from '../api/certificate-claim.ts';
import { Problem } from '../domain/problem.ts';
import { parseClaimSpec, requestHash } from './claim-request.ts';

const BASE: CertificateClaimSpec = {
  secretName: 'web-tls',
  issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
  dnsNames: ['web.example', 'www.web.example'],
};
const hashOf = (spec: CertificateClaimSpec) => requestHash(spec, parseClaimSpec(spec));

test('names are made canonical, sorted and single; the subject has the usual order', () => {
  const { identifiers, names, subject, wanted } = parseClaimSpec({
    ...BASE,
    dnsNames: ['WWW.web.example', 'web.example', 'www.WEB.example'],
    ipAddresses: ['2001:DB8:0::1', '10.0.0.1'],
    uris: ['b:x', 'a:x', 'b:x'],
    emailAddresses: ['b@example', 'a@example'],
    commonName: 'Web.Example',
    subject: { organizations: ['Example', 'Other'], countries: ['DE'] },
    duration: '1h30m',
    profile: 'short',
    usages: ['client auth'],
  });
  expect(identifiers.map(({ type, value }) => `${type}:${value}`)).toEqual([
    'dns:web.example',
    'dns:www.web.example',
    'ip:10.0.0.1',
    'ip:2001:db8::1',
  ]);
  expect(names).toEqual({
    dnsNames: ['web.example', 'www.web.example'],
    ipAddresses: ['10.0.0.1', '2001:db8::1'],
    uris: ['a:x', 'b:x'],
    emailAddresses: ['a@example', 'b@example'],
  });
  expect(subject.map((rdn) => rdn.map(({ oid, value }) => `${oid}=${value}`).join('+'))).toEqual([
    '2.5.4.6=DE',
    '2.5.4.10=Example',
    '2.5.4.10=Other',
    '2.5.4.3=web.example',
  ]);
  expect(wanted).toEqual({ durationMs: 5_400_000, profile: 'short', usages: ['client auth'] });
});

test.each<[string, Partial<CertificateClaimSpec>, string]>([
  ['no name', { dnsNames: [] }, 'the claim has no name'],
  ['a name that is none', { dnsNames: ['-bad-.example'] }, '-bad-.example'],
  ['an address among the names', { dnsNames: ['10.0.0.1'] }, 'IP address'],
  ['an address that is none', { ipAddresses: ['10.0.0.256'] }, '10.0.0.256'],
  ['a CN that is not among the names', { commonName: 'elsewhere.example' }, 'elsewhere.example'],
  ['an ECDSA key of RSA size', { privateKey: { algorithm: 'ECDSA', size: 2048 } }, '256, 384 or 521'],
  ['an RSA key of ECDSA size', { privateKey: { algorithm: 'RSA', size: 256 } }, '2048, 3072 or 4096'],
  ['a country that is none', { subject: { countries: ['Germany'] } }, 'C is longer than 2'],
])('%s is a problem that names it', (_what, change, message) => {
  try {
    parseClaimSpec({ ...BASE, ...change });
  } catch (error) {
    expect(error).toBeInstanceOf(Problem);
    expect((error as Problem).detail).toContain(message);
    return;
  }
  expect.unreachable();
});

test('the hash knows what makes another certificate, and nothing else', () => {
  const base = hashOf(BASE);
  const other: Partial<CertificateClaimSpec>[] = [
    { dnsNames: ['web.example'] },
    { ipAddresses: ['10.0.0.1'] },
    { uris: ['a:x'] },
    { emailAddresses: ['a@example'] },
    { commonName: 'web.example' },
    { subject: { organizations: ['Example'] } },
    { issuerRef: { kind: 'ClusterCAIssuer', name: 'other' } },
    { privateKey: { algorithm: 'RSA' } },
    { privateKey: { algorithm: 'RSA', size: 3072 } },
    { duration: '24h' },
    { profile: 'short' },
    { usages: ['client auth'] },
  ];
  const hashes = other.map((change) => hashOf({ ...BASE, ...change }));
  expect(new Set([base, ...hashes]).size).toBe(other.length + 1);
  const same: Partial<CertificateClaimSpec>[] = [
    { secretName: 'other' },
    { renewBefore: '24h' },
    { rotationPolicy: 'Never' },
    { dnsNames: ['WWW.web.example', 'web.example', 'web.example'] },
  ];
  for (const change of same) expect(hashOf({ ...BASE, ...change })).toBe(base);
  expect(hashOf({ ...BASE, duration: '90m' })).toBe(hashOf({ ...BASE, duration: '1h30m' }));
  expect(hashOf({ ...BASE, usages: ['server auth', 'client auth'] })).toBe(
    hashOf({ ...BASE, usages: ['client auth', 'server auth'] }),
  );
});

test('the order of names never matters to the hash', () => {
  const name = fc.stringMatching(/^[a-z]{1,8}$/).map((text) => `${text}.example`);
  fc.assert(
    fc.property(
      fc.uniqueArray(name, { minLength: 1, maxLength: 10 }),
      fc.infiniteStream(fc.nat()),
      (names, numbers) => {
        const shuffled = names
          .map((text) => [numbers.next().value, text] as const)
          .sort(([a], [b]) => Number(a) - Number(b));
        expect(hashOf({ ...BASE, dnsNames: shuffled.map(([, text]) => text) })).toBe(
          hashOf({ ...BASE, dnsNames: names }),
        );
      },
    ),
  );
});
