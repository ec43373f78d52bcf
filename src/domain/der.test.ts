// The DER reader and writer against each other, against hostile bytes, and against an independent library.
import 'reflect-metadata';
import { X509Certificate } from '@peculiar/x509';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { buildCertificate, createKeyPair } from '../../test/support/certificate-builder.ts';
import { buildCsr } from '../../test/support/csr-builder.ts';
import { checkDer, createBudget, DEFAULT_BUDGET, DerError, DerReader, MAX_DEPTH, TAG } from './der.ts';
import * as der from './der-writer.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const read = (bytes: Buffer | string) => DerReader.of(typeof bytes === 'string' ? hex(bytes) : bytes);

const refusals: [what: string, bytes: string, read: (reader: DerReader) => unknown, message: RegExp][] = [
  ['indefinite length', '30 80 00 00', (r) => r.readSequence(), /indefinite/],
  ['long form below 128', '04 81 01 00', (r) => r.readOctetString(), /not minimal/],
  ['a padded length', `04 82 00 80 ${'00'.repeat(128)}`, (r) => r.readOctetString(), /not minimal/],
  ['a length of five bytes', '04 85 01 00 00 00 00', (r) => r.readOctetString(), /past the end/],
  ['a length of four bytes past the end', '04 84 ff ff ff ff', (r) => r.readOctetString(), /past the end/],
  ['a length past the end', '04 02 00', (r) => r.readOctetString(), /past the end/],
  ['a length past the container', '30 03 04 02 00 00', (r) => r.readSequence().readOctetString(), /past the end/],
  ['a header cut after the tag', '04', (r) => r.readOctetString(), /ends inside/],
  ['a header cut inside the length', '04 82 01', (r) => r.readOctetString(), /past the end/],
  ['nothing', '', (r) => r.readRaw(), /found the end/],
  ['nothing where a value is due', '', (r) => r.readNull(), /null expected|NULL expected, found the end/],
  [
    'a value after the last of its container',
    '30 04 30 00 05 00',
    (r) => r.readSequence().readSequence().readRaw(),
    /found the end/,
  ],
  ['a tag of many bytes', '1f 81 00 00', (r) => r.readRaw(), /not supported/],
  ['end-of-contents', '00 00', (r) => r.readRaw(), /not supported/],
  ['another type', '02 01 00', (r) => r.readOctetString(), /OCTET STRING expected, found integer/],
  ['a primitive SEQUENCE', '10 00', (r) => r.readSequence(), /SEQUENCE expected/],
  ['a constructed OCTET STRING', '24 02 04 00', (r) => r.readOctetString(), /OCTET STRING expected/],
  ['trailing bytes', '05 00 00', (r) => (r.readNull(), r.end()), /1 trailing bytes/],
  ['BOOLEAN 01', '01 01 01', (r) => r.readBoolean(), /00 or FF/],
  ['BOOLEAN of two bytes', '01 02 ff ff', (r) => r.readBoolean(), /00 or FF/],
  ['BOOLEAN of none', '01 00', (r) => r.readBoolean(), /00 or FF/],
  ['NULL with content', '05 01 00', (r) => r.readNull(), /NULL with content/],
  ['INTEGER of no bytes', '02 00', (r) => r.readInteger(), /without content/],
  ['INTEGER with a leading zero', '02 02 00 7f', (r) => r.readInteger(), /not minimal/],
  ['INTEGER with a leading FF', '02 02 ff 80', (r) => r.readInteger(), /not minimal/],
  ['a negative small INTEGER', '02 01 ff', (r) => r.readSmallInteger(), /out of range/],
  ['a large small INTEGER', '02 05 00 ff ff ff ff', (r) => r.readSmallInteger(), /out of range/],
  ['ENUMERATED with a leading zero', '0a 02 00 01', (r) => r.readEnumerated(), /not minimal/],
  ['OID of no bytes', '06 00', (r) => r.readOid(), /no or too many/],
  ['OID of 65 bytes', `06 41 ${'01'.repeat(65)}`, (r) => r.readOid(), /no or too many/],
  ['OID with a padded arc', '06 03 55 80 03', (r) => r.readOid(), /padded/],
  ['OID ending inside an arc', '06 02 55 84', (r) => r.readOid(), /inside an arc/],
  ['OID with an arc of 2^128', `06 14 55 84 ${'80'.repeat(17)} 00`, (r) => r.readOid(), /128 bits/],
  ['BIT STRING of no bytes', '03 00', (r) => r.readBits(), /unused bits/],
  ['BIT STRING with 8 unused bits', '03 02 08 00', (r) => r.readBits(), /unused bits/],
  ['BIT STRING with unused bits of nothing', '03 01 01', (r) => r.readBits(), /unused bits/],
  ['BIT STRING with unused bits set', '03 02 01 03', (r) => r.readBits(), /not zero/],
  ['a key with unused bits', '03 02 01 02', (r) => r.readBitString(), /unused bits/],
  ['named bits that end in zeros', '03 02 00 80', (r) => r.readNamedBits(), /end.* in zeros/],
  ['33 named bits', '03 06 07 00 00 00 00 80', (r) => r.readNamedBits(), /32/],
  ['UTF8String that is Latin-1', '0c 01 e9', (r) => r.readString(), /valid UTF-8/],
  ['UTF8String with an overlong slash', '0c 02 c0 af', (r) => r.readString(), /valid UTF-8/],
  ['UTF8String with a surrogate', '0c 03 ed a0 80', (r) => r.readString(), /valid UTF-8/],
  ['UTF8String cut inside a character', '0c 03 61 e2 82', (r) => r.readString(), /valid UTF-8/],
  ['UTF8String with NUL', '0c 03 61 00 62', (r) => r.readString(), /NUL/],
  ['PrintableString with @', '13 01 40', (r) => r.readString(), /PrintableString/],
  ['PrintableString with NUL', '13 01 00', (r) => r.readString(), /NUL/],
  ['IA5String with 0x80', '16 01 80', (r) => r.readString(), /ASCII/],
  ['TeletexString', '14 01 61', (r) => r.readString(), /TeletexString/],
  ['BMPString', '1e 02 00 61', (r) => r.readString(), /NUL|BMPString/],
  ['BMPString without zero bytes', '1e 02 61 61', (r) => r.readString(), /BMPString/],
  ['UniversalString', '1c 04 00 00 00 61', (r) => r.readString(), /NUL|UniversalString/],
  ['NumericString', '12 01 31', (r) => r.readString(), /NumericString/],
  ['SET OF out of order', '31 06 02 01 02 02 01 01', (r) => all(r.readSet()), /out of order/],
];

