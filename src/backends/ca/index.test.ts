import { createPrivateKey } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  createAuthority,
  anIssuer,
  createMemorySecrets,
  type MemorySecrets,
  subjectKeyIdentifier,
  type TestAuthority,
} from '../../../test/contract/authorities.ts';
import { backendContract } from '../../../test/contract/backend.ts';
import {
  aModel,
  aSigningRequest,
  createKey,
  KEY_KINDS,
  type KeyKind,
  keyFacts,
  sharedKey,
} from '../../../test/contract/models.ts';
import { openssl, opensslTest, verifyStrict, withFiles } from '../../../test/contract/openssl.ts';
import { createFakeClock, type FakeClock } from '../../../test/fakes/clock.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import { basicConstraints, extendedKeyUsage, keyUsage, pemOf } from '../../../test/support/certificate-builder.ts';
import * as der from '../../../test/support/der-writer.ts';
import type { CaBackendSpec } from '../../api/ca-issuer.ts';
import { parseCertificate } from '../../domain/certificate.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { parseCrl } from '../../domain/crl.ts';
import { OID } from '../../domain/oid.ts';
import type { Backend } from '../../ports.ts';
import { caBackend } from './index.ts';

const none = new AbortController().signal;
const SPEC: CaBackendSpec = { secretRef: { name: 'corporate-ca' } };
const URLS = {
  crl: 'http://pki.example.test/crl/corporate.crl',
  issuerCertificate: 'http://pki.example.test/ca/corporate.cer',
};

interface Setup {
  backend: Backend;
  secrets: MemorySecrets;
  clock: FakeClock;
}

function setUp(secrets: MemorySecrets, spec: Partial<CaBackendSpec> = {}, urls: typeof URLS | undefined = URLS): Setup {
  const clock = createFakeClock(new Date(Math.floor(Date.now() / 1000) * 1000));
  const ca = { ...SPEC, ...spec };
  const backend = caBackend.create({ secrets, clock, random: createFakeRandom(), urls }, anIssuer({ ca }), { ca });
  return { backend, secrets, clock };
}

const secretOf = (ca: Pick<TestAuthority, 'key' | 'pem'>, ...above: TestAuthority[]) => ({
  'tls.key': ca.key,
  'tls.crt': [ca, ...above].map(({ pem }) => pem).join(''),
});
const withCa = (ca: TestAuthority, ...above: TestAuthority[]) =>
  setUp(createMemorySecrets({ 'corporate-ca': secretOf(ca, ...above) }));

async function issue(backend: Backend, request = aSigningRequest()): Promise<readonly Buffer[]> {
  const outcome = await backend.sign(request, none);
  if (outcome.kind !== 'issued') throw new Error(outcome.kind === 'refused' ? outcome.problem.detail : outcome.kind);
  return outcome.chain;
}

const ski = (byte: number) => subjectKeyIdentifier(Buffer.alloc(20, byte));
const aki = (byte: number) => ({
  oid: '2.5.29.35',
  value: der.sequence(der.contextPrimitive(0, Buffer.alloc(20, byte))),
});

for (const kind of KEY_KINDS) {
  const root = createAuthority({ subject: 'Root', extensions: [ski(1)] });
  const ca = createAuthority({ subject: 'Issuing', kind, parent: root, extensions: [ski(2), aki(1)] });
  backendContract(`ca with a ${kind} key under a root`, async () => {
    const { backend, secrets, clock } = withCa(ca, root);
    const kept = secrets.values.get('corporate-ca') ?? {};
    return {
      backend,
      trustRoots: [root.der],
      refused: aSigningRequest({ keys: ca.keys }),
      fail: () => void secrets.values.delete('corporate-ca'),
      recover: () => {
        secrets.values.set('corporate-ca', kept);
        return clock.advance(5000);
      },
    };
  });
}

