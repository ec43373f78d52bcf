import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import * as der from '../../test/support/der-writer.ts';
import type { DistinguishedName } from './certificate-model.ts';
import { DerReader } from './der.ts';
import { attributeOid, attributeProblem, encodeName, nameKey, readName, renderName } from './distinguished-name.ts';
import { OID } from './oid.ts';

const CN = OID.commonName;
const O = OID.organizationName;

const value = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 64 })
  .filter((text) => !attributeProblem({ oid: CN, value: text }));
const attribute = fc.record({
  oid: fc.constantFrom<string>(CN, O, OID.organizationalUnitName, '1.3.6.1.4.1.99999.1'),
  value,
});
const name: fc.Arbitrary<DistinguishedName> = fc.array(fc.array(attribute, { minLength: 1, maxLength: 3 }), {
  maxLength: 4,
});

function read(bytes: Buffer, legacy = false): DistinguishedName {
  const reader = DerReader.of(bytes);
  const found = readName(reader, legacy);
  reader.end();
  return found;
}

test('what is written reads back the same but for the order inside an RDN', () => {
  fc.assert(
    fc.property(name, (subject) => {
      const back = read(encodeName(subject));
      expect(nameKey(back)).toBe(nameKey(subject));
      expect(back.map((rdn) => rdn.length)).toEqual(subject.map((rdn) => rdn.length));
      expect(encodeName(back)).toEqual(encodeName(subject));
    }),
  );
});

test.each<[DistinguishedName, string]>([
  [[], ''],
  [
    [[{ oid: OID.countryName, value: 'DE' }], [{ oid: O, value: 'Example' }], [{ oid: CN, value: 'a.test' }]],
    'CN=a.test,O=Example,C=DE',
  ],
  [
    [
      [
        { oid: CN, value: 'a' },
        { oid: OID.organizationalUnitName, value: 'b' },
      ],
    ],
    'CN=a+OU=b',
  ],
  [[[{ oid: CN, value: ' x,y+z"<>;\\ ' }]], 'CN=\\ x\\,y\\+z\\"\\<\\>\\;\\\\\\ '],
  [[[{ oid: CN, value: '#1' }]], 'CN=\\#1'],
  [[[{ oid: CN, value: 'a\u202eb\u2028' }]], 'CN=a\\e2\\80\\aeb\\e2\\80\\a8'],
  [[[{ oid: CN, value: 'line\nbreak' }]], 'CN=line\\0abreak'],
  [[[{ oid: '1.2.3.4', value: 'x' }]], '1.2.3.4=#0c0178'],
])('%j is shown as %s', (subject, text) => expect(renderName(subject)).toBe(text));

test.each<[string, string, string | undefined]>([
  ['CN of 64', CN, 'x'.repeat(64)],
  ['CN of 64 characters outside the BMP', CN, '\u{1f511}'.repeat(64)],
  ['O of 64', O, 'x'.repeat(64)],
  ['L of 128', OID.localityName, 'x'.repeat(128)],
  ['country', OID.countryName, 'DE'],
  ['serial number', OID.serialNumber, 'HRB 1234'],
])('%s fits', (_, oid, text = '') => expect(attributeProblem({ oid, value: text })).toBeUndefined());

test.each<[string, string, string, RegExp]>([
  ['empty', CN, '', /CN is empty/],
  ['CN of 65', CN, 'x'.repeat(65), /longer than 64/],
  ['line break', CN, 'a\nb', /control/],
  ['NUL', CN, 'a\0b', /control/],
  ['lone surrogate', CN, 'a\ud800', /control/],
  ['long country', OID.countryName, 'DEU', /longer than 2/],
  ['small country', OID.countryName, 'de', /two capital letters/],
  ['serial number with @', OID.serialNumber, 'a@b', /PrintableString/],
  ['e-mail outside ASCII', OID.emailAddress, 'ü@example.test', /ASCII/],
])('%s does not', (_, oid, text, reason) => {
  expect(attributeProblem({ oid, value: text })).toMatch(reason);
  expect(() => encodeName([[{ oid, value: text }]])).toThrow(RangeError);
});

