// IP addresses and networks as bytes, so that policy never compares text.
import { isIP } from 'node:net';

/** 4 or 16 bytes. IPv4-mapped IPv6 (::ffff:a.b.c.d) is folded to its IPv4 address. */
export type Address = Buffer;

export interface Network {
  address: Address;
  /** Leading bits that count. */
  prefix: number;
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

/** Bytes of an address in any text Node accepts without zone; undefined otherwise (leading zeros, hex, short forms included). */
export function parseAddress(text: string): Address | undefined {
  const bytes = parseExact(text);
  return bytes && fold(bytes);
}

/** As parseAddress, without folding IPv4-mapped addresses. */
export function parseExact(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 0 || text.includes('%')) return undefined;
  return family === 4 ? parseIpv4(text) : parseIpv6(text);
}

/** The IPv4 address inside an IPv4-mapped one, else the same bytes. */
export function fold(bytes: Address): Address {
  return bytes.length === 16 && bytes.subarray(0, 12).equals(MAPPED) ? bytes.subarray(12) : bytes;
}

function parseIpv4(text: string): Address {
  return Buffer.from(text.split('.').map(Number));
}

function parseIpv6(text: string): Address {
  const dotted = text.lastIndexOf('.') >= 0 ? text.slice(text.lastIndexOf(':') + 1) : '';
  const hex =
    dotted === ''
      ? text
      : text.slice(0, -dotted.length) +
        parseIpv4(dotted)
          .toString('hex')
          .replace(/^(.{4})/, '$1:');
  const [head = '', tail] = hex.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':')).map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const words = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  const bytes = Buffer.alloc(16);
  words.forEach((word, i) => bytes.writeUInt16BE(word, i * 2));
  return bytes;
}

/** Canonical text: dotted decimal, or RFC 5952 section 4. */
export function renderAddress(bytes: Address): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2));
  const run = longestZeroRun(words);
  const hex = (part: number[]) => part.map((word) => word.toString(16)).join(':');
  if (run.length < 2) return hex(words);
  return `${hex(words.slice(0, run.start))}::${hex(words.slice(run.start + run.length))}`;
}

function longestZeroRun(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < words.length; start++) {
    let length = 0;
    while (words[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** A network in CIDR notation, or one address. Undefined for bad text or a prefix out of range. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf('/');
  const exact = parseExact(slash < 0 ? text : text.slice(0, slash));
  if (!exact) return undefined;
  const bits = exact.length * 8;
  const suffix = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(suffix) || Number(suffix) > bits) return undefined;
  const address = fold(exact);
  // A mapped network folds with its prefix; one wider than the mapped range itself stays IPv6.
  if (address.length === exact.length) return { address, prefix: Number(suffix) };
  return Number(suffix) >= 96 ? { address, prefix: Number(suffix) - 96 } : { address: exact, prefix: Number(suffix) };
}

/** Whether the address lies in the network; addresses of another family do not. */
export function contains(network: Network, address: Address): boolean {
  if (network.address.length !== address.length) return false;
  const whole = network.prefix >> 3;
  if (!network.address.subarray(0, whole).equals(address.subarray(0, whole))) return false;
  const rest = network.prefix & 7;
  if (rest === 0) return true;
  const mask = 0xff << (8 - rest);
  return ((network.address[whole] ?? 0) & mask & 0xff) === ((address[whole] ?? 0) & mask & 0xff);
}

/** What one party holds at the least: an IPv4 address, or the /64 of an IPv6 address (RFC 6177). Text that is no address stays. */
export function partyOf(text: string): string {
  const address = parseAddress(text);
  if (!address) return text;
  return address.length === 4 ? renderAddress(address) : address.toString('hex', 0, 8);
}
