// The rules of DER for the content of each primitive type, apart from where it stands.

/** Universal tags, constructed bit included where DER asks for it. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** What is wrong with the bytes, in words fit for the one who sent them. */
export class DerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DerError';
  }
}

const NAMES = new Map<number, string>([
  ...Object.entries(TAG).map(([name, tag]) => [tag, name] as const),
  [0x12, 'NumericString'],
  [0x14, 'TeletexString'],
  [0x1a, 'VisibleString'],
  [0x1c, 'UniversalString'],
  [0x1e, 'BMPString'],
]);

/** A tag in words; undefined is the end of the input. */
export function describeTag(tag: number | undefined): string {
  if (tag === undefined) return 'the end';
  return (
    NAMES.get(tag) ??
    (tag >> 6 === 2 && (tag & 0x1f) < 31 ? `[${tag & 0x1f}]` : `tag ${tag.toString(16).padStart(2, '0')}`)
  );
}

/** 0 to 2^31-1 from the minimal content of an INTEGER. */
export function decodeSmall(content: Buffer): number {
  if (content.length > 4 || (content[0] ?? 0) >= 0x80) throw new DerError('INTEGER out of range');
  return content.readUIntBE(0, content.length);
}

const MAX_OID_BYTES = 64;
const MAX_ARC = 1n << 128n;

/** Dotted text of the OBJECT IDENTIFIER in these bytes. */
export function decodeOid(bytes: Buffer, start: number, end: number): string {
  if (start === end || end - start > MAX_OID_BYTES) throw new DerError('OBJECT IDENTIFIER of no or too many bytes');
  let text = '';
  for (let at = start; at < end; ) {
    const first = at;
    while (at < end && (bytes[at] ?? 0) >= 0x80) at++;
    if (at++ === end) throw new DerError('OBJECT IDENTIFIER ends inside an arc');
    if (bytes[first] === 0x80) throw new DerError('OBJECT IDENTIFIER with a padded arc');
    const arc = at - first <= 7 ? decodeArc(bytes, first, at) : decodeLongArc(bytes, first, at);
    text = text === '' ? firstArcs(arc) : `${text}.${arc}`;
  }
  return text;
}

function decodeArc(bytes: Buffer, start: number, end: number): number {
  let arc = 0;
  for (let at = start; at < end; at++) arc = arc * 128 + ((bytes[at] ?? 0) & 0x7f);
  return arc;
}

function decodeLongArc(bytes: Buffer, start: number, end: number): bigint {
  let arc = 0n;
  for (let at = start; at < end; at++) arc = (arc << 7n) | BigInt((bytes[at] ?? 0) & 0x7f);
  if (arc >= MAX_ARC) throw new DerError('OBJECT IDENTIFIER with an arc of more than 128 bits');
  return arc;
}

function firstArcs(arc: number | bigint): string {
  if (arc < 40) return `0.${arc}`;
  if (arc < 80) return `1.${Number(arc) - 40}`;
  return `2.${typeof arc === 'bigint' ? arc - 80n : arc - 80}`;
}

/** Octets of a BIT STRING and the number of unused low bits in the last, all zero. */
export function decodeBits(content: Buffer): { bytes: Buffer; unused: number } {
  const unused = content[0];
  if (unused === undefined || unused > 7 || (unused > 0 && content.length === 1))
    throw new DerError('BIT STRING with a wrong count of unused bits');
  if ((content[content.length - 1] ?? 0) & ((1 << unused) - 1) && content.length > 1)
    throw new DerError('BIT STRING whose unused bits are not zero');
  return { bytes: content.subarray(1), unused };
}

/** Numbers of the bits set; a named bit list has no trailing zero bits. */
export function decodeNamedBits(bytes: Buffer, unused: number): number[] {
  if (bytes.length > 4) throw new DerError('BIT STRING of more than 32 named bits');
  const last = bytes.length * 8 - unused - 1;
  const set: number[] = [];
  for (let bit = 0; bit <= last; bit++) if ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) set.push(bit);
  if (last >= 0 && set.at(-1) !== last) throw new DerError('BIT STRING of named bits ends in zeros');
  return set;
}

const PRINTABLE = /^[A-Za-z0-9 '()+,./:=?-]*$/;

/** Text of a string type; `tag` says which. NUL is in none of them: it ends a text for some readers and not for others. */
export function decodeString(tag: number, content: Buffer): string {
  if (content.includes(0)) throw new DerError('NUL in a string');
  if (tag === TAG.utf8String) return decodeUtf8(content);
  const text = content.toString('latin1');
  if (tag === TAG.printableString) {
    if (!PRINTABLE.test(text)) throw new DerError('PrintableString with characters it does not have');
    return text;
  }
  if (tag !== TAG.ia5String)
    throw new DerError(`a string expected as UTF8String, PrintableString or IA5String, found ${describeTag(tag)}`);
  return checkIa5(text);
}

/** Text that is 7-bit without NUL, as IA5String and the names of a GeneralName need. */
export function decodeIa5(content: Buffer): string {
  if (content.includes(0)) throw new DerError('NUL in a string');
  return checkIa5(content.toString('latin1'));
}

function checkIa5(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the range is what "7-bit" means
  if (!/^[\x01-\x7f]*$/.test(text)) throw new DerError('IA5String with characters outside ASCII');
  return text;
}

function decodeUtf8(content: Buffer): string {
  const text = content.toString('utf8');
  // Bad bytes decode to U+FFFD, which encodes to other bytes.
  if (Buffer.byteLength(text) !== content.length || (text.includes('\ufffd') && !Buffer.from(text).equals(content)))
    throw new DerError('UTF8String is not valid UTF-8');
  return text;
}

/** UTCTime or GeneralizedTime, as `tag` says, in the one form RFC 5280 section 4.1.2.5 allows for the date. */
export function decodeTime(tag: number, content: Buffer): Date {
  const text = content.toString('latin1');
  const utc = tag === TAG.utcTime;
  if (!utc && tag !== TAG.generalizedTime) throw new DerError(`a time expected, found ${describeTag(tag)}`);
  if (!(utc ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw new DerError('a time is not in the form of RFC 5280');
  const digits = utc ? (text < '50' ? '20' : '19') + text : text;
  if (!utc && digits < '2050') throw new DerError('a time before 2050 is not a UTCTime');
  const part = (at: number) => digits.slice(at, at + 2);
  const iso = `${digits.slice(0, 4)}-${part(4)}-${part(6)}T${part(8)}:${part(10)}:${part(12)}.000Z`;
  const date = new Date(iso);
  // Node takes 24:00 and rolls it over; a date that is none reads as NaN or as another day.
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) throw new DerError('a time that does not exist');
  return date;
}
