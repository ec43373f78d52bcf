import { createHash, X509Certificate } from 'node:crypto';
import 'reflect-metadata';
import * as peculiar from '@peculiar/x509';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createAuthority, subjectKeyIdentifier } from '../../test/contract/authorities.ts';
import { KEY_KINDS, type KeyKind } from '../../test/contract/models.ts';
import { openssl, opensslTest, withFiles } from '../../test/contract/openssl.ts';
import * as der from '../../test/support/der-writer.ts';
import { parseCertificate } from './certificate.ts';
import { seal } from './certificate-builder.ts';
import { signatureAlgorithm, signWith, verifiesWith } from './certificate-signature.ts';
import { buildCrlTbs, type CrlEntry, type CrlTemplate, parseCrl } from './crl.ts';
import { renderPem } from './encoding.ts';

const THIS = new Date('2026-03-01T00:00:00Z');
const NEXT = new Date('2026-03-08T00:00:00Z');
const SKI = Buffer.from('0123456789abcdef0123456789abcdef01234567', 'hex');

function createCa(kind: KeyKind = 'P-256') {
  return createAuthority({ kind, subject: 'CRL CA', extensions: [subjectKeyIdentifier(SKI)] });
}

const CA = createCa();

function crlOf(entries: readonly CrlEntry[], change: Partial<CrlTemplate> = {}, ca = CA): Buffer {
  const algorithm = signatureAlgorithm(ca.keys.privateKey);
  const tbs = buildCrlTbs({
    issuer: parseCertificate(ca.der).subjectDer,
    keyIdentifier: SKI,
    algorithm,
    number: 7n,
    thisUpdate: THIS,
    nextUpdate: NEXT,
    entries,
    ...change,
  });
  return seal(tbs, algorithm, signWith(ca.keys.privateKey, tbs));
}

const at = (ms: number) => new Date(THIS.getTime() - ms);

test('entries come out by number, each once, with the reasons a list may give', () => {
  const { entries, ...facts } = parseCrl(
    crlOf([
      { serial: 'ff', revokedAt: at(5000), reason: 1 },
      { serial: '0a', revokedAt: at(4000), reason: 0 },
      { serial: '0100', revokedAt: at(3000), reason: 4 },
      { serial: '0aa', revokedAt: at(500), reason: 7 },
      { serial: '0ab', revokedAt: at(500), reason: 8 },
      { serial: 'ff', revokedAt: at(9000), reason: 5 },
      { serial: '00ff', revokedAt: at(1000), reason: 3 },
    ]),
  );
  expect(entries).toEqual([
    { serial: '0a', revokedAt: at(4000), reason: 0 },
    { serial: 'aa', revokedAt: at(1000), reason: 0 },
    { serial: 'ab', revokedAt: at(1000), reason: 0 },
    { serial: 'ff', revokedAt: at(9000), reason: 5 },
    { serial: '0100', revokedAt: at(3000), reason: 4 },
  ]);
  expect(facts).toMatchObject({ number: 7n, thisUpdate: THIS, nextUpdate: NEXT, authorityKeyIdentifier: SKI });
  expect(verifiesWith(CA.keys.publicKey, facts.signatureAlgorithm, facts.tbs, facts.signature)).toBe(true);
  expect(verifiesWith(createCa().keys.publicKey, facts.signatureAlgorithm, facts.tbs, facts.signature)).toBe(false);
  expect(verifiesWith(createCa('Ed25519').keys.publicKey, facts.signatureAlgorithm, facts.tbs, facts.signature)).toBe(
    false,
  );
});

const entry = fc.record({
  serial: fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  revokedAt: fc.integer({ min: 0, max: 1e9 }).map((s) => at(s * 1000)),
  reason: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 9, 10),
});

test('what is written reads back, and @peculiar/x509 reads the same', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(entry, { maxLength: 20, selector: ({ serial }) => BigInt(`0x${serial}`) }),
      fc.bigInt({ min: 0n, max: (1n << 159n) - 1n }),
      (entries, number) => {
        const bytes = crlOf(entries, { number });
        const value = (serial: string) => BigInt(`0x${serial}`);
        const expected = entries.toSorted((a, b) => (value(a.serial) < value(b.serial) ? -1 : 1));
        const facts = parseCrl(bytes);
        expect(facts.number).toBe(number);
        expect(facts.entries.map((e) => ({ ...e, serial: value(e.serial) }))).toEqual(
          expected.map((e) => ({ ...e, serial: value(e.serial) })),
        );
        const second = new peculiar.X509Crl(bytes);
        expect(
          second.entries.map(({ serialNumber, revocationDate, reason }) => [
            value(serialNumber),
            revocationDate,
            reason ?? 0,
          ]),
        ).toEqual(expected.map(({ serial, revokedAt, reason }) => [value(serial), revokedAt, reason]));
      },
    ),
  );
});

