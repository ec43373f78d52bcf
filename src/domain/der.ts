// A strict reader of DER (X.690 section 10): one value has one encoding, and any other is refused. See der-writer.ts for the other way.
import {
  DerError,
  decodeBits,
  decodeNamedBits,
  decodeOid,
  decodeSmall,
  decodeString,
  decodeTime,
  describeTag,
  TAG,
} from './der-values.ts';

export { DerError, TAG } from './der-values.ts';

/** Levels of nesting, counted from the outermost value. A certificate needs about ten. */
export const MAX_DEPTH = 24;
/** Values read from one input, unless the caller sets another limit. A request for a hundred names needs about two hundred. */
export const DEFAULT_BUDGET = 4096;
const OVERRUN = 'a length runs past the end of what contains it';

/** Work done and allowed; readers made from one another share it. */
export interface DerBudget {
  /** Values whose header has been read. */
  nodes: number;
  readonly limit: number;
}

export function createBudget(limit = DEFAULT_BUDGET): DerBudget {
  return { nodes: 0, limit };
}

/**
 * A cursor over the values inside one constructed value, or over a whole input. Every method throws DerError for bytes that are
 * not the DER of what was asked for. After the last expected value call `end`, else trailing bytes go unnoticed. Buffers handed
 * out are views of the input.
 */
export class DerReader {
  readonly budget: DerBudget;
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #depth: number;
  #position: number;
  /** Of the value whose header was read last. */
  #start = 0;
  #contentStart = 0;
  #contentEnd = 0;
  /** Start of the previous member of a SET OF, where one is being read; -1 before the first. */
  #previous: number | undefined;

