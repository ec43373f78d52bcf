// Distinguished names (RFC 5280 section 4.1.2.4): read, written, compared, and shown as text (RFC 4514).
import type { DistinguishedName, NameAttribute } from './certificate-model.ts';
import { DerError, type DerReader } from './der.ts';
import { decodeString } from './der-values.ts';
import { ia5String, oid, printableString, sequence, set, utf8String } from './der-writer.ts';
import { OID } from './oid.ts';

/** An attribute type as X.520 and RFC 5280 appendix A define it. */
interface AttributeType {
  oid: string;
  /** Short name, upper case; the first six and DC, UID, STREET are those of RFC 4514 section 3. */
  name: string;
  /** Upper bound in characters. */
  max: number;
  string: 'utf8' | 'printable' | 'ia5';
}

const TYPES: readonly AttributeType[] = [
  { name: 'CN', oid: OID.commonName, max: 64, string: 'utf8' },
  { name: 'L', oid: OID.localityName, max: 128, string: 'utf8' },
  { name: 'ST', oid: OID.stateOrProvinceName, max: 128, string: 'utf8' },
  { name: 'O', oid: OID.organizationName, max: 64, string: 'utf8' },
  { name: 'OU', oid: OID.organizationalUnitName, max: 64, string: 'utf8' },
  { name: 'C', oid: OID.countryName, max: 2, string: 'printable' },
  { name: 'STREET', oid: OID.streetAddress, max: 128, string: 'utf8' },
  { name: 'DC', oid: OID.domainComponent, max: 63, string: 'ia5' },
  { name: 'UID', oid: OID.userId, max: 256, string: 'utf8' },
  { name: 'SERIALNUMBER', oid: OID.serialNumber, max: 64, string: 'printable' },
  { name: 'SN', oid: OID.surname, max: 40, string: 'utf8' },
  { name: 'GN', oid: OID.givenName, max: 16, string: 'utf8' },
  { name: 'TITLE', oid: OID.title, max: 64, string: 'utf8' },
  { name: 'POSTALCODE', oid: OID.postalCode, max: 16, string: 'utf8' },
  { name: 'DNQUALIFIER', oid: '2.5.4.46', max: 64, string: 'printable' },
  { name: 'ORGANIZATIONIDENTIFIER', oid: '2.5.4.97', max: 256, string: 'utf8' },
  { name: 'EMAILADDRESS', oid: OID.emailAddress, max: 255, string: 'ia5' },
];

/** Short names of attribute types, upper case. */
export const ATTRIBUTE_NAMES: readonly string[] = TYPES.map(({ name }) => name);

const BY_OID = new Map(TYPES.map((type) => [type.oid, type]));
const BY_NAME = new Map(TYPES.map((type) => [type.name, type]));
/** Bound for attribute types not in the table. */
const DEFAULT_MAX = 256;

/** Object identifier of an attribute type in text: a short name in any case, or dotted decimal. */
export function attributeOid(text: string): string | undefined {
  const known = BY_NAME.get(text.toUpperCase());
  if (known) return known.oid;
  return /^[012](\.(0|[1-9]\d{0,9})){2,12}$/.test(text) && !/^[01]\.([4-9]\d|\d{3})/.test(text) ? text : undefined;
}

/** Short name of an attribute type, or its dotted decimal. */
function attributeName(type: string): string {
  return BY_OID.get(type)?.name ?? type;
}

/** Values of every attribute of this type, in order. */
export function attributeValues(name: DistinguishedName, type: string): string[] {
  return name.flatMap((rdn) => rdn.filter((attribute) => attribute.oid === type).map((attribute) => attribute.value));
}

/**
 * The next value of the reader as a Name. `legacy` also takes the string types CAs used before UTF8String
 * (TeletexString as Latin-1, BMPString, UniversalString): for certificates of CAs, never for requests.
 */
export function readName(reader: DerReader, legacy = false): DistinguishedName {
  const name: NameAttribute[][] = [];
  const rdns = reader.readSequence();
  while (rdns.more()) {
    const rdn: NameAttribute[] = [];
    const members = rdns.readSet();
    while (members.more()) rdn.push(readAttribute(members, legacy));
    if (rdn.length === 0) throw new DerError('a relative distinguished name without attributes');
    name.push(rdn);
  }
  return name;
}

function readAttribute(reader: DerReader, legacy: boolean): NameAttribute {
  const attribute = reader.readSequence();
  const type = attribute.readOid();
  const { tag, content } = attribute.readAny();
  attribute.end();
  return { oid: type, value: (legacy ? decodeLegacy(tag, content) : undefined) ?? decodeString(tag, content) };
}

