import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createAuthority } from '../../test/contract/authorities.ts';
import { aModel, createKey } from '../../test/contract/models.ts';
import {
  basicConstraints,
  buildCertificate,
  extendedKeyUsage,
  keyUsage,
  signDer,
} from '../../test/support/certificate-builder.ts';
import * as der from '../../test/support/der-writer.ts';
import { certificateKey, isSelfIssued, type LeafLimits, parseCertificate, verifyLeaf } from './certificate.ts';
import { OID } from './oid.ts';

const keys = createKey('P-256');
const ca = createAuthority();
const { generalName: general } = der;

function certificate(
  extensions: readonly der.Extension[],
  options: { keys?: typeof keys; subject?: der.Der; notBefore?: Date; notAfter?: Date } = {},
): Buffer {
  return buildCertificate({
    subject: der.sequence(),
    issuer: ca.subject,
    keys,
    signer: ca.keys,
    ...options,
    extensions,
  });
}

const san = (...names: der.Der[]) => der.subjectAltName(names);
const SERVER = extendedKeyUsage(OID.serverAuth);

test('facts of a certificate made elsewhere', () => {
  const facts = parseCertificate(
    certificate([
      san(
        general.dns('A.Example.TEST'),
        general.ip('192.0.2.1'),
        general.ip('2001:db8::1'),
        general.uri('https://a.test/'),
        general.email('a@b.test'),
        general.upn('x'),
      ),
      SERVER,
      keyUsage(0, 2),
      { oid: '1.2.3.4', critical: true, value: der.nullValue() },
      { oid: '1.2.3.5', value: der.nullValue() },
      {
        oid: '2.5.29.35',
        value: der.sequence(
          der.contextPrimitive(0, Buffer.from('0102', 'hex')),
          der.context(1, der.context(4, der.commonName('x'))),
          der.contextPrimitive(2, Buffer.of(1)),
        ),
      },
    ]),
  );
  expect(facts).toMatchObject({
    names: {
      dnsNames: ['a.example.test'],
      ipAddresses: ['192.0.2.1', '2001:db8::1'],
      uris: ['https://a.test/'],
      emailAddresses: ['a@b.test'],
    },
    otherNames: ['otherName'],
    isCA: false,
    keyUsage: [0, 2],
    usages: [OID.serverAuth],
    unknownCritical: ['1.2.3.4'],
    authorityKeyIdentifier: Buffer.from('0102', 'hex'),
    subjectKeyIdentifier: undefined,
    nameConstraints: undefined,
  });
  expect(facts.tbs.length).toBeLessThan(facts.der.length);
  expect(certificateKey(facts).equals(keys.publicKey)).toBe(true);
  expect(isSelfIssued(facts)).toBe(false);
  expect(isSelfIssued(parseCertificate(ca.der))).toBe(true);
});

/** A certificate from whole fields, to break one at a time. */
function assembled(
  change: Partial<Record<'version' | 'serial' | 'inner' | 'outer' | 'validity' | 'spki' | 'rest', der.Der>> = {},
): Buffer {
  const algorithm = der.sequence(der.oid(OID.ecdsaWithSha256));
  const now = new Date();
  const tbs = der.sequence(
    change.version ?? der.context(0, der.integer(2)),
    change.serial ?? der.integer(1),
    change.inner ?? algorithm,
    der.commonName('issuer'),
    change.validity ?? der.sequence(der.time(now), der.time(now)),
    der.commonName('subject'),
    change.spki ?? keys.publicKey.export({ type: 'spki', format: 'der' }),
    change.rest ?? der.context(3, der.sequence(der.extension(san(general.dns('a.test'))))),
  );
  return der.sequence(tbs, change.outer ?? algorithm, der.bitString(signDer(keys.privateKey, tbs, 'sha256')));
}

const extensions = (...list: der.Extension[]) => der.context(3, der.sequence(...list.map(der.extension)));

