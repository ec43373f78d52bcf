// The queue before one CA: so many requests at a time as it takes, none while it is thought to be away, all at once when it is back.
import type { Fields, Log } from '../ports.ts';
import type { BackOff } from '../runtime/back-off.ts';
import { type Breaker, BreakerOpen, createBreaker } from '../runtime/breaker.ts';
import { createRun, type RunDeps } from '../runtime/run.ts';
import { type AddOptions, createWorkQueue, type WorkQueue, type WorkQueueMetrics } from '../runtime/work-queue.ts';

export interface LaneDeps extends Omit<RunDeps, 'name' | 'timeoutMs'> {
  /** Of the issuer, for the log. */
  fields: Fields;
  /** Requests at a time, as of now. */
  concurrency: () => number;
  /** Milliseconds after which to come back to the key, undefined when there is nothing left to do; throws to be called again after a back-off. */
  work: (key: string, signal: AbortSignal, log: Log) => Promise<number | undefined>;
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

/** One name for the queues of all issuers: how many there are is up to people. */
export const QUEUE = 'issued-certificate';
/** Of one request that fails while others do not. Short, because it is also how long a request may lie after the CA is back. */
const RETRY: BackOff = { baseMs: 1_000, maxMs: 30_000 };
/** Backends bind their calls themselves; there are several in one piece of work. */
const TIMEOUT_MS = 180_000;

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
      await runLane(deps, { queue, active, breaker, work }, signal);
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
  const run = createRun({ ...deps, name: QUEUE, timeoutMs: TIMEOUT_MS });

  function succeed(key: string, againMs: number | undefined): string {
    queue.forget(key);
    if (againMs === undefined) return 'success';
    queue.add(key, { afterMs: Math.max(1, againMs) });
    return 'requeue';
  }

  function fail(key: string, error: unknown, log: Log): string {
    waiting.add(key);
    if (error instanceof BreakerOpen) {
      queue.add(key, { afterMs: error.retryAfterMs });
      return 'requeue';
    }
    log.warn({ error }, 'a CA could not be asked');
    queue.retry(key, { minimumMs: retryAfterOf(error) });
    return 'error';
  }

  return (key, stop) =>
    run(key, stop, {
      work: async (signal, log) => {
        waiting.delete(key);
        try {
          return succeed(key, await deps.work(key, signal, log));
        } catch (error) {
          return stop.aborted ? 'stopped' : fail(key, error, log);
        }
      },
      ended: () => queue.done(key),
    });
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

function retryAfterOf(error: unknown): number {
  const ms = error instanceof Error && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof ms === 'number' ? ms : 0;
}
