// JSON Web Signatures as ACME uses them (RFC 7515 section 7.2.2, RFC 8555 section 6.2): flattened JSON, one signature, all of the
// header protected. Parsing needs no key; nothing is verified that is not well-formed.
import { createHmac, timingSafeEqual, verify } from 'node:crypto';
import { integer, sequence } from './der-writer.ts';
import { parseBase64url } from './encoding.ts';
import { quote } from './identifier.ts';
import { parseJson } from './json.ts';
import { type AccountKey, ALGORITHMS, type Algorithm } from './jwk.ts';
import { Problem } from './problem.ts';
import type { KeyWork } from './public-key.ts';

export const MAX_JWS_BYTES = 65_536;

export interface JwsHeader {
  alg: Algorithm;
  nonce?: string;
  url?: string;
  /** Exactly one of `kid` and `jwk` is there. */
  kid?: string;
  jwk?: unknown;
}

interface Signed<Header> {
  header: Header;
  payload: Buffer;
  signature: Buffer;
  /** What the signature is over. */
  signingInput: Buffer;
}

export type Jws = Signed<JwsHeader>;
/** The inner JWS of a key change: signed by the key it carries. */
export type InnerJws = Signed<JwsHeader & { jwk: unknown; url: string }>;

export const MAC_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
type MacAlgorithm = (typeof MAC_ALGORITHMS)[number];
/** The inner JWS of an external account binding. */
export type BindingJws = Signed<{ alg: MacAlgorithm; kid: string; url: string }>;

function malformed(detail: string): Problem {
  return new Problem('malformed', detail);
}

/**
 * The JWS in the body of a request. Throws malformed for any other form, badSignatureAlgorithm (with `algorithms`) for an algorithm
 * accounts cannot use. Whether `nonce` and `url` are there and right is the caller's to check, as is the choice of `jwk` or `kid`.
 */
export function parseJws(body: Buffer): Jws {
  if (body.length > MAX_JWS_BYTES)
    throw new Problem('malformed', `the body is larger than ${MAX_JWS_BYTES} bytes`, { status: 413 });
  return readSigned(parseJson(body));
}

function readSigned(value: unknown): Jws {
  const { header, ...rest } = readFlattened(value);
  const { jwk } = header;
  const texts = { nonce: header.nonce, url: header.url, kid: header.kid };
  const given = Object.entries(texts).filter((entry) => entry[1] !== undefined);
  const odd = given.find(([, text]) => typeof text !== 'string');
  if (odd) throw malformed(`"${odd[0]}" in the protected header is text`);
  if ((jwk === undefined) === (texts.kid === undefined))
    throw malformed('the protected header has either "jwk" or "kid" (RFC 8555 section 6.2)');
  if (jwk !== undefined && !isObject(jwk)) throw malformed('"jwk" in the protected header is a JSON object');
  const alg = ALGORITHMS.find((known) => known === header.alg);
  if (alg === undefined) throw badAlgorithm(`"alg" ${quote(String(header.alg))} is not supported`);
  return { header: { ...Object.fromEntries(given), alg, ...(jwk === undefined ? {} : { jwk }) }, ...rest };
}

/**
 * The inner JWS of a key-change payload (RFC 8555 section 7.3.5), parsed JSON: `jwk` and `url` required, `nonce` refused. Throws as
 * parseJws.
 */
export function parseInnerJws(value: unknown): InnerJws {
  const jws = readSigned(value);
  const { jwk, url, nonce } = jws.header;
  if (jwk === undefined) throw malformed('the inner protected header must have "jwk"');
  if (nonce !== undefined) throw malformed('the inner protected header must not have "nonce"');
  if (url === undefined) throw malformed('the inner protected header must have "url"');
  return { ...jws, header: { ...jws.header, jwk, url } };
}

/** The value of externalAccountBinding (RFC 8555 section 7.3.4), parsed JSON. Throws malformed. */
export function parseBindingJws(value: unknown): BindingJws {
  const { header, ...rest } = readFlattened(value);
  const { kid, url } = header;
  const alg = MAC_ALGORITHMS.find((known) => known === header.alg);
  if (alg === undefined)
    throw malformed(`the "alg" of an external account binding is one of ${MAC_ALGORITHMS.join(', ')}`);
  if (header.nonce !== undefined) throw malformed('an external account binding must not have "nonce"');
  if (header.jwk !== undefined) throw malformed('an external account binding names its key by "kid", not "jwk"');
  if (typeof kid !== 'string' || kid === '') throw malformed('an external account binding must have "kid"');
  if (typeof url !== 'string') throw malformed('an external account binding must have "url"');
  return { header: { alg, kid, url }, ...rest };
}

