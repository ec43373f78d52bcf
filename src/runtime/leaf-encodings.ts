// Texts, numbers and truth values as characters below 256, so that each costs one byte: a tag, a length, and the value, in binary where
// it is the text of binary. Every encoding is used only where it gives back exactly the same text.

export type Leaf = string | number | boolean | null;

interface Encoding {
  /** Undefined where this is not the encoding of such a text. */
  encode(text: string): string | undefined;
  decode(bytes: string): string;
}

const HEX = /^(?:[0-9a-f]{2}){8,}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const BASE32 = /^(?:[a-z]{2}-)?[a-z2-7]{52}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z$/;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
/** Characters of 32 bytes in base32. */
const HASH = 52;
const NARROW = /^[\0-\xff]*$/;
/** Shorter texts are kept as they are. */
export const SHORTEST_TRIED = 16;

/** JSON in ASCII, lone surrogates and all. */
export const ascii = (value: unknown) =>
  JSON.stringify(value).replace(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

const hex: Encoding = {
  encode: (text) => (HEX.test(text) ? Buffer.from(text, 'hex').toString('latin1') : undefined),
  decode: (bytes) => Buffer.from(bytes, 'latin1').toString('hex'),
};
const uuid: Encoding = {
  encode: (text) => (UUID.test(text) ? Buffer.from(text.replaceAll('-', ''), 'hex').toString('latin1') : undefined),
  decode: (bytes) => {
    const text = Buffer.from(bytes, 'latin1').toString('hex');
    return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
  },
};
const base64: Encoding = {
  encode(text) {
    if (text.length % 4 !== 0) return undefined;
    const bytes = Buffer.from(text, 'base64');
    return bytes.toString('base64') === text ? bytes.toString('latin1') : undefined;
  },
  decode: (bytes) => Buffer.from(bytes, 'latin1').toString('base64'),
};
/** A hash, behind the two letters of a name where it has such. */
const base32: Encoding = {
  encode(text) {
    if (!BASE32.test(text)) return undefined;
    const hash = fromBase32(text.slice(-HASH));
    return hash === undefined ? undefined : text.slice(0, 2).repeat(text.length > HASH ? 1 : 0) + hash;
  },
  decode: (bytes) => (bytes.length > 32 ? `${bytes.slice(0, 2)}-` : '') + toBase32(bytes.slice(-32)),
};
const time: Encoding = {
  encode(text) {
    if (!TIME.test(text)) return undefined;
    const at = Date.parse(text);
    if (Number.isNaN(at) || at < 0) return undefined;
    const again = new Date(at).toISOString();
    const exact = again === text;
    if (!exact && `${again.slice(0, 19)}Z` !== text) return undefined;
    const bytes = Buffer.alloc(7);
    bytes.writeUIntBE(at, 0, 6);
    return bytes.toString('latin1', 0, exact ? 6 : 7);
  },
  decode(bytes) {
    const text = new Date(Buffer.from(bytes, 'latin1').readUIntBE(0, 6)).toISOString();
    return bytes.length === 6 ? text : `${text.slice(0, 19)}Z`;
  },
};

function fromBase32(text: string): string | undefined {
  const bytes = Buffer.alloc(32);
  let [value, bits, at] = [0, 0, 0];
  for (let i = 0; i < HASH; i++) {
    const code = text.charCodeAt(i);
    value = ((value << 5) | (code < 0x61 ? code - 24 : code - 0x61)) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = value >> bits;
  }
  return (value & ((1 << bits) - 1)) === 0 ? bytes.toString('latin1') : undefined;
}

function toBase32(bytes: string): string {
  let [text, value, bits] = ['', 0, 0];
  for (let i = 0; i < bytes.length; i++) {
    value = ((value << 8) | bytes.charCodeAt(i)) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
}

/** By tag: plain text of characters below 256, anything as JSON, then what is worth a try, in this order. */
const PLAIN = 0;
const AS_JSON = 1;
const FIRST_TRY = 2;
const TRIES: readonly Encoding[] = [uuid, hex, base32, time, base64];
/** Set in the tag where the length has three bytes. */
const LONG = 0x80;

function tagged(tag: number, bytes: string): string {
  const { length } = bytes;
  if (length < 256) return String.fromCharCode(tag, length) + bytes;
  return String.fromCharCode(tag | LONG, length >> 16, (length >> 8) & 0xff, length & 0xff) + bytes;
}

/** `like`: the tag of another leaf of which this one may be the like; then no others are tried. */
export function encodeLeaf(leaf: Leaf, like?: number): string {
  if (typeof leaf !== 'string') return tagged(AS_JSON, ascii(leaf));
  const tag = like === undefined ? undefined : like & ~LONG;
  if (tag !== undefined && tag >= FIRST_TRY) {
    const bytes = TRIES[tag - FIRST_TRY]?.encode(leaf);
    if (bytes !== undefined) return tagged(tag, bytes);
  }
  if (tag !== PLAIN && leaf.length >= SHORTEST_TRIED) {
    for (let i = 0; i < TRIES.length; i++) {
      const bytes = TRIES[i]?.encode(leaf);
      if (bytes !== undefined) return tagged(FIRST_TRY + i, bytes);
    }
  }
  return NARROW.test(leaf) ? tagged(PLAIN, leaf) : tagged(AS_JSON, ascii(leaf));
}

/** The leaf that begins there, and where it ends. */
export function decodeLeaf(packed: string, from: number): { value: Leaf; end: number } {
  const first = packed.charCodeAt(from);
  const long = first >= LONG;
  const length = long
    ? (packed.charCodeAt(from + 1) << 16) | (packed.charCodeAt(from + 2) << 8) | packed.charCodeAt(from + 3)
    : packed.charCodeAt(from + 1);
  const start = from + (long ? 4 : 2);
  const bytes = packed.slice(start, start + length);
  return { value: decoded(first & ~LONG, bytes), end: start + length };
}

function decoded(tag: number, bytes: string): Leaf {
  if (tag === PLAIN) return bytes;
  if (tag === AS_JSON) return JSON.parse(bytes) as Leaf;
  return (TRIES[tag - FIRST_TRY] ?? base64).decode(bytes);
}
