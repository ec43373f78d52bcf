// The generated CRDs: structural, and their CEL says what the TypeScript rules say.
import { evaluate } from '@marcbachmann/cel-js';
import fc from '../support/property.ts';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { crdFile, renderCrd } from '../../scripts/generate/crd.ts';
import { renderReference } from '../../scripts/generate/reference.ts';
import { CLAIM_RULES } from '../../src/api/certificate-claim-rules.ts';
import { CLUSTER_ISSUER_RULES, TENANT_ISSUER_RULES } from '../../src/api/ca-issuer-rules.ts';
import { POLICY_RULES } from '../../src/api/certificate-request-policy-rules.ts';
import { OWN_KINDS } from '../../src/api/index.ts';
import { RECORD_RULES } from '../../src/api/issued-certificate-rules.ts';
import type { PlaceRule } from '../../src/api/rule.ts';

type Node = Record<string, unknown> & {
  type?: string;
  properties?: Record<string, Node>;
  items?: Node;
  additionalProperties?: Node;
  maxItems?: number;
  maxLength?: number;
  enum?: unknown[];
};

interface Crd {
  metadata: { name: string };
  spec: { names: { plural: string }; versions: { schema: { openAPIV3Schema: Node } }[] };
}

function schemaOf(crd: Crd): Node {
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema;
  if (!schema) throw new Error('no schema');
  return schema;
}

/** Every node of a schema with its path. */
function nodes(node: Node, path = ''): [string, Node][] {
  return [
    [path, node],
    ...Object.entries(node.properties ?? {}).flatMap(([name, child]) => nodes(child, `${path}.${name}`)),
    ...(node.items ? nodes(node.items, `${path}[]`) : []),
    ...(node.additionalProperties ? nodes(node.additionalProperties, `${path}[key]`) : []),
  ];
}

for (const kind of OWN_KINDS) {
  const crd = parse(renderCrd(kind)) as Crd;

  test(`${kind.kind}: the CRD is structural and bounded`, () => {
    expect(crdFile(kind)).toBe(`crds/${crd.metadata.name}.yaml`);
    for (const [path, node] of nodes(schemaOf(crd))) {
      expect(node.type, `type at ${path}`).toMatch(/^(object|array|string|integer|boolean)$/);
      expect(typeof node.additionalProperties, path).not.toBe('boolean');
      // The cost of CEL is reckoned from these limits; without one the API server refuses the CRD.
      if (node.type === 'array') expect(node.maxItems, `maxItems at ${path}`).toBeGreaterThan(0);
      const ours = path.startsWith('.spec') || path.startsWith('.status');
      if (ours && node.type === 'string' && !node.enum)
        expect(node.maxLength, `maxLength at ${path}`).toBeGreaterThan(0);
      for (const keyword of ['accepts', 'patternProperties', '$ref', 'anyOf', 'const'])
        expect(node).not.toHaveProperty(keyword);
    }
  });

  test(`${kind.kind}: every rule stands in the CRD, and every field in the reference`, () => {
    const carried = nodes(schemaOf(crd)).flatMap(([, node]) => (node['x-kubernetes-validations'] as unknown[]) ?? []);
    const stated = (kind.cel ?? []).map(({ cel, message }) => ({ rule: cel, message }));
    expect(carried).toHaveLength(stated.length);
    expect(carried).toEqual(expect.arrayContaining(stated));
    const reference = renderReference(kind);
    for (const [path] of nodes(schemaOf(crd))) {
      const field = path.slice(1);
      if (/^(spec|status)\b/.test(field) && !/\[(key)?\]$/.test(field)) expect(reference).toContain(`| \`${field}\` |`);
    }
  });
}

// ---- CEL and TypeScript agree ---------------------------------------------------------------------------------------

