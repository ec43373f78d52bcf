// Keys that wait to be worked on. A key is queued once however often it is added, has one worker at a time, and is queued
// again if it was added while worked on.
import type { Clock, Counter, Histogram, Random } from '../ports.ts';
import { type BackOff, backOff, createBucket, type Rate } from './back-off.ts';
import { createDelays } from './delays.ts';

/** `normal` for what somebody waits for; `low` for what is there at the start, resyncs and what time brings: taken when nothing else waits. */
export type Priority = 'normal' | 'low';

export interface AddOptions {
  priority?: Priority;
  /** Milliseconds from now; of several delays of one key the earliest counts. */
  afterMs?: number;
  /** The wish itself changed: what failed so far says nothing any more. */
  fresh?: boolean;
}

export interface RetryOptions {
  minimumMs?: number;
  /** Instead of the queue's own. */
  backOff?: BackOff;
}

export interface WorkQueue {
  add(key: string, options?: AddOptions): void;
  /** Adds after a back-off that grows with each call until `forget`, or later where too many are retried at once. */
  retry(key: string, options?: RetryOptions): void;
  /** Ends the key's row of failures. */
  forget(key: string): void;
  /** The next key; undefined once the signal aborts. The caller owes a `done`. */
  take(signal: AbortSignal): Promise<string | undefined>;
  done(key: string): void;
  /** Resolves when nothing is queued or worked on; what is only delayed does not count. */
  idle(): Promise<void>;
  /** Whether a key is queued or worked on. */
  busy(): boolean;
  /** Forgets what is queued, delayed and failed; what is worked on still has one worker. */
  clear(): void;
  /** Keys queued, not counting those delayed or worked on. */
  depth(): number;
  /** When the key's delay ends, as Clock.monotonic; undefined when it has none. */
  dueOf(key: string): number | undefined;
  /** Seconds that the keys worked on have taken so far: all together, and the longest. */
  unfinished(): { seconds: number; longest: number };
}

/** With label `name`, as Kubernetes' own controllers have them. */
export interface WorkQueueMetrics {
  adds: Counter;
  retries: Counter;
  /** Seconds a key was queued. */
  queueSeconds: Histogram;
  /** Seconds a key was worked on. */
  workSeconds: Histogram;
}

export interface WorkQueueDeps {
  clock: Clock;
  random: Random;
  retry?: BackOff;
  /** Retries of all keys together, beyond which they wait longer; 10 a second and 100 at once when absent. */
  overall?: Rate;
  /** For the metrics. */
  name?: string;
  metrics?: WorkQueueMetrics;
}

const RETRY: BackOff = { baseMs: 50, maxMs: 300_000 };
const OVERALL: Rate = { perSecond: 10, burst: 100 };

export function createWorkQueue(deps: WorkQueueDeps): WorkQueue {
  const { clock, random, retry = RETRY, metrics } = deps;
  const labels = { name: deps.name ?? '' };
  const line = createLine();
  const overall = createBucket(clock, deps.overall ?? OVERALL);
  /** Since when, as Clock.monotonic. */
  const working = new Map<string, number>();
  const queuedAt = new Map<string, number>();
  /** Added while worked on. */
  const dirty = new Map<string, Priority>();
  const failures = new Map<string, number>();
  /** Of delayed keys. */
  const priorities = new Map<string, Priority>();
  let idlers: (() => void)[] = [];
  const delays = createDelays(clock, (key) => add(key, { priority: priorities.get(key) ?? 'normal' }));
  const busy = () => line.length() > 0 || working.size > 0;

  function add(key: string, { priority = 'normal', afterMs = 0, fresh = false }: AddOptions = {}): void {
    if (fresh) failures.delete(key);
    if (afterMs > 0) {
      if (priorities.get(key) !== 'normal' || delays.dueOf(key) === undefined) priorities.set(key, priority);
      return delays.add(key, afterMs);
    }
    delays.remove(key);
    priorities.delete(key);
    if (!working.has(key)) put(key, priority);
    else if (dirty.get(key) !== 'normal') {
      if (!dirty.has(key)) metrics?.adds.inc(labels);
      dirty.set(key, priority);
    }
  }

  function put(key: string, priority: Priority): void {
    if (!queuedAt.has(key)) {
      queuedAt.set(key, clock.monotonic());
      if (!dirty.delete(key)) metrics?.adds.inc(labels);
    }
    line.put(key, priority);
  }

  function taken(key: string): void {
    const now = clock.monotonic();
    metrics?.queueSeconds.observe(labels, (now - (queuedAt.get(key) ?? now)) / 1000);
    queuedAt.delete(key);
    working.set(key, now);
  }

  return {
    add,
    retry(key, { minimumMs = 0, backOff: own = retry } = {}) {
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      metrics?.retries.inc(labels);
      add(key, { afterMs: Math.max(1, minimumMs, backOff(own, count, random), overall.reserve()) });
    },
    forget: (key) => void failures.delete(key),
    take: (signal) => line.take(signal, taken),
    done(key) {
      const now = clock.monotonic();
      metrics?.workSeconds.observe(labels, (now - (working.get(key) ?? now)) / 1000);
      working.delete(key);
      const priority = dirty.get(key);
      if (priority) put(key, priority);
      if (busy()) return;
      for (const resolve of idlers) resolve();
      idlers = [];
    },
    idle() {
      if (!busy()) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      idlers.push(resolve);
      return promise;
    },
    busy,
    clear() {
      line.clear();
      delays.clear();
      for (const map of [queuedAt, dirty, failures, priorities]) map.clear();
    },
    depth: () => line.length(),
    dueOf: (key) => delays.dueOf(key),
    unfinished() {
      const now = clock.monotonic();
      const seconds = [...working.values()].map((since) => (now - since) / 1000);
      return { seconds: seconds.reduce((sum, one) => sum + one, 0), longest: Math.max(0, ...seconds) };
    },
  };
}

interface Line {
  put(key: string, priority: Priority): void;
  /** The next key, of normal priority where there is one; `taken` is called in the same instant. */
  take(signal: AbortSignal, taken: (key: string) => void): Promise<string | undefined>;
  length(): number;
  clear(): void;
}

function createLine(): Line {
  const queued: Record<Priority, Set<string>> = { normal: new Set(), low: new Set() };
  const takers = new Set<(key: string) => void>();

  function first<T>(values: Iterable<T>): T | undefined {
    for (const value of values) return value;
    return undefined;
  }

  return {
    put(key, priority) {
      const taker = first(takers);
      if (taker) taker(key);
      else if (priority === 'normal') {
        queued.low.delete(key);
        queued.normal.add(key);
      } else if (!queued.normal.has(key)) queued.low.add(key);
    },
    take(signal, taken) {
      if (signal.aborted) return Promise.resolve(undefined);
      const key = first(queued.normal) ?? first(queued.low);
      if (key !== undefined) {
        queued.normal.delete(key);
        queued.low.delete(key);
        taken(key);
        return Promise.resolve(key);
      }
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      const end = (result: string | undefined) => {
        takers.delete(take);
        signal.removeEventListener('abort', abort);
        resolve(result);
      };
      const abort = () => end(undefined);
      const take = (given: string) => {
        taken(given);
        end(given);
      };
      takers.add(take);
      signal.addEventListener('abort', abort, { once: true });
      return promise;
    },
    length: () => queued.normal.size + queued.low.size,
    clear() {
      queued.normal.clear();
      queued.low.clear();
    },
  };
}
