import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import * as peculiar from '@peculiar/x509';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { aModel, createKey, KEY_KINDS, type KeyKind, keyFacts, type TestKey } from '../../test/contract/models.ts';
import { openssl, opensslTest, verifyStrict, withFiles } from '../../test/contract/openssl.ts';
import { parseCertificate, verifyLeaf } from './certificate.ts';
import {
  buildCertificate,
  buildRootTbs,
  createLeafBuilder,
  type IssuerTemplate,
  keyIdentifier,
  seal,
} from './certificate-builder.ts';
import type { CertificateModel, DistinguishedName } from './certificate-model.ts';
import { signatureAlgorithm, signWith } from './certificate-signature.ts';
import { renderName } from './distinguished-name.ts';

const KEYS = new Map<KeyKind, TestKey>(KEY_KINDS.map((kind) => [kind, createKey(kind)]));
const CA_KEYS = new Map<KeyKind, TestKey>(KEY_KINDS.map((kind) => [kind, createKey(kind)]));

function keyOf(map: Map<KeyKind, TestKey>, kind: KeyKind): TestKey {
  const key = map.get(kind);
  if (!key) throw new Error(kind);
  return key;
}

const NOW = new Date(Math.floor(Date.now() / 1000) * 1000);
const YEAR_MS = 365 * 86_400_000;

interface TestRoot {
  der: Buffer;
  keys: TestKey;
  template: IssuerTemplate;
}

function createRoot(
  kind: KeyKind,
  subject: DistinguishedName = [[{ oid: '2.5.4.6', value: 'DE' }], [{ oid: '2.5.4.3', value: `CA ${kind}` }]],
): TestRoot {
  const keys = keyOf(CA_KEYS, kind);
  const algorithm = signatureAlgorithm(keys.privateKey);
  const { spki } = keyFacts(keys);
  const tbs = buildRootTbs({
    serial: Buffer.of(0x80),
    subject,
    spki,
    algorithm,
    notBefore: new Date(NOW.getTime() - 3_600_000),
    notAfter: new Date(NOW.getTime() + 40 * YEAR_MS),
  });
  const der = seal(tbs, algorithm, signWith(keys.privateKey, tbs));
  const { subjectDer } = parseCertificate(der);
  return {
    der,
    keys,
    template: {
      name: subjectDer,
      keyIdentifier: keyIdentifier(spki),
      algorithm,
      crlUrl: 'http://pki.example.test/crl/corporate.crl',
      issuerUrl: 'http://pki.example.test/ca/corporate.cer',
    },
  };
}

const ROOTS = new Map(KEY_KINDS.map((kind) => [kind, createRoot(kind)]));
const rootOf = (kind: KeyKind): TestRoot => ROOTS.get(kind) ?? createRoot(kind);

function issue(root: TestRoot, model: CertificateModel, serial: Buffer = Buffer.from('4f'.repeat(16), 'hex')): Buffer {
  return buildCertificate(root.template, { ...model, serial }, (tbs) => signWith(root.keys.privateKey, tbs));
}

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/);
const dnsName = fc.tuple(fc.boolean(), fc.array(label, { minLength: 2, maxLength: 4 })).map(
  ([wild, labels]) =>
    (wild ? '*.' : '') +
    labels
      .filter((l) => l.slice(2, 4) !== '--')
      .concat('test')
      .join('.'),
);
const names = fc
  .record({
    dnsNames: fc.uniqueArray(dnsName, { maxLength: 8 }),
    ipAddresses: fc.uniqueArray(fc.constantFrom('192.0.2.1', '10.0.0.1', '2001:db8::1', 'fd00::1:2:3:4'), {
      maxLength: 3,
    }),
    uris: fc.uniqueArray(fc.constantFrom('spiffe://cluster.local/ns/a/sa/b', 'https://example.test/'), {
      maxLength: 2,
    }),
    emailAddresses: fc.uniqueArray(fc.constantFrom('a@example.test', 'b@example.test'), { maxLength: 2 }),
  })
  .filter(
    ({ dnsNames, ipAddresses, uris, emailAddresses }) =>
      dnsNames.length + ipAddresses.length + uris.length + emailAddresses.length > 0,
  );