opensslTest.each(KEY_KINDS)('openssl verify -x509_strict takes the whole chain of a %s CA', async (kind) => {
  const root = createAuthority({ subject: 'Root', extensions: [ski(1)] });
  const ca = createAuthority({ subject: 'Issuing', kind, parent: root, extensions: [ski(2), aki(1)] });
  const chain = await issue(withCa(ca, root).backend, aSigningRequest({ usages: ['server auth', 'client auth'] }));
  expect(chain).toHaveLength(3);
  expect(verifyStrict(chain, '-purpose', 'sslserver', '-verify_hostname', 'db.example.test')).toMatchObject({
    ok: true,
  });
  expect(verifyStrict(chain, '-purpose', 'sslclient')).toMatchObject({ ok: true });
});

// ---- Keys ---------------------------------------------------------------------------------------------------------

type PemForm = [name: string, kind: KeyKind, pem: (ca: TestAuthority) => string | Buffer];
const exported =
  (type: 'pkcs1' | 'sec1' | 'pkcs8', options: { cipher?: string; passphrase?: string } = {}) =>
  (ca: TestAuthority) =>
    ca.keys.privateKey.export({ type, format: 'pem', ...options });

test.each<PemForm>([
  ['PKCS#8 RSA', 'RSA-2048', exported('pkcs8')],
  ['PKCS#1', 'RSA-2048', exported('pkcs1')],
  ['SEC1 P-256', 'P-256', exported('sec1')],
  ['SEC1 P-521', 'P-521', exported('sec1')],
  ['PKCS#8 Ed25519', 'Ed25519', exported('pkcs8')],
  [
    'text and parameters before the key',
    'P-256',
    (ca) =>
      `Bag Attributes: <No Attributes>\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${String(exported('sec1')(ca))}`,
  ],
  ['Windows line ends', 'P-256', (ca) => ca.key.replaceAll('\n', '\r\n')],
])('a key as %s signs', async (_, kind, pem) => {
  const ca = createAuthority({ kind });
  const { backend } = setUp(createMemorySecrets({ 'corporate-ca': { ...secretOf(ca), 'tls.key': pem(ca) } }));
  expect(await issue(backend)).toHaveLength(2);
});

const PASSPHRASE = 'correct horse battery staple';
const REF = { passphraseSecretRef: { name: 'corporate-ca-passphrase', key: 'passphrase' } };

test.each<[string, KeyKind, Parameters<typeof exported>[0], string]>([
  ['PKCS#8 RSA', 'RSA-2048', 'pkcs8', PASSPHRASE],
  ['PKCS#8 Ed25519, a line break after the passphrase', 'Ed25519', 'pkcs8', `${PASSPHRASE}\n`],
  ['traditional RSA', 'RSA-2048', 'pkcs1', PASSPHRASE],
  ['traditional EC, a Windows line break after the passphrase', 'P-384', 'sec1', `${PASSPHRASE}\r\n`],
])('an encrypted key as %s opens', async (_, kind, form, given) => {
  const ca = createAuthority({ kind });
  const key = exported(form, { cipher: 'aes-256-cbc', passphrase: PASSPHRASE })(ca);
  expect(String(key)).toMatch(/ENCRYPTED/);
  const { backend } = setUp(
    createMemorySecrets({
      'corporate-ca': { ...secretOf(ca), 'tls.key': key },
      'corporate-ca-passphrase': { passphrase: given },
    }),
    REF,
  );
  expect(await issue(backend)).toHaveLength(2);
});

// ---- What is wrong with a Secret ----------------------------------------------------------------------------------

const good = createAuthority();
const other = createAuthority({ subject: 'Other' });
const encrypted = exported('pkcs8', { cipher: 'aes-256-cbc', passphrase: PASSPHRASE })(good);
const leafOnly = createAuthority({ basics: [basicConstraints(false)] });
const noCertSign = createAuthority({ basics: [basicConstraints(true), keyUsage(0, 6)] });
const zero = [
  { oid: '2.5.29.19', critical: true, value: der.sequence(der.boolean(true), der.integer(0)) },
  keyUsage(5, 6),
];
const root0 = createAuthority({ subject: 'Root 0', basics: zero });
const below0 = createAuthority({ subject: 'Below', parent: root0 });
const oddRoot = createAuthority({
  subject: 'Odd',
  extensions: [{ oid: '1.2.3.4', critical: true, value: der.nullValue() }],
});
const day = 86_400_000;
type Values = Record<string, string | Buffer>;