test('the assembled certificate itself is read', () => {
  expect(parseCertificate(assembled()).names.dnsNames).toEqual(['a.test']);
  expect(parseCertificate(assembled({ rest: Buffer.alloc(0), version: Buffer.alloc(0) })).names.dnsNames).toEqual([]);
  expect(parseCertificate(assembled({ serial: der.integer(0) })).serial).toBe('00');
  const spelt = der.sequence(
    der.oid('2.5.29.17'),
    der.boolean(false),
    der.octetString(san(general.dns('a.test')).value),
  );
  expect(parseCertificate(assembled({ rest: der.context(3, der.sequence(spelt)) })).names.dnsNames).toEqual(['a.test']);
});

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['a trailing byte', Buffer.concat([assembled(), Buffer.of(0)])],
  ['version 2', assembled({ version: der.context(0, der.integer(1)) })],
  ['version 1 with extensions', assembled({ version: Buffer.alloc(0) })],
  ['a negative serial', assembled({ serial: der.tlv(2, Buffer.of(0x80)) })],
  ['a serial of 21 octets', assembled({ serial: der.integer(Buffer.alloc(21, 1)) })],
  ['a serial that is not minimal', assembled({ serial: der.tlv(2, Buffer.of(0, 1)) })],
  ['two signature algorithms', assembled({ outer: der.sequence(der.oid(OID.sha256WithRsa)) })],
  ['one date', assembled({ validity: der.sequence(der.time(new Date())) })],
  [
    'a local time',
    assembled({ validity: der.sequence(der.tlv(0x17, Buffer.from('260101000000+0000')), der.time(new Date())) }),
  ],
  ['a key that is none', assembled({ spki: der.sequence(der.integer(1)) })],
  ['unique identifiers', assembled({ rest: der.contextPrimitive(1, Buffer.of(0, 1)) })],
  ['an empty list of extensions', assembled({ rest: extensions() })],
  ['two subjectAltNames', assembled({ rest: extensions(san(general.dns('a.test')), san(general.dns('b.test'))) })],
  ['an empty subjectAltName', assembled({ rest: extensions(san()) })],
  ['a dNSName with a NUL', assembled({ rest: extensions(san(general.dns('a.test\0.evil.test'))) })],
  ['a dNSName outside ASCII', assembled({ rest: extensions(san(der.contextPrimitive(2, Buffer.from('ü.test')))) })],
  ['an address of 5 bytes', assembled({ rest: extensions(san(der.contextPrimitive(7, Buffer.alloc(5)))) })],
  ['an address with a mask', assembled({ rest: extensions(san(der.contextPrimitive(7, Buffer.alloc(8)))) })],
  ['a GeneralName of no kind', assembled({ rest: extensions(san(der.contextPrimitive(9, Buffer.alloc(1)))) })],
  [
    'a path length without CA',
    assembled({ rest: extensions({ oid: '2.5.29.19', value: der.sequence(der.integer(0)) }) }),
  ],
  [
    'trailing bytes in an extension',
    assembled({ rest: extensions({ oid: '2.5.29.19', value: Buffer.concat([der.sequence(), Buffer.of(5, 0)]) }) }),
  ],
  ['a keyUsage without bits', assembled({ rest: extensions({ oid: '2.5.29.15', value: der.tlv(3, Buffer.of(0)) }) })],
  ['no extended usages', assembled({ rest: extensions({ oid: '2.5.29.37', value: der.sequence() }) })],
])('%s is refused', (_, bytes) => expect(() => parseCertificate(bytes)).toThrow(Error));

test('a certificate that is too large is refused before it is read', () => {
  const rest = extensions(san(...Array.from({ length: 8000 }, (_, i) => general.dns(`${i}.test`))));
  expect(() => parseCertificate(assembled({ rest }))).toThrow(/more than 65536 bytes/);
});

test('broken bytes throw an Error and nothing else', () => {
  const valid = assembled();
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Buffer.from(valid);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      try {
        parseCertificate(bytes);
      } catch (error) {
        expect((error as Error).name).toBe('DerError');
      }
    }),
    { numRuns: 1000 },
  );
});

const from = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);
const until = new Date(from.getTime() + 86_400_000);
const model = aModel({
  keys,
  subject: [],
  from,
  notAfter: until,
  names: { dnsNames: ['a.test', 'b.test'], ipAddresses: ['192.0.2.1'] },
});
const good = [san(general.dns('a.test'), general.dns('b.test'), general.ip('192.0.2.1')), SERVER, keyUsage(0)];
const span = { notBefore: from, notAfter: until };
const exact: LeafLimits = { ...span, exactUsages: true };

test('a leaf as approved has nothing against it', () => {
  expect(verifyLeaf(parseCertificate(certificate(good, span)), model, exact)).toEqual([]);
  // Names in any order, repeated, or in upper case are the same names.
  const shuffled = [
    san(general.ip('192.0.2.1'), general.dns('B.test'), general.dns('a.test'), general.dns('a.test')),
    SERVER,
  ];
  expect(verifyLeaf(parseCertificate(certificate(shuffled, span)), model, exact)).toEqual([]);
  // A common name that is one of the names, or no host at all.
  for (const name of ['a.test', 'A.TEST', '192.0.2.1', 'Payments team'])
    expect(
      verifyLeaf(parseCertificate(certificate(good, { ...span, subject: der.commonName(name) })), model, exact),
    ).toEqual([]);
});

const names = (...list: der.Der[]) => [san(...list), SERVER];
const approved = [general.dns('a.test'), general.dns('b.test'), general.ip('192.0.2.1')];

