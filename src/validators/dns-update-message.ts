// Messages of dynamic update (RFC 2136 section 2) with a transaction signature (TSIG, RFC 8945): written, and the answer to one read
// strictly. An answer is believed by its signature alone.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { DnsUpdate } from '../ports.ts';
import { CLASS_IN, HEADER_BYTES, readName, renderName, TYPE } from './dns-message.ts';

export interface UpdateMessage {
  zone: string;
  name: string;
  text: string;
  /** The record is to be there, or not. */
  wanted: boolean;
}

/** A signed message, and what is needed to believe the answer. */
export interface SignedMessage {
  message: Buffer;
  mac: Buffer;
}

export type UpdateReply =
  | { kind: 'stray' }
  | { kind: 'malformed' }
  /** Signed by the key, and of this time. */
  | { kind: 'answer'; rcode: number }
  /** It cannot be believed; the reason is what it says of itself, or what is wrong with it. */
  | { kind: 'unsigned'; reason: string };

const CLASS_NONE = 254;
const CLASS_ANY = 255;
const TYPE_TSIG = 250;
const OPCODE_UPDATE = 0x2800;
const OPCODE_MASK = 0x7800;
const FLAG_RESPONSE = 0x8000;
const RCODE_MASK = 0x000f;
/** Seconds by which the clocks may differ, RFC 8945 section 10. */
const FUDGE = 300;
/** Low, because the record is gone in a minute. */
const TTL = 60;
/** More records than this in an answer, of which none are expected but one, end the reading. */
const MAX_RECORDS = 64;
const TSIG_ERRORS: Readonly<Record<number, string>> = {
  16: 'the server does not take the signature (BADSIG): is the key the same?',
  17: 'the server does not know the key (BADKEY)',
  18: 'the clocks differ by too much (BADTIME)',
};

type Key = DnsUpdate['key'];

class Malformed extends Error {}

/** Undefined where a name is none. */
export function renderUpdate(
  id: Buffer,
  { zone, name, text, wanted }: UpdateMessage,
  { key, now }: { key: Key; now: Date },
): SignedMessage | undefined {
  const [zoneName, owner, keyName] = [zone, name, key.name.toLowerCase()].map(renderName);
  if (!zoneName || !owner || !keyName) return undefined;
  const header = Buffer.alloc(HEADER_BYTES);
  id.copy(header, 0, 0, 2);
  header.writeUInt16BE(OPCODE_UPDATE, 2);
  // One zone, no prerequisite, one update, nothing additional until it is signed.
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 8);
  const data = Buffer.from(text, 'latin1');
  const update = Buffer.concat([
    header,
    zoneName,
    numbers(TYPE.SOA, CLASS_IN),
    owner,
    numbers(TYPE.TXT, wanted ? CLASS_IN : CLASS_NONE, 0, wanted ? TTL : 0, data.length + 1),
    Buffer.of(data.length),
    data,
  ]);
  return sign(update, key, now);
}

function sign(message: Buffer, key: Key, now: Date): SignedMessage {
  const time = timeOf(now);
  const mac = macOf(key, [message, variables(key, { time, fudge: FUDGE, error: 0, other: Buffer.alloc(0) })]);
  const data = Buffer.concat([
    algorithmName(key),
    time,
    numbers(FUDGE, mac.length),
    mac,
    message.subarray(0, 2),
    numbers(0, 0),
  ]);
  const record = Buffer.concat([keyName(key), numbers(TYPE_TSIG, CLASS_ANY, 0, 0, data.length), data]);
  const signed = Buffer.concat([message, record]);
  signed.writeUInt16BE(1, 10);
  return { message: signed, mac };
}

/** Never throws, whatever the bytes. */
export function parseUpdateReply(
  message: Buffer,
  { message: sent, mac }: SignedMessage,
  { key, now }: { key: Key; now: Date },
): UpdateReply {
  if (message.length < HEADER_BYTES || message.readUInt16BE(0) !== sent.readUInt16BE(0)) return { kind: 'stray' };
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) === 0 || (flags & OPCODE_MASK) !== OPCODE_UPDATE) return { kind: 'stray' };
  try {
    const tsig = findTsig(message);
    if (!tsig) return { kind: 'unsigned', reason: `an answer without signature (response code ${flags & RCODE_MASK})` };
    const fault = judge(message, tsig, { key, now, request: mac });
    return fault === undefined ? { kind: 'answer', rcode: flags & RCODE_MASK } : { kind: 'unsigned', reason: fault };
  } catch {
    return { kind: 'malformed' };
  }
}

