import fc from '../../test/support/property.ts';
import { Compile } from 'typebox/compile';
import { expect, test } from 'vitest';
import { claim, record } from '../../test/contract/cluster.ts';
import { ClusterCAIssuerKind } from './ca-issuer.ts';
import { CertificateClaimKind } from './certificate-claim.ts';
import { NamespaceKind, SecretKind } from './core.ts';
import { OWN_KINDS } from './index.ts';
import { IssuedCertificateKind } from './issued-certificate.ts';
import { CAIssuerKind } from './issuer.ts';
import { apiVersion, type Kind, type KubeObject } from './kind.ts';
import { repeatErrors, schemaErrors, type SchemaNode } from './schema-errors.ts';
import { validateObject } from './validate.ts';

/** What is wrong, one line each. */
function faults(kind: Kind, body: object, metadata: object = {}, old?: object): string[] {
  const namespace = kind.namespaced ? { namespace: 'default' } : {};
  const whole = (part: object): KubeObject =>
    ({
      apiVersion: apiVersion(kind),
      kind: kind.kind,
      metadata: { name: 'x', ...namespace, ...metadata },
      ...part,
    }) as KubeObject;
  return validateObject(kind, whole(body), old && whole(old)).map(({ path, message }) => `${path}: ${message}`);
}

const issuer = (spec: object) =>
  faults(ClusterCAIssuerKind, { spec: { backend: { ca: { secretRef: { name: 'ca' } } }, ...spec } });
const claimed = (spec: object) => faults(CertificateClaimKind, { spec: { ...claim('default', 'x').spec, ...spec } });

test('a plain object of each kind is fine', () => {
  expect(issuer({})).toEqual([]);
  expect(claimed({})).toEqual([]);
  const { spec, status } = record('default', 'x');
  expect(faults(IssuedCertificateKind, { spec, status })).toEqual([]);
});

test('every mistake of the schema at once, by path, with what would be accepted', () => {
  const spec = {
    suspend: 'yes',
    profiles: [
      { name: 'server' },
      { name: 'client', description: 7, duration: { max: '90 days' }, usages: ['server'] },
    ],
    acme: { challenges: [], validation: { redirects: 11 }, orderDurations: '24h', externalAccountBinding: null },
    reissueBefore: '2030-02-31T00:00:00Z',
    allowedNamespaces: { matchLabels: { team: 1 } },
    colour: 'red',
  };
  expect(issuer(spec).toSorted()).toEqual([
    'spec.acme.challenges: must be a list of 1 to 3 entries, not an empty list',
    'spec.acme.externalAccountBinding: must be a mapping with mode, reuse, keys, mint, not null',
    'spec.acme.orderDurations: unknown field, did you mean orderDuration?',
    'spec.acme.validation.redirects: must be a whole number of 0 to 10, not 11',
    'spec.allowedNamespaces.matchLabels[team]: must be text of at most 63 characters, not 1',
    'spec.colour: unknown field, known are backend, deny, subject, profiles, chain, acme, allowedNamespaces, defaults, publishTrust, reissueBefore, recordGrace, suspend',
    'spec.profiles[0].description: is required: text of 1 to 256 characters',
    'spec.profiles[1].description: must be text of 1 to 256 characters, not 7',
    'spec.profiles[1].duration.max: must be a duration such as 2160h, 90m or 1h30m, not "90 days"',
    'spec.profiles[1].usages[0]: must be server auth or client auth, not "server"',
    'spec.reissueBefore: must be an instant such as 2030-01-31T12:00:00Z, not "2030-02-31T00:00:00Z"',
    'spec.suspend: must be true or false, not "yes"',
  ]);
});

test('a missing or wrong body is told', () => {
  expect(faults(ClusterCAIssuerKind, {})).toEqual([
    'spec: is required: a mapping with backend, deny, subject, profiles, chain, acme, allowedNamespaces, defaults, publishTrust, reissueBefore, recordGrace, suspend',
  ]);
  expect(faults(ClusterCAIssuerKind, { spec: [] })[0]).toMatch(
    /^spec: must be a mapping with backend, .*, not an empty list$/,
  );
});