test.each<[string, Values | undefined, Partial<CaBackendSpec>, string, RegExp]>([
  ['no Secret', undefined, {}, 'SecretNotFound', /no Secret corporate-ca$/],
  ['no key', { 'tls.crt': good.pem }, {}, 'SecretIncomplete', /no value at tls\.key/],
  ['an empty key', { ...secretOf(good), 'tls.key': '' }, {}, 'SecretIncomplete', /tls\.key/],
  ['no certificate', { 'tls.key': good.key }, {}, 'SecretIncomplete', /tls\.crt/],
  ['a key that is no PEM', { ...secretOf(good), 'tls.key': 'c2VjcmV0' }, {}, 'KeyUnreadable', /no PEM private key/],
  ['a broken key', { ...secretOf(good), 'tls.key': good.key.replace('MIG', 'MIA') }, {}, 'KeyUnreadable', /PKCS#8/],
  ['two keys', { ...secretOf(good), 'tls.key': good.key + other.key }, {}, 'SeveralKeys', /2 private keys/],
  [
    'an encrypted key without passphrase',
    { ...secretOf(good), 'tls.key': encrypted },
    {},
    'PassphraseMissing',
    /passphraseSecretRef/,
  ],
  [
    'a passphrase Secret that is not there',
    secretOf(good),
    { passphraseSecretRef: { name: 'nowhere', key: 'p' } },
    'SecretNotFound',
    /no Secret nowhere/,
  ],
  [
    'a passphrase key that is not there',
    secretOf(good),
    { passphraseSecretRef: { name: 'corporate-ca', key: 'p' } },
    'SecretIncomplete',
    /no value at p/,
  ],
  [
    'the wrong passphrase',
    { ...secretOf(good), 'tls.key': encrypted, p: 'wrong' },
    { passphraseSecretRef: { name: 'corporate-ca', key: 'p' } },
    'KeyUndecryptable',
    /does not open/,
  ],
  [
    'a key that takes an hour to decrypt',
    { ...secretOf(good), 'tls.key': slowKey(), p: PASSPHRASE },
    { passphraseSecretRef: { name: 'corporate-ca', key: 'p' } },
    'KeyUnsupported',
    /takes too long to decrypt/,
  ],
  ['a key that signs slowly', { ...secretOf(good), 'tls.key': hugeKey() }, {}, 'KeyUnsupported', /2048 to 8192/],
  [
    'a key of an unknown curve',
    { ...secretOf(good), 'tls.key': String(createSecp256k1()) },
    {},
    'KeyUnsupported',
    /neither RSA/,
  ],
  [
    'a certificate that is no PEM',
    { ...secretOf(good), 'tls.crt': 'x' },
    {},
    'CertificateUnreadable',
    /no PEM certificate/,
  ],
  [
    'a broken PEM block',
    { ...secretOf(good), 'tls.crt': good.pem.slice(0, -40) },
    {},
    'CertificateUnreadable',
    /PEM block 1/,
  ],
  [
    'a certificate that is not DER',
    { ...secretOf(good), 'tls.crt': good.pem.replace('MII', 'MIA') },
    {},
    'CertificateUnreadable',
    /certificate 1 of tls\.crt is not well-formed/,
  ],
  [
    'a certificate of another key',
    { ...secretOf(good), 'tls.crt': other.pem },
    {},
    'KeyMismatch',
    /not the key of the first certificate in tls\.crt$/,
  ],
  [
    'the chain in the wrong order',
    { ...secretOf(good), 'tls.crt': other.pem + good.pem },
    {},
    'KeyMismatch',
    /certificate 2 belongs to it and must come first/,
  ],
  ['no CA', secretOf(leafOnly), {}, 'NotACA', /CN=Test CA is not a CA certificate/],
  ['no basicConstraints', secretOf(createAuthority({ basics: [] })), {}, 'NotACA', /not a CA certificate/],
  ['a CA without subject', secretOf(createAuthority({ subject: der.sequence() })), {}, 'NotACA', /no subject/],
  ['keyUsage without keyCertSign', secretOf(noCertSign), {}, 'KeyUsageForbids', /keyCertSign/],
  ['a chain without end', { ...secretOf(good), 'tls.crt': good.pem.repeat(17) }, {}, 'ChainBroken', /17 certificates/],
  ['a stranger in the chain', secretOf(good, other), {}, 'ChainBroken', /CN=Other issued none/],
  [
    'a path length that is used up',
    secretOf(below0, root0),
    {},
    'ChainBroken',
    /CN=Root 0 allows 0 CA certificates below it, not 1/,
  ],
  ['a critical extension nobody knows', secretOf(oddRoot), {}, 'ChainBroken', /critical extension 1\.2\.3\.4/],
  [
    'an expired CA',
    secretOf(createAuthority({ notAfter: new Date(Date.now() - day / 2) })),
    {},
    'CAExpired',
    /CN=Test CA expired at \d{4}-/,
  ],
  [
    'a CA of the future',
    secretOf(createAuthority({ notBefore: new Date(Date.now() + day) })),
    {},
    'CANotYetValid',
    /not valid before/,
  ],
])('%s is told apart', async (_, values, spec, reason, message) => {
  const { backend } = setUp(createMemorySecrets(values ? { 'corporate-ca': values } : {}), spec);
  const health = await backend.check(none);
  expect(health).toMatchObject({ ready: false, reason, message: expect.stringMatching(message) });
  // Whoever owns the Secret can mend it, so nothing is refused for good.
  await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow(message);
  await expect(backend.limits(aModel())).rejects.toThrow(message);
  expectNoSecret(health.message, Object.values(values ?? {}));
});

/** The most rounds of PBKDF2 that there can be. */
function slowKey(): string {
  const derivation = der.sequence(
    der.oid('1.2.840.113549.1.5.12'),
    der.sequence(der.octetString(Buffer.alloc(8)), der.integer(2_147_483_647)),
  );
  const cipher = der.sequence(der.oid('2.16.840.1.101.3.4.1.42'), der.octetString(Buffer.alloc(16)));
  const algorithm = der.sequence(der.oid('1.2.840.113549.1.5.13'), der.sequence(derivation, cipher));
  return pemOf('ENCRYPTED PRIVATE KEY', der.sequence(algorithm, der.octetString(Buffer.alloc(64))));
}

/** RSA of 8,200 bits, made of any numbers: it is refused for its size. */
function hugeKey(): string {
  const number = (bytes: number): string => Buffer.alloc(bytes, 0xff).toString('base64url');
  const [n, d, p, q] = [number(1025), number(1024), number(513), number(513)];
  const [dp, dq, qi] = [number(512), number(512), number(512)];
  const key = createPrivateKey({ format: 'jwk', key: { kty: 'RSA', e: 'AQAB', n, d, p, q, dp, dq, qi } });
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

function createSecp256k1(): string | Buffer {
  return openssl('ecparam', '-name', 'secp256k1', '-genkey', '-noout').output;
}

/** No run of 12 characters of a value, the passphrase or PEM armour in the text. */
function expectNoSecret(text: string, values: readonly (string | Buffer)[]): void {
  const words = [...values.map(String), PASSPHRASE].flatMap((value) => value.match(/[A-Za-z0-9+/]{12,}/g) ?? []);
  for (const word of words)
    for (let at = 0; at + 12 <= word.length; at += 4) expect(text).not.toContain(word.slice(at, at + 12));
  expect(text).not.toMatch(/BEGIN|OSSL|error:/);
}

test('an API server that is away is no fault of the CA', async () => {
  const { backend, secrets, clock } = withCa(good);
  secrets.failure = new Error('connection refused by 10.0.0.1');
  expect(await backend.check(none)).toEqual({
    ready: false,
    reason: 'SecretUnreadable',
    message: expect.not.stringContaining('10.0.0.1'),
  });
  await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow('connection refused');
  secrets.failure = undefined;
  await issue(backend);
  // Once read, the CA signs on through an outage.
  secrets.failure = new Error('connection refused');
  await clock.advance(60_000);
  await issue(backend);
  expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'SecretUnreadable' });
});