const duration = fc.constantFrom('1s', '60s', '1m', '90m', '1h30m', '24h', '0h', '0h0m0s', '2160h');
const key = fc.record(
  {
    algorithm: fc.constantFrom('RSA', 'ECDSA', 'Ed25519'),
    size: fc.constantFrom(256, 384, 521, 2048, 3072, 4096),
  },
  { requiredKeys: ['algorithm'] },
);
const names = fc.array(fc.constantFrom('a.test', 'b.test', '10.0.0.1'), { minLength: 1, maxLength: 3 });
const durations = fc.record(
  { default: duration, max: duration, renewBefore: duration, duration },
  { requiredKeys: [] },
);
const claimSpec = fc.record(
  {
    commonName: fc.constantFrom('a.test', 'c.test', '10.0.0.1'),
    dnsNames: names,
    ipAddresses: names,
    uris: names,
    emailAddresses: names,
    duration,
    renewBefore: duration,
  },
  { requiredKeys: [] },
);
const recordSpec = fc.record(
  {
    requestID: fc.constantFrom('1', '2'),
    names: fc.constantFrom(['dns:a'], ['dns:a', 'dns:b']),
    profile: fc.constantFrom('server', 'client'),
    issuerRef: fc.record(
      { kind: fc.constant('CAIssuer'), namespace: fc.constantFrom('x', 'y'), name: fc.constantFrom('a', 'b') },
      { requiredKeys: ['kind', 'name'] },
    ),
    revocation: fc.record({ reason: fc.constantFrom(0, 1), by: fc.constantFrom('x', 'y') }),
  },
  { requiredKeys: ['requestID'] },
);
const profiles = fc.array(fc.record({ name: fc.string(), default: fc.boolean() }, { requiredKeys: ['name'] }), {
  minLength: 1,
  maxLength: 4,
});

const issuerSelector = fc.record(
  { kind: fc.constantFrom('ClusterCAIssuer', 'CAIssuer'), namespace: fc.constant('team-*'), name: fc.constant('x') },
  { requiredKeys: [] },
);

const listsOf = (...members: string[]) =>
  fc.record(Object.fromEntries(members.map((member) => [member, fc.constant(['x'])])), { requiredKeys: [] });

const word = fc.constantFrom('x');
const backend = fc.record({ acme: word, ca: word, certbot: word, ejbca: word, webhook: word }, { requiredKeys: [] });
const upstream = fc.record(
  {
    caBundle: word,
    caBundleRef: word,
    dns01: word,
    challenges: fc.constantFrom(['http-01'], ['dns-01'], ['dns-01', 'http-01']),
  },
  { requiredKeys: [] },
);
const bindingKey = fc.record(
  { keyID: fc.constantFrom('ns.web', 'nsweb'), scope: fc.constantFrom('Namespace', 'ByOrder'), namespace: word },
  { requiredKeys: ['keyID'] },
);
const serial = fc.constantFrom('0a', '0b');
const recordStatus = fc.oneof(
  fc.constant({ refusal: { detail: 'no' } }),
  fc.record({
    certificate: word,
    serial,
    notBefore: word,
    notAfter: word,
    issuedAt: word,
    chain: word,
  }),
  fc.record({ certificate: word, serial, refusal: word }, { requiredKeys: [] }),
);

