// JSON Web Keys of accounts (RFC 7517, RFC 7518 section 6, RFC 8037): public keys only, in the one canonical form.
import type { KeyObject } from 'node:crypto';
import { parseBase64url, sha256 } from './encoding.ts';
import { bitString, integer, nul, oid, sequence } from './der-writer.ts';
import { OID } from './oid.ts';
import { Problem } from './problem.ts';
import { type KeyWork, MAX_RSA_BITS, parsePublicKey } from './public-key.ts';

/** Signature algorithms of accounts (RFC 7518 section 3.1, RFC 8037 section 3.1). */
export const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export interface AccountKey {
  /** The members that make the key, in the order of RFC 7638 section 3. */
  jwk: Readonly<Record<string, string>>;
  key: KeyObject;
  /** RFC 7638 with SHA-256, base64url. */
  thumbprint: string;
  /** SHA-256 of the DER SubjectPublicKeyInfo. */
  spkiHash: Buffer;
  /** What the key may sign with. */
  algorithms: readonly Algorithm[];
  /** Bytes of every signature. */
  signatureLength: number;
}

/** A key as its members say, before it is judged. */
interface Encoded {
  jwk: Record<string, string>;
  spki: Buffer;
  algorithm: Algorithm;
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
/** Base64url of the longest modulus. */
const MAX_MEMBER = Math.ceil(MAX_RSA_BITS / 6) + 1;

/**
 * The key of a JWK: RSA as in public-key.ts, P-256, P-384 or Ed25519. Throws badPublicKey with the reason for others, for private
 * members, and for any text but the canonical one of a value; `alg`, `use` and `key_ops` must fit where they are given.
 */
export function importJwk(jwk: unknown, work: KeyWork = { operations: 0 }): AccountKey {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) throw bad('a JWK is a JSON object');
  const members = jwk as Readonly<Record<string, unknown>>;
  const secret = PRIVATE_MEMBERS.find((name) => Object.hasOwn(members, name));
  if (secret !== undefined)
    throw bad(`the JWK has the private member "${secret}": replace this key, it is no longer secret`);
  const encoded = encode(members);
  checkPurpose(members, encoded.algorithm);
  const facts = parsePublicKey(encoded.spki, work);
  return {
    jwk: encoded.jwk,
    key: facts.key,
    thumbprint: sha256(JSON.stringify(encoded.jwk)).toString('base64url'),
    spkiHash: sha256(encoded.spki),
    algorithms: [encoded.algorithm],
    signatureLength: facts.algorithm === 'RSA' ? Math.ceil(facts.size / 8) : facts.size / 4,
  };
}

/** RFC 7638 with SHA-256, base64url, of any key that has a JWK. */
export function thumbprintOf(key: KeyObject): string {
  const members = Object.entries(key.export({ format: 'jwk' })).sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256(JSON.stringify(Object.fromEntries(members))).toString('base64url');
}

function bad(detail: string): Problem {
  return new Problem('badPublicKey', detail);
}

function encode(members: Readonly<Record<string, unknown>>): Encoded {
  if (members.kty === 'RSA') return encodeRsa(members);
  if (members.kty === 'EC') return encodeEc(members);
  if (members.kty === 'OKP') return encodeOkp(members);
  throw bad('the "kty" of an account key is "RSA", "EC" or "OKP"');
}

function encodeRsa(members: Readonly<Record<string, unknown>>): Encoded {
  const [e, n] = [readMember(members, 'e'), readMember(members, 'n')];
  // RFC 7518 section 2: Base64urlUInt has no leading zero octets.
  if (e.bytes[0] === 0 || n.bytes[0] === 0) throw bad('"n" and "e" have no leading zero bytes');
  const key = sequence(integer(n.bytes), integer(e.bytes));
  const spki = sequence(sequence(oid(OID.rsaEncryption), nul()), bitString(key));
  return { jwk: { e: e.text, kty: 'RSA', n: n.text }, spki, algorithm: 'RS256' };
}

const EC_CURVES: Readonly<Record<string, { oid: string; length: number; algorithm: Algorithm } | undefined>> = {
  'P-256': { oid: OID.p256, length: 32, algorithm: 'ES256' },
  'P-384': { oid: OID.p384, length: 48, algorithm: 'ES384' },
};

function encodeEc(members: Readonly<Record<string, unknown>>): Encoded {
  const crv = typeof members.crv === 'string' && Object.hasOwn(EC_CURVES, members.crv) ? members.crv : '';
  const curve = EC_CURVES[crv];
  if (!curve) throw bad('the "crv" of an EC account key is "P-256" or "P-384"');
  const [x, y] = [readMember(members, 'x'), readMember(members, 'y')];
  if (x.bytes.length !== curve.length || y.bytes.length !== curve.length)
    throw bad(`"x" and "y" have ${curve.length} bytes on ${crv}`);
  const point = bitString(Buffer.concat([Buffer.of(4), x.bytes, y.bytes]));
  const spki = sequence(sequence(oid(OID.ecPublicKey), oid(curve.oid)), point);
  return { jwk: { crv, kty: 'EC', x: x.text, y: y.text }, spki, algorithm: curve.algorithm };
}

function encodeOkp(members: Readonly<Record<string, unknown>>): Encoded {
  if (members.crv !== 'Ed25519') throw bad('the "crv" of an OKP account key is "Ed25519"');
  const x = readMember(members, 'x');
  const spki = sequence(sequence(oid(OID.ed25519)), bitString(x.bytes));
  return { jwk: { crv: 'Ed25519', kty: 'OKP', x: x.text }, spki, algorithm: 'EdDSA' };
}

function readMember(members: Readonly<Record<string, unknown>>, name: string): { text: string; bytes: Buffer } {
  const text = members[name];
  if (typeof text !== 'string' || text === '') throw bad(`the JWK needs "${name}"`);
  if (text.length > MAX_MEMBER) throw bad(`"${name}" is too long: RSA keys have at most ${MAX_RSA_BITS} bits`);
  const bytes = parseBase64url(text);
  if (!bytes) throw bad(`"${name}" is not canonical base64url without padding`);
  return { text, bytes };
}

/** RFC 7517 sections 4.2 to 4.4. */
function checkPurpose(members: Readonly<Record<string, unknown>>, algorithm: Algorithm): void {
  const { alg, use, key_ops: operations } = members;
  if (alg !== undefined && alg !== algorithm) throw bad(`the JWK is not for "alg" ${algorithm}, which its type needs`);
  if (use !== undefined && use !== 'sig') throw bad('the JWK is not for signatures by its "use"');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    throw bad('the JWK is not for verification by its "key_ops"');
}