// ---- Certificates -------------------------------------------------------------------------------------------------

test('serial numbers are positive, 16 octets long and never repeat', async () => {
  const { backend } = withCa(good);
  const serials = new Set<string>();
  const request = aSigningRequest();
  for (let i = 0; i < 200; i++) {
    const { serial } = parseCertificate((await issue(backend, request))[0] ?? Buffer.alloc(0));
    expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
    serials.add(serial);
  }
  expect(serials.size).toBe(200);
});

test('leaves point to CRL and issuer where these are served, and to no CRL the key may not sign', async () => {
  const crlLess = createAuthority({ basics: [basicConstraints(true), keyUsage(5)] });
  const extensionsOf = async ({ backend }: Setup) => (await issue(backend))[0]?.toString('latin1') ?? '';
  expect(await extensionsOf(withCa(good))).toMatch(/corporate\.cer.*corporate\.crl/s);
  expect(await extensionsOf(withCa(crlLess))).toMatch(/corporate\.cer(?!.*corporate\.crl)/s);
  const unserved = createMemorySecrets({ 'corporate-ca': secretOf(good) });
  const backend = caBackend.create(
    { secrets: unserved, clock: createFakeClock(new Date()), random: createFakeRandom(), urls: undefined },
    anIssuer({ ca: SPEC }),
    { ca: SPEC },
  );
  expect((await issue(backend))[0]?.toString('latin1')).not.toMatch(/http:/);
});

