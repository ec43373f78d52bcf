// Keys that wait to be worked on. A key is queued once however often it is added, has one worker at a time, and is queued
// again if it was added while worked on.
import type { Clock, Counter, Histogram, Random } from '../ports.ts';
import { type BackOff, backOff, createBucket, type Rate } from './back-off.ts';
import { createDelays, type Priority } from './delays.ts';

export interface AddOptions {
  /** `low` is taken when nothing else waits. */
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
  const { clock, random, retry = RETRY } = deps;
  const line = createLine();
  const overall = createBucket(clock, deps.overall ?? OVERALL);
  const measures = createMeasures(deps);
  const { working } = measures;
  /** Added while worked on. */
  const dirty = new Map<string, Priority>();
  const failures = new Map<string, number>();
  const idlers = createIdlers(() => line.length() > 0 || working.size > 0);
  const delays = createDelays(clock, (key, priority) => add(key, { priority }));

  function add(key: string, { priority = 'normal', afterMs = 0, fresh = false }: AddOptions = {}): void {
    if (fresh) failures.delete(key);
    if (afterMs > 0) return delays.add(key, afterMs, priority);
    delays.remove(key);
    measures.added(key);
    if (!working.has(key)) line.put(key, priority);
    else if (dirty.get(key) !== 'normal') dirty.set(key, priority);
  }

  return {
    add,
    retry(key, { minimumMs = 0, backOff: own = retry } = {}) {
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      measures.retried();
      add(key, { afterMs: Math.max(1, minimumMs, backOff(own, count, random), overall.reserve()) });
    },
    forget: (key) => void failures.delete(key),
    take: (signal) => line.take(signal, measures.taken),
    done(key) {
      measures.done(key);
      const priority = dirty.get(key);
      dirty.delete(key);
      if (priority) line.put(key, priority);
      idlers.tell();
    },
    idle: () => idlers.wait(),
    busy: () => idlers.busy(),
    clear() {
      for (const part of [line, delays, dirty, failures, measures]) part.clear();
      idlers.tell();
    },
    depth: () => line.length(),
    dueOf: (key) => delays.dueOf(key),
    unfinished: () => measures.unfinished(),
  };
}

/** Those who wait for there to be nothing to do. */
function createIdlers(busy: () => boolean) {
  let waiting: (() => void)[] = [];
  return {
    busy,
    wait(): Promise<void> {
      if (!busy()) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push(resolve);
      return promise;
    },
    tell(): void {
      if (busy()) return;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
  };
}

/** Times of what is queued (or is to be again) and of what is worked on, as Clock.monotonic. */
function createMeasures({ clock, name = '', metrics }: WorkQueueDeps) {
  const labels = { name };
  const queuedAt = new Map<string, number>();
  const working = new Map<string, number>();
  const secondsSince = (since: number | undefined) => (since === undefined ? 0 : (clock.monotonic() - since) / 1000);
  return {
    working: working as ReadonlyMap<string, number>,
    added(key: string): void {
      if (queuedAt.has(key)) return;
      queuedAt.set(key, clock.monotonic());
      metrics?.adds.inc(labels);
    },
    retried: () => metrics?.retries.inc(labels),
    taken(this: void, key: string): void {
      metrics?.queueSeconds.observe(labels, secondsSince(queuedAt.get(key)));
      queuedAt.delete(key);
      working.set(key, clock.monotonic());
    },
    done(key: string): void {
      metrics?.workSeconds.observe(labels, secondsSince(working.get(key)));
      working.delete(key);
    },
    clear: () => queuedAt.clear(),
    unfinished() {
      const seconds = [...working.values()].map(secondsSince);
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
