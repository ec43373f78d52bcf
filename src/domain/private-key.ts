// Private keys that we make for others: generated, written as PKCS#8 PEM, read back, compared with what was asked for.
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import type { KeyParameters } from '../api/ca-issuer.ts';

/** What `size` means when it is left out, RSA being the only algorithm where that is a matter of taste. */
const DEFAULT_BITS = { RSA: 2048, ECDSA: 256 } as const;
const CURVES: Readonly<Record<number, string>> = { 256: 'prime256v1', 384: 'secp384r1', 521: 'secp521r1' };

export const DEFAULT_KEY: KeyParameters = { algorithm: 'ECDSA', size: 256 };

/**
 * Whether the parameters name a key that exists, or what is wrong with them; the schema lists all sizes for all algorithms.
 */
export function keyParametersProblem({ algorithm, size }: KeyParameters): string | undefined {
  if (size === undefined) return undefined;
  if (algorithm === 'Ed25519') return 'an Ed25519 key has no size to choose';
  if (algorithm === 'ECDSA') return size in CURVES ? undefined : 'size of an ECDSA key is 256, 384 or 521';
  return size in CURVES ? 'size of an RSA key is 2048, 3072 or 4096' : undefined;
}

/** A fresh key; made in the thread pool, so RSA does not hold up the event loop. Throws RangeError for parameters with a problem. */
export function generatePrivateKey(parameters: KeyParameters): Promise<KeyObject> {
  const problem = keyParametersProblem(parameters);
  if (problem) throw new RangeError(problem);
  const { promise, resolve, reject } = Promise.withResolvers<KeyObject>();
  const done = (error: Error | null, _publicKey: KeyObject, privateKey: KeyObject) =>
    error ? reject(error) : resolve(privateKey);
  const { algorithm, size } = parameters;
  if (algorithm === 'Ed25519') generateKeyPair('ed25519', undefined, done);
  else if (algorithm === 'RSA') generateKeyPair('rsa', { modulusLength: size ?? DEFAULT_BITS.RSA }, done);
  else generateKeyPair('ec', { namedCurve: CURVES[size ?? DEFAULT_BITS.ECDSA] ?? '' }, done);
  return promise;
}

/** Whether the key is one that generatePrivateKey would make of these parameters. */
export function keyMatches(key: KeyObject, { algorithm, size }: KeyParameters): boolean {
  const details = key.asymmetricKeyDetails;
  switch (algorithm) {
    case 'Ed25519':
      return key.asymmetricKeyType === 'ed25519';
    case 'RSA':
      return key.asymmetricKeyType === 'rsa' && details?.modulusLength === (size ?? DEFAULT_BITS.RSA);
    case 'ECDSA':
      return key.asymmetricKeyType === 'ec' && details?.namedCurve === CURVES[size ?? DEFAULT_BITS.ECDSA];
  }
}

/** PKCS#8 PEM, unencrypted. */
export function renderPrivateKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The first private key of a PEM text (PKCS#8, PKCS#1 or SEC1); undefined where there is none or it is encrypted or broken. */
export function parsePrivateKey(pem: Buffer | string): KeyObject | undefined {
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    return undefined;
  }
}

/** DER SubjectPublicKeyInfo of a private or public key. */
export function spkiOf(key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return publicKey.export({ type: 'spki', format: 'der' });
}