test('the authority key identifier is the subject key identifier of the CA, whatever method made it', async () => {
  const ca = createAuthority({ extensions: [subjectKeyIdentifier(Buffer.from('abcdef', 'hex'))] });
  const [leaf] = (await issue(withCa(ca).backend)).map(parseCertificate);
  expect(leaf?.authorityKeyIdentifier?.toString('hex')).toBe('abcdef');
});

test('the issuer is byte for byte the subject of the CA, string types and all', async () => {
  const subject = der.sequence(
    der.setOf(der.sequence(der.oid('2.5.4.6'), der.printableString('DE'))),
    der.setOf(der.sequence(der.oid('2.5.4.3'), der.tlv(0x14, Buffer.from('M\xfcller CA', 'latin1')))),
  );
  const [leaf, ca] = (await issue(withCa(createAuthority({ subject })).backend)).map(parseCertificate);
  expect(leaf?.issuerDer).toEqual(ca?.subjectDer);
  expect(leaf?.issuer).toEqual([[{ oid: '2.5.4.6', value: 'DE' }], [{ oid: '2.5.4.3', value: 'Müller CA' }]]);
});

const subtrees = (list: 0 | 1, ...names: der.Der[]) => ({
  oid: OID.nameConstraints,
  critical: true,
  value: der.sequence(der.context(list, ...names.map((name) => der.sequence(name)))),
});
const permitted = createAuthority({ extensions: [subtrees(0, der.generalName.dns('example.test'))] });
const rootOnly = createAuthority({
  subject: 'Constrained root',
  extensions: [subtrees(1, der.generalName.dns('secret.example.test'))],
});
const underRoot = createAuthority({ subject: 'Issuing', parent: rootOnly });
const clientsOnly = createAuthority({ extensions: [extendedKeyUsage(OID.clientAuth)] });