const all = (reader: DerReader) => {
  while (reader.more()) reader.readRaw();
};

test.each(refusals)('%s is refused', (_, bytes, act, message) => {
  expect(() => act(read(bytes))).toThrow(DerError);
  expect(() => act(read(bytes))).toThrow(message);
});

const timeRefusals: [what: string, tag: number, text: string][] = [
  ['no seconds', TAG.utcTime, '2501010000Z'],
  ['an offset', TAG.utcTime, '250101000000+0000'],
  ['no Z', TAG.utcTime, '250101000000'],
  ['fractions', TAG.generalizedTime, '20500101000000.5Z'],
  ['GeneralizedTime before 2050', TAG.generalizedTime, '20491231235959Z'],
  ['month 13', TAG.utcTime, '251301000000Z'],
  ['month 0', TAG.utcTime, '250001000000Z'],
  ['30 February', TAG.utcTime, '240230000000Z'],
  ['29 February of a common year', TAG.utcTime, '250229000000Z'],
  ['hour 24', TAG.utcTime, '250101240000Z'],
  ['minute 60', TAG.utcTime, '250101006000Z'],
  ['second 60', TAG.utcTime, '250101000060Z'],
  ['letters', TAG.utcTime, '25O101000000Z'],
  ['a string type', TAG.utf8String, '250101000000Z'],
];

test.each(timeRefusals)('a time with %s is refused', (_, tag, text) => {
  expect(() => read(der.rawTag(tag, Buffer.from(text))).readTime()).toThrow(DerError);
});