test.each<[string, Buffer, RegExp]>([
  ['another key', certificate(good, { ...span, keys: createKey('P-256') }), /key is not that of the request/],
  ['a name more', certificate(names(...approved, general.dns('evil.test')), span), /not approved: "evil.test"/],
  ['an address more', certificate(names(...approved, general.ip('10.0.0.1')), span), /not approved: "10.0.0.1"/],
  [
    'an e-mail address more',
    certificate(names(...approved, general.email('x@y.test')), span),
    /not approved: "x@y.test"/,
  ],
  ['a URI more', certificate(names(...approved, general.uri('https://y.test')), span), /not approved/],
  ['an otherName', certificate(names(...approved, general.upn('admin')), span), /kind otherName/],
  ['a directoryName', certificate(names(...approved, general.directory('admin')), span), /kind directoryName/],
  ['a registeredID', certificate(names(...approved, general.registeredID('1.2.3')), span), /kind registeredID/],
  [
    'a mapped address',
    certificate(names(general.dns('a.test'), general.dns('b.test'), general.ip('::ffff:c000:201')), span),
    /not approved: "::ffff:c000:201"/,
  ],
  [
    'a name with a trailing dot',
    certificate(names(...approved, general.dns('a.test.')), span),
    /not approved: "a.test."/,
  ],
  ['a wildcard', certificate(names(...approved, general.dns('*.test')), span), /not approved/],
  [
    'a name less',
    certificate(names(general.dns('a.test'), general.ip('192.0.2.1')), span),
    /lacks names that were approved: "b.test"/,
  ],
  ['no names', certificate([SERVER], span), /lacks names/],
  [
    'a common name of another host',
    certificate(good, { ...span, subject: der.commonName('evil.test') }),
    /common name that was not approved/,
  ],
  [
    'a common name of another address',
    certificate(good, { ...span, subject: der.commonName('10.0.0.1') }),
    /common name that was not approved/,
  ],
  [
    'a short common name',
    certificate(good, { ...span, subject: der.commonName('localhost') }),
    /common name that was not approved/,
  ],
  ['a CA', certificate([...good, basicConstraints(true)], span), /CA certificate/],
  ['a key that signs certificates', certificate([...good.slice(0, 2), keyUsage(0, 5)], span), /CA certificate/],
  [
    'an earlier start',
    certificate(good, { notBefore: new Date(from.getTime() - 1000), notAfter: until }),
    /earlier than approved/,
  ],
  [
    'a later end',
    certificate(good, { notBefore: from, notAfter: new Date(until.getTime() + 1000) }),
    /later than approved/,
  ],
  ['an end before its start', certificate(good, { notBefore: until, notAfter: from }), /never valid/],
  ['no usages', certificate([san(...approved)], span), /lacks the usage serverAuth/],
  [
    'another usage',
    certificate([san(...approved), extendedKeyUsage(OID.clientAuth)], span),
    /lacks the usage serverAuth/,
  ],
  [
    'a usage more',
    certificate([san(...approved), extendedKeyUsage(OID.serverAuth, OID.codeSigning)], span),
    /usages that were not approved: codeSigning/,
  ],
  [
    'any usage',
    certificate([san(...approved), extendedKeyUsage(OID.serverAuth, OID.anyExtendedKeyUsage)], span),
    /not approved: anyExtended/,
  ],
  [
    'an unknown critical extension',
    certificate([...good, { oid: OID.ctPoison, critical: true, value: der.nullValue() }], span),
    /critical extension ctPoison/,
  ],
])('a leaf with %s is not what was approved', (_, bytes, reason) => {
  const reasons = verifyLeaf(parseCertificate(bytes), model, exact);
  expect(reasons.join('; ')).toMatch(reason);
});

test('where the backend decides, validity and further usages are its own', () => {
  const free: LeafLimits = { exactUsages: false };
  const leaf = certificate([san(...approved), extendedKeyUsage(OID.serverAuth, OID.clientAuth)], {
    notBefore: from,
    notAfter: new Date(until.getTime() + 1e9),
  });
  expect(verifyLeaf(parseCertificate(leaf), model, free)).toEqual([]);
  const any = certificate([san(...approved), extendedKeyUsage(OID.serverAuth, OID.anyExtendedKeyUsage)], span);
  expect(verifyLeaf(parseCertificate(any), model, free)).toHaveLength(1);
});

test('reasons show hostile names in one safe line', () => {
  const many = Array.from({ length: 9 }, (_, i) => general.dns(`${'x'.repeat(200)}${i}\n`));
  const [reason = ''] = verifyLeaf(parseCertificate(certificate(names(...approved, ...many), span)), model, exact);
  expect(reason).toMatch(/and 6 more$/);
  expect(reason).not.toMatch(/\n/);
  expect(reason.length).toBeLessThan(400);
});