test.each<[string, TestAuthority[], Parameters<typeof aModel>[0], string, RegExp]>([
  [
    'a name outside its constraints',
    [permitted],
    { names: { dnsNames: ['a.other.test'] } },
    'rejectedIdentifier',
    /a\.other\.test is outside/,
  ],
  [
    'a name its root excludes',
    [underRoot, rootOnly],
    { names: { dnsNames: ['*.example.test'] } },
    'rejectedIdentifier',
    /excluded/,
  ],
  ['a usage it has not itself', [clientsOnly], {}, 'badCSR', /usage "server auth"/],
  ['its own key', [good], { keys: good.keys }, 'badCSR', /key is that of a CA/],
  ['the key of its root', [underRoot, rootOnly], { keys: rootOnly.keys }, 'badCSR', /key is that of a CA/],
  [
    'a certificate that outlives it',
    [good],
    { notAfter: new Date(Date.now() + 4000 * day) },
    'malformed',
    /at most \d{4}-/,
  ],
  [
    'a certificate that ends before it begins',
    [good],
    { notAfter: new Date(Date.now() - 10 * day) },
    'malformed',
    /end before it begins/,
  ],
  ['no names', [good], { names: {} }, 'badCSR', /at least one/],
  [
    'a common name of 65',
    [good],
    { subject: [[{ oid: OID.commonName, value: 'x'.repeat(65) }]] },
    'badCSR',
    /longer than 64/,
  ],
  ['a name outside ASCII', [good], { names: { dnsNames: ['ü.test'] }, subject: [] }, 'badCSR', /ASCII/],
])('the CA refuses %s', async (_, [ca = good, ...above], options, type, detail) => {
  const { backend } = withCa(ca, ...above);
  const outcome = await backend.sign({ id: 'x', csr: Buffer.alloc(0), model: aModel(options) }, none);
  expect(outcome).toMatchObject({ kind: 'refused', problem: { type, detail: expect.stringMatching(detail) } });
});

test('each forbidden name is a subproblem', async () => {
  const problem = await withCa(permitted).backend.limits(
    aModel({ names: { dnsNames: ['b.other.test', 'ok.example.test', 'a.other.test'] } }),
  );
  expect(problem?.options.subproblems?.map(({ identifier }) => identifier.value)).toEqual([
    'b.other.test',
    'a.other.test',
  ]);
});

test('what is within the constraints is signed', async () => {
  await issue(withCa(permitted).backend, aSigningRequest({ names: { dnsNames: ['a.example.test'] } }));
  await issue(withCa(underRoot, rootOnly).backend, aSigningRequest({ names: { dnsNames: ['open.example.test'] } }));
  await issue(withCa(clientsOnly).backend, aSigningRequest({ usages: ['client auth'] }));
});

// ---- Rotation -----------------------------------------------------------------------------------------------------

test('a rotated CA signs within seconds, and signatures between do not read the Secret', async () => {
  const { backend, secrets, clock } = withCa(good);
  const issuerOf = async () => parseCertificate((await issue(backend))[0] ?? Buffer.alloc(0)).issuer[0]?.[0]?.value;
  await Promise.all(Array.from({ length: 20 }, () => issue(backend)));
  expect(secrets.reads).toBe(1);
  secrets.values.set('corporate-ca', { 'tls.key': Buffer.from(other.key), 'tls.crt': Buffer.from(other.pem) });
  await clock.advance(4999);
  expect(await issuerOf()).toBe('Test CA');
  expect(secrets.reads).toBe(1);
  await clock.advance(1);
  expect(await issuerOf()).toBe('Other');
  expect(secrets.reads).toBe(2);
});

test('check reads at once; a Secret that is gone stops the CA', async () => {
  const { backend, secrets, clock } = withCa(good);
  await issue(backend);
  secrets.values.set('corporate-ca', { 'tls.key': Buffer.from(other.key), 'tls.crt': Buffer.from(other.pem) });
  expect((await backend.check(none)).message).toMatch(/^signs as CN=Other until \d{4}-/);
  secrets.values.delete('corporate-ca');
  await clock.advance(5000);
  await expect(issue(backend)).rejects.toThrow(/no Secret/);
  expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'SecretNotFound' });
});

test('a CA that expires while it is kept stops signing', async () => {
  const { backend, clock } = withCa(createAuthority({ notAfter: new Date(Date.now() + 10_000) }));
  const soon = () => aSigningRequest({ from: new Date(Date.now() - 1000), notAfter: new Date(Date.now() + 5000) });
  await issue(backend, soon());
  await clock.advance(12_000);
  await expect(issue(backend, soon())).rejects.toThrow(/expired/);
});

// ---- Self-signed --------------------------------------------------------------------------------------------------

const SELF: Partial<CaBackendSpec> = { selfSigned: { commonName: 'Trial CA', organization: 'Example' } };

