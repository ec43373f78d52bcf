// The queue before one CA: so many requests at a time as it takes, none while it is thought to be away, all at once when it is back.
import type { Clock, Fields, Log, Random } from '../ports.ts';
import type { BackOff } from '../runtime/back-off.ts';
import { type Breaker, BreakerOpen, createBreaker } from '../runtime/breaker.ts';
import { type AddOptions, createWorkQueue, type WorkQueue, type WorkQueueMetrics } from '../runtime/work-queue.ts';

export interface LaneDeps {
  /** Of the issuer, for the log. */
  fields: Fields;
  clock: Clock;
  random: Random;
  log: Log;
  /** Requests at a time, as of now. */
  concurrency: () => number;
  /** Milliseconds after which to come back to the key, undefined when there is nothing left to do; throws to be called again after a back-off. */
  work: (key: string, signal: AbortSignal) => Promise<number | undefined>;
  onBreaker: (state: 'open' | 'closed') => void;
  queueMetrics?: WorkQueueMetrics;
}

export interface Lane {
  readonly breaker: Breaker;
  add(key: string, options?: AddOptions): void;
  /**
   * Works until the signal aborts, then waits for what is under way, whose signals abort too, but for no longer than five seconds;
   * forgets what was queued. May be run again afterwards. Never rejects.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when there is nothing to do but wait for time to pass. */
  idle(): Promise<void>;
  busy(): boolean;
  depth(): number;
  unfinished: WorkQueue['unfinished'];
}

/** Of one request that fails while others do not. Short, because it is also how long a request may lie after the CA is back. */
const GRACE_MS = 5_000;
/** One name for the queues of all issuers: how many there are is up to people. */
export const QUEUE = 'issued-certificate';
const RETRY: BackOff = { baseMs: 1_000, maxMs: 30_000 };

export function createLane(deps: LaneDeps): Lane {
  const { clock, random, log } = deps;
  const queue = createWorkQueue({
    clock,
    random,
    retry: RETRY,
    name: QUEUE,
    ...(deps.queueMetrics ? { metrics: deps.queueMetrics } : {}),
  });
  const active = new Set<Promise<void>>();
  /** Keys that failed and wait out their back-off. */
  const waiting = new Set<string>();
  const breaker = createBreaker({
    clock,
    random,
    onChange(state) {
      log.warn({ ...deps.fields, state }, 'the breaker before a CA has changed');
      deps.onBreaker(state);
      if (state === 'open') return;
      for (const key of waiting) queue.add(key);
      waiting.clear();
    },
  });
  const work = createLaneWork(deps, queue, waiting);
  const busy = () => active.size > 0 || (queue.busy() && breaker.waitMs() === 0);
  return {
    breaker,
    add: (key, options) => queue.add(key, options),
    run: async (signal) => {
      await withinGrace(deps, runLane(deps, { queue, active, breaker, work }, signal), signal);
      // Another process goes on from what is on record; so does this one, should it be its turn again.
      queue.clear();
      waiting.clear();
    },
    idle: async () => {
      while (busy()) await new Promise((resolve) => setImmediate(resolve));
    },
    busy,
    depth: () => queue.depth(),
    unfinished: () => queue.unfinished(),
  };
}

type Work = (key: string, signal: AbortSignal) => Promise<void>;

function createLaneWork(deps: LaneDeps, queue: WorkQueue, waiting: Set<string>): Work {
  function fail(key: string, error: unknown): void {
    waiting.add(key);
    if (error instanceof BreakerOpen) return queue.add(key, { afterMs: error.retryAfterMs });
    deps.log.warn({ ...deps.fields, record: key, error }, 'a CA could not be asked');
    queue.retry(key, { minimumMs: retryAfterOf(error) });
  }

  return async (key, signal) => {
    waiting.delete(key);
    try {
      const againMs = await deps.work(key, signal);
      queue.forget(key);
      if (againMs !== undefined) queue.add(key, { afterMs: Math.max(1, againMs) });
    } catch (error) {
      if (!signal.aborted) fail(key, error);
    } finally {
      queue.done(key);
    }
  };
}

interface LaneParts {
  queue: WorkQueue;
  /** What is under way. */
  active: Set<Promise<void>>;
  breaker: Breaker;
  work: Work;
}

/** Keys stay queued while the CA has time to recover; an open breaker lets one at a time see whether it has. */
async function runLane(
  { clock, concurrency }: LaneDeps,
  { queue, active, breaker, work }: LaneParts,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    while (active.size >= (breaker.isOpen() ? 1 : concurrency())) await Promise.race(active);
    const waitMs = breaker.waitMs();
    if (waitMs > 0 && !signal.aborted) {
      await clock.sleep(waitMs, signal).catch(() => undefined);
      continue;
    }
    const key = await queue.take(signal);
    if (key === undefined) break;
    const done = work(key, signal).finally(() => active.delete(done));
    active.add(done);
  }
  await Promise.all(active);
}

/** Resolves when the work does, or some time after the signal has aborted: what ignores its signal must not keep a lease. */
async function withinGrace({ clock, log, fields }: LaneDeps, run: Promise<void>, signal: AbortSignal): Promise<void> {
  const ended = new AbortController();
  const overdue = async () => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    await clock.sleep(GRACE_MS, ended.signal);
    log.error(fields, 'a call to a CA ignores that its time is up: going on without it');
  };
  await Promise.race([run.finally(() => ended.abort()), overdue().catch(() => run)]);
}

function retryAfterOf(error: unknown): number {
  const ms = error instanceof Error && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof ms === 'number' ? ms : 0;
}
