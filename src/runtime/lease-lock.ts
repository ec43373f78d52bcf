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

/** A record as it was first seen. */
interface Sight {
  /** What tells one record from another; empty for no Lease. */
  record: string;
  holder: string;
  /** Clock.monotonic when it was first seen so. */
  since: number;
  /** How long it must stay so before it is void. */
  lastsMs: number;
}

export function createLeaseLock(deps: LeaseLockDeps): LeaseLock {
  const { clock, log, identity } = deps;
  const { namespace, name } = deps;
  const api = boundedCalls(deps);
  /** The Lease as we last wrote it, unless somebody has written since. */
  let ours: Lease | undefined;
  let sight: Sight = { record: '', holder: '', since: 0, lastsMs: 0 };

  function see(lease: Lease | undefined): void {
    const record = lease ? `${lease.metadata.uid} ${JSON.stringify(lease.spec ?? {})}` : '';
    if (record === sight.record) return;
    const holder = lease?.spec?.holderIdentity ?? '';
    const othersMs = Math.max(deps.leaseDurationMs, (lease?.spec?.leaseDurationSeconds ?? 0) * 1000);
    // Whoever held a Lease that was deleted may not know it yet: its time is waited for all the same.
    const lastsMs = lease ? (holder === '' || holder === identity ? 0 : othersMs) : sight.lastsMs;
    sight = { record, holder, since: clock.monotonic(), lastsMs };
  }

  function taken(lease: Lease | undefined): NonNullable<Lease['spec']> {
    const before = lease?.spec ?? {};
    const mine = before.holderIdentity === identity;
    const now = renderMicroTime(clock.now());
    return {
      ...before,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(deps.leaseDurationMs / 1000),
      acquireTime: mine ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before.leaseTransitions ?? 0) + (mine || !lease ? 0 : 1),
    };
  }

  async function take(lease: Lease | undefined): Promise<true> {
    const spec = taken(lease);
    ours = lease ? await api.replace({ ...lease, spec }) : await api.create({ metadata: { namespace, name }, spec });
    see(ours);
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
      see(lease);
      if (clock.monotonic() - sight.since < sight.lastsMs) return false;
      return take(lease);
    },
    async release() {
      for (let tries = 0; ours && tries < 2; tries++) {
        const { spec = {} } = ours;
        const now = renderMicroTime(clock.now());
        try {
          await api.replace({
            ...ours,
            spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now },
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