test('instants are RFC 3339 and exist', () => {
  const good = ['2030-01-31T12:00:00Z', '2000-02-29T00:00:00Z', '2028-02-29T23:59:59.123456789+05:30'];
  const bad = [
    '2030-01-31',
    '2030-01-31t12:00:00z',
    '2030-01-31T24:00:00Z',
    '2029-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z',
    '2030-04-31T00:00:00Z',
    '2030-01-31T12:00:00',
    '2030-01-31T12:00:00Z[Europe/Paris]',
    '2030-01-31T23:59:60Z',
    '',
  ];
  for (const text of good) expect(issuer({ reissueBefore: text })).toEqual([]);
  for (const text of bad) expect(issuer({ reissueBefore: text })).toHaveLength(1);
});

test('metadata follows the rules of Kubernetes', () => {
  const named = (name: unknown, kind: Kind = SecretKind) => faults(kind, {}, { name });
  for (const name of ['a', 'a.b-c.d1', 'x'.repeat(253)]) expect(named(name)).toEqual([]);
  for (const name of ['', 'A', 'a_b', '-a', 'a-', 'a..b', '.a', 'a/b', '..', 'x'.repeat(254), 7, undefined])
    expect(named(name)).toHaveLength(1);
  expect(named('a.b', NamespaceKind)).toHaveLength(1);
  expect(named('x'.repeat(64), NamespaceKind)).toHaveLength(1);
  expect(faults(SecretKind, {}, { namespace: undefined })).toEqual([
    'metadata.namespace: is required: a Secret lives in a namespace',
  ]);
  expect(faults(NamespaceKind, {}, { namespace: 'x' })).toEqual([
    'metadata.namespace: must be absent: a Namespace belongs to the whole cluster',
  ]);
  for (const labels of [{ a: '' }, { 'a.b/C_d.e': 'F-1.2_3' }, { ['x'.repeat(63)]: 'y'.repeat(63) }])
    expect(faults(SecretKind, {}, { labels })).toEqual([]);
  for (const labels of [
    { '': 'a' },
    { 'a/': 'a' },
    { '/a': 'a' },
    { 'a/b/c': 'a' },
    { 'A/b': 'a' },
    { a: '-' },
    { a: 'b c' },
    { a: 1 },
    { ['x'.repeat(64)]: 'y' },
    [],
  ])
    expect(faults(SecretKind, {}, { labels })).toHaveLength(1);
  for (const annotations of [{ a: 'any\ntext at all' }, { 'A.b/c': '' }])
    expect(faults(SecretKind, {}, { annotations })).toEqual([]);
  for (const annotations of [{ 'a b': '' }, { a: 1 }, { a: 'é'.repeat(131_072) }])
    expect(faults(SecretKind, {}, { annotations })).toHaveLength(1);
  for (const finalizers of [['plain'], ['a/b/c'], 'a/b', [1]])
    expect(faults(SecretKind, {}, { finalizers })).toHaveLength(1);
  expect(faults(SecretKind, {}, { finalizers: ['countersign.dev/x'] })).toEqual([]);
  // Kubernetes is less strict with custom resources.
  const { spec } = claim('default', 'x');
  expect(faults(CertificateClaimKind, { spec }, { finalizers: ['plain'] })).toEqual([]);
  expect(faults(CertificateClaimKind, { spec }, { finalizers: ['a/b/c'] })).toHaveLength(1);
});

test('an object larger than etcd takes is refused, exactly', () => {
  const shell = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'x', namespace: 'default' },
    data: { a: '' },
  }).length;
  expect(faults(SecretKind, { data: { a: 'x'.repeat(1_572_864 - shell) } })).toEqual([]);
  expect(faults(SecretKind, { data: { a: 'x'.repeat(1_572_864 - shell + 1) } })).toEqual([
    ': the object has 1572865 bytes of JSON, at most 1572864 are stored',
  ]);
  expect(faults(SecretKind, { data: { a: '\u0001'.repeat(262_144) } })).toHaveLength(1);
});

