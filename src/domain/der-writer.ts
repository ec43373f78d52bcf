// Writes DER: each function gives the one encoding of its value, ready to stand in another. The reader is der.ts.
import { TAG } from './der-values.ts';

/** A value with this identifier octet around `content`. */
export function rawTag(tag: number, content: Buffer): Buffer {
  return wrap(tag, [content], content.length);
}

function wrap(tag: number, parts: readonly Buffer[], length: number): Buffer {
  const header = length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x10000 ? 4 : length < 0x1000000 ? 5 : 6;
  const out = Buffer.allocUnsafe(header + length);
  out[0] = tag;
  if (header === 2) out[1] = length;
  else {
    out[1] = 0x80 | (header - 2);
    out.writeUIntBE(length, 2, header - 2);
  }
  let at = header;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function wrapAll(tag: number, parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  return wrap(tag, parts, length);
}

export function sequence(...parts: Buffer[]): Buffer {
  return wrapAll(TAG.sequence, parts);
}

/** SET OF: the members are put in the order DER asks for (X.690 section 11.6). */
export function set(...members: Buffer[]): Buffer {
  return wrapAll(TAG.set, members.length < 2 ? members : members.sort((a, b) => Buffer.compare(a, b)));
}

/** [n] constructed around whole values: EXPLICIT around one, IMPLICIT SEQUENCE of several. */
export function tagged(n: number, ...parts: Buffer[]): Buffer {
  return wrapAll(0xa0 | n, parts);
}

/** [n] IMPLICIT around the content of a type that is primitive unless `constructed`. */
export function implicit(n: number, content: Buffer, constructed = false): Buffer {
  return rawTag((constructed ? 0xa0 : 0x80) | n, content);
}

/** A Buffer is an unsigned big-endian magnitude of any length. */
export function integer(value: bigint | number | Buffer): Buffer {
  return rawTag(TAG.integer, integerContent(value));
}

export function enumerated(value: number): Buffer {
  return rawTag(TAG.enumerated, integerContent(value));
}

function integerContent(value: bigint | number | Buffer): Buffer {
  if (typeof value !== 'object') return signedContent(BigInt(value));
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const magnitude = value.length === 0 ? Buffer.of(0) : value.subarray(start);
  return (magnitude[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude;
}

function signedContent(value: bigint): Buffer {
  // -1n - value has the bit pattern of a negative value complemented, so its length decides for both signs.
  const bits = (value < 0n ? -1n - value : value).toString(2);
  const octets = (bits === '0' ? 0 : bits.length >> 3) + 1;
  const hex = BigInt.asUintN(octets * 8, value).toString(16);
  return Buffer.from(hex.padStart(octets * 2, '0'), 'hex');
}

const MAX_CACHED_OIDS = 256;
// A memo of a pure function: what it holds changes no result.
const oids = new Map<string, Buffer>();

/** OBJECT IDENTIFIER of dotted text. Throws RangeError for text that is none. Do not change the result: it is kept. */
export function oid(text: string): Buffer {
  const known = oids.get(text);
  if (known) return known;
  const der = rawTag(TAG.oid, oidContent(text));
  if (oids.size < MAX_CACHED_OIDS) oids.set(text, der);
  return der;
}

function oidContent(text: string): Buffer {
  if (!/^[012](\.(0|[1-9]\d{0,38}))+$/.test(text)) throw new RangeError(`not an object identifier: ${text}`);
  const [root = 0n, second = 0n, ...rest] = text.split('.').map(BigInt);
  if (root < 2n && second > 39n) throw new RangeError(`not an object identifier: ${text}`);
  return Buffer.from([root * 40n + second, ...rest].flatMap(arcContent));
}

function arcContent(arc: bigint): number[] {
  const groups = [Number(arc & 0x7fn)];
  for (let left = arc >> 7n; left > 0n; left >>= 7n) groups.unshift(Number(left & 0x7fn) | 0x80);
  return groups;
}

export function octetString(content: Buffer): Buffer {
  return rawTag(TAG.octetString, content);
}

/** `unused` low bits of the last byte are no part of the value and must be zero. */
export function bitString(bytes: Buffer, unused = 0): Buffer {
  return wrap(TAG.bitString, [Buffer.of(unused), bytes], bytes.length + 1);
}

/** A named bit list with these bits (0 to 31) set, such as KeyUsage. */
export function namedBits(bits: readonly number[]): Buffer {
  if (bits.length === 0) return bitString(Buffer.alloc(0));
  const last = Math.max(...bits);
  const bytes = Buffer.alloc((last >> 3) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return bitString(bytes, 7 - (last & 7));
}

export function boolean(value: boolean): Buffer {
  return rawTag(TAG.boolean, Buffer.of(value ? 0xff : 0));
}

export function nul(): Buffer {
  return Buffer.of(TAG.null, 0);
}

export function utf8String(text: string): Buffer {
  return rawTag(TAG.utf8String, Buffer.from(text, 'utf8'));
}

/** Only for text of the PrintableString alphabet; not checked. */
export function printableString(text: string): Buffer {
  return rawTag(TAG.printableString, Buffer.from(text, 'latin1'));
}

/** Only for ASCII; not checked. */
export function ia5String(text: string): Buffer {
  return rawTag(TAG.ia5String, Buffer.from(text, 'latin1'));
}

/** UTCTime from 1950 to 2049, GeneralizedTime from 2050 to 9999 (RFC 5280 section 4.1.2.5), cut to whole seconds. */
export function time(date: Date): Buffer {
  const year = date.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw new RangeError('a certificate cannot hold this date');
  const digits = date.toISOString().replace(/\.\d+Z$|[-:T]/g, '');
  return year < 2050
    ? rawTag(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`, 'latin1'))
    : rawTag(TAG.generalizedTime, Buffer.from(`${digits}Z`, 'latin1'));
}