test('times at the edges of their types', () => {
  for (const text of [
    '1950-01-01T00:00:00Z',
    '1999-12-31T23:59:59Z',
    '2000-02-29T12:00:00Z',
    '2049-12-31T23:59:59Z',
    '2050-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
  ]) {
    const date = new Date(text);
    expect(read(der.time(date)).readTime()).toEqual(date);
    expect(der.time(date)[0]).toBe(date.getUTCFullYear() < 2050 ? TAG.utcTime : TAG.generalizedTime);
  }
  expect(() => der.time(new Date('1949-12-31T23:59:59Z'))).toThrow(RangeError);
  expect(() => der.time(new Date(Number.NaN))).toThrow(RangeError);
});

test('nesting is followed to its limit and no further', () => {
  const nest = (levels: number) => {
    let bytes = der.nul();
    for (let i = 0; i < levels; i++) bytes = der.sequence(bytes);
    return bytes;
  };
  expect(() => checkDer(nest(MAX_DEPTH - 1))).not.toThrow();
  expect(() => checkDer(nest(MAX_DEPTH))).toThrow(/nested deeper/);
  const budget = createBudget();
  expect(() => checkDer(nest(10_000), budget)).toThrow(/nested deeper/);
  expect(budget.nodes).toBe(MAX_DEPTH);
});

test('the budget counts every value read, is shared by inner readers, and stops the work', () => {
  const many = der.sequence(...Array.from({ length: DEFAULT_BUDGET }, () => der.nul()));
  const reader = DerReader.of(many);
  expect(() => all(reader.readSequence())).toThrow(/more than 4096 values/);
  expect(reader.budget.nodes).toBe(DEFAULT_BUDGET + 1);
  const shared = createBudget(3);
  const outer = DerReader.of(der.octetString(der.sequence(der.nul(), der.nul())), shared);
  const inner = outer.within(outer.readOctetString()).readSequence();
  inner.readNull();
  expect(() => inner.readNull()).toThrow(/more than 3 values/);
});

test('object identifiers of every size', () => {
  for (const text of [
    '0.0',
    '0.39',
    '1.0',
    '1.39.1',
    '2.0',
    '2.39',
    '2.40',
    '2.999.3',
    '1.2.840.113549.1.1.11',
    '2.5.29.17',
    '2.25.340282366920938463463374607431768211455',
    `1.2.${2 ** 49 - 1}.${2 ** 49}`,
  ]) {
    expect(read(der.oid(text)).readOid()).toBe(text);
  }
  for (const text of ['', '1', '3.1', '1.40', '1.2.', '1..2', '1.02', '1.2.x', '1.2.-1', '01.2'])
    expect(() => der.oid(text)).toThrow(RangeError);
});

test('small shapes of the writer', () => {
  expect(der.integer(0)).toEqual(hex('02 01 00'));
  expect(der.integer(Buffer.alloc(0))).toEqual(hex('02 01 00'));
  expect(der.integer(Buffer.of(0, 0, 0x80))).toEqual(hex('02 02 00 80'));
  expect(der.integer(-1)).toEqual(hex('02 01 ff'));
  expect(der.integer(-128n)).toEqual(hex('02 01 80'));
  expect(der.integer(-129n)).toEqual(hex('02 02 ff 7f'));
  expect(der.enumerated(5)).toEqual(hex('0a 01 05'));
  expect(der.namedBits([])).toEqual(hex('03 01 00'));
  expect(der.namedBits([0, 2])).toEqual(hex('03 02 05 a0'));
  expect(der.namedBits([8])).toEqual(hex('03 03 07 00 80'));
  expect(der.boolean(true)).toEqual(hex('01 01 ff'));
  expect(der.nul()).toEqual(hex('05 00'));
  expect(der.implicit(2, Buffer.from('a'))).toEqual(hex('82 01 61'));
  expect(der.implicit(4, der.nul(), true)).toEqual(hex('a4 02 05 00'));
  expect(der.tagged(3, der.nul())).toEqual(hex('a3 02 05 00'));
  expect(der.set(der.integer(2), der.integer(1))).toEqual(hex('31 06 02 01 01 02 01 02'));
  for (const size of [127, 128, 255, 256, 65_535, 65_536, 16_777_216]) {
    const wrapped = der.octetString(Buffer.alloc(size, 1));
    expect(read(wrapped).readOctetString().length).toBe(size);
  }
});

