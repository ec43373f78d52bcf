// One candidate's hold on a Lease: taking, renewing, giving up. Whether another still holds it is judged by how long its record has
// not changed as seen from here; its timestamps are for people, and clocks may differ (as in client-go's leader election).
import { type Lease, LeaseKind, renderMicroTime } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import type { Clock, Cluster, Log } from '../ports.ts';

/** For the Lease of this name. */
export function leaseRights(name: string): readonly Right[] {
  return [
    {
      kind: LeaseKind,
      verbs: ['get', 'create', 'update'],
      in: ['operator'],
      names: [name],
      why: 'agree on the one replica that does what only one may do',
    },
  ];
}

export interface LeaseLockDeps {
  cluster: Pick<Cluster, 'get' | 'create' | 'replace'>;
  clock: Clock;
  log: Log;
  namespace: string;
  name: string;
  /** Unique to this process: a record with this identity is taken for its own. */
  identity: string;
  leaseDurationMs: number;
  /** Longest single request; one that takes longer counts as failed, whatever becomes of it. */
  requestMs: number;
}

export interface LeaseLock {
  /**
   * Tries once to take or renew the lease. True: it is ours, counted from when the attempt began. False: another holds it.
   * Rejects where neither is known, because the API failed or the record changed under our hands.
   */
  attempt(): Promise<boolean>;
  /** Empties the record's holder if it is us. Never rejects. */
  release(): Promise<void>;
}

export function createLeaseLock(deps: LeaseLockDeps): LeaseLock {
  const { clock, log, identity, namespace, name } = deps;
  const api = boundedCalls(deps);
  const observer = createObserver(deps);
  /** The Lease as we last wrote it, unless somebody has written since. */
  let ours: Lease | undefined;

  async function take(lease: Lease | undefined): Promise<true> {
    const spec = takenSpec(deps, lease);
    ours = lease ? await api.replace({ ...lease, spec }) : await api.create({ metadata: { namespace, name }, spec });
    observer.see(ours);
    return true;
  }

  /** Renews by what we last wrote, which saves the read. False where somebody has written since. */
  async function renew(): Promise<boolean> {
    if (!ours) return false;
    try {
      return await take(ours);
    } catch (error) {
      if (!isClusterError(error, 'Conflict', 'NotFound')) throw error;
      ours = undefined;
      return false;
    }
  }

  return {
    async attempt() {
      if (await renew()) return true;
      const lease = await api.get();
      return observer.see(lease) ? take(lease) : false;
    },
    async release() {
      for (let tries = 0; ours && tries < 2; tries++) {
        const renewTime = renderMicroTime(clock.now());
        try {
          await api.replace({
            ...ours,
            spec: { ...ours.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime },
          });
          ours = undefined;
        } catch (error) {
          log.debug({ lease: name, error }, 'the lease was not released');
          // The answer to an earlier write of ours may have been lost.
          const lease = await api.get().catch(() => undefined);
          ours = lease?.spec?.holderIdentity === identity ? lease : undefined;
        }
      }
      ours = undefined;
    },
  };
}

/** Judges by when a record was first seen whether it still binds. */
function createObserver({ clock, identity, leaseDurationMs }: LeaseLockDeps) {
  /** Empty for no Lease. */
  let record = '';
  /** Clock.monotonic when it was first seen, and how long it must stay as it is before it is void. */
  let [since, lastsMs] = [0, 0];
  return {
    /** Whether we may take the lease, or hold it already. */
    see(lease: Lease | undefined): boolean {
      const seen = lease ? `${lease.metadata.uid} ${JSON.stringify(lease.spec ?? {})}` : '';
      if (seen !== record) {
        record = seen;
        since = clock.monotonic();
        const { holderIdentity: holder = '', leaseDurationSeconds = 0 } = lease?.spec ?? {};
        // Whoever held a Lease that was deleted may not know it yet: its time is waited for all the same.
        if (lease)
          lastsMs = holder === '' || holder === identity ? 0 : Math.max(leaseDurationMs, leaseDurationSeconds * 1000);
      }
      return clock.monotonic() - since >= lastsMs;
    },
  };
}

function takenSpec(
  { clock, identity, leaseDurationMs }: LeaseLockDeps,
  lease: Lease | undefined,
): NonNullable<Lease['spec']> {
  const before = lease?.spec ?? {};
  const mine = before.holderIdentity === identity;
  const now = renderMicroTime(clock.now());
  return {
    ...before,
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
    acquireTime: mine ? (before.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: (before.leaseTransitions ?? 0) + (mine || !lease ? 0 : 1),
  };
}

function boundedCalls({ cluster, clock, namespace, name, requestMs }: LeaseLockDeps) {
  async function bounded<T>(request: Promise<T>): Promise<T> {
    const answered = new AbortController();
    const late = clock.sleep(requestMs, answered.signal).then(() => {
      throw new ClusterError('Unavailable', `no answer about the lease within ${requestMs} ms`);
    });
    // Whichever comes second is heard by nobody.
    for (const promise of [request, late]) promise.catch(() => undefined);
    return Promise.race([request, late]).finally(() => answered.abort());
  }
  return {
    get: () => bounded(cluster.get(LeaseKind, { namespace, name })),
    create: (lease: Parameters<typeof cluster.create<Lease>>[1]) => bounded(cluster.create(LeaseKind, lease)),
    replace: (lease: Lease) => bounded(cluster.replace(LeaseKind, lease)),
  };
}
