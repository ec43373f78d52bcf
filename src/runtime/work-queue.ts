// Keys that wait to be worked on. A key is queued once however often it is added, has one worker at a time, and is queued
// again if it was added while worked on.
import type { Clock, Random } from '../ports.ts';
import { type BackOff, backOff } from './back-off.ts';

/** `normal` for what somebody waits for; `low` for resyncs, taken only when nothing else waits. */
export type Priority = 'normal' | 'low';

export interface AddOptions {
  priority?: Priority;
  /** Milliseconds from now; of several delays of one key the earliest counts. */
  afterMs?: number;
}

export interface WorkQueue {
  add(key: string, options?: AddOptions): void;
  /** Adds after a back-off that grows with each call until `forget`; at least `minimumMs`. */
  retry(key: string, minimumMs?: number): void;
  /** Ends the key's row of failures. */
  forget(key: string): void;
  /** The next key; undefined once the signal aborts. The caller owes a `done`. */
  take(signal: AbortSignal): Promise<string | undefined>;
  done(key: string): void;
  /** Resolves when nothing is queued or worked on; what is only delayed does not count. */
  idle(): Promise<void>;
  /** Whether a key is queued or worked on. */
  busy(): boolean;
  /** Keys queued, not counting those delayed or worked on. */
  depth(): number;
  /** When the key's delay ends, as Clock.monotonic; undefined when it has none. */
  dueOf(key: string): number | undefined;
}

export interface WorkQueueDeps {
  clock: Clock;
  random: Random;
  retry?: BackOff;
}

const RETRY: BackOff = { baseMs: 50, maxMs: 300_000 };

export function createWorkQueue(deps: WorkQueueDeps): WorkQueue {
  const { random, retry = RETRY } = deps;
  const line = createLine();
  const working = new Set<string>();
  /** Added while worked on. */
  const dirty = new Map<string, Priority>();
  const failures = new Map<string, number>();
  let idlers: (() => void)[] = [];
  const delays = createDelays(deps.clock, (key) => add(key));
  const busy = () => line.length() > 0 || working.size > 0;

  function add(key: string, { priority = 'normal', afterMs = 0 }: AddOptions = {}): void {
    if (afterMs > 0) return delays.add(key, afterMs);
    delays.remove(key);
    if (!working.has(key)) line.put(key, priority);
    else if (dirty.get(key) !== 'normal') dirty.set(key, priority);
  }

  return {
    add,
    retry(key, minimumMs = 0) {
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      delays.add(key, Math.max(minimumMs, backOff(retry, count, random)));
    },
    forget: (key) => void failures.delete(key),
    take: (signal) => line.take(signal, (key) => working.add(key)),
    done(key) {
      working.delete(key);
      const priority = dirty.get(key);
      dirty.delete(key);
      if (priority) add(key, { priority });
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
    depth: () => line.length(),
    dueOf: (key) => delays.dueOf(key),
  };
}

interface Line {
  put(key: string, priority: Priority): void;
  /** The next key, of normal priority where there is one; `taken` is called in the same instant. */
  take(signal: AbortSignal, taken: (key: string) => void): Promise<string | undefined>;
  length(): number;
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
  };
}

/** Longest sleep in one piece, after which the wall clock is looked at again: a laptop that slept is late by no more. */
const LONGEST_SLEEP_MS = 600_000;

interface Delays {
  add(key: string, ms: number): void;
  remove(key: string): void;
  dueOf(key: string): number | undefined;
}

/** A key is due when either clock says so: the monotonic one may stand still in suspend, the wall clock may be set back. */
function createDelays(clock: Clock, due: (key: string) => void): Delays {
  const waiting = new Map<string, { monotonic: number; wall: number }>();
  let sleep: { until: number; stop: AbortController } | undefined;

  const left = ({ monotonic, wall }: { monotonic: number; wall: number }) =>
    Math.min(monotonic - clock.monotonic(), wall - clock.now().getTime());

  function sleepUntil(ms: number): void {
    const until = clock.monotonic() + ms;
    if (sleep && sleep.until <= until) return;
    sleep?.stop.abort();
    const stop = new AbortController();
    sleep = { until, stop };
    clock.sleep(ms, stop.signal).then(wake, () => undefined);
  }

  function wake(): void {
    sleep = undefined;
    let soonest = LONGEST_SLEEP_MS;
    for (const [key, at] of waiting) {
      const ms = left(at);
      if (ms > 0) soonest = Math.min(soonest, ms);
      else {
        waiting.delete(key);
        due(key);
      }
    }
    if (waiting.size > 0) sleepUntil(soonest);
  }

  return {
    add(key, ms) {
      const at = { monotonic: clock.monotonic() + ms, wall: clock.now().getTime() + ms };
      const before = waiting.get(key);
      if (before && left(before) <= ms) return;
      waiting.set(key, at);
      sleepUntil(Math.min(ms, LONGEST_SLEEP_MS));
    },
    remove: (key) => void waiting.delete(key),
    dueOf: (key) => waiting.get(key)?.monotonic,
  };
}