opensslTest.each(KEY_KINDS)('openssl verifies and prints a list of a %s CA', (kind) => {
  const ca = createCa(kind);
  const crl = crlOf(
    [
      { serial: '0a', revokedAt: at(4000), reason: 0 },
      { serial: 'ff', revokedAt: at(4000), reason: 1 },
    ],
    {},
    ca,
  );
  withFiles({ 'ca.pem': ca.pem, crl }, (path) => {
    const { ok, output } = openssl(
      'crl',
      '-inform',
      'DER',
      '-in',
      path('crl'),
      '-CAfile',
      path('ca.pem'),
      '-noout',
      '-text',
    );
    expect([ok, output]).toEqual([true, expect.stringContaining('verify OK')]);
    for (const line of [
      /Version 2/,
      /CRL Number: \s+7\n/,
      /Serial Number: 0A\n.*Revocation Date.*\n\s+Serial Number: FF/,
      /Key Compromise/,
      /Last Update: Mar {2}1/,
      /Next Update: Mar {2}8/,
    ])
      expect(output).toMatch(line);
    expect(output.match(/CRL Reason Code/g)).toHaveLength(1);
  });
});

opensslTest('openssl refuses a listed certificate and takes another', () => {
  const ca = createCa();
  const leaf = createAuthority({ subject: 'leaf', parent: ca, basics: [] });
  const serial = new X509Certificate(leaf.der).serialNumber.toLowerCase();
  const now = Date.now();
  const dates = { thisUpdate: new Date(now - 60_000), nextUpdate: new Date(now + 3_600_000) };
  const verdict = (entries: CrlEntry[]) =>
    withFiles(
      { 'ca.pem': ca.pem, 'leaf.pem': leaf.pem, 'crl.pem': renderPem('X509 CRL', crlOf(entries, dates, ca)) },
      (path) =>
        openssl('verify', '-crl_check', '-CRLfile', path('crl.pem'), '-CAfile', path('ca.pem'), path('leaf.pem')),
    );
  expect(verdict([])).toMatchObject({ ok: true });
  expect(verdict([{ serial: 'ff', revokedAt: dates.thisUpdate, reason: 0 }])).toMatchObject({ ok: true });
  expect(verdict([{ serial, revokedAt: dates.thisUpdate, reason: 1 }])).toMatchObject({
    ok: false,
    output: expect.stringContaining('certificate revoked'),
  });
});

test('a hundred thousand entries are written and read', () => {
  const entries = Array.from({ length: 100_000 }, (_, i) => ({
    serial: createHash('md5').update(`${i}`).digest('hex'),
    revokedAt: at((i % 86_400) * 1000),
    reason: i % 7,
  }));
  const bytes = crlOf(entries);
  const facts = parseCrl(bytes);
  expect(facts.entries).toHaveLength(entries.length);
  const bySerial = new Map(facts.entries.map((e) => [e.serial, e]));
  for (const { serial, ...rest } of entries.slice(0, 1000))
    expect(bySerial.get(serial.replace(/^(00)+/, ''))).toMatchObject(rest);
});

test('no entries leave the list itself out', () => {
  const bytes = crlOf([]);
  expect(parseCrl(bytes).entries).toEqual([]);
  expect(bytes.length).toBeLessThan(300);
});

test.each<[string, Partial<CrlTemplate>]>([
  ['a number of 21 octets', { number: 1n << 159n }],
  ['a negative number', { number: -1n }],
  ['an end before the start', { nextUpdate: at(1) }],
  ['a serial number that is no hex', { entries: [{ serial: 'xyz', revokedAt: THIS, reason: 0 }] }],
  ['a serial number of 21 octets', { entries: [{ serial: '11'.repeat(21), revokedAt: THIS, reason: 0 }] }],
])('%s is refused', (_, change) => expect(() => crlOf([], change)).toThrow(RangeError));

const list = (...change: der.Der[]) => {
  const algorithm = der.sequence(der.oid('1.2.840.10045.4.3.2'));
  return der.sequence(
    der.sequence(der.integer(1), algorithm, der.commonName('x'), der.time(THIS), ...change),
    algorithm,
    der.bitString(Buffer.of(1)),
  );
};
const critical = (oid: string) => der.sequence(der.extension({ oid, critical: true, value: der.integer(1) }));

test.each<[string, Buffer]>([
  ['an empty list of entries', list(der.sequence())],
  ['a critical extension', list(der.context(0, critical('2.5.29.28')))],
  [
    'a critical extension of an entry',
    list(der.sequence(der.sequence(der.integer(1), der.time(THIS), critical('2.5.29.29')))),
  ],
  ['a negative serial number', list(der.sequence(der.sequence(der.tlv(2, Buffer.of(0x80)), der.time(THIS))))],
  ['trailing bytes', Buffer.concat([list(), Buffer.of(0)])],
])('%s is not read', (_, bytes) => expect(() => parseCrl(bytes)).toThrow(Error));

test('a list without nextUpdate and number is read', () => {
  expect(parseCrl(list())).toMatchObject({ nextUpdate: undefined, number: undefined, entries: [] });
});
