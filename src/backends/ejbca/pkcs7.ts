// The certificates of a PKCS#7 SignedData without regard to its signature: what EJBCA answers with PKCS7WITHCHAIN. The envelope may be BER
// with indefinite lengths, as Java libraries write it; the certificates in it are DER, and read strictly by whoever uses them.
import { RemoteFault } from '../https/remote-fault.ts';

const SIGNED_DATA = Buffer.from('06092a864886f70d010702', 'hex');
const SEQUENCE = 0x30;
const CONTEXT_0 = 0xa0;
const MAX_DEPTH = 16;
const MAX_VALUES = 2048;
const MAX_CERTIFICATES = 16;

interface Value {
  tag: number;
  /** Of the content, and of what follows. */
  start: number;
  end: number;
  next: number;
  /** Where the identifier is. */
  at: number;
}

interface Input {
  bytes: Buffer;
  values: number;
}

/** DER of the certificates, in the order found. Throws RemoteFault. */
export function readPkcs7(bytes: Buffer): Buffer[] {
  const input = { bytes, values: 0 };
  const content = only(members(input, whole(input)), SEQUENCE, SIGNED_DATA, input);
  const [, , , certificates] = members(input, content);
  if (certificates?.tag !== CONTEXT_0) throw broken();
  const found = members(input, certificates);
  if (found.length === 0 || found.length > MAX_CERTIFICATES || found.some(({ tag }) => tag !== SEQUENCE))
    throw broken();
  return found.map(({ at, next }) => bytes.subarray(at, next));
}

function whole(input: Input): Value {
  const value = readValue(input, 0, { end: input.bytes.length, depth: 0 });
  if (value.tag !== SEQUENCE || value.next !== input.bytes.length) throw broken();
  return value;
}

/** The SignedData inside of the ContentInfo, whose members these are. */
function only([type, content]: readonly Value[], tag: number, oid: Buffer, input: Input): Value {
  if (!type || content?.tag !== CONTEXT_0 || !input.bytes.subarray(type.at, type.next).equals(oid)) throw broken();
  const [inner] = members(input, content);
  if (inner?.tag !== tag) throw broken();
  return inner;
}

function members(input: Input, { start, end }: Value): Value[] {
  const found: Value[] = [];
  for (let at = start; at < end; at = found.at(-1)?.next ?? end) found.push(readValue(input, at, { end, depth: 1 }));
  return found;
}

/** X.690 section 8.1. */
function readValue(input: Input, at: number, { end, depth }: { end: number; depth: number }): Value {
  const { bytes } = input;
  if (++input.values > MAX_VALUES || depth > MAX_DEPTH || at + 2 > end) throw broken();
  const tag = bytes.readUInt8(at);
  const first = bytes.readUInt8(at + 1);
  // Tags of several octets do not occur.
  if ((tag & 0x1f) === 0x1f || tag === 0) throw broken();
  if (first === 0x80) return readIndefinite(input, at, { end, depth });
  const more = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + more;
  if (more > 4 || start > end) throw broken();
  const length = more === 0 ? first : bytes.readUIntBE(at + 2, more);
  if (start + length > end) throw broken();
  return { tag, at, start, end: start + length, next: start + length };
}

/** Members up to two zero octets. */
function readIndefinite(input: Input, at: number, { end, depth }: { end: number; depth: number }): Value {
  const { bytes } = input;
  const tag = bytes.readUInt8(at);
  if ((tag & 0x20) === 0) throw broken();
  let next = at + 2;
  for (;;) {
    if (next + 2 > end) throw broken();
    if (bytes.readUInt16BE(next) === 0) return { tag, at, start: at + 2, end: next, next: next + 2 };
    next = readValue(input, next, { end, depth: depth + 1 }).next;
  }
}

function broken(): RemoteFault {
  return new RemoteFault('BadAnswer', 'EJBCA sent no PKCS#7 with certificates');
}
