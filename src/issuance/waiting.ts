// Waiting for a reservation to be finished, by whichever replica does that.
import { type CertificateRecord, IssuedCertificateKind, isReserved } from '../api/issued-certificate.ts';
import type { Cache, Clock, Cluster } from '../ports.ts';

export interface Wait {
  /** 0 to look and not wait. */
  ms: number;
  /** The record was made this moment: there is no need to look again. */
  fresh: boolean;
  signal: AbortSignal;
}

/** The record once it is finished, or as it is, live, when the time is over. Rejects once the signal aborts. */
export type AwaitRecord = (record: CertificateRecord, wait: Wait) => Promise<CertificateRecord>;

export interface AwaitRecordDeps {
  cluster: Pick<Cluster, 'get'>;
  cache: Cache<CertificateRecord>;
  /** The operator's. */
  namespace: string;
  clock: Clock;
}

export function createAwaitRecord({ cluster, cache, namespace, clock }: AwaitRecordDeps): AwaitRecord {
  /** By uid. One listener for all who wait: there may be thousands. */
  const waiting = new Map<string, Set<(record: CertificateRecord) => void>>();
  cache.onChange((record) => {
    if (isReserved(record)) return;
    for (const resolve of waiting.get(record.metadata.uid) ?? []) resolve(record);
  });

  async function watched(record: CertificateRecord, { ms, signal }: Wait): Promise<CertificateRecord | undefined> {
    const { uid, name } = record.metadata;
    const { promise, resolve } = Promise.withResolvers<CertificateRecord>();
    const others = waiting.get(uid) ?? new Set();
    waiting.set(uid, others.add(resolve));
    const known = cache.get({ namespace, name });
    if (known && known.metadata.uid === uid && !isReserved(known)) resolve(known);
    const over = new AbortController();
    try {
      const late = clock.sleep(ms, AbortSignal.any([signal, over.signal])).then(() => undefined);
      late.catch(() => undefined);
      return await Promise.race([promise, late]);
    } finally {
      over.abort(OVER);
      others.delete(resolve);
      if (others.size === 0) waiting.delete(uid);
    }
  }

  return async (record, wait) => {
    if (!isReserved(record) || (wait.fresh && wait.ms === 0)) return record;
    const found = wait.ms > 0 ? await watched(record, wait) : undefined;
    return found ?? (await cluster.get(IssuedCertificateKind, { namespace, name: record.metadata.name })) ?? record;
  };
}

const OVER = new Error('the wait is over');