test('tagged and raw values, and optional ones by their tag', () => {
  const reader = read(
    der.sequence(der.tagged(0, der.integer(1)), der.implicit(2, Buffer.from('a')), der.nul(), der.boolean(false)),
  ).readSequence();
  expect(reader.peekTag()).toBe(0xa0);
  const inner = reader.readTagged(0);
  expect(inner.readSmallInteger()).toBe(1);
  inner.end();
  expect(() => reader.readTagged(1)).toThrow(/\[1\] expected, found \[2\]/);
  expect(() => reader.readImplicit(1)).toThrow(/\[1\] expected, found \[2\]/);
  expect(reader.readImplicit(2)).toEqual(Buffer.from('a'));
  expect(reader.readRaw()).toEqual(der.nul());
  expect(reader.more()).toBe(true);
  expect(reader.readAny()).toEqual({ tag: TAG.boolean, content: Buffer.of(0) });
  expect(reader.more()).toBe(false);
  expect(reader.peekTag()).toBeUndefined();
  reader.end();
});

const printable = fc.string({ unit: fc.constantFrom(..."abcXYZ019 '()+,-./:=?".split('')), maxLength: 200 });
const ascii = fc.string({
  unit: fc.integer({ min: 1, max: 127 }).map((code) => String.fromCharCode(code)),
  maxLength: 200,
});
const unicode = fc.string({ unit: 'binary', maxLength: 200 }).filter((text) => !text.includes('\0'));
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

test('property: what is written is read back', () => {
  /** Values of the arbitrary, through a function of the writer and one of the reader. */
  const roundTrip = <T>(values: fc.Arbitrary<T>, write: (value: T) => Buffer, act: (reader: DerReader) => T) =>
    fc.assert(
      fc.property(values, (value) => {
        const reader = read(write(value));
        expect(act(reader)).toEqual(value);
        reader.end();
      }),
    );
  roundTrip(fc.bigInt({ min: -(1n << 600n), max: 1n << 600n }), der.integer, (r) => r.readInteger());
  roundTrip(fc.nat(), der.integer, (r) => r.readSmallInteger());
  roundTrip(fc.nat(), der.enumerated, (r) => r.readEnumerated());
  roundTrip(bytes(400), der.octetString, (r) => r.readOctetString());
  roundTrip(bytes(400), der.bitString, (r) => r.readBitString());
  roundTrip(fc.boolean(), der.boolean, (r) => r.readBoolean());
  roundTrip(unicode, der.utf8String, (r) => r.readString());
  roundTrip(printable, der.printableString, (r) => r.readString());
  roundTrip(ascii, der.ia5String, (r) => r.readString());
  const bits = fc.uniqueArray(fc.integer({ min: 0, max: 31 })).map((list) => list.sort((a, b) => a - b));
  roundTrip(bits, der.namedBits, (r) => r.readNamedBits());
  const arc = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n });
  const oids = fc.tuple(fc.nat(39), fc.array(arc, { maxLength: 2 })).map((arcs) => [1, ...arcs.flat()].join('.'));
  roundTrip(oids, der.oid, (r) => r.readOid());
  const seconds = fc.integer({ min: Date.UTC(1950, 0, 1) / 1000, max: Date.UTC(9999, 11, 31) / 1000 });
  const dates = seconds.map((s) => new Date(s * 1000));
  roundTrip(dates, der.time, (r) => r.readTime());
});

/** Reads any value by its type and writes it anew. */
function rewrite(reader: DerReader): Buffer {
  const tag = reader.peekTag() ?? 0;
  if (tag & 0x20) {
    const members = reader.readConstructed();
    const parts: Buffer[] = [];
    while (members.more()) parts.push(rewrite(members));
    return tag === TAG.set
      ? der.set(...parts)
      : tag === TAG.sequence
        ? der.sequence(...parts)
        : der.tagged(tag & 0x1f, ...parts);
  }
  return rewritePrimitive(reader, tag);
}