/** Values for the places of the rules. */
function valuesFor(at: string): fc.Arbitrary<unknown> {
  if (at.endsWith('rivateKey')) return key;
  if (at === 'spec.profiles') return profiles;
  if (at === 'spec.profiles[].duration' || at === 'spec.defaults') return durations;
  if (at === 'spec.selector.issuerRef') return issuerSelector;
  if (at === 'spec.selector.sources' || at === 'spec.allowed.ipAddresses') return listsOf('cidrs', 'except');
  if (at === 'spec.selector.namespace') return listsOf('matchNames', 'matchLabels');
  if (at === 'status') return recordStatus;
  if (at === '') return fc.record({ status: recordStatus }, { requiredKeys: [] });
  if (at === 'spec.acme.externalAccountBinding') return fc.record({ keys: word, mint: word }, { requiredKeys: [] });
  if (at === 'spec.acme.externalAccountBinding.keys[]') return bindingKey;
  if (at === 'spec.backend') return backend;
  if (at === 'spec.backend.webhook') return fc.record({ caBundle: word, caBundleRef: word }, { requiredKeys: [] });
  if (at === 'spec.backend.certbot')
    return fc.record({ config: word, configRef: word, caBundle: word, caBundleRef: word }, { requiredKeys: [] });
  if (at === 'spec.backend.ejbca')
    return fc.record(
      {
        caBundle: word,
        caBundleRef: word,
        caName: word,
        caNameByKey: word,
        email: word,
        notify: fc.boolean(),
        protocol: fc.constantFrom('SOAP', 'REST'),
        overrideValidity: fc.boolean(),
      },
      { requiredKeys: [] },
    );
  if (at === 'spec.backend.acme' || at === 'spec.backend.acme.backup') return upstream;
  if (at === 'spec.backend.acme.dns01')
    return fc.record({ rfc2136: word, acmeDNS: word, webhook: word }, { requiredKeys: [] });
  if (at === 'spec.backend.acme.preCheck.timeout') return fc.constantFrom('1s', '1h', '61m', '0s', '3600s', '3601s');
  if (at === 'spec.backend.ejbca.caNameByKey')
    return fc.record({ RSA: word, ECDSA: word, Ed25519: word }, { requiredKeys: [] });
  if (/^spec\.backend\.(acme|ejbca|webhook)\.timeout$/.test(at))
    return fc.constantFrom('1s', '10m', '11m', '1h', '0s', '90s');
  if (at === 'spec.backend.webhook.authentication')
    return fc.record({ clientCertificateRef: word, hmac: word }, { requiredKeys: [] });
  return duration;
}

function asCel(value: unknown): unknown {
  if (typeof value === 'number') return BigInt(value);
  if (Array.isArray(value)) return value.map(asCel);
  if (typeof value !== 'object' || value === null) return value;
  // Members named by reserved words of CEL are escaped, as the API server does.
  const named = (name: string) => (name === 'namespace' ? '__namespace__' : name);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [named(name), asCel(member)]));
}

/** Texts are judged by functions of Kubernetes and in the syntax of RE2: test/integration/crds.test.ts has those rules. */
const isOverText = (rule: PlaceRule): boolean => 'faults' in rule || /\.(matches|find)\(/.test(rule.cel);

const rules: [string, PlaceRule, fc.Arbitrary<unknown>][] = [
  ...[...new Set([...TENANT_ISSUER_RULES, ...CLUSTER_ISSUER_RULES])].map(
    (rule): [string, PlaceRule, fc.Arbitrary<unknown>] => ['issuer', rule, valuesFor(rule.at)],
  ),
  ...POLICY_RULES.map((rule): [string, PlaceRule, fc.Arbitrary<unknown>] => [
    'CertificateRequestPolicy',
    rule,
    valuesFor(rule.at),
  ]),
  ...CLAIM_RULES.map((rule): [string, PlaceRule, fc.Arbitrary<unknown>] => [
    'CertificateClaim',
    rule,
    rule.at === 'spec' ? fc.oneof(claimSpec, durations) : valuesFor(rule.at),
  ]),
  ...RECORD_RULES.map((rule): [string, PlaceRule, fc.Arbitrary<unknown>] => [
    'IssuedCertificate',
    rule,
    rule.at === 'spec' ? recordSpec : valuesFor(rule.at),
  ]),
];

for (const [kind, rule, values] of rules.filter(([, rule]) => !isOverText(rule))) {
  test(`${kind} ${rule.at}, ${rule.message}: CEL and TypeScript agree`, () => {
    const seen = new Set<boolean>();
    fc.assert(
      fc.property(values, values, (self, oldSelf) => {
        const holds = rule.holds(self, oldSelf);
        seen.add(holds);
        expect(evaluate(rule.cel, { self: asCel(self), oldSelf: asCel(oldSelf) })).toBe(holds);
      }),
      { numRuns: 400, seed: 1 },
    );
    expect(seen, 'the values made the rule both hold and break').toEqual(new Set([true, false]));
  });
}
