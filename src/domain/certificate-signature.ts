// Signature algorithms of certificates and CRLs (RFC 4055, RFC 5758, RFC 8410): which one a CA key signs with.
import { type KeyObject, sign, verify } from 'node:crypto';
import { nul, oid, sequence } from './der-writer.ts';
import { OID } from './oid.ts';

export interface SignatureAlgorithm {
  /** DER AlgorithmIdentifier. */
  der: Buffer;
  /** Digest as node:crypto names it; undefined where the algorithm has its own. */
  hash: 'sha256' | 'sha384' | 'sha512' | undefined;
}

const CURVES: Readonly<Record<string, SignatureAlgorithm>> = {
  prime256v1: { der: sequence(oid(OID.ecdsaWithSha256)), hash: 'sha256' },
  secp384r1: { der: sequence(oid(OID.ecdsaWithSha384)), hash: 'sha384' },
  secp521r1: { der: sequence(oid(OID.ecdsaWithSha512)), hash: 'sha512' },
};
const RSA: SignatureAlgorithm = { der: sequence(oid(OID.sha256WithRsa), nul()), hash: 'sha256' };
const ED25519: SignatureAlgorithm = { der: sequence(oid(OID.ed25519)), hash: undefined };

/** What keys like this one sign with: RSA with SHA-256, ECDSA with the digest of its curve's size, Ed25519. Throws Error for other keys. */
export function signatureAlgorithm(key: KeyObject): SignatureAlgorithm {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const algorithm =
    key.asymmetricKeyType === 'rsa' ? RSA : key.asymmetricKeyType === 'ed25519' ? ED25519 : CURVES[curve];
  if (!algorithm) throw new Error('the key is neither RSA, nor ECDSA on P-256, P-384 or P-521, nor Ed25519');
  return algorithm;
}

/** Signs on the calling thread. */
export function signWith(key: KeyObject, data: Buffer): Buffer {
  return sign(signatureAlgorithm(key).hash, data, key);
}

/**
 * Signs without holding up the event loop: P-256 and Ed25519 take some 25 µs and are done in place, the slower keys in a
 * thread of the pool.
 */
export function signAside(key: KeyObject, data: Buffer): Promise<Buffer> {
  const { hash } = signatureAlgorithm(key);
  if (key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyDetails?.namedCurve === 'prime256v1')
    return Promise.resolve(sign(hash, data, key));
  return new Promise((resolve, reject) => {
    sign(hash, data, key, (error, signature) => (error ? reject(error) : resolve(signature)));
  });
}

/** Whether the key made this signature with the algorithm it signs with here; any other algorithm is false. */
export function verifiesWith(key: KeyObject, algorithm: Buffer, data: Buffer, signature: Buffer): boolean {
  const own = signatureAlgorithm(key);
  return own.der.equals(algorithm) && verify(own.hash, data, key, signature);
}
