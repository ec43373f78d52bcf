// Keys that no certificate may have: those of accounts (RFC 8555 section 11.1), of CAs, and those revoked as compromised.
import type { KeyObject } from 'node:crypto';
import type { Issuer } from '../api/issuer.ts';
import { parseCertificate } from '../domain/certificate.ts';
import type { CertificateSigningRequest } from '../domain/certificate-model.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { hashKey } from '../domain/encoding.ts';
import { Problem } from '../domain/problem.ts';
import type { Cache } from '../ports.ts';
import type { Records } from './records.ts';

export interface ForbiddenKeysDeps {
  objects: {
    /** Whether an account of any issuer has or had the key. */
    isAccountKey(key: KeyObject): boolean;
  };
  issuers: Cache<Issuer>;
  records: Pick<Records, 'isCompromised'>;
}

/**
 * Why the key of the CSR must not be certified by the issuer, as the caches know; undefined if it may. What a tenant calls a CA is
 * heeded by that issuer alone: no tenant decides what others may have certified.
 */
export type RefuseKey = (issuerUID: string, csr: Pick<CertificateSigningRequest, 'publicKey'>) => Problem | undefined;

export function createRefuseKey({ objects, issuers, records }: ForbiddenKeysDeps): RefuseKey {
  const authorityKeys = authorityKeysOf();
  return (issuerUID, { publicKey }) => {
    const name = hashKey(publicKey.spki);
    if (objects.isAccountKey(publicKey.key)) return refusal('the key of an account');
    const heeded = ({ metadata: { namespace, uid } }: Issuer) => namespace === undefined || uid === issuerUID;
    if (issuers.list().some((issuer) => heeded(issuer) && authorityKeys(issuer).has(name)))
      return refusal('the key of a CA');
    return records.isCompromised(name) ? refusal('a key that was revoked as compromised') : undefined;
  };
}

function refusal(what: string): Problem {
  return new Problem('badCSR', `the key of the CSR is ${what}: make another key for the certificate`);
}

/** Hashes of the keys in an issuer's chains, made once for each version of them. */
function authorityKeysOf(): (issuer: Issuer) => ReadonlySet<string> {
  const known = new WeakMap<object, ReadonlySet<string>>();
  return ({ status }) => {
    const chains = status?.chains ?? [];
    const keys =
      known.get(chains) ??
      new Set(
        chains
          .flatMap(({ pem }) => parsePemCertificates(pem))
          .map((certificate) => hashKey(parseCertificate(certificate).spki)),
      );
    known.set(chains, keys);
    return keys;
  };
}
