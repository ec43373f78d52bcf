// Whether a CA elsewhere has begun to answer with certificates other than approved. One requester may have asked for something odd; when
// several meet it within an hour, it is the CA, and people must know. A good answer ends the suspicion.
import type { Issuer } from '../api/issuer.ts';
import type { CertificateRecord } from '../api/issued-certificate.ts';
import type { BackendHealth, Clock } from '../ports.ts';

export interface Mismatches {
  wrong(issuer: Issuer, record: CertificateRecord): void;
  right(issuer: Issuer): void;
  /** What is to be said of the issuer, if it is suspect. */
  judge(issuer: Issuer): BackendHealth | undefined;
}

const REQUESTERS = 3;
const WINDOW_MS = 3_600_000;

export function createMismatches(deps: { clock: Clock; onChange: (issuer: Issuer) => void }): Mismatches {
  const { clock, onChange } = deps;
  /** By uid of the issuer, by requester: when, as Clock.monotonic. */
  const met = new Map<string, Map<string, number>>();

  function count(uid: string): number {
    const oldest = clock.monotonic() - WINDOW_MS;
    return [...(met.get(uid)?.values() ?? [])].filter((at) => at > oldest).length;
  }

  return {
    wrong(issuer, { spec }) {
      const { uid } = issuer.metadata;
      const { account, namespace, claim, source } = spec.requester;
      const before = count(uid);
      const requesters = met.get(uid) ?? new Map<string, number>();
      // No more is needed to know, and a CA that always errs must not fill the memory.
      if (before < REQUESTERS)
        met.set(uid, requesters.set(JSON.stringify(account ?? [namespace, claim, source]), clock.monotonic()));
      if (before < REQUESTERS && count(uid) >= REQUESTERS) onChange(issuer);
    },
    right(issuer) {
      const wasSuspect = count(issuer.metadata.uid) >= REQUESTERS;
      met.delete(issuer.metadata.uid);
      if (wasSuspect) onChange(issuer);
    },
    judge(issuer) {
      if (count(issuer.metadata.uid) < REQUESTERS) return undefined;
      const message = `the CA answers with certificates other than approved, to ${REQUESTERS} requesters or more; the audit log says in what`;
      return { ready: false, reason: 'WrongCertificates', message };
    },
  };
}
