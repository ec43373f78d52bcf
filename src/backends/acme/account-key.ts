// The key of an account at an ACME server, and what is signed with it (RFC 8555 section 6.2, RFC 7515).
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type AccountKey as PublicAccountKey, type Algorithm, importJwk } from '../../domain/jwk.ts';
import { RemoteFault } from '../https/remote-fault.ts';

export interface AccountKey extends Pick<PublicAccountKey, 'jwk' | 'thumbprint'> {
  /** Flattened JWS. `payload` undefined is POST-as-GET. */
  sign(header: Readonly<Record<string, unknown>>, payload: object | undefined): object;
}

/** PKCS#8, PEM: the kind of key that every ACME server takes. */
export function makeAccountKey(): Buffer {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** Throws RemoteFault for what is no key, or none that accounts can have. */
export function readAccountKey(pem: Buffer): AccountKey {
  const key = parse(pem);
  const { jwk, thumbprint, algorithms } = key.facts;
  const [algorithm = 'ES256'] = algorithms;
  return {
    jwk,
    thumbprint,
    sign: (header, payload) =>
      flattened({ alg: algorithm, ...header }, payload, (input) => signWith(key.privateKey, algorithm, input)),
  };
}

/** RFC 8555 section 7.3.4. */
export function bindAccount(
  { jwk }: Pick<AccountKey, 'jwk'>,
  { keyID, macKey, url }: { keyID: string; macKey: Buffer; url: string },
): object {
  return flattened({ alg: 'HS256', kid: keyID, url }, jwk, (input) =>
    createHmac('sha256', macKey).update(input).digest(),
  );
}

function parse(pem: Buffer): { privateKey: KeyObject; facts: PublicAccountKey } {
  try {
    const privateKey = createPrivateKey(pem);
    return { privateKey, facts: importJwk(createPublicKey(privateKey).export({ format: 'jwk' })) };
  } catch {
    // What OpenSSL says may quote the key.
    throw new RemoteFault(
      'SecretUnusable',
      'the account key is no private key that ACME accounts can have: P-256, P-384, Ed25519 or RSA of 2048 bits or more, PEM',
    );
  }
}

function flattened(header: object, payload: object | undefined, signer: (input: string) => Buffer): object {
  const head = Buffer.from(JSON.stringify(header)).toString('base64url');
  const body = payload === undefined ? '' : Buffer.from(JSON.stringify(payload)).toString('base64url');
  return { protected: head, payload: body, signature: signer(`${head}.${body}`).toString('base64url') };
}

const HASHES: Readonly<Record<Algorithm, string | null>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  RS256: 'sha256',
  EdDSA: null,
};

function signWith(key: KeyObject, algorithm: Algorithm, input: string): Buffer {
  return sign(HASHES[algorithm], Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
}