test('a CAIssuer says what a ClusterCAIssuer may say, less what would reach beyond its namespace', () => {
  const ca = { ca: { secretRef: { name: 'ca' } } };
  const tenant = (spec: object) => faults(CAIssuerKind, { spec: { backend: ca, ...spec } });
  const common = {
    deny: { dnsNames: ['a.test'] },
    subject: { template: 'CN={dnsNames[0]}' },
    profiles: [{ name: 'server', description: 'x' }],
    chain: { trimRoot: true },
    acme: { challenges: ['http-01'], orderDuration: '24h', authorizationDuration: '1h', website: 'https://a.test/' },
    defaults: { duration: '24h' },
    reissueBefore: '2030-01-31T12:00:00Z',
    suspend: true,
  };
  expect(issuer(common)).toEqual([]);
  expect(tenant(common)).toEqual([]);
  const beyond = {
    allowedNamespaces: { matchLabels: { a: 'b' } },
    recordGrace: '1h',
    acme: { validation: { redirects: 1, nameservers: ['192.0.2.1'] }, finalizeTimeout: '1h' },
  };
  expect(issuer(beyond)).toEqual([]);
  expect(tenant(beyond).map((line) => line.split(',')[0])).toEqual([
    'spec.allowedNamespaces: unknown field',
    'spec.recordGrace: unknown field',
    'spec.acme.validation: unknown field',
    'spec.acme.finalizeTimeout: unknown field',
  ]);
  expect(tenant({ acme: { orderDuration: '25h', authorizationDuration: '1000h' } })).toEqual([
    'spec.acme.orderDuration: must not be longer than 24h for a CAIssuer',
    'spec.acme.authorizationDuration: must not be longer than 24h for a CAIssuer',
  ]);
  // Rules that hold for both.
  expect(tenant({ defaults: { duration: '24h', renewBefore: '24h' } })).toEqual([
    'spec.defaults: renewBefore must be shorter than duration',
  ]);
  expect(faults(CAIssuerKind, { spec: { backend: ca } }, { namespace: undefined })).toEqual([
    'metadata.namespace: is required: a CAIssuer lives in a namespace',
  ]);
});

test('URLs that are handed out have no character that ends them early', () => {
  for (const text of ['http://a.test', 'https://a.test/terms?v=1#top', 'https://[2001:db8::1]:8443/~x/(a);b'])
    expect(issuer({ acme: { termsOfService: text, website: text } })).toEqual([]);
  const bad = [
    'ftp://a.test',
    'a.test',
    'https://a.test/\r\nx: y',
    'https://a.test/>;rel="up"',
    'https://a.test/ä',
    'https://a.test/ ',
  ];
  for (const text of bad)
    expect(issuer({ acme: { website: text } })).toEqual(['spec.acme.website: must be an http or https URL']);
});