test.each<[string, Partial<NonNullable<CaBackendSpec['selfSigned']>>, string]>([
  ['P-256 by default', {}, 'P-256'],
  ['P-384', { privateKey: { algorithm: 'ECDSA', size: 384 } }, 'P-384'],
  ['RSA', { privateKey: { algorithm: 'RSA', size: 2048 } }, 'rsa'],
  ['Ed25519', { privateKey: { algorithm: 'Ed25519' } }, 'ed25519'],
])('a self-signed CA is made where there is none: %s', async (_, options, key) => {
  const { backend, secrets, clock } = setUp(createMemorySecrets(), {
    selfSigned: { commonName: 'Trial CA', organization: 'Example', duration: '48h', ...options },
  });
  const health = await backend.check(none);
  expect(health).toMatchObject({
    ready: true,
    message: expect.stringMatching(/^signs as CN=Trial CA,O=Example until/),
  });
  const kept = secrets.values.get('corporate-ca');
  expect(Object.keys(kept ?? {}).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
  const ca = parseCertificate(health.ca?.certificate ?? Buffer.alloc(0));
  expect(ca).toMatchObject({ isCA: true, pathLength: 0, keyUsage: [5, 6] });
  expect(ca.notAfter.getTime()).toBe(clock.now().getTime() + 48 * 3_600_000);
  expect(ca.notBefore.getTime()).toBeLessThan(clock.now().getTime());
  expect(parsePemCertificates(String(kept?.['tls.crt']))).toEqual([ca.der]);
  expect(JSON.stringify(keyKind(ca.spki))).toContain(key);
  expect(await issue(backend, aSigningRequest({ notAfter: ca.notAfter }))).toHaveLength(2);
});

function keyKind(spki: Buffer): unknown {
  return withFiles({ spki }, (path) =>
    openssl('pkey', '-pubin', '-inform', 'DER', '-in', path('spki'), '-noout', '-text')
      .output.replace('RSA', 'rsa')
      .replace('ED25519', 'ed25519')
      .replace('Public-Key: (2048', 'rsa'),
  );
}

test('a Secret that exists is never overwritten', async () => {
  const secrets = createMemorySecrets({ 'corporate-ca': secretOf(good) });
  const { backend } = setUp(secrets, SELF);
  expect((await backend.check(none)).message).toMatch(/CN=Test CA/);
  const broken = createMemorySecrets({ 'corporate-ca': { note: 'mine' } });
  expect(await setUp(broken, SELF).backend.check(none)).toMatchObject({ ready: false, reason: 'SecretIncomplete' });
  expect(Object.keys(broken.values.get('corporate-ca') ?? {})).toEqual(['note']);
});

test('of replicas that start together one makes the CA and all use it', async () => {
  const secrets = createMemorySecrets();
  const replicas = Array.from({ length: 5 }, () => setUp(secrets, SELF).backend);
  const made = await Promise.all(
    replicas.map(async (backend) => (await backend.check(none)).ca?.certificate.toString('base64')),
  );
  expect(new Set(made).size).toBe(1);
  for (const backend of replicas) await issue(backend);
});

test('with a passphrase the key is written encrypted, and read again', async () => {
  const secrets = createMemorySecrets({ 'corporate-ca-passphrase': { passphrase: PASSPHRASE } });
  await issue(setUp(secrets, { ...SELF, ...REF }).backend);
  expect(String(secrets.values.get('corporate-ca')?.['tls.key'])).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY/);
  await issue(setUp(secrets, { ...SELF, ...REF }).backend);
});

opensslTest('openssl takes a leaf of a self-signed CA', async () => {
  const chain = await issue(setUp(createMemorySecrets(), SELF).backend);
  expect(verifyStrict(chain, '-purpose', 'sslserver')).toMatchObject({ ok: true });
});

// ---- Alternate chains ---------------------------------------------------------------------------------------------

const oldRoot = createAuthority({ subject: 'Old root' });
const newRoot = createAuthority({ subject: 'New root' });
const issuingKeys = createKey('P-256');
const byNew = createAuthority({ subject: 'Issuing', keys: issuingKeys, parent: newRoot });
const byOld = createAuthority({ subject: 'Issuing', keys: issuingKeys, parent: oldRoot });
const newByOld = createAuthority({ subject: 'New root', keys: newRoot.keys, parent: oldRoot });
const ALTERNATE: Partial<CaBackendSpec> = { alternateChains: [{ name: 'alternates', key: 'old.pem' }] };

