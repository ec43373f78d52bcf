// Byte encodings, strict where Node's are lenient: one byte string has one text, and any other text is refused.
import { hash } from 'node:crypto';

const BASE64URL = /^[A-Za-z0-9_-]*$/;

/** Bytes of unpadded base64url (RFC 7515 section 2); undefined for padding, other characters or stray tail bits. */
export function parseBase64url(text: string): Buffer | undefined {
  if (text.length % 4 === 1 || !BASE64URL.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  const tail = text.length % 4;
  // Only the last group can be non-canonical, so only it is encoded again.
  if (tail !== 0 && bytes.subarray(bytes.length - (tail - 1)).toString('base64url') !== text.slice(-tail))
    return undefined;
  return bytes;
}

export function sha256(bytes: Buffer | string): Buffer {
  return hash('sha256', bytes, 'buffer');
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Lower-case unpadded base32 (RFC 4648 section 6): fits Kubernetes names and labels. */
export function base32(bytes: Buffer): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32[(value >>> bits) & 31];
      value &= (1 << bits) - 1;
    }
  }
  return bits > 0 ? text + BASE32[(value << (5 - bits)) & 31] : text;
}

/** SHA-256 of the parts joined by NUL, as 52 characters of base32: the hash of every derived name and label. */
export function hashName(...parts: string[]): string {
  return base32(sha256(parts.join('\0')));
}

/** SHA-256 of a SubjectPublicKeyInfo as base32: by what records are found that have a key. */
export function hashKey(spki: Buffer): string {
  return base32(sha256(spki));
}

/** PEM of one DER object (RFC 7468): 64 characters a line, a final newline. */
export function renderPem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
