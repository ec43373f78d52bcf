// DNS messages (RFC 1035 section 4): writes one question, reads the answer section of a reply, strictly and within bounds.
// Sections and record types that nobody asked for are stepped over unread: what a server adds cannot harm.

/** Record types we ask for, and CNAME, which leads to them. */
export const TYPE = { A: 1, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, CAA: 257 } as const;

/** More records than this in an answer fail it. */
export const MAX_RECORDS = 1_000;
/** RFC 1035 section 2.3.4, as text without the trailing dot. */
const MAX_NAME_TEXT = 253;
const MAX_NAME_BYTES = 255;
/** As many as a name can have labels: without a limit, a staircase of pointers in 64 kB would be climbed for each record. */
const MAX_POINTERS = 127;
export const HEADER_BYTES = 12;
export const CLASS_IN = 1;
const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const OPCODE_MASK = 0x7800;
const RCODE_MASK = 0x000f;

export interface DnsQuestion {
  /** Lower case, without trailing dot. */
  name: string;
  type: number;
}

export interface DnsRecord {
  name: string;
  type: number;
  data: Buffer;
  /** Target of a CNAME or PTR, which may be compressed and so is read where the whole message is at hand. */
  target?: string;
}

export type DnsReply =
  /** Not an answer to this question: another id, name or type. */
  | { kind: 'stray' }
  | { kind: 'malformed'; reason: string }
  | { kind: 'answer'; rcode: number; truncated: boolean; records: readonly DnsRecord[] };

class MalformedMessage extends Error {}

/** The query with recursion desired; undefined where the name does not fit into one. */
export function renderQuery(id: Buffer, { name, type }: DnsQuestion): Buffer | undefined {
  if (name.length > MAX_NAME_TEXT) return undefined;
  const query = Buffer.alloc(HEADER_BYTES + name.length + 2 + 4);
  id.copy(query, 0, 0, 2);
  query.writeUInt16BE(FLAG_RECURSION_DESIRED, 2);
  query.writeUInt16BE(1, 4);
  const encoded = renderName(name);
  if (!encoded) return undefined;
  let at = HEADER_BYTES + encoded.copy(query, HEADER_BYTES);
  at = query.writeUInt16BE(type, at);
  query.writeUInt16BE(CLASS_IN, at);
  return query;
}

/** A name of the wire, uncompressed; undefined where it is none. */
export function renderName(name: string): Buffer | undefined {
  if (name.length > MAX_NAME_TEXT) return undefined;
  const bytes = Buffer.alloc(name.length + 2);
  let at = 0;
  for (const label of name.split('.')) {
    if (!/^[\x21-\x5b\x5d-\x7e]{1,63}$/.test(label)) return undefined;
    bytes[at] = label.length;
    at += 1 + bytes.write(label, at + 1, 'latin1');
  }
  return bytes;
}

/** Never throws, whatever the bytes. A truncated reply has no records. */
export function parseReply(message: Buffer, query: Buffer, question: DnsQuestion): DnsReply {
  if (message.length < HEADER_BYTES || message.readUInt16BE(0) !== query.readUInt16BE(0)) return { kind: 'stray' };
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) === 0 || (flags & OPCODE_MASK) !== 0) return { kind: 'stray' };
  const start = questionEnd(message, query);
  if (start === undefined) return { kind: 'stray' };
  const truncated = (flags & FLAG_TRUNCATED) !== 0;
  const count = message.readUInt16BE(6);
  if (count > MAX_RECORDS && !truncated) return { kind: 'malformed', reason: 'too many records' };
  try {
    const records = truncated ? [] : readRecords({ message, start, count, type: question.type });
    return { kind: 'answer', rcode: flags & RCODE_MASK, truncated, records };
  } catch (error) {
    return { kind: 'malformed', reason: error instanceof MalformedMessage ? error.message : 'unreadable' };
  }
}

/** Where the one question ends, if it is the one we asked. Servers may change the case of its letters. */
function questionEnd(message: Buffer, query: Buffer): number | undefined {
  const end = query.length;
  if (message.length < end || message.readUInt16BE(4) !== 1) return undefined;
  for (let at = HEADER_BYTES; at < end; at++) {
    if (lower(message[at] ?? 0) !== lower(query[at] ?? 0)) return undefined;
  }
  return end;
}

const lower = (byte: number) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);

interface AnswerSection {
  message: Buffer;
  start: number;
  count: number;
  /** Beside CNAME, the only type kept. */
  type: number;
}

function readRecords({ message, start, count, type: wanted }: AnswerSection): DnsRecord[] {
  const records: DnsRecord[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const owner = readName(message, at);
    at = owner.end;
    if (at + 10 > message.length) throw new MalformedMessage('a record ends early');
    const [type, kind] = [message.readUInt16BE(at), message.readUInt16BE(at + 2)];
    const dataStart = at + 10;
    at = dataStart + message.readUInt16BE(at + 8);
    if (at > message.length) throw new MalformedMessage('a record ends early');
    if (kind !== CLASS_IN || (type !== wanted && type !== TYPE.CNAME)) continue;
    const record: DnsRecord = { name: owner.text, type, data: message.subarray(dataStart, at) };
    if (type === TYPE.CNAME || type === TYPE.PTR) record.target = readTarget(message, dataStart, at);
    records.push(record);
  }
  return records;
}

function readTarget(message: Buffer, start: number, end: number): string {
  const target = readName(message, start);
  if (target.end !== end) throw new MalformedMessage('a name does not fill its record');
  return target.text;
}

/** A name in lower case, compression undone (RFC 1035 section 4.1.4): pointers only ever lead back, so the walk ends. */
export function readName(message: Buffer, start: number): { text: string; end: number } {
  const labels: string[] = [];
  let [at, end, limit, bytes, pointers] = [start, -1, start, 1, 0];
  for (;;) {
    const length = message[at];
    if (length === undefined) throw new MalformedMessage('a name ends early');
    if (length === 0) return { text: labels.join('.'), end: end < 0 ? at + 1 : end };
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0xff);
      if (end < 0) end = at + 2;
      if (end > message.length || target >= limit || ++pointers > MAX_POINTERS)
        throw new MalformedMessage('a name points forward or too often');
      [at, limit] = [target, target];
      continue;
    }
    bytes += length + 1;
    if (length > 63 || bytes > MAX_NAME_BYTES || at + 1 + length > message.length)
      throw new MalformedMessage('a name is too long');
    labels.push(labelText(message.toString('latin1', at + 1, at + 1 + length)));
    at += 1 + length;
  }
}

/** Bytes that could pass for the dot between labels, or are no text, are written as in zone files: such a name equals none of ours. */
function labelText(label: string): string {
  if (/^[a-z0-9_-]*$/.test(label)) return label;
  return label
    .toLowerCase()
    .replace(/[^\x21-\x2d\x2f-\x5b\x5d-\x7e]/g, (c) => `\\${c.charCodeAt(0).toString().padStart(3, '0')}`);
}
