// The CRL of each issuer: built when asked for, kept until something was revoked or half its life is over.
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { type CertificateRecord, isIssued } from '../api/issued-certificate.ts';
import { parseDuration } from '../domain/duration.ts';
import type { Backends, Cache, Clock, RevokedEntry } from '../ports.ts';

const CRL_MS = 7 * 24 * 3600_000;

export interface Crls {
  /** DER, or undefined where the CA publishes its own. */
  of(issuer: ClusterCAIssuer): Promise<Buffer | undefined>;
}

interface Kept {
  der: Promise<Buffer> | undefined;
  number: bigint;
  freshUntil: number;
  generation: number;
}

/** Index of the record cache: revoked records by issuer UID. */
export const REVOKED_INDEX = 'revoked';

export function revokedIndex(record: CertificateRecord): string[] {
  return record.spec.revocation ? [record.spec.issuerUID] : [];
}

export function createCrls(deps: { records: Cache<CertificateRecord>; backends: Backends; clock: Clock }): Crls {
  const kept = new Map<string, Kept>();
  deps.records.onChange((record) => {
    const crl = kept.get(record.spec.issuerUID);
    if (crl && record.spec.revocation) crl.freshUntil = 0;
  });

  function entries(issuerUID: string, now: Date): RevokedEntry[] {
    return deps.records
      .byIndex(REVOKED_INDEX, issuerUID)
      .filter(isIssued)
      .filter(({ status }) => new Date(status.notAfter) > now)
      .flatMap(({ spec, status }) =>
        spec.revocation
          ? [{ serial: status.serial, revokedAt: new Date(spec.revocation.revokedAt), reason: spec.revocation.reason }]
          : [],
      );
  }

  return {
    of: async (issuer) => {
      const backend = deps.backends.of(issuer);
      if (!backend.signCrl) return undefined;
      const uid = issuer.metadata.uid;
      const now = deps.clock.now();
      const old = kept.get(uid);
      if (old && deps.clock.monotonic() < old.freshUntil && old.generation === issuer.metadata.generation)
        return old.der;
      // The number follows the clock, so that it grows over restarts too (RFC 5280 section 5.2.3).
      const byClock = BigInt(now.getTime());
      const number = old && byClock <= old.number ? old.number + 1n : byClock;
      const life = issuer.spec.backend.ca?.crlDuration;
      const der = backend.signCrl(entries(uid, now), number, now);
      const freshUntil = deps.clock.monotonic() + (life === undefined ? CRL_MS : parseDuration(life)) / 2;
      kept.set(uid, { der, number, freshUntil, generation: issuer.metadata.generation });
      der.catch(() => kept.delete(uid));
      return der;
    },
  };
}
