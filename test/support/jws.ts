// Keys and JSON Web Signatures by node:crypto alone, every part of which a test can replace. Independent of src/ and of jose.
import { createHash, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export type Jwk = Readonly<Record<string, string>>;

export interface SigningKey {
  /** JWS algorithm that fits the key. */
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** Public members only. */
  readonly jwk: Jwk;
  /** RFC 7638, base64url. */
  readonly thumbprint: string;
}

/** Flattened JSON serialization. */
export interface Jws {
  protected: string;
  payload: string;
  signature: string;
}

type KeyAlgorithm = 'ES256' | 'ES384' | 'ES512' | 'RS256' | 'EdDSA';

const CURVES: Partial<Record<KeyAlgorithm, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
const HASHES: Readonly<Record<string, string>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
  RS256: 'sha256',
};
const THUMBPRINT_MEMBERS = ['crv', 'e', 'kty', 'n', 'x', 'y'];

export const base64url = (data: string | Uint8Array): string => Buffer.from(data).toString('base64url');

export function createSigningKey(alg: KeyAlgorithm = 'ES256', rsaBits = 2048): SigningKey {
  return signingKey(alg, generate(alg, rsaBits));
}

/** A JWS key from an existing pair, such as that of a certificate. */
export function signingKey(alg: string, pair: { privateKey: KeyObject; publicKey: KeyObject }): SigningKey {
  const jwk = pair.publicKey.export({ format: 'jwk' }) as Jwk;
  return { alg, ...pair, jwk, thumbprint: thumbprintOf(jwk) };
}

function generate(alg: KeyAlgorithm, rsaBits: number): { privateKey: KeyObject; publicKey: KeyObject } {
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519');
  if (alg === 'RS256') return generateKeyPairSync('rsa', { modulusLength: rsaBits });
  return generateKeyPairSync('ec', { namedCurve: CURVES[alg] ?? 'P-256' });
}

function thumbprintOf(jwk: Jwk): string {
  const members = THUMBPRINT_MEMBERS.filter((name) => name in jwk).map((name) => [name, jwk[name]]);
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(members)))
    .digest('base64url');
}

/** RFC 8555 section 8.1. */
export function keyAuthorization(token: string, key: SigningKey): string {
  return `${token}.${key.thumbprint}`;
}

export function rawSignature(key: SigningKey, data: string): Buffer {
  // Node makes the form of JWS too, but beside the key in an options object, whose unpacking costs as much as the signature.
  const signature = sign(HASHES[key.alg] ?? null, Buffer.from(data), key.privateKey);
  const half = HALVES[key.alg];
  return half === undefined ? signature : sideBySide(signature, half);
}

/** Bytes of r and of s. */
const HALVES: Readonly<Record<string, number>> = { ES256: 32, ES384: 48, ES512: 66 };

/** RFC 7518 section 3.4, of the DER that X.509 has. */
function sideBySide(der: Buffer, half: number): Buffer {
  const raw = Buffer.alloc(2 * half);
  // A SEQUENCE of two INTEGERs; only those of P-521 need a second byte for the length.
  let at = (der[1] ?? 0) > 0x80 ? 3 : 2;
  for (const end of [half, 2 * half]) {
    const start = at + 2;
    at = start + (der[at + 1] ?? 0);
    const value = der.subarray(Math.max(start, at - half), at);
    value.copy(raw, end - value.length);
  }
  return raw;
}

/** Text of a header or payload: objects as JSON, text and bytes as they are, `undefined` as nothing (POST-as-GET). */
export type JwsContent = object | string | Uint8Array | undefined;

function encoded(content: JwsContent): string {
  if (content === undefined) return '';
  if (typeof content === 'string' || content instanceof Uint8Array) return base64url(content);
  return base64url(JSON.stringify(content));
}

export function signJws(key: SigningKey, header: JwsContent, payload: JwsContent): Jws {
  return signEncoded(key, encoded(header), encoded(payload));
}

/** Signs parts that are base64url already, or only look so. */
export function signEncoded(key: SigningKey, encodedHeader: string, encodedPayload: string): Jws {
  const signature = rawSignature(key, `${encodedHeader}.${encodedPayload}`);
  return { protected: encodedHeader, payload: encodedPayload, signature: base64url(signature) };
}

/** A JWS under a MAC: external account binding, RFC 8555 section 7.3.4. */
export function macJws(macKey: Uint8Array, header: JwsContent, payload: JwsContent): Jws {
  const [encodedHeader, encodedPayload] = [encoded(header), encoded(payload)];
  const mac = createHmac('sha256', macKey).update(`${encodedHeader}.${encodedPayload}`).digest('base64url');
  return { protected: encodedHeader, payload: encodedPayload, signature: mac };
}
