// A small DER writer for what the tests send: well-formed bytes by default, any malformed ones on request. Independent of src/.

export type Der = Buffer;

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

export function tlv(tag: number, ...contents: readonly Uint8Array[]): Der {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), encodeLength(content.length), content]);
}

export const sequence = (...items: readonly Der[]): Der => tlv(0x30, ...items);

/** SET OF: DER sorts the members by their encoding. */
export const setOf = (...items: readonly Der[]): Der => tlv(0x31, ...[...items].sort((a, b) => Buffer.compare(a, b)));

export const octetString = (content: Uint8Array): Der => tlv(0x04, content);
export const bitString = (content: Uint8Array, unusedBits = 0): Der => tlv(0x03, Buffer.from([unusedBits]), content);
export const utf8String = (text: string): Der => tlv(0x0c, Buffer.from(text, 'utf8'));
export const ia5String = (text: string): Der => tlv(0x16, Buffer.from(text, 'latin1'));
export const printableString = (text: string): Der => tlv(0x13, Buffer.from(text, 'latin1'));
export const boolean = (value: boolean): Der => tlv(0x01, Buffer.from([value ? 0xff : 0x00]));
export const nullValue = (): Der => tlv(0x05);

/** [n] EXPLICIT, or the constructed form of an implicit tag. */
export const context = (number: number, ...content: readonly Der[]): Der => tlv(0xa0 | number, ...content);
/** [n] IMPLICIT over a primitive type. */
export const contextPrimitive = (number: number, content: Uint8Array): Der => tlv(0x80 | number, content);

export function integer(value: number | bigint | Uint8Array): Der {
  if (value instanceof Uint8Array) {
    return (value[0] ?? 0) & 0x80 ? tlv(0x02, Buffer.from([0]), value) : tlv(0x02, value);
  }
  const hex = BigInt(value).toString(16);
  return integer(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
}

export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(0x06, Buffer.from(bytes));
}

/** UTCTime to 2049, GeneralizedTime after, as RFC 5280 section 4.1.2.5 asks. */
export function time(date: Date): Der {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? tlv(0x17, Buffer.from(digits.slice(2), 'latin1'))
    : tlv(0x18, Buffer.from(digits, 'latin1'));
}

/** A name of one common name, or of none. */
export function commonName(value: string | undefined): Der {
  return value === undefined ? sequence() : distinguishedName([['2.5.4.3', value]]);
}

/** One attribute a relative distinguished name. */
export function distinguishedName(attributes: readonly (readonly [oid: string, value: string])[]): Der {
  return sequence(...attributes.map(([type, value]) => setOf(sequence(oid(type), utf8String(value)))));
}

export interface Extension {
  oid: string;
  critical?: boolean;
  /** The DER inside the OCTET STRING. */
  value: Der;
}

export function extension({ oid: type, critical, value }: Extension): Der {
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value));
}

export const generalName = {
  email: (value: string): Der => contextPrimitive(1, Buffer.from(value, 'latin1')),
  dns: (value: string): Der => contextPrimitive(2, Buffer.from(value, 'latin1')),
  uri: (value: string): Der => contextPrimitive(6, Buffer.from(value, 'latin1')),
  ip: (value: string): Der => contextPrimitive(7, ipBytes(value)),
  /** otherName: a user principal name. */
  upn: (value: string): Der => context(0, oid('1.3.6.1.4.1.311.20.2.3'), context(0, utf8String(value))),
  directory: (value: string): Der => context(4, commonName(value)),
  registeredID: (dotted: string): Der => contextPrimitive(8, oid(dotted).subarray(2)),
};

export const subjectAltName = (names: readonly Der[], critical = false): Extension => ({
  oid: '2.5.29.17',
  critical,
  value: sequence(...names),
});

/** Four bytes for a dotted quad, sixteen for IPv6 text. */
export function ipBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [before, after] = [groups(head), tail === undefined ? [] : groups(tail)];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const bytes = Buffer.alloc(16);
  [...before, ...Array<number>(zeros).fill(0), ...after].forEach((group, index) =>
    bytes.writeUInt16BE(group, index * 2),
  );
  return bytes;
}
