// Good and bad objects beyond single fields: rules across fields, metadata, size, and what an update may change.
import { claim, record } from '../contract/cluster.ts';
import { PEM } from './verdict-values.ts';

export interface ObjectCase {
  kind: string;
  title: string;
  good: boolean;
  body: object;
  metadata?: object;
}

export interface UpdateCase {
  kind: string;
  title: string;
  good: boolean;
  before: object;
  after: object;
}

const both = (
  kind: string,
  good: readonly object[],
  bad: readonly object[],
  whole: (part: object) => object,
): ObjectCase[] =>
  [good, bad].flatMap((parts, i) =>
    parts.map((part) => ({ kind, good: i === 0, title: JSON.stringify(part).slice(0, 150), body: whole(part) })),
  );

const profile = (name: string, more: object = {}): object => ({ name, description: 'x', ...more });
const ca = (more: object): object => ({ backend: { ca: { secretRef: { name: 'ca' }, ...more } } });
const ALGORITHMS = ['RSA', 'ECDSA', 'Ed25519'];
const SIZES = [256, 384, 521, 2048, 3072, 4096];
const fits = (algorithm: string, size: number): boolean =>
  algorithm === 'RSA' ? size >= 2048 : algorithm === 'ECDSA' && size <= 521;
const keys = ALGORITHMS.flatMap((algorithm) => SIZES.map((size) => ({ algorithm, size })));
const goodKeys = [
  ...ALGORITHMS.map((algorithm) => ({ algorithm })),
  ...keys.filter(({ algorithm, size }) => fits(algorithm, size)),
];
const badKeys = keys.filter(({ algorithm, size }) => !fits(algorithm, size));
const TIMES = ['0s', '1s', '60s', '1m', '59m60s', '1h', '24h'];
const pairs = TIMES.flatMap((a) => TIMES.map((b) => [a, b] as const));
const seconds = (text: string): number =>
  [...text.matchAll(/(\d+)([hms])/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * { h: 3600, m: 60, s: 1 }[unit as 'h'],
    0,
  );

const longest = (length: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${i}.`.padEnd(length, 'x').replace(/(.{60})./g, '$1.'));

const secretKey = { name: 'a', key: 'b' };
const hmac = { secretRef: secretKey };
const webhook = (more: object, beside: object = {}): object => ({
  backend: {
    webhook: { url: 'https://signer.test/sign', trustAnchors: PEM, authentication: { hmac }, ...more },
    ...beside,
  },
});

const certbot = (more: object, beside: object = {}): object => ({
  backend: {
    certbot: {
      config: 'server = https://ca.test/directory',
      trustAnchors: PEM,
      account: { keySecretRef: { name: 'account' } },
      ...more,
    },
    ...beside,
  },
});

const ejbca = (more: object, beside: object = {}): object => ({
  backend: {
    ejbca: {
      url: 'https://ejbca.test:8443/ejbca/ejbcaws/ejbcaws',
      clientCertificateRef: { name: 'a' },
      trustAnchors: PEM,
      endEntityProfile: 'ACME',
      certificateProfile: 'SERVER',
      ...more,
    },
    ...beside,
  },
});

const acme = (more: object, beside: object = {}): object => ({
  backend: {
    acme: {
      directory: 'https://ca.test/directory',
      trustAnchors: PEM,
      account: { keySecretRef: { name: 'a' } },
      ...more,
    },
    ...beside,
  },
});
const rfc2136 = { nameserver: '192.0.2.53:53', tsig: { keyName: 'acme.key_1', secretRef: secretKey } };
const dnsWebhook = { url: 'https://dns.test/acme', hmac };
const backup = (directory: string, more: object = {}): object => ({
  backup: { directory, account: { keySecretRef: { name: 'b' } }, ...more },
});

const ISSUERS: ObjectCase[] = both(
  'ClusterCAIssuer',
  [
    {},
    { profiles: [profile('a', { default: true }), profile('b', { default: false }), profile('c')] },
    { profiles: [profile('a', { usages: ['client auth', 'server auth'] })] },
    ...goodKeys.flatMap((privateKey) => [
      { defaults: { privateKey } },
      ca({ selfSigned: { commonName: 'x', privateKey } }),
    ]),
    ...pairs
      .filter(([a, b]) => seconds(a) > 0 && seconds(a) <= seconds(b))
      .map(([a, b]) => ({ profiles: [profile('a', { duration: { default: a, max: b } })] })),
    ...pairs
      .filter(([a, b]) => seconds(a) < seconds(b))
      .map(([renewBefore, duration]) => ({ defaults: { renewBefore, duration } })),
    { deny: { dnsNames: ['*.admin.test', 'a.b', '**'], cidrs: ['10.0.0.0/8', '::1'] } },
    { deny: { dnsNames: longest(253, 256) } },
    {
      deny: { cidrs: Array.from({ length: 256 }, (_, i) => `2001:db8:1111:2222:3333:4444:${i.toString(16)}:8888/128`) },
    },
    { acme: { validation: { nameservers: ['10.0.0.53', '10.0.0.53:5353', '::1', '[::1]:53'] } } },
    { allowedNamespaces: { matchLabels: {} } },
    webhook({ caBundle: PEM + PEM, timeout: '10m', concurrency: 64 }),
    ejbca({
      caName: 'CA',
      caBundle: PEM,
      timeout: '10m',
      concurrency: 64,
      username: 'acme-{CN}-{O}',
      password: '{random}',
    }),
    certbot({}),
    certbot({ config: undefined, configRef: { name: 'certbot', key: 'cli.ini' } }),
    certbot({
      image: 'registry.test:5000/a/certbot@sha256:0',
      imagePullSecrets: [{ name: 'registry' }],
      resources: { requests: { cpu: '0.5', memory: '96Mi' }, limits: { cpu: '500m', memory: '1G' } },
      nodeSelector: { pool: 'pki' },
      deadline: '1h',
      concurrency: 64,
    }),
    certbot({ dns01: { plugin: 'rfc2136', credentialsSecretRef: secretKey, propagation: '0s' } }),
    ejbca({ caNameByKey: { RSA: 'CA' }, caBundleRef: { kind: 'ConfigMap', ...secretKey }, username: '{hash}' }),
    ejbca({ caName: 'CA', email: 'pki@example.test', notify: true, overrideValidity: true }),
    ejbca({ caName: 'CA', email: 'pki@example.test', notify: true, overrideValidity: true, protocol: 'SOAP' }),
    ejbca({ caName: 'CA', email: 'pki@example.test', notify: false, overrideValidity: false, protocol: 'REST' }),
    webhook({ caBundleRef: secretKey, authentication: { clientCertificateRef: { name: 'a' } } }),
    acme({ caBundle: PEM, timeout: '10m', concurrency: 64, profile: 'short', preCheck: { timeout: '1h' } }),
    acme({ challenges: ['dns-01', 'http-01'], dns01: { rfc2136 } }),
    acme({ challenges: ['http-01'] }),
    acme({ dns01: { webhook: dnsWebhook }, ...backup('https://other.test/directory', { after: '1s' }) }),
    acme({ dns01: { acmeDNS: { url: 'https://dns.test', accountsSecretRef: secretKey } } }),
    acme({ ...backup('https://ca.test.other.test/directory') }),
    {
      allowedNamespaces: {
        matchLabels: Object.fromEntries(longest(63, 32).map((name) => [`x.test/${name}`, 'v'.repeat(63)])),
      },
    },
  ],
  [
    { profiles: [profile('a', { default: true }), profile('b', { default: true })] },
    { profiles: [profile('a'), profile('b'), profile('a')] },
    { profiles: [profile('a', { usages: ['server auth', 'server auth'] })] },
    ...badKeys.flatMap((privateKey) => [
      { defaults: { privateKey } },
      ca({ selfSigned: { commonName: 'x', privateKey } }),
    ]),
    ...pairs
      .filter(([a, b]) => seconds(a) === 0 || seconds(a) > seconds(b))
      .map(([a, b]) => ({ profiles: [profile('a', { duration: { default: a, max: b } })] })),
    ...pairs
      .filter(([a, b]) => seconds(a) >= seconds(b))
      .map(([renewBefore, duration]) => ({ defaults: { renewBefore, duration } })),
    ca({ crlDuration: '0s' }),
    ca({ selfSigned: { commonName: 'x', duration: '0h' } }),
    { acme: { orderDuration: '0s' } },
    { acme: { authorizationDuration: '0m' } },
    { deny: { dnsNames: ['a.b', '{{namespace}}.test'] } },
    { deny: { dnsNames: [] } },
    { deny: { dnsNames: longest(10, 257) } },
    { acme: { challenges: ['dns-01', 'dns-01'] } },
    { acme: { challenges: [] } },
    {
      acme: {
        externalAccountBinding: {
          mode: 'Required',
          keys: [0, 1].map(() => ({ keyID: 'one', secretRef: { name: 'a', key: 'b' } })),
        },
      },
    },
    { allowedNamespaces: { matchLabels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, ''])) } },
    { colour: 'red' },
    { backend: {} },
    webhook({}, { ca: { secretRef: { name: 'ca' } } }),
    ejbca({ caName: 'CA' }, { ca: { secretRef: { name: 'ca' } } }),
    certbot({}, { ca: { secretRef: { name: 'ca' } } }),
    certbot({ config: undefined }),
    certbot({ configRef: { name: 'certbot', key: 'cli.ini' } }),
    certbot({ caBundle: PEM, caBundleRef: secretKey }),
    certbot({ trustAnchors: 'none' }),
    certbot({ noVerifySSL: true }),
    certbot({ account: { keySecretRef: { name: 'a' }, previousKeySecretRef: { name: 'b' } } }),
    certbot({ account: { keySecretRef: { name: 'a' }, contacts: ['nobody'] } }),
    ...['', 'a b', '-a', 'a\nb'].map((image) => certbot({ image })),
    ...['-1', '1 Gi', '1Xi', 'm', '$(id)'].map((memory) => certbot({ resources: { limits: { memory } } })),
    ...['Rfc2136', '-a', 'a-', 'a b', '$(id)'].map((plugin) =>
      certbot({ dns01: { plugin, credentialsSecretRef: secretKey } }),
    ),
    certbot({ dns01: { plugin: 'a', credentialsSecretRef: secretKey, propagation: '2h' } }),
    certbot({ nodeSelector: { pool: 'not a label' } }),
    ...['0s', '4s', '61m'].map((deadline) => certbot({ deadline })),
    certbot({ concurrency: 0 }),
    ejbca({}),
    ejbca({ caNameByKey: {} }),
    ejbca({ caNameByKey: { DSA: 'CA' } }),
    ejbca({ caName: 'CA', caBundle: PEM, caBundleRef: secretKey }),
    ejbca({ caName: 'CA', caBundleRef: { kind: 'Pod', ...secretKey } }),
    ejbca({ caName: 'CA', notify: true }),
    ejbca({ caName: 'CA', email: 'nobody' }),
    ...['{hash', '{cn}', '{SAN}', '{}', 'a}b'].map((username) => ejbca({ caName: 'CA', username })),
    ejbca({ caName: 'CA', password: '{hash}' }),
    ejbca({ caName: 'CA', url: 'http://ejbca.test/' }),
    ejbca({ caName: 'CA', timeout: '11m' }),
    ...['soap', 'Rest', ''].map((protocol) => ejbca({ caName: 'CA', protocol })),
    ejbca({ caName: 'CA', protocol: 'REST', overrideValidity: true }),
    ejbca({ caName: 'CA', protocol: 'REST', email: 'pki@example.test', notify: true }),
    acme({}, { ca: { secretRef: { name: 'ca' } } }),
    acme({ directory: 'http://ca.test/directory' }),
    acme({ directory: 'https://ca.test/directory?x=1' }),
    acme({ caBundle: PEM, caBundleRef: secretKey }),
    acme({ challenges: ['dns-01'] }),
    acme({ challenges: ['tls-alpn-01'] }),
    acme({ dns01: {} }),
    acme({ dns01: { rfc2136, webhook: dnsWebhook } }),
    acme({ dns01: { rfc2136: { ...rfc2136, nameserver: 'ns.test' } } }),
    acme({ dns01: { rfc2136: { ...rfc2136, tsig: { keyName: 'a b', secretRef: secretKey } } } }),
    acme({ account: { keySecretRef: { name: 'a' }, contacts: ['nobody'] } }),
    acme({ preCheck: { timeout: '61m' } }),
    acme({ timeout: '11m' }),
    acme(backup('https://ca.test/other')),
    acme(backup('https://ca.test:8443/directory')),
    acme(backup('https://other.test/directory', { after: '0s' })),
    acme(backup('https://other.test/directory', { caBundle: PEM, caBundleRef: secretKey })),
    webhook({ caBundle: PEM, caBundleRef: secretKey }),
    webhook({ authentication: {} }),
    webhook({ authentication: { hmac, clientCertificateRef: { name: 'a' } } }),
    webhook({ timeout: '601s' }),
    webhook({ timeout: '0s' }),
    webhook({ url: 'http://signer.test/sign' }),
    webhook({ trustAnchors: 'none' }),
    { backend: { ca: { secretRef: { name: 'ca' } }, other: {} } },
    { suspend: 'yes', colour: 'red' },
  ],
  (part) => ({ spec: { ...ca({}), ...part } }),
);

const claimed = (part: object): object => {
  const { dnsNames: _names, ...spec } = claim('default', 'x').spec;
  return { spec: { ...spec, ...part } };
};

const NAMED = { dnsNames: ['a.test', '*.b.test'] };

const STORE = { create: true, passwordSecretRef: { name: 'a', key: 'b' } };
const TEMPLATE_KEYS = {
  good: [
    'a',
    'a.b-c_d',
    'x.test/A',
    'app.kubernetes.io/name',
    'cert-manager.io/x',
    'notkubernetes.io/x',
    'kubernetes.io.test/x',
    'countersign.dev',
    `${'x'.repeat(253)}/${'x'.repeat(63)}`,
  ],
  bad: [
    'countersign.dev/marker',
    'countersign.dev/adopt',
    'acme.countersign.dev/x',
    'a.b.countersign.dev/x',
    'kubernetes.io/service-account.name',
    'kubectl.kubernetes.io/last-applied-configuration',
    'x.app.kubernetes.io/name',
    'k8s.io/x',
    'node.k8s.io/x',
    'Countersign.dev/marker',
    'X.test/a',
    'a b',
    '/a',
    'a/',
    'a/b/c',
    '-a',
    'é',
    '\u212a',
    'a\n',
    'x'.repeat(64),
    `${'x'.repeat(254)}/a`,
  ],
};
const templates = (map: object): object[] => [
  { ...NAMED, secretTemplate: { labels: map } },
  { ...NAMED, secretTemplate: { annotations: map } },
];

const CLAIMS: ObjectCase[] = both(
  'CertificateClaim',
  [
    NAMED,
    { ipAddresses: ['10.0.0.1', '::1'] },
    { uris: ['spiffe://x/y'] },
    { emailAddresses: ['a@b.test'] },
    { ...NAMED, commonName: 'a.test' },
    { ...NAMED, commonName: '*.b.test' },
    { ipAddresses: ['10.0.0.1'], commonName: '10.0.0.1' },
    { dnsNames: ['a.test', 'a.test'] },
    { dnsNames: longest(253, 100) },
    { uris: Array.from({ length: 16 }, (_, i) => `urn:${i}:`.padEnd(1024, 'x')) },
    { emailAddresses: Array.from({ length: 16 }, (_, i) => `${i}@${longest(250, 1)[0]}`) },
    { ...NAMED, subject: { countries: ['DE', 'FR'] } },
    ...TEMPLATE_KEYS.good.flatMap((key) => templates({ [key]: 'x' })),
    ...templates({}),
    ...templates(Object.fromEntries(longest(63, 32).map((name) => [`x.test/${name}`, 'v'.repeat(63)]))),
    { ...NAMED, secretTemplate: {} },
    {
      ...NAMED,
      secretTemplate: { annotations: Object.fromEntries(longest(63, 32).map((name) => [name, '\n'.repeat(4096)])) },
    },
    { ...NAMED, additionalOutputFormats: ['chain.pem', 'key.der', 'fullchain.pem', 'tls-combined.pem'] },
    { ...NAMED, keystores: {} },
    { ...NAMED, keystores: { pkcs12: { create: false, passwordSecretRef: { name: 'a', key: 'b' } } } },
    { ...NAMED, keystores: { pkcs12: { ...STORE, profile: 'Modern2023', friendlyName: 'my key (2)' } } },
    ...goodKeys.map((privateKey) => ({ ...NAMED, privateKey })),
    ...pairs
      .filter(([a, b]) => seconds(a) < seconds(b))
      .map(([renewBefore, duration]) => ({ ...NAMED, renewBefore, duration })),
  ],
  [
    {},
    { dnsNames: [] },
    { commonName: 'a.test' },
    { ...NAMED, commonName: 'b.test' },
    { ...NAMED, commonName: 'A.test' },
    { emailAddresses: ['a@b.test'], commonName: 'a@b.test' },
    { dnsNames: longest(10, 101) },
    { ...NAMED, subject: { countries: ['DE', 'Germany'] } },
    ...TEMPLATE_KEYS.bad.flatMap((key) => templates({ [key]: 'x' })),
    ...templates(Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, '']))),
    { ...NAMED, secretTemplate: { labels: { a: 'b c' } } },
    { ...NAMED, secretTemplate: { annotations: { a: 'x'.repeat(4097) } } },
    { ...NAMED, secretTemplate: { finalizers: ['a/b'] } },
    { ...NAMED, additionalOutputFormats: ['key.der', 'key.der'] },
    { ...NAMED, additionalOutputFormats: ['tls.key'] },
    { ...NAMED, keystores: { jks: STORE } },
    { ...NAMED, keystores: { pkcs12: { create: true } } },
    { ...NAMED, keystores: { pkcs12: { ...STORE, profile: 'LegacyRC2' } } },
    {
      ...NAMED,
      keystores: { pkcs12: { ...STORE, passwordSecretRef: { ...STORE.passwordSecretRef, namespace: 'x' } } },
    },
    ...['', ' a', 'a ', 'a\n', 'é', 'x'.repeat(65)].map((friendlyName) => ({
      ...NAMED,
      keystores: { pkcs12: { ...STORE, friendlyName } },
    })),
    { ...NAMED, usages: ['server auth', 'server auth'] },
    { ...NAMED, issuerRef: { name: 'x' } },
    { ...NAMED, issuerRef: { kind: 'Issuer', name: 'x' } },
    ...badKeys.map((privateKey) => ({ ...NAMED, privateKey })),
    ...pairs
      .filter(([a, b]) => seconds(a) >= seconds(b))
      .map(([renewBefore, duration]) => ({ ...NAMED, renewBefore, duration })),
  ],
  claimed,
);

const keyRule = (rule: object): object => ({ constraints: { privateKey: [rule] } });

const POLICIES: ObjectCase[] = both(
  'CertificateRequestPolicy',
  [
    {},
    { selector: { sources: { cidrs: ['10.0.0.0/8'], except: ['10.66.0.0/16', '192.0.2.1'] } } },
    { selector: { sources: { except: ['10.66.0.0/16'] } } },
    { selector: { namespace: { matchNames: ['a*'] } } },
    { selector: { namespace: { matchLabels: {} } } },
    { selector: { publicKeys: ['aB'.repeat(32)] } },
    { allowed: { commonName: { value: '*.example.com' } } },
    { allowed: { dnsNames: { values: ['**.{{namespace}}.svc', '*'], except: ['a.b'], wildcards: true } } },
    { allowed: { dnsNames: { values: longest(253, 256), except: longest(253, 256) } } },
    { allowed: { uris: { values: Array.from({ length: 256 }, (_, i) => `urn:${i}/`.padEnd(253, 'x/')) } } },
    { allowed: { emailAddresses: { values: Array.from({ length: 256 }, (_, i) => `${i}@${longest(245, 1)[0]}`) } } },
    { allowed: { ipAddresses: { cidrs: ['10.0.0.0/8'], except: ['10.1.0.0/16'] } } },
    { allowed: { validations: [{ rule: 'this is not CEL' }] } },
    { constraints: { maxDuration: '1s', servers: { verifyPTR: true } } },
    ...[
      ...ALGORITHMS.map((algorithm) => ({ algorithm })),
      ...keys.filter(({ algorithm, size }) => fits(algorithm, size)),
    ].flatMap(({ algorithm, ...rest }) =>
      'size' in rest
        ? [keyRule({ algorithm, sizes: [rest.size] }), keyRule({ algorithm, minSize: rest.size })]
        : [keyRule({ algorithm })],
    ),
    keyRule({ algorithm: 'RSA', sizes: [2048, 2056, 8192] }),
    keyRule({ algorithm: 'RSA', minSize: 2049 }),
    keyRule({ algorithm: 'ECDSA', minSize: 300 }),
  ],
  [
    { selector: { sources: {} } },
    { selector: { sources: { cidrs: ['10.0.0.0/8', '10.0.0.1/8'] } } },
    { selector: { namespace: {} } },
    { selector: { doors: ['ACME', 'ACME'] } },
    { allowed: { ipAddresses: { except: ['10.0.0.0/8'] } } },
    { allowed: { ipAddresses: {} } },
    { allowed: { dnsNames: {} } },
    { allowed: { dnsNames: { values: ['a.b', '**.**'] } } },
    { allowed: { dnsNames: { values: ['a.b'], except: ['{{account}}.b'] } } },
    { allowed: { uris: { values: ['spiffe://a/b*'] } } },
    { allowed: { emailAddresses: { values: ['example.com'] } } },
    { constraints: { maxDuration: '0h' } },
    { constraints: { servers: { cidrs: ['::ffff:10.0.0.0/104'] } } },
    ...badKeys.flatMap(({ algorithm, size }) => [
      keyRule({ algorithm, sizes: [size] }),
      keyRule({ algorithm, minSize: size }),
    ]),
    keyRule({ algorithm: 'RSA', sizes: [2048, 2049] }),
    keyRule({ algorithm: 'RSA', sizes: [4096], minSize: 2048 }),
    keyRule({ algorithm: 'RSA', sizes: [] }),
    keyRule({ sizes: [2048] }),
  ],
  (part) => ({ spec: { selector: {}, allowed: {}, ...part } }),
);

const TENANT_ISSUERS: ObjectCase[] = both(
  'CAIssuer',
  [{}, webhook({}), acme({})],
  [
    { backend: {} },
    webhook({}, { ca: { secretRef: { name: 'ca' } } }),
    ejbca({ caName: 'CA' }),
    certbot({}),
    acme({ challenges: ['http-01'] }),
  ],
  (part) => ({
    spec: { ...ca({}), ...part },
  }),
);

const { spec, status } = record('default', 'x');
if (!status) throw new Error('the record has no certificate');

const NO_SPEC: ObjectCase[] = [{}, { spec: [] }, { spec: null }, { spec: {}, status: 'x' }, { spec: {}, extra: 1 }].map(
  (body) => ({
    kind: 'CertificateClaim',
    title: JSON.stringify(body),
    good: false,
    body,
  }),
);

const long = (count: number): string => 'x'.repeat(count);
const named = (metadata: object, good: boolean): ObjectCase => ({
  kind: 'CertificateClaim',
  title: `metadata ${JSON.stringify(metadata).slice(0, 80)}`,
  good,
  body: claimed(NAMED),
  metadata,
});

const METADATA: ObjectCase[] = [
  ...['a', 'a.b-c.d1', long(253), '1'].map((name) => named({ name }, true)),
  ...['', 'A', 'a_b', '-a', 'a-', 'a..b', '.a', 'a/b', '..', 'a b', 'é', long(254), 7].map((name) =>
    named({ name }, false),
  ),
  ...[{ a: '' }, { 'x.test/a': 'B_c.d' }, { [`${long(253)}/${long(63)}`]: long(63) }].map((labels) =>
    named({ labels }, true),
  ),
  ...[{ 'a b': 'c' }, { '-a': 'c' }, { a: 'b c' }, { a: long(64) }, { [long(64)]: 'a' }, { '/a': 'b' }, { a: 1 }].map(
    (labels) => named({ labels }, false),
  ),
  ...[{ a: 'any thing\n' }, { 'X.test/A': '' }, { a: long(262_143) }].map((annotations) =>
    named({ annotations }, true),
  ),
  ...[{ 'a b': 'c' }, { a: long(262_144) }, { a: 1 }].map((annotations) => named({ annotations }, false)),
  ...[['countersign.dev/x'], ['x']].map((finalizers) => named({ finalizers }, true)),
  ...[['a/b/c'], ['a b/x'], [7], 'x'].map((finalizers) => named({ finalizers }, false)),
];

const refusal = { type: 'x', detail: 'x', status: 403, refusedAt: '2030-01-01T00:00:00Z' };
const approved = {
  subject: 'AAAA',
  usages: ['server auth'],
  notBefore: '2030-01-01T00:00:00Z',
  notAfter: '2030-04-01T00:00:00Z',
};
const reserved = { spec: { ...spec, approved } };

const RECORDS: ObjectCase[] = both(
  'IssuedCertificate',
  [{ spec, status }, reserved, { ...reserved, status }, { ...reserved, status: { refusal } }],
  [
    { spec, status: {} },
    { spec, status: { ...status, refusal } },
    { spec, status: { serial: '0a' } },
    { spec, status: { serial: '0a', refusal } },
  ],
  (part) => part,
);

export const OBJECT_CASES: readonly ObjectCase[] = [
  ...ISSUERS,
  ...TENANT_ISSUERS,
  ...RECORDS,
  ...CLAIMS,
  ...POLICIES,
  ...NO_SPEC,
  ...METADATA,
];

const revocation = { reason: 1, revokedAt: '2030-02-01T00:00:00Z', by: 'someone' };
const whole = { spec, status };
const revoked = { spec: { ...spec, revocation }, status };

const update = (title: string, good: boolean, before: object, after: object): UpdateCase => ({
  kind: 'IssuedCertificate',
  title,
  good,
  before,
  after,
});

export const UPDATE_CASES: readonly UpdateCase[] = [
  update('nothing', true, whole, whole),
  update('revoked', true, whole, revoked),
  update('revoked still', true, revoked, revoked),
  update('no longer revoked', false, revoked, whole),
  update('revoked for another reason', false, revoked, {
    spec: { ...spec, revocation: { ...revocation, reason: 0 } },
    status,
  }),
  ...Object.entries({
    requestID: 'other',
    door: 'CertificateClaim',
    issuerRef: { ...spec.issuerRef, name: 'other' },
    issuerUID: 'other',
    requester: { account: 'other' },
    names: ['dns:b'],
    profile: 'other',
    csr: 'BBBB',
    policy: 'other',
    decisionID: 'other',
    approved,
    replaces: 'other',
    order: 'other',
    orderExpires: '2030-01-01T00:00:00Z',
  }).flatMap(([member, value]) => {
    const changed = { spec: { ...spec, [member]: value }, status };
    return [
      update(`${member} other`, false, whole, changed),
      // What is optional cannot be taken away either.
      ...(member in spec ? [] : [update(`${member} gone`, false, changed, whole)]),
    ];
  }),
  update('a reservation that is finished', true, reserved, { ...reserved, status }),
  update('a reservation that is refused', true, reserved, { ...reserved, status: { refusal } }),
  update('a reservation approved otherwise', false, reserved, {
    spec: { ...spec, approved: { ...approved, notAfter: '2031-01-01T00:00:00Z' } },
  }),
  update('a refusal withdrawn', false, { ...reserved, status: { refusal } }, reserved),
  update('a certificate after a refusal', false, { ...reserved, status: { refusal } }, { ...reserved, status }),
  update('a refusal after a certificate', false, { ...reserved, status }, { ...reserved, status: { refusal } }),
  update('a certificate withdrawn', false, whole, { spec }),
  update('requester of other facts', false, whole, { spec: { ...spec, requester: {} }, status }),
  update('more names', false, whole, { spec: { ...spec, names: [...spec.names, 'dns:b'] }, status }),
  ...Object.keys(status).map((member) =>
    update(`status.${member} other`, false, whole, {
      spec,
      status: {
        ...status,
        [member]: member.startsWith('not') || member === 'issuedAt' ? '2031-01-01T00:00:00Z' : 'BBBB',
      },
    }),
  ),
  ...[
    ['the spec of a claim', true, claimed(NAMED), claimed({ ipAddresses: ['10.0.0.1'] })],
    ['a claim without names', false, claimed(NAMED), claimed({})],
  ].map(([title, good, before, after]) => ({ kind: 'CertificateClaim', title, good, before, after }) as UpdateCase),
];