const text = fc.stringMatching(/^[A-Za-zäöüß日本語&.'-]{1,30}$/);
const subject: fc.Arbitrary<DistinguishedName> = fc.oneof(
  fc.constant([]),
  fc.tuple(text, text).map(([organization, commonName]) => [
    [{ oid: '2.5.4.6', value: 'DE' }],
    [{ oid: '2.5.4.10', value: organization }],
    // A common name with a space is no host name, so verification lets it pass.
    [{ oid: '2.5.4.3', value: `${commonName} x` }],
  ]),
);
const models = fc
  .record({
    kind: fc.constantFrom(...KEY_KINDS),
    names,
    subject,
    usages: fc.constantFrom<CertificateModel['usages'][]>(
      ['server auth'],
      ['client auth'],
      ['server auth', 'client auth'],
    ),
    serial: fc.uint8Array({ minLength: 1, maxLength: 19 }).filter((bytes) => bytes.some((byte) => byte > 0)),
    days: fc.integer({ min: 1, max: 365 * 30 }),
  })
  .map(({ kind, days, serial, ...rest }) => ({
    kind,
    serial: Buffer.from(serial),
    model: aModel({
      ...rest,
      keys: keyOf(KEYS, kind),
      from: NOW,
      notAfter: new Date(NOW.getTime() + days * 86_400_000),
    }),
  }));

test('a certificate says exactly what the model says: our reader, Node and @peculiar/x509 agree', () => {
  fc.assert(
    fc.property(fc.constantFrom(...KEY_KINDS), models, (caKind, { kind, serial, model }) => {
      const root = rootOf(caKind);
      const der = issue(root, model, serial);
      const facts = parseCertificate(der);
      expect(
        verifyLeaf(facts, model, { exactUsages: true, notBefore: model.notBefore, notAfter: model.notAfter }),
      ).toEqual([]);
      expect(facts).toMatchObject({
        notBefore: model.notBefore,
        notAfter: model.notAfter,
        names: model.names,
        subject: model.subject,
      });
      expect(facts.keyUsage).toEqual(kind.startsWith('RSA') && model.usages.includes('server auth') ? [0, 2] : [0]);

      const node = new X509Certificate(der);
      expect(node.verify(keyOf(CA_KEYS, caKind).publicKey)).toBe(true);
      expect(node.checkIssued(new X509Certificate(root.der))).toBe(true);
      expect(node.ca).toBe(false);
      expect(node.publicKey.equals(model.publicKey.key)).toBe(true);
      expect(BigInt(`0x${node.serialNumber}`)).toBe(BigInt(`0x${serial.toString('hex')}`));
      expect(facts.serial).toBe(node.serialNumber.toLowerCase());
      expect(facts.fingerprint).toBe(node.fingerprint256.replaceAll(':', '').toLowerCase());
      expect([node.validFromDate, node.validToDate]).toEqual([model.notBefore, model.notAfter]);

      const second = new peculiar.X509Certificate(der);
      expect(Buffer.from(second.rawData)).toEqual(der);
      const alternative = second.getExtension(peculiar.SubjectAlternativeNameExtension);
      expect(alternative?.critical).toBe(model.subject.length === 0);
      expect(new Set(alternative?.names.items.map(({ value }) => value))).toEqual(
        new Set(Object.values(model.names).flat()),
      );
      expect(second.getExtension(peculiar.ExtendedKeyUsageExtension)?.usages).toHaveLength(model.usages.length);
      expect(second.extensions.map(({ type }) => type)).toHaveLength(8);
    }),
    { numRuns: 150 },
  );
});

test('the subject key identifier is RFC 7093 method 1 and the authority key identifier that of the CA', async () => {
  const root = rootOf('P-256');
  const facts = parseCertificate(issue(root, aModel({ keys: keyOf(KEYS, 'P-384') })));
  expect(facts.subjectKeyIdentifier).toEqual(keyIdentifier(facts.spki));
  expect(facts.authorityKeyIdentifier).toEqual(parseCertificate(root.der).subjectKeyIdentifier);
  // Over the BIT STRING alone, not the SubjectPublicKeyInfo.
  const point = facts.spki.subarray(-97);
  const digest = await crypto.subtle.digest('SHA-256', point);
  expect(facts.subjectKeyIdentifier).toEqual(Buffer.from(digest).subarray(0, 20));
});

opensslTest('openssl prints what was asked for', () => {
  const der = issue(
    rootOf('P-384'),
    aModel({
      names: { dnsNames: ['a.test'], ipAddresses: ['2001:db8::1'] },
      subject: [],
      keys: keyOf(KEYS, 'RSA-2048'),
    }),
  );
  const { output } = withFiles({ der }, (path) =>
    openssl('x509', '-inform', 'DER', '-in', path('der'), '-noout', '-text'),
  );
  for (const line of [
    /Version: 3/,
    /Signature Algorithm: ecdsa-with-SHA384/,
    /X509v3 Subject Alternative Name: critical\s+DNS:a\.test, IP Address:2001:DB8:0:0:0:0:0:1/,
    /X509v3 Key Usage: critical\s+Digital Signature, Key Encipherment\n/,
    /X509v3 Extended Key Usage: \s+TLS Web Server Authentication\n/,
    /X509v3 Basic Constraints: critical\s+CA:FALSE/,
    /CA Issuers - URI:http:\/\/pki\.example\.test\/ca\/corporate\.cer/,
    /URI:http:\/\/pki\.example\.test\/crl\/corporate\.crl/,
  ])
    expect(output).toMatch(line);
});

opensslTest.each(KEY_KINDS)('openssl verify -x509_strict takes every leaf under a %s CA', (caKind) => {
  for (const kind of KEY_KINDS) {
    const root = rootOf(caKind);
    const leaf = issue(root, aModel({ keys: keyOf(KEYS, kind), subject: [] }));
    expect(verifyStrict([leaf, root.der], '-purpose', 'sslserver')).toMatchObject({ ok: true });
  }
});

test.each<[KeyKind, string, string | undefined]>([
  ['RSA-2048', 'RSASSA-PKCS1-v1_5', 'SHA-256'],
  ['RSA-3072', 'RSASSA-PKCS1-v1_5', 'SHA-256'],
  ['P-256', 'ECDSA', 'SHA-256'],
  ['P-384', 'ECDSA', 'SHA-384'],
  ['P-521', 'ECDSA', 'SHA-512'],
  ['Ed25519', 'Ed25519', undefined],
])('a %s CA signs with %s %s', (kind, name, hash) => {
  const { signatureAlgorithm } = new peculiar.X509Certificate(issue(rootOf(kind), aModel()));
  expect(signatureAlgorithm).toMatchObject(hash === undefined ? { name } : { name, hash: { name: hash } });
});

test.each<[string, Partial<Parameters<ReturnType<typeof createLeafBuilder>>[0]>]>([
  ['no names', { names: { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] } }],
  ['no usages', { usages: [] }],
  ['serial 0', { serial: Buffer.alloc(16) }],
  ['no serial', { serial: Buffer.alloc(0) }],
  ['a serial of 21 octets', { serial: Buffer.alloc(20, 0xff) }],
  ['an end before the start', { notAfter: new Date(NOW.getTime() - 1) }],
  ['an end that is no date', { notAfter: new Date(Number.NaN) }],
  ['a year beyond 9999', { notAfter: new Date(Date.UTC(10_000, 0)) }],
  ['a year before 1950', { notBefore: new Date(Date.UTC(1949, 0)) }],
  ['a name that is not ASCII', { names: { dnsNames: ['ü.test'], ipAddresses: [], uris: [], emailAddresses: [] } }],
  ['a name with a NUL', { names: { dnsNames: ['a\0.test'], ipAddresses: [], uris: [], emailAddresses: [] } }],
  ['an address that is none', { names: { dnsNames: [], ipAddresses: ['10.0.0.0/8'], uris: [], emailAddresses: [] } }],
  ['a common name of 65', { subject: [[{ oid: '2.5.4.3', value: 'x'.repeat(65) }]] }],
])('%s is refused', (_, change) => {
  const build = createLeafBuilder(rootOf('P-256').template);
  expect(() => build({ ...aModel({ from: NOW }), serial: Buffer.of(1), ...change })).toThrow(RangeError);
});

test('dates from 2050 on are GeneralizedTime and fractions of a second are cut', () => {
  const model = aModel({
    notBefore: new Date('2049-12-31T23:59:59.999Z'),
    notAfter: new Date('2050-01-01T00:00:00.001Z'),
  });
  const facts = parseCertificate(issue(rootOf('P-256'), model));
  expect([facts.notBefore.toISOString(), facts.notAfter.toISOString()]).toEqual([
    '2049-12-31T23:59:59.000Z',
    '2050-01-01T00:00:00.000Z',
  ]);
});

test('a root is a CA of path length 0 for certificates and CRLs, its subject in order', () => {
  const facts = parseCertificate(rootOf('Ed25519').der);
  expect(facts).toMatchObject({ isCA: true, pathLength: 0, keyUsage: [5, 6], usages: undefined, unknownCritical: [] });
  expect(renderName(facts.subject)).toBe('CN=CA Ed25519,C=DE');
  expect(facts.issuerDer).toEqual(facts.subjectDer);
  expect(new X509Certificate(facts.der).verify(keyOf(CA_KEYS, 'Ed25519').publicKey)).toBe(true);
});