test('rules of a ClusterCAIssuer', () => {
  const profile = (name: string, more: object = {}) => ({ name, description: 'x', ...more });
  expect(issuer({ profiles: [profile('a', { default: true }), profile('b', { default: true })] })).toEqual([
    'spec.profiles: at most one profile is the default',
  ]);
  expect(issuer({ profiles: [profile('a'), profile('b'), profile('a')] })).toEqual([
    'spec.profiles[2]: repeats name "a"',
  ]);
  expect(issuer({ profiles: [profile('a', { duration: { default: '25h', max: '24h' } })] })).toEqual([
    'spec.profiles[0].duration: default must not be longer than max',
  ]);
  expect(issuer({ profiles: [profile('a', { duration: { max: '0h' } })] })).toEqual([
    'spec.profiles[0].duration.max: must be longer than zero',
  ]);
  expect(issuer({ profiles: [profile('a', { usages: ['server auth', 'server auth'] })] })).toEqual([
    'spec.profiles[0].usages[1]: repeats "server auth"',
  ]);
  const sizes = 'size must be 2048, 3072 or 4096 for RSA, 256, 384 or 521 for ECDSA, and absent for Ed25519';
  for (const privateKey of [
    { algorithm: 'RSA', size: 256 },
    { algorithm: 'ECDSA', size: 2048 },
    { algorithm: 'Ed25519', size: 256 },
  ]) {
    expect(issuer({ defaults: { privateKey } })).toEqual([`spec.defaults.privateKey: ${sizes}`]);
    const selfSigned = { commonName: 'x', privateKey };
    expect(issuer({ backend: { ca: { secretRef: { name: 'ca' }, selfSigned } } })).toEqual([
      `spec.backend.ca.selfSigned.privateKey: ${sizes}`,
    ]);
  }
  expect(issuer({ defaults: { privateKey: { algorithm: 'Ed25519' }, duration: '24h', renewBefore: '8h' } })).toEqual(
    [],
  );
  expect(issuer({ defaults: { duration: '24h', renewBefore: '24h' } })).toEqual([
    'spec.defaults: renewBefore must be shorter than duration',
  ]);
  expect(issuer({ backend: { ca: { secretRef: { name: 'ca' }, crlDuration: '0s' } } })).toEqual([
    'spec.backend.ca.crlDuration: must be longer than zero',
  ]);
  expect(
    issuer({
      deny: {
        cidrs: ['10.0.0.0/33', '10.0.0.1/8', '10.0.0.0/8', '::1', '::ffff:10.0.0.0/104'],
        dnsNames: ['*.admin.test', 'a..b', '{{namespace}}.test'],
      },
    }).map((line) => line.split(':')[0]),
  ).toEqual([
    'spec.deny.dnsNames[1]',
    'spec.deny.dnsNames[2]',
    'spec.deny.cidrs[0]',
    'spec.deny.cidrs[1]',
    'spec.deny.cidrs[4]',
  ]);
  expect(issuer({ acme: { termsOfService: 'ftp://x', website: 'nothing' } })).toEqual([
    'spec.acme.termsOfService: must be an http or https URL',
    'spec.acme.website: must be an http or https URL',
  ]);
  expect(
    issuer({ acme: { caa: { identities: ['pki.example', 'PKI.example', '*.x', '10.0.0.1'] } } }).map(
      (line) => line.split(':')[0],
    ),
  ).toEqual(['spec.acme.caa.identities[1]', 'spec.acme.caa.identities[2]', 'spec.acme.caa.identities[3]']);
  const nameservers = ['10.0.0.53', '10.0.0.53:5353', '::1', '[::1]:53', 'dns.example', '10.0.0.53:0', '[10.0.0.53'];
  expect(issuer({ acme: { validation: { nameservers } } }).map((line) => line.split(':')[0])).toEqual([
    'spec.acme.validation.nameservers[4]',
    'spec.acme.validation.nameservers[5]',
    'spec.acme.validation.nameservers[6]',
  ]);
  expect(issuer({ subject: { template: 'CN={nothing}' } })).toEqual([
    expect.stringMatching(/^spec\.subject\.template: /),
  ]);
  expect(issuer({ subject: { template: 'CN={dnsNames[0]},O=Example' } })).toEqual([]);
  const key = { keyID: 'one', secretRef: { name: 'eab', key: 'mac' } };
  expect(issuer({ acme: { externalAccountBinding: { mode: 'Required', keys: [key, key] } } })).toEqual([
    'spec.acme.externalAccountBinding.keys[1]: repeats keyID "one"',
  ]);
  expect(issuer({ allowedNamespaces: { matchLabels: { 'a b': 'c' } } })).toHaveLength(1);
  expect(issuer({ acme: { challenges: ['dns-01', 'dns-01'] } })).toEqual(['spec.acme.challenges[1]: repeats "dns-01"']);
});

test('rules of a CertificateClaim', () => {
  const { dnsNames: _none, ...nameless } = claim('default', 'x').spec;
  expect(faults(CertificateClaimKind, { spec: nameless })).toEqual([
    'spec: needs at least one of dnsNames, ipAddresses, uris and emailAddresses',
  ]);
  expect(faults(CertificateClaimKind, { spec: { ...nameless, uris: ['spiffe://x/y'] } })).toEqual([]);
  expect(claimed({ commonName: 'b.example.test' })).toEqual([
    'spec: commonName must be one of dnsNames or ipAddresses',
  ]);
  expect(claimed({ commonName: 'a.example.test' })).toEqual([]);
  expect(claimed({ duration: '24h', renewBefore: '24h' })).toEqual(['spec: renewBefore must be shorter than duration']);
  expect(claimed({ duration: '0s' })).toEqual(['spec.duration: must be longer than zero']);
  expect(claimed({ privateKey: { algorithm: 'RSA', size: 384 } })).toHaveLength(1);
  expect(claimed({ subject: { countries: ['DE', 'Germany'] } })).toEqual([
    'spec.subject.countries[1]: must be two capital letters (ISO 3166-1)',
  ]);
  expect(claimed({ dnsNames: ['*.a.test', 'a..b', 'x.*.test', '10.0.0.1'] }).map((line) => line.split(':')[0])).toEqual(
    ['spec.dnsNames[1]', 'spec.dnsNames[2]', 'spec.dnsNames[3]'],
  );
  expect(claimed({ ipAddresses: ['10.0.0.1', '010.0.0.1', '::1', '0::1'] }).map((line) => line.split(':')[0])).toEqual([
    'spec.ipAddresses[1]',
    'spec.ipAddresses[3]',
  ]);
  expect(
    claimed({ uris: ['spiffe://trust/x', 'urn:a:b', 'relative/x', 'https://a b', 'https://é'] }).map(
      (line) => line.split(':')[0],
    ),
  ).toEqual(['spec.uris[2]', 'spec.uris[3]', 'spec.uris[4]']);
  expect(
    claimed({ emailAddresses: ['a@b.test', 'A B <a@b.test>', 'a@', '@b.test', 'a..b@c.test', 'a@*.test'] }).map(
      (line) => line.split(':')[0],
    ),
  ).toEqual([1, 2, 3, 4, 5].map((i) => `spec.emailAddresses[${i}]`));
});