interface Tsig {
  start: number;
  name: string;
  algorithm: string;
  time: Buffer;
  fudge: number;
  mac: Buffer;
  error: number;
  other: Buffer;
}

/** The last record, if it is one. */
function findTsig(message: Buffer): Tsig | undefined {
  const [zones = 0, ...counts] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  const records = counts.reduce((sum, count) => sum + count, 0);
  if (zones > 1 || records > MAX_RECORDS) throw new Malformed('too many records');
  let at = HEADER_BYTES;
  if (zones === 1) at = readName(message, at).end + 4;
  for (let i = 1; i <= records; i++) {
    const owner = readName(message, at);
    const start = at;
    at = owner.end + 10 + message.readUInt16BE(owner.end + 8);
    if (at > message.length) throw new Malformed('a record ends early');
    const isLast = i === records && at === message.length && (counts[2] ?? 0) > 0;
    if (message.readUInt16BE(owner.end) === TYPE_TSIG)
      return isLast ? readTsig(message, { start, name: owner.text, data: owner.end + 10 }) : undefined;
  }
  return undefined;
}

function readTsig(message: Buffer, { start, name, data }: { start: number; name: string; data: number }): Tsig {
  const algorithm = readName(message, data);
  let at = algorithm.end;
  const take = (length: number): Buffer => {
    if (at + length > message.length) throw new Malformed('a signature ends early');
    at += length;
    return message.subarray(at - length, at);
  };
  const time = take(6);
  const fudge = take(2).readUInt16BE();
  const mac = take(take(2).readUInt16BE());
  take(2);
  const error = take(2).readUInt16BE();
  return { start, name, algorithm: algorithm.text, time, fudge, mac, error, other: take(take(2).readUInt16BE()) };
}

/** RFC 8945 section 5.3.2: why it is not believed. */
function judge(
  message: Buffer,
  tsig: Tsig,
  { key, now, request }: { key: Key; now: Date; request: Buffer },
): string | undefined {
  // BADSIG and BADKEY come without a signature: they can end an update, never make one.
  if (tsig.mac.length === 0) return TSIG_ERRORS[tsig.error] ?? 'an answer without signature';
  if (tsig.name !== key.name.toLowerCase() || tsig.algorithm !== key.algorithm)
    return 'an answer signed by another key';
  const unsigned = Buffer.from(message.subarray(0, tsig.start));
  unsigned.writeUInt16BE(unsigned.readUInt16BE(10) - 1, 10);
  const expected = macOf(key, [numbers(request.length), request, unsigned, variables(key, tsig)]);
  if (tsig.mac.length !== expected.length || !timingSafeEqual(tsig.mac, expected))
    return 'an answer whose signature is wrong';
  if (tsig.error !== 0) return TSIG_ERRORS[tsig.error] ?? `an error of the signature (${tsig.error})`;
  const seconds = now.getTime() / 1000;
  return Math.abs(seconds - tsig.time.readUIntBE(0, 6)) > tsig.fudge ? TSIG_ERRORS[18] : undefined;
}

/** RFC 8945 section 4.3.3. */
function variables(key: Key, { time, fudge, error, other }: Pick<Tsig, 'time' | 'fudge' | 'error' | 'other'>): Buffer {
  return Buffer.concat([
    keyName(key),
    numbers(CLASS_ANY, 0, 0),
    algorithmName(key),
    time,
    numbers(fudge, error, other.length),
    other,
  ]);
}

function macOf({ algorithm, secret }: Key, parts: readonly Buffer[]): Buffer {
  return createHmac(algorithm.replace('hmac-', ''), secret).update(Buffer.concat(parts)).digest();
}

const keyName = ({ name }: Key) => renderName(name.toLowerCase()) ?? Buffer.of(0);
const algorithmName = ({ algorithm }: Key) => renderName(algorithm) ?? Buffer.of(0);

/** Seconds since 1970, 48 bits. */
function timeOf(now: Date): Buffer {
  const time = Buffer.alloc(6);
  time.writeUIntBE(Math.floor(now.getTime() / 1000), 0, 6);
  return time;
}

/** Numbers of 16 bits each; a TTL is two of them. */
function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => bytes.writeUInt16BE(value, i * 2));
  return bytes;
}
