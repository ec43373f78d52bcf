// Events for people (kubectl describe): one API write for a new one, one every few minutes for a series that goes on, and never an
// error or a wait for the caller.
import { type Event, EventKind, renderMicroTime } from '../api/core.ts';
import type { KubeObject, NewObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Clock, Cluster, EventRecorder, Log, Random } from '../ports.ts';
import { type BackOff, backOff } from './back-off.ts';
import { createEventCorrelator, type Series } from './event-correlator.ts';

export const EVENT_RIGHTS: readonly Right[] = [
  {
    kind: EventKind,
    verbs: ['create', 'update'],
    in: ['tenants', 'default'],
    why: 'leave Events at claims, and in `default` those about objects without a namespace; count those that go on',
  },
];

export interface EventRecorderDeps {
  cluster: Pick<Cluster, 'create' | 'replace'>;
  clock: Clock;
  random: Random;
  log: Log;
  /** Name of this process among its replicas. */
  instance: string;
}

export interface DrainableEventRecorder extends EventRecorder {
  /** Resolves when all that is to be written by now has been written or given up; series that go on are not. */
  drain(): Promise<void>;
  /** Writes series as they stand too, each once, and gives up what the API does not take at once. */
  close(): Promise<void>;
}

/** reportingController of every Event this program writes. */
const REPORTING_CONTROLLER = 'countersign.dev/controller';

/** A series that goes on is written so often. */
const SERIES_MS = 300_000;
/** Writes waiting for the API; beyond, they are dropped. */
const BACKLOG = 1000;
const RETRY: BackOff = { baseMs: 1_600, maxMs: 30_000 };
const ATTEMPTS = 8;

export function createEventRecorder(deps: EventRecorderDeps): DrainableEventRecorder {
  const { clock } = deps;
  const correlate = createEventCorrelator(clock);
  const writer = createWriter(deps);
  /** Series that went on since they were written. */
  const pending = new Map<Series, KubeObject>();
  let timer = false;

  function writePending(): void {
    for (const [series, regarding] of pending) writer.write(regarding, series);
    pending.clear();
  }

  function writeSoon(): void {
    if (timer) return;
    timer = true;
    void clock.sleep(SERIES_MS).then(() => {
      timer = false;
      writePending();
    });
  }

  return {
    event(regarding, type, reason, note) {
      const correlated = correlate(regarding.metadata.uid, { type, reason, note });
      if (correlated?.kind === 'new') writer.write(regarding, correlated.series);
      if (correlated?.kind !== 'more') return;
      pending.set(correlated.series, regarding);
      writeSoon();
    },
    drain: () => writer.drained(),
    async close() {
      writer.hurry();
      writePending();
      await writer.drained();
    },
  };
}

function createWriter(deps: EventRecorderDeps) {
  const { cluster, clock, random, log } = deps;
  const waiting: { regarding: KubeObject; series: Series }[] = [];
  const stored = new WeakMap<Series, Event>();
  const hurry = new AbortController();
  let working: Promise<void> | undefined;

  async function write(regarding: KubeObject, series: Series): Promise<void> {
    const { count, lastAt } = series;
    const more = count > 1 ? { series: { count, lastObservedTime: renderMicroTime(lastAt) } } : {};
    const before = stored.get(series);
    if (before) {
      try {
        stored.set(series, await cluster.replace(EventKind, { ...before, ...more }));
        return;
      } catch (error) {
        // Events live an hour.
        if (!isClusterError(error, 'NotFound')) throw error;
      }
    }
    stored.set(series, await cluster.create(EventKind, { ...eventObject(deps, regarding, series), ...more }));
  }

  async function attempt(regarding: KubeObject, series: Series): Promise<void> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await write(regarding, series);
      } catch (error) {
        const transient = isClusterError(error, 'Unavailable');
        if (transient && attempts < ATTEMPTS && !hurry.signal.aborted) {
          const ms = Math.max(backOff(RETRY, attempts, random), error.retryAfterMs ?? 0);
          await clock.sleep(ms, hurry.signal).catch(() => undefined);
          continue;
        }
        if (transient && hurry.signal.aborted) waiting.length = 0;
        const { namespace = '', name } = regarding.metadata;
        log.warn(
          { object: `${namespace}/${name}`, reason: series.occurrence.reason, error },
          'an Event was not recorded',
        );
        return;
      }
    }
  }

  /** One after the other: Events are the least urgent of writes. */
  async function work(): Promise<void> {
    for (let next = waiting.shift(); next; next = waiting.shift()) await attempt(next.regarding, next.series);
    working = undefined;
  }

  return {
    write(regarding: KubeObject, series: Series): void {
      if (waiting.length >= BACKLOG) return;
      waiting.push({ regarding, series });
      // Not before the caller's turn is over.
      working ??= Promise.resolve().then(work);
    },
    hurry: () => hurry.abort(),
    async drained(): Promise<void> {
      while (working) await working;
    },
  };
}

function eventObject(deps: EventRecorderDeps, regarding: KubeObject, { occurrence }: Series): NewObject<Event> {
  const { name, namespace, uid } = regarding.metadata;
  const stem = name.slice(0, 200).replace(/[^a-z0-9]+$/, '');
  return {
    ...occurrence,
    metadata: {
      name: `${stem}.${deps.random.bytes(8).toString('hex')}`,
      // Cluster-scoped objects have no namespace; their Events live in `default`, as everywhere in Kubernetes.
      namespace: namespace ?? 'default',
    },
    regarding: {
      apiVersion: regarding.apiVersion,
      kind: regarding.kind,
      name,
      uid,
      ...(namespace === undefined ? {} : { namespace }),
    },
    eventTime: renderMicroTime(deps.clock.now()),
    reportingController: REPORTING_CONTROLLER,
    reportingInstance: deps.instance.slice(0, 128),
    action: occurrence.reason,
  };
}