function rewritePrimitive(reader: DerReader, tag: number): Buffer {
  if (tag === TAG.boolean) return der.boolean(reader.readBoolean());
  if (tag === TAG.integer) return der.integer(reader.readInteger());
  if (tag === TAG.bitString) {
    const { bytes, unused } = reader.readBits();
    return der.bitString(bytes, unused);
  }
  if (tag === TAG.null) return (reader.readNull(), der.nul());
  if (tag === TAG.oid) return der.oid(reader.readOid());
  if (tag === TAG.utf8String) return der.utf8String(reader.readString());
  if (tag === TAG.printableString) return der.printableString(reader.readString());
  if (tag === TAG.ia5String) return der.ia5String(reader.readString());
  if (tag === TAG.utcTime || tag === TAG.generalizedTime) return der.time(reader.readTime());
  const { content } = reader.readAny();
  return der.rawTag(tag, content);
}

const samples = [
  buildCsr({ names: ['a.example', 'ip:10.0.0.1'], commonName: 'a.example' }).der,
  buildCertificate({ subject: 'leaf', keys: createKeyPair() }),
  der.sequence(
    der.boolean(false),
    der.integer(-5),
    der.namedBits([1, 9]),
    der.oid('2.999.1'),
    der.set(der.nul(), der.integer(1)),
    der.utf8String('é€😀'),
    der.time(new Date('2051-02-03T04:05:06Z')),
  ),
];

/** A sample with some bytes changed, cut, doubled or put in. */
const mutated = fc
  .tuple(
    fc.constantFrom(...samples),
    fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.nat(3)), { minLength: 1, maxLength: 4 }),
  )
  .map(([sample, changes]) => {
    let bytes = Buffer.from(sample);
    for (const [where, value, how] of changes) {
      const at = bytes.length === 0 ? 0 : where % bytes.length;
      if (how === 0) bytes[at] = value;
      else if (how === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << (value & 7));
      else if (how === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
      else bytes = Buffer.concat([bytes.subarray(0, at), Buffer.of(value), bytes.subarray(at)]);
    }
    return bytes;
  });

test('property: mutated bytes are written back as they were, or refused', () => {
  let refused = 0;
  let kept = 0;
  const check = (bytes: Buffer) => {
    const budget = createBudget();
    try {
      checkDer(bytes, budget);
    } catch (error) {
      if (!(error instanceof DerError)) throw error;
      refused++;
      return;
    }
    kept++;
    expect(rewrite(DerReader.of(bytes))).toEqual(bytes);
    expect(budget.nodes).toBeLessThanOrEqual(bytes.length);
  };
  fc.assert(fc.property(mutated, check), { numRuns: 5000 });
  fc.assert(fc.property(bytes(64), check), { numRuns: 2000 });
  samples.forEach((sample) => check(sample));
  expect(refused).toBeGreaterThan(500);
  expect(kept).toBeGreaterThan(500);
});

test('an independent library reads a certificate as this reader does', () => {
  const bytes = buildCertificate({
    subject: 'leaf.example',
    keys: createKeyPair(),
    notAfter: new Date('2051-01-01T00:00:00Z'),
  });
  const theirs = new X509Certificate(bytes);
  const certificate = read(bytes).readSequence();
  const body = certificate.readSequence();
  expect(body.readTagged(0).readSmallInteger()).toBe(2);
  expect(body.readIntegerBytes().toString('hex')).toBe(theirs.serialNumber);
  expect(body.readSequence().readOid()).toBe('1.2.840.10045.4.3.2');
  const name = body.readSequence().readSet().readSequence();
  expect(name.readOid()).toBe('2.5.4.3');
  expect(`CN=${name.readString()}`).toBe(theirs.issuer);
  const validity = body.readSequence();
  expect(validity.readTime()).toEqual(theirs.notBefore);
  expect(validity.readTime()).toEqual(theirs.notAfter);
  expect(body.readRaw()).toEqual(Buffer.from(theirs.subjectName.toArrayBuffer()));
  expect(body.readRaw()).toEqual(Buffer.from(theirs.publicKey.rawData));
  certificate.readSequence();
  expect(certificate.readBitString()).toEqual(Buffer.from(theirs.signature));
  certificate.end();
});