test('country, serial number, dnQualifier are PrintableString, dc and e-mail IA5String, the rest UTF8String', () => {
  const tagOf = (oid: string, text: string) => encodeName([[{ oid, value: text }]]).at(-text.length - 2);
  expect(tagOf(OID.countryName, 'DE')).toBe(0x13);
  expect(tagOf(OID.serialNumber, '1')).toBe(0x13);
  expect(tagOf('2.5.4.46', '1')).toBe(0x13);
  expect(tagOf(OID.domainComponent, 'x')).toBe(0x16);
  expect(tagOf(OID.emailAddress, 'a@b')).toBe(0x16);
  expect(tagOf(CN, 'x')).toBe(0x0c);
});

const rdn = (content: Buffer) => der.sequence(der.setOf(der.sequence(der.oid(CN), content)));

test('string types of old CAs are read only where asked for', () => {
  const cases: [Buffer, string][] = [
    [der.tlv(0x14, Buffer.from('M\xfcller', 'latin1')), 'Müller'],
    [der.tlv(0x1e, Buffer.from('Müller', 'utf16le').swap16()), 'Müller'],
    [der.tlv(0x1c, Buffer.from('0000004d0001f511', 'hex')), 'M\u{1f511}'],
  ];
  for (const [string, text] of cases) {
    expect(read(rdn(string), true)).toEqual([[{ oid: CN, value: text }]]);
    expect(() => read(rdn(string))).toThrow();
  }
});

test.each<[string, Buffer]>([
  ['an empty RDN', der.sequence(der.setOf())],
  ['an INTEGER as value', rdn(der.integer(1))],
  ['an attribute without value', der.sequence(der.setOf(der.sequence(der.oid(CN))))],
  [
    'an attribute of three parts',
    der.sequence(der.setOf(der.sequence(der.oid(CN), der.utf8String('a'), der.utf8String('b')))),
  ],
  [
    'a set out of order',
    der.sequence(
      der.tlv(0x31, der.sequence(der.oid(O), der.utf8String('a')), der.sequence(der.oid(CN), der.utf8String('a'))),
    ),
  ],
  ['an RDN that is a SEQUENCE', der.sequence(der.sequence(der.sequence(der.oid(CN), der.utf8String('a'))))],
  ['a BMPString of odd length', rdn(der.tlv(0x1e, Buffer.from('abc')))],
  ['a UniversalString beyond Unicode', rdn(der.tlv(0x1c, Buffer.from('00110000', 'hex')))],
])('%s is refused', (_, bytes) => expect(() => read(bytes, true)).toThrow());

test('names compare without regard to case, spacing and compatibility forms, but to order', () => {
  const key = (...values: string[]) => nameKey(values.map((text) => [{ oid: CN, value: text }]));
  expect(key('Example  CA')).toBe(key(' example ca '));
  expect(key('ＣＡ')).toBe(key('ca'));
  expect(key('a', 'b')).not.toBe(key('b', 'a'));
  expect(key('a', 'b')).not.toBe(key('a"],["b'));
  expect(
    nameKey([
      [
        { oid: CN, value: 'a' },
        { oid: O, value: 'b' },
      ],
    ]),
  ).toBe(
    nameKey([
      [
        { oid: O, value: 'b' },
        { oid: CN, value: 'a' },
      ],
    ]),
  );
});

test('attribute types by name in any case or by number', () => {
  expect(attributeOid('cn')).toBe(CN);
  expect(attributeOid('2.5.4.97')).toBe('2.5.4.97');
  for (const text of ['XX', '2.5', '3.1.2', '1.40.1', '2.5.4.', '02.5.4']) expect(attributeOid(text)).toBeUndefined();
});
