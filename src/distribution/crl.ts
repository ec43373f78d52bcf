// The CRL of each issuer, of all certificates issued under the name its CA has now, by whichever of its keys (docs/revocation.md):
// built when asked for, kept until something was revoked, the CA changed, or half its life is over.
import type { Issuer } from '../api/issuer.ts';
import { type CertificateRecord, type IssuedCertificate, isIssued } from '../api/issued-certificate.ts';
import { parseCertificate } from '../domain/certificate.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { nameKey } from '../domain/distinguished-name.ts';
import { parseDuration } from '../domain/duration.ts';
import type { Backends, Cache, Clock, RevokedEntry } from '../ports.ts';

const CRL_MS = 7 * 24 * 3600_000;
/** Tenants make and remove issuers as they like; a list beyond these is signed again when asked for. */
const MAX_KEPT = 1024;

export interface Crls {
  /** DER, or undefined where the CA publishes its own. Throws Unavailable until the records are read. */
  of(issuer: Issuer): Promise<Buffer | undefined>;
}

interface Kept {
  der: Promise<Buffer> | undefined;
  number: bigint;
  freshUntil: number;
  /** Spec and CA of the issuer it was made for. */
  madeFor: string;
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

  /** Expired certificates stay for the life of a list, so that each stands on one made after its end (RFC 5280 section 3.3). */
  function entries(issuer: Issuer, now: Date, lifeMs: number): RevokedEntry[] {
    const isCovered = coverage(issuer);
    return deps.records
      .byIndex(REVOKED_INDEX, issuer.metadata.uid)
      .filter(isIssued)
      .filter(({ status }) => new Date(status.notAfter).getTime() + lifeMs > now.getTime())
      .filter(isCovered)
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
      // A list that lacks what was revoked would be believed until its life is over.
      if (!deps.records.hasSynced()) throw new ClusterError('Unavailable', 'the records are not all read yet');
      const uid = issuer.metadata.uid;
      const now = deps.clock.now();
      const old = kept.get(uid);
      const madeFor = `${issuer.metadata.generation} ${issuer.status?.ca?.fingerprint ?? ''}`;
      if (old && deps.clock.monotonic() < old.freshUntil && old.madeFor === madeFor) return old.der;
      // The number follows the clock, so that it grows over restarts too (RFC 5280 section 5.2.3).
      const byClock = BigInt(now.getTime());
      const number = old && byClock <= old.number ? old.number + 1n : byClock;
      const crlDuration = issuer.spec.backend.ca?.crlDuration;
      const lifeMs = crlDuration === undefined ? CRL_MS : parseDuration(crlDuration);
      const der = backend.signCrl(entries(issuer, now, lifeMs), number, now);
      kept.set(uid, { der, number, freshUntil: deps.clock.monotonic() + lifeMs / 2, madeFor });
      der.catch(() => kept.get(uid)?.der === der && kept.delete(uid));
      const oldest = kept.keys().next().value;
      if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
      return der;
    },
  };
}

/**
 * A list speaks for the name that it is issued under (RFC 5280 section 5): for certificates of former keys of the CA too, which section
 * 6.3.3 (f) lets the current key answer for, and for none of a CA of another name. Leaves of one chain have one issuer, so one of
 * them is read.
 */
function coverage({ status }: Issuer): (record: IssuedCertificate) => boolean {
  const [certificate] = parsePemCertificates(status?.chains?.[0]?.pem ?? '');
  if (!certificate) return () => true;
  const own = nameKey(parseCertificate(certificate).subject);
  const known = new Map<string, boolean>();
  return (record) => {
    const { chain } = record.status;
    const covered =
      known.get(chain) ?? nameKey(parseCertificate(Buffer.from(record.status.certificate, 'base64')).issuer) === own;
    known.set(chain, covered);
    return covered;
  };
}