function decodeLegacy(tag: number, content: Buffer): string | undefined {
  if (tag === 0x14) return content.toString('latin1');
  if (tag === 0x1e && content.length % 2 === 0) return Buffer.from(content).swap16().toString('utf16le');
  if (tag === 0x1c && content.length % 4 === 0) {
    const points = Array.from({ length: content.length / 4 }, (_, i) => content.readUInt32BE(i * 4));
    if (points.some((point) => point > 0x10ffff)) throw new DerError('UniversalString beyond Unicode');
    return String.fromCodePoint(...points);
  }
  return undefined;
}

const PRINTABLE = /^[A-Za-z0-9 '()+,./:=?-]+$/;
// oxlint-disable-next-line no-control-regex -- the range is what "visible ASCII" means
const VISIBLE_ASCII = /^[\x20-\x7e]+$/;

/** Why this value cannot stand in a certificate (RFC 5280 appendix A upper bounds and string types), if it cannot. */
export function attributeProblem({ oid: type, value }: NameAttribute): string | undefined {
  const known = BY_OID.get(type);
  const label = attributeName(type);
  if (value === '') return `${label} is empty`;
  const length = Array.from(value).length;
  const max = known?.max ?? DEFAULT_MAX;
  if (length > max) return `${label} is longer than ${max} characters`;
  if (/\p{Cc}|\p{Cs}/u.test(value)) return `${label} has control characters`;
  if (label === 'C' && !/^[A-Z]{2}$/.test(value)) return 'C is a country code of two capital letters';
  if (known?.string === 'printable' && !PRINTABLE.test(value)) return `${label} has characters outside PrintableString`;
  if (known?.string === 'ia5' && !VISIBLE_ASCII.test(value)) return `${label} has characters outside ASCII`;
  return undefined;
}

/** Why the name cannot stand in a certificate, if it cannot. */
export function nameProblem(name: DistinguishedName): string | undefined {
  for (const rdn of name) {
    if (rdn.length === 0) return 'a relative distinguished name without attributes';
    for (const attribute of rdn) {
      const problem = attributeProblem(attribute);
      if (problem) return problem;
    }
  }
  return undefined;
}

/** DER of the Name. Throws RangeError where nameProblem finds one. */
export function encodeName(name: DistinguishedName): Buffer {
  const problem = nameProblem(name);
  if (problem) throw new RangeError(problem);
  return sequence(...name.map((rdn) => set(...rdn.map(encodeAttribute))));
}

function encodeAttribute({ oid: type, value }: NameAttribute): Buffer {
  const string = BY_OID.get(type)?.string ?? 'utf8';
  const encode = string === 'utf8' ? utf8String : string === 'printable' ? printableString : ia5String;
  return sequence(oid(type), encode(value));
}

/**
 * One text for every spelling of a name that RFC 5280 section 7.1 calls equal: case, runs of spaces and compatibility forms
 * fold; the order of RDNs counts, that of attributes inside one does not.
 */
export function nameKey(name: DistinguishedName): string {
  return JSON.stringify(rdnKeys(name));
}

/** As nameKey, one text an RDN. */
export function rdnKeys(name: DistinguishedName): string[] {
  return name.map((rdn) => JSON.stringify(rdn.map(({ oid: type, value }) => `${type}=${foldValue(value)}`).sort()));
}

function foldValue(value: string): string {
  return value.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ');
}

/** RFC 4514 text, most specific RDN first (the reverse of the encoding). One line: controls are escaped. Empty for no RDN. */
export function renderName(name: DistinguishedName): string {
  return name
    .map((rdn) => rdn.map(renderAttribute).join('+'))
    .toReversed()
    .join(',');
}

function renderAttribute({ oid: type, value }: NameAttribute): string {
  const known = BY_OID.get(type);
  // A type in dotted form has its value in hexadecimal (RFC 4514 section 2.4).
  if (!known) return `${type}=#${utf8String(value).toString('hex')}`;
  return `${known.name}=${escapeValue(value)}`;
}

/** RFC 4514 section 2.4. Characters that do not show (controls, formats, line separators) go out as hexadecimal pairs. */
function escapeValue(value: string): string {
  return value
    .replace(/[",+;<>\\]|^[# ]| $/g, '\\$&')
    .replace(/\p{C}|\p{Zl}|\p{Zp}/gu, (character) => Buffer.from(character).toString('hex').replace(/../g, '\\$&'));
}