type Header = Readonly<Record<string, unknown>>;

/** What all of them have in common. Members of the JWS that nobody knows are ignored (RFC 7515 section 7.2.1). */
function readFlattened(value: unknown): Signed<Header> {
  if (!isObject(value))
    throw malformed('a JWS in flattened JSON serialization is a JSON object (RFC 8555 section 6.2)');
  if ('signatures' in value) throw malformed('a JWS here has one signature, in flattened JSON serialization');
  if ('header' in value) throw malformed('a JWS here has no unprotected "header"');
  const { protected: encodedHeader, payload, signature } = value;
  const headerBytes = readMember(encodedHeader, 'protected');
  const payloadBytes = readMember(payload, 'payload');
  const signatureBytes = readMember(signature, 'signature');
  const header = parseJson(headerBytes, { depth: 4, keys: 64 });
  if (!isObject(header)) throw malformed('the protected header is a JSON object');
  const refused = ['crit', 'b64', 'zip'].find((name) => name in header);
  if (refused !== undefined) throw malformed(`"${refused}" in the protected header is not supported`);
  if (typeof header.alg !== 'string') throw malformed('the protected header must have "alg"');
  const signingInput = Buffer.from(`${encodedHeader as string}.${payload as string}`, 'latin1');
  return { header, payload: payloadBytes, signature: signatureBytes, signingInput };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readMember(text: unknown, name: string): Buffer {
  if (typeof text !== 'string') throw malformed(`a JWS must have "${name}" as text`);
  const bytes = parseBase64url(text);
  if (!bytes) throw malformed(`"${name}" is not canonical base64url without padding (RFC 8555 section 6.1)`);
  return bytes;
}

function badAlgorithm(detail: string): Problem {
  return new Problem('badSignatureAlgorithm', `${detail}: use one of ${ALGORITHMS.join(', ')}`, {
    members: { algorithms: [...ALGORITHMS] },
  });
}

const HASHES: Readonly<Record<Algorithm, string | null>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  EdDSA: null,
  RS256: 'sha256',
};

/** Throws badPublicKey where the key does not fit `alg`, malformed where the signature is wrong. At most one key operation. */
export function verifyJws(jws: Jws, key: AccountKey, work: KeyWork = { operations: 0 }): void {
  const { alg } = jws.header;
  if (!key.algorithms.includes(alg))
    throw new Problem('badPublicKey', `"alg" ${alg} does not fit the key, which needs ${key.algorithms.join(' or ')}`);
  if (jws.signature.length !== key.signatureLength)
    throw malformed(`the signature has ${jws.signature.length} bytes, ${alg} with this key has ${key.signatureLength}`);
  work.operations++;
  const signature = alg.startsWith('ES') ? ecdsaSignature(jws.signature) : jws.signature;
  if (!verify(HASHES[alg], jws.signingInput, key.key, signature)) throw malformed('the signature is wrong');
}

/**
 * DER of r and s side by side (RFC 7518 section 3.4). Node takes that form too, but only beside the key in an options object, whose
 * unpacking costs a good part of the verification.
 */
function ecdsaSignature(bytes: Buffer): Buffer {
  const half = bytes.length / 2;
  return sequence(integer(bytes.subarray(0, half)), integer(bytes.subarray(half)));
}

const MAC_HASHES: Readonly<Record<MacAlgorithm, { hash: string; length: number }>> = {
  HS256: { hash: 'sha256', length: 32 },
  HS384: { hash: 'sha384', length: 48 },
  HS512: { hash: 'sha512', length: 64 },
};

/** Throws unauthorized where the MAC is wrong or the key shorter than the hash (RFC 7518 section 3.2). */
export function verifyBinding(jws: BindingJws, macKey: Buffer): void {
  const { hash, length } = MAC_HASHES[jws.header.alg];
  const mac = createHmac(hash, macKey).update(jws.signingInput).digest();
  if (macKey.length < length)
    throw new Problem('unauthorized', `the external account binding key is too short for ${jws.header.alg}`);
  if (jws.signature.length !== mac.length || !timingSafeEqual(mac, jws.signature))
    throw new Problem('unauthorized', 'the MAC of the external account binding is wrong');
}
