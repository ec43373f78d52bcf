import { createHash } from 'node:crypto';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { buildCertificate, type CertificateOptions, createKeyPair } from '../../test/support/certificate-builder.ts';
import { rsaKeys } from '../../test/support/csr-builder.ts';
import { type Extension, generalName, octetString, sequence, subjectAltName } from '../../test/support/der-writer.ts';
import { tlsAlpnFault, tlsAlpnServerName } from './tls-alpn.ts';

const NAME = { type: 'dns', value: 'www.example.test' } as const;
const KEY_AUTHORIZATION = 'token.thumbprint';
const OID = '1.3.6.1.5.5.7.1.31';
const digest = (text = KEY_AUTHORIZATION) => createHash('sha256').update(text).digest();
const acmeIdentifier = (value = digest(), oid = OID, critical = true): Extension => ({
  oid,
  critical,
  value: octetString(value),
});
const keys = createKeyPair();
const san = (...names: Buffer[]) => subjectAltName(names);
const good = [san(generalName.dns(NAME.value)), acmeIdentifier()];
const build = (extensions: readonly Extension[], more: Partial<CertificateOptions> = {}) =>
  buildCertificate({ subject: 'x', keys, extensions, ...more });

test('the certificate of RFC 8737 section 3 passes, with either kind of key', () => {
  expect(tlsAlpnFault(build(good), NAME, KEY_AUTHORIZATION)).toBeUndefined();
  expect(tlsAlpnFault(build(good, { keys: rsaKeys() }), NAME, KEY_AUTHORIZATION)).toBeUndefined();
  const capitals = [san(generalName.dns('WWW.Example.TEST')), acmeIdentifier()];
  expect(tlsAlpnFault(build(capitals), NAME, KEY_AUTHORIZATION)).toBeUndefined();
});

test('an address is an iPAddress, asked for by its reverse name', () => {
  const [v4, v6] = [{ type: 'ip', value: '192.0.2.1' } as const, { type: 'ip', value: '2001:db8::1' } as const];
  for (const address of [v4, v6]) {
    const right = build([san(generalName.ip(address.value)), acmeIdentifier()]);
    expect(tlsAlpnFault(right, address, KEY_AUTHORIZATION)).toBeUndefined();
    for (const wrong of [
      generalName.dns(address.value),
      generalName.dns(tlsAlpnServerName(address)),
      generalName.ip('192.0.2.2'),
    ])
      expect(tlsAlpnFault(build([san(wrong), acmeIdentifier()]), address, KEY_AUTHORIZATION)).toContain(
        'only alternative name',
      );
  }
  expect(tlsAlpnServerName(v4)).toBe('1.2.0.192.in-addr.arpa');
  expect(tlsAlpnServerName(v6)).toMatch(/^1\.0\..*\.8\.b\.d\.0\.1\.0\.0\.2\.ip6\.arpa$/);
  expect(tlsAlpnServerName(NAME)).toBe(NAME.value);
});

const dns = generalName.dns(NAME.value);
const WRONG: readonly [title: string, certificate: Buffer, reason: string][] = [
  ['no alternative name', build([acmeIdentifier()]), 'only alternative name'],
  ['another name', build([san(generalName.dns('other.example.test')), acmeIdentifier()]), 'only alternative name'],
  ['a second name', build([san(dns, generalName.dns('b.example.test')), acmeIdentifier()]), 'only alternative name'],
  ['the same name twice', build([san(dns, dns), acmeIdentifier()]), 'only alternative name'],
  ['an address beside it', build([san(dns, generalName.ip('192.0.2.1')), acmeIdentifier()]), 'only alternative name'],
  ['the name as e-mail', build([san(generalName.email(NAME.value)), acmeIdentifier()]), 'only alternative name'],
  [
    'the name with NUL',
    build([san(generalName.dns(`${NAME.value}\0.evil`)), acmeIdentifier()]),
    'only alternative name',
  ],
  ['two SAN extensions', build([san(dns), san(dns), acmeIdentifier()]), 'only alternative name'],
  ['an empty SAN', build([san(), acmeIdentifier()]), 'malformed'],
  ['no acmeIdentifier', build([san(dns)]), 'one acmeIdentifier'],
  ['another object identifier', build([san(dns), acmeIdentifier(digest(), `${OID}.1`)]), 'one acmeIdentifier'],
  ['two acmeIdentifiers', build([san(dns), acmeIdentifier(digest('x')), acmeIdentifier()]), 'one acmeIdentifier'],
  ['acmeIdentifier not critical', build([san(dns), acmeIdentifier(digest(), OID, false)]), 'not critical'],
  ['another key authorization', build([san(dns), acmeIdentifier(digest('other'))]), 'another key authorization'],
  ['a short digest', build([san(dns), acmeIdentifier(digest().subarray(0, 31))]), 'another key authorization'],
  ['an empty digest', build([san(dns), acmeIdentifier(Buffer.alloc(0))]), 'another key authorization'],
  ['a digest not in an OCTET STRING', build([san(dns), { oid: OID, critical: true, value: digest() }]), 'malformed'],
  [
    'bytes after the digest',
    build([san(dns), { oid: OID, critical: true, value: Buffer.concat([octetString(digest()), sequence()]) }]),
    'malformed',
  ],
  ['signed by another key', build(good, { signer: createKeyPair() }), 'not self-signed'],
  ['issued under another name', build(good, { issuer: 'y' }), 'not self-signed'],
  ['bytes after the certificate', Buffer.concat([build(good), Buffer.from([0])]), 'malformed'],
  ['nothing', Buffer.alloc(0), 'malformed'],
  ['no extensions', build([]), 'only alternative name'],
];

test.each(WRONG)('%s fails', (_title, certificate, reason) => {
  expect(tlsAlpnFault(certificate, NAME, KEY_AUTHORIZATION)).toContain(reason);
});

test('a certificate with any byte changed fails, and never throws', () => {
  const certificate = build(good);
  fc.assert(
    fc.property(fc.nat(certificate.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(certificate);
      changed[at] = (changed[at] ?? 0) ^ flip;
      const reason = tlsAlpnFault(changed, NAME, KEY_AUTHORIZATION);
      // A letter of the name may only change its case, and then the signature fails.
      expect(reason).toBeTypeOf('string');
    }),
    { numRuns: 400 },
  );
});

test('any bytes are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(tlsAlpnFault(Buffer.from(bytes), NAME, KEY_AUTHORIZATION)).toBe('the certificate is malformed');
    }),
  );
});