  private constructor(bytes: Buffer, budget: DerBudget, depth: number, range: readonly [number, number]) {
    this.#bytes = bytes;
    this.budget = budget;
    this.#depth = depth;
    [this.#position, this.#end] = range;
  }

  /** A reader of the values in `bytes`; `budget` is the number of values it may read, or a budget shared with other readers. */
  static of(bytes: Buffer, budget: number | DerBudget = DEFAULT_BUDGET): DerReader {
    const shared = typeof budget === 'number' ? createBudget(budget) : budget;
    return new DerReader(bytes, shared, 0, [0, bytes.length]);
  }

  /** A reader of bytes found in this one (the content of an OCTET STRING): same budget, one level deeper. */
  within(bytes: Buffer): DerReader {
    return this.#child(bytes, [0, bytes.length]);
  }

  /** Whether another value follows. */
  more(): boolean {
    return this.#position < this.#end;
  }

  /** Identifier octet of the next value; undefined at the end. */
  peekTag(): number | undefined {
    return this.#position < this.#end ? this.#bytes[this.#position] : undefined;
  }

  /** Nothing may follow. */
  end(): void {
    if (this.#position < this.#end) throw new DerError(`${this.#end - this.#position} trailing bytes`);
  }

  readSequence(): DerReader {
    this.#expect(TAG.sequence, 'SEQUENCE');
    return this.#enter();
  }

  /** SET OF; its members are checked to stand in order as they are read (X.690 section 11.6). */
  readSet(): DerReader {
    this.#expect(TAG.set, 'SET');
    const members = this.#enter();
    members.#previous = -1;
    return members;
  }

  /** Inside of the next value, which must be SEQUENCE, SET or [n] constructed. */
  readConstructed(): DerReader {
    const tag = this.peekTag() ?? 0;
    if (tag === TAG.set) return this.readSet();
    return tag === TAG.sequence ? this.readSequence() : this.readTagged(tag & 0x1f);
  }

  /** Inside of [n] constructed: what EXPLICIT wraps, or the members of an IMPLICIT SEQUENCE. */
  readTagged(n: number): DerReader {
    this.#expect(0xa0 | n, `[${n}]`);
    return this.#enter();
  }

  /** Content of [n] IMPLICIT over a primitive type. */
  readImplicit(n: number): Buffer {
    this.#expect(0x80 | n, `[${n}]`);
    return this.#content();
  }

  /** The next value whole: identifier, length and content. What it contains has not been checked. */
  readRaw(): Buffer {
    this.#header();
    return this.#bytes.subarray(this.#start, this.#contentEnd);
  }

  /** The next value, whatever it is, in its parts. */
  readAny(): { tag: number; content: Buffer } {
    const tag = this.#header();
    return { tag, content: this.#content() };
  }

  readBoolean(): boolean {
    const start = this.#expect(TAG.boolean, 'BOOLEAN');
    const value = this.#bytes[start];
    if (this.#contentEnd - start !== 1 || (value !== 0 && value !== 0xff))
      throw new DerError('BOOLEAN is not 00 or FF');
    return value === 0xff;
  }

  readNull(): void {
    if (this.#expect(TAG.null, 'NULL') !== this.#contentEnd) throw new DerError('NULL with content');
  }

  readInteger(): bigint {
    const content = this.readIntegerBytes();
    const unsigned = BigInt(`0x${content.toString('hex')}`);
    return (content[0] ?? 0) & 0x80 ? unsigned - (1n << BigInt(content.length * 8)) : unsigned;
  }

  /** Content octets of an INTEGER: two's complement, big-endian, minimal. */
  readIntegerBytes(): Buffer {
    this.#expect(TAG.integer, 'INTEGER');
    return this.#minimal('INTEGER');
  }

  /** An INTEGER from 0 to 2^31-1. */
  readSmallInteger(): number {
    return decodeSmall(this.readIntegerBytes());
  }

  /** An ENUMERATED from 0 to 2^31-1. */
  readEnumerated(): number {
    this.#expect(TAG.enumerated, 'ENUMERATED');
    return decodeSmall(this.#minimal('ENUMERATED'));
  }

  /** Dotted text. Arcs are below 2^128, as X.667 needs; the whole takes at most 64 bytes. */
  readOid(): string {
    const start = this.#expect(TAG.oid, 'OBJECT IDENTIFIER');
    return decodeOid(this.#bytes, start, this.#contentEnd);
  }

  readOctetString(): Buffer {
    this.#expect(TAG.octetString, 'OCTET STRING');
    return this.#content();
  }

  /** A BIT STRING: its octets and how many low bits of the last are no part of it; those are zero. */
  readBits(): { bytes: Buffer; unused: number } {
    this.#expect(TAG.bitString, 'BIT STRING');
    return decodeBits(this.#content());
  }

  /** A BIT STRING of whole octets, such as a key or a signature. */
  readBitString(): Buffer {
    const { bytes, unused } = this.readBits();
    if (unused !== 0) throw new DerError('BIT STRING with unused bits');
    return bytes;
  }

  /** Numbers of the bits set in a named bit list: no trailing zero bits (X.690 section 11.2.2), at most 32 bits. */
  readNamedBits(): number[] {
    const { bytes, unused } = this.readBits();
    return decodeNamedBits(bytes, unused);
  }

  /** UTF8String, PrintableString or IA5String, without NUL. The types with many spellings of one text are refused. */
  readString(): string {
    const tag = this.#header();
    return decodeString(tag, this.#content());
  }

  /** A time as RFC 5280 section 4.1.2.5 writes it: UTCTime to 2049, GeneralizedTime after; whole seconds, Z. */
  readTime(): Date {
    const tag = this.#header();
    return decodeTime(tag, this.#content());
  }

  #child(bytes: Buffer, range: readonly [number, number]): DerReader {
    if (this.#depth + 1 >= MAX_DEPTH) throw new DerError(`nested deeper than ${MAX_DEPTH} levels`);
    return new DerReader(bytes, this.budget, this.#depth + 1, range);
  }

  #enter(): DerReader {
    return this.#child(this.#bytes, [this.#contentStart, this.#contentEnd]);
  }

  #content(): Buffer {
    return this.#bytes.subarray(this.#contentStart, this.#contentEnd);
  }

  #minimal(type: string): Buffer {
    const content = this.#content();
    const [first, second = 0] = content;
    if (first === undefined) throw new DerError(`${type} without content`);
    if (content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
      throw new DerError(`${type} is not minimal`);
    return content;
  }

  /** Reads a header that must have this tag; returns where the content starts. */
  #expect(tag: number, name: string): number {
    const found = this.peekTag();
    if (found !== tag) throw new DerError(`${name} expected, found ${describeTag(found)}`);
    this.#header();
    return this.#contentStart;
  }

  /** Reads identifier and length, moves past the value, returns the tag. */
  #header(): number {
    if (++this.budget.nodes > this.budget.limit) throw new DerError(`more than ${this.budget.limit} values`);
    const start = this.#position;
    const tag = this.#bytes[start];
    if (tag === undefined || start >= this.#end) throw new DerError('another value expected, found the end');
    // End-of-contents belongs to BER's indefinite form, tag numbers above 30 to nothing we read.
    if (tag === 0 || (tag & 0x1f) === 0x1f) throw new DerError(`${describeTag(tag)} is not supported`);
    const length = this.#readLength(start + 1);
    if (length > this.#end - this.#contentStart) throw new DerError(OVERRUN);
    this.#start = start;
    this.#contentEnd = this.#contentStart + length;
    this.#position = this.#contentEnd;
    if (this.#previous !== undefined) this.#checkOrder(start);
    return tag;
  }

  /** The length at this offset; #contentStart moves to what follows it. */
  #readLength(at: number): number {
    const first = at < this.#end ? this.#bytes[at] : undefined;
    if (first === undefined) throw new DerError('the input ends inside a header');
    this.#contentStart = at + 1;
    if (first < 0x80) return first;
    if (first === 0x80) throw new DerError('indefinite length');
    const count = first & 0x7f;
    if (count > 4 || at + 1 + count > this.#end) throw new DerError(OVERRUN);
    const length = this.#bytes.readUIntBE(at + 1, count);
    if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw new DerError('a length is not minimal');
    this.#contentStart += count;
    return length;
  }

  #checkOrder(start: number): void {
    const previous = this.#previous ?? -1;
    this.#previous = start;
    if (previous < 0) return;
    if (this.#bytes.compare(this.#bytes, start, this.#contentEnd, previous, start) > 0)
      throw new DerError('members of a SET OF are out of order');
  }
}

/**
 * Reads a whole input as one value, values inside values, and everything of a universal type by its rules. What reads the fields
 * afterwards need not look into those it ignores. Contents of OCTET STRINGs and of implicit tags stay unread.
 */
export function checkDer(bytes: Buffer, budget: number | DerBudget = DEFAULT_BUDGET): void {
  const reader = DerReader.of(bytes, budget);
  checkValue(reader);
  reader.end();
}

function checkValue(reader: DerReader): void {
  const tag = reader.peekTag() ?? 0;
  if (tag & 0x20) {
    const members = reader.readConstructed();
    while (members.more()) checkValue(members);
    return;
  }
  const read = PRIMITIVE[tag];
  if (read) read(reader);
  else if (tag >> 6 === 2) reader.readRaw();
  else throw new DerError(`${describeTag(tag)} is not supported`);
}

const PRIMITIVE: Readonly<Record<number, (reader: DerReader) => unknown>> = {
  [TAG.boolean]: (reader) => reader.readBoolean(),
  [TAG.integer]: (reader) => reader.readIntegerBytes(),
  [TAG.bitString]: (reader) => reader.readBits(),
  [TAG.octetString]: (reader) => reader.readRaw(),
  [TAG.null]: (reader) => reader.readNull(),
  [TAG.oid]: (reader) => reader.readOid(),
  [TAG.enumerated]: (reader) => reader.readRaw(),
  [TAG.utf8String]: (reader) => reader.readString(),
  [TAG.printableString]: (reader) => reader.readString(),
  [TAG.ia5String]: (reader) => reader.readString(),
  [TAG.utcTime]: (reader) => reader.readTime(),
  [TAG.generalizedTime]: (reader) => reader.readTime(),
};