function withAlternate(bundle: string): Setup {
  return setUp(
    createMemorySecrets({ 'corporate-ca': secretOf(byNew, newRoot), alternates: { 'old.pem': bundle } }),
    ALTERNATE,
  );
}

test.each<[string, string, Buffer[]]>([
  ['a second certificate of the CA', byOld.pem + oldRoot.pem, [byOld.der, oldRoot.der]],
  ['a cross certificate of its root', newByOld.pem + oldRoot.pem, [byNew.der, newByOld.der, oldRoot.der]],
])('an alternate chain by %s', async (_, bundle, chain) => {
  const { backend } = withAlternate(bundle);
  expect((await backend.check(none)).ca?.chains).toEqual([[byNew.der, newRoot.der], chain]);
  expect((await issue(backend)).slice(1)).toEqual([byNew.der, newRoot.der]);
});

test.each<[string, string, string, RegExp]>([
  ['of a stranger', other.pem, 'ChainBroken', /alternate chain alternates\/old\.pem: CN=Other issued none/],
  [
    'with another subject for the key',
    createAuthority({ subject: 'Renamed', keys: issuingKeys, parent: oldRoot }).pem,
    'AlternateChainInvalid',
    /another subject/,
  ],
  [
    'with another key identifier',
    createAuthority({ subject: 'Issuing', keys: issuingKeys, parent: oldRoot, extensions: [ski(9)] }).pem,
    'AlternateChainInvalid',
    /key identifier/,
  ],
  [
    'that is no CA',
    createAuthority({ subject: 'Issuing', keys: issuingKeys, parent: oldRoot, basics: [] }).pem,
    'AlternateChainInvalid',
    /not a CA/,
  ],
  ['that is empty', '\n', 'CertificateUnreadable', /no PEM certificate/],
])('an alternate chain %s is told', async (_, bundle, reason, message) => {
  expect(await withAlternate(bundle).backend.check(none)).toMatchObject({
    ready: false,
    reason,
    message: expect.stringMatching(message),
  });
});

test('cross certificates in tls.crt are no strangers', async () => {
  const { backend } = withCa(byNew, newRoot, newByOld, oldRoot);
  expect((await backend.check(none)).ca?.chains).toEqual([[byNew.der, newRoot.der]]);
});

// ---- CRL ----------------------------------------------------------------------------------------------------------

test('a CRL by the CA, for the time the issuer names', async () => {
  const { backend, clock } = setUp(createMemorySecrets({ 'corporate-ca': secretOf(good) }), { crlDuration: '24h' });
  const now = clock.now();
  const bytes = await backend.signCrl?.([{ serial: '0a', revokedAt: now, reason: 1 }], 5n, now);
  const crl = parseCrl(bytes ?? Buffer.alloc(0));
  expect(crl).toMatchObject({
    number: 5n,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + day),
    entries: [{ serial: '0a', revokedAt: now, reason: 1 }],
  });
  expect(crl.issuerDer).toEqual(parseCertificate(good.der).subjectDer);
  const week = await withCa(good).backend.signCrl?.([], 5n, now);
  expect(parseCrl(week ?? Buffer.alloc(0)).nextUpdate).toEqual(new Date(now.getTime() + 7 * day));
});

test('a key that may not sign CRLs signs none', async () => {
  const { backend } = withCa(createAuthority({ basics: [basicConstraints(true), keyUsage(5)] }));
  await expect(backend.signCrl?.([], 1n, new Date())).rejects.toThrow(/cRLSign/);
});

test('a CA may be asked for in any form of subject key it was approved for', async () => {
  const { backend } = withCa(good);
  for (const kind of KEY_KINDS) {
    const keys = sharedKey(kind);
    const [leaf] = (await issue(backend, aSigningRequest({ keys }))).map(parseCertificate);
    expect(leaf?.spki).toEqual(keyFacts(keys).spki);
  }
});