test('a record is history: only its revocation is written, once', () => {
  const { spec, status } = record('default', 'x');
  const revocation = { reason: 1, revokedAt: '2030-02-01T00:00:00Z', by: 'someone' };
  const change = (part: object) => faults(IssuedCertificateKind, { spec, status, ...part }, {}, { spec, status });
  const revoked = (part: object) =>
    faults(
      IssuedCertificateKind,
      { spec: { ...spec, ...part }, status },
      {},
      { spec: { ...spec, revocation }, status },
    );
  expect(change({})).toEqual([]);
  expect(change({ spec: { ...spec, revocation } })).toEqual([]);
  for (const part of [{ policy: 'other' }, { names: ['dns:b'] }, { replaces: 'x' }, { requester: {} }, { csr: 'BBBB' }])
    expect(change({ spec: { ...spec, ...part } })).toEqual(['spec: is immutable but for revocation']);
  expect(change({ status: { ...status, serial: 'ff' } })).toEqual(['status: is immutable']);
  expect(revoked({ revocation })).toEqual([]);
  for (const part of [{}, { revocation: { ...revocation, reason: 0 } }])
    expect(revoked(part)).toEqual(['spec: revocation is for good: it can neither change nor go']);
});

// ---- The explanation and the checker --------------------------------------------------------------------------------

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(
      null,
      true,
      0,
      1,
      -1,
      1.5,
      '',
      'x',
      '24h',
      'server auth',
      'http-01',
      '2030-01-31T12:00:00Z',
      '2030-02-31T12:00:00Z',
      '10.0.0.0/8',
      256,
      '😀',
    ),
    fc.string({ maxLength: 70 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 8 }), tie('value'), { maxKeys: 4 }),
  ),
})).value;

/** Values that mostly follow a schema, with a wrong one here and there. */
function nearly(node: SchemaNode): fc.Arbitrary<unknown> {
  const right = (): fc.Arbitrary<unknown> => {
    if (node.enum) return fc.constantFrom(...node.enum);
    if (node.items) return fc.array(nearly(node.items), { minLength: 0, maxLength: 3 });
    if (node.patternProperties)
      return fc.dictionary(fc.string({ maxLength: 8 }), nearly(Object.values(node.patternProperties)[0] ?? {}), {
        maxKeys: 3,
      });
    if (node.properties) {
      const members = Object.fromEntries(Object.entries(node.properties).map(([name, child]) => [name, nearly(child)]));
      return fc.record(members, { requiredKeys: (node.required ?? []) as never });
    }
    if (node.type === 'integer') return fc.integer({ min: -2, max: 300 });
    if (node.type === 'boolean') return fc.boolean();
    if (node.accepts?.startsWith('an instant'))
      return fc.constantFrom('2030-01-31T12:00:00Z', '2030-04-31T12:00:00Z', '2030-13-01T00:00:00Z');
    return fc.oneof(
      fc.constantFrom('24h', 'a', 'tls', '10.0.0.0/8', 'x'.repeat(64), '😀'.repeat(40)),
      fc.string({ maxLength: 12 }),
    );
  };
  return fc.oneof({ weight: 30, arbitrary: right() }, { weight: 1, arbitrary: json });
}

for (const kind of OWN_KINDS) {
  test(`${kind.kind}: a value is explained exactly when the checker refuses it`, () => {
    const { schema } = kind;
    if (!schema) throw new Error('no schema');
    const checker = Compile(schema);
    fc.assert(
      fc.property(fc.oneof(nearly(schema), json), (value) => {
        const errors = schemaErrors(schema, value);
        expect(errors.length === 0).toBe(checker.Check(value));
        for (const { path, message } of errors) expect(`${path}${message}`).not.toContain('undefined');
        if (errors.length === 0) expect(Array.isArray(repeatErrors(schema, value))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
}
