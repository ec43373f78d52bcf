// Revocations that people set at records: each gets its line in the audit log, as those have that come through a door, and the label by
// which revoked records are found.
import type { CertificateRecord } from '../api/issued-certificate.ts';
import { isUnmarked, type Records } from '../issuance/records.ts';
import type { Audit, Cache } from '../ports.ts';
import type { Reconciler } from '../runtime/controller.ts';

export interface RevocationsDeps {
  /** The operator's. */
  namespace: string;
  /** With RECORD_INDEXES. */
  recordCache: Cache<CertificateRecord>;
  records: Pick<Records, 'markRevoked'>;
  audit: Audit;
}

/** The line comes before the label, so that none is without it: a process that ends in between leaves it to the next, which repeats it. */
export function createRevocationReconciler({ namespace, recordCache, records, audit }: RevocationsDeps): Reconciler {
  /** Records whose line is written, until they are seen with the label. */
  const told = new Set<string>();
  return {
    async reconcile({ name }) {
      const record = recordCache.get({ namespace, name });
      if (!record || !isUnmarked(record)) return undefined;
      if (!told.has(name)) audit.record('revocation', lineOf(record));
      told.add(name);
      await records.markRevoked(record);
      return undefined;
    },
    watch(enqueue) {
      for (const { metadata } of recordCache.byIndex('unmarked', 'all')) enqueue(metadata);
      return recordCache.onChange((record, type) => {
        if (type !== 'DELETED' && isUnmarked(record)) enqueue(record.metadata);
        else told.delete(record.metadata.name);
      });
    },
  };
}

function lineOf({ metadata, spec, status }: CertificateRecord) {
  const { reason, by, revokedAt } = spec.revocation ?? {};
  return { record: metadata.name, serial: status?.serial, reason, by, revokedAt, via: 'record' };
}
