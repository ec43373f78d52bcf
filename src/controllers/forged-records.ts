// Says of records that the operator did not write, or not as they are, that they are ignored: in the log of every replica, and, by the
// one that leads, in Events at the issuer that they name.
import type { CertificateRecord } from '../api/issued-certificate.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Cache, EventRecorder, Log } from '../ports.ts';

export interface ForgedRecords {
  /** Of a record that has been told of already it says nothing more. */
  saw(record: CertificateRecord): void;
  /** From now on, and for those seen before, until the signal aborts. */
  tell(to: { events: EventRecorder; issuers: Cache<Issuer> }, signal: AbortSignal): void;
}

/** Whoever can make one can make many: the oldest are forgotten first. */
const REMEMBERED = 1024;

type Tell = (record: CertificateRecord) => void;

export function createForgedRecords({ log }: { log: Log }): ForgedRecords {
  const seen = new Map<string, CertificateRecord>();
  let tellers: readonly Tell[] = [];
  return {
    saw(record) {
      const { uid, name, resourceVersion } = record.metadata;
      if (seen.has(uid)) return;
      seen.set(uid, record);
      const oldest = seen.keys().next().value;
      if (seen.size > REMEMBERED && oldest !== undefined) seen.delete(oldest);
      log.warn({ record: name, resourceVersion }, 'a record that the operator did not write as it is, is ignored');
      for (const tell of tellers) tell(record);
    },
    tell({ events, issuers }, signal) {
      const tell: Tell = ({ metadata, spec }) => {
        const issuer = issuers.list().find((each) => each.metadata.uid === spec.issuerUID);
        const note = `IssuedCertificate ${metadata.name} was made or changed by somebody other than the operator: it is ignored`;
        if (issuer) events.event(issuer, 'Warning', 'ForgedRecord', note);
      };
      for (const record of seen.values()) tell(record);
      tellers = [...tellers, tell];
      signal.addEventListener('abort', () => {
        tellers = tellers.filter((each) => each !== tell);
      });
    },
  };
}
