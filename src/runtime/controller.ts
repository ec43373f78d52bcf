// Runs a reconcile function over the keys of a work queue: workers, time-outs, retries, log lines. Nothing a reconcile does,
// throws or forgets stops the controller.
import type { KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cache, Log, ObjectRef } from '../ports.ts';
import { type BackOff, fraction } from './back-off.ts';
import { createOutageGate, type OutageGate } from './outage-gate.ts';
import { createRun, type RunDeps } from './run.ts';
import { type AddOptions, createWorkQueue, type WorkQueue, type WorkQueueMetrics } from './work-queue.ts';

/** When to look at the object again without being told. */
export interface Requeue {
  requeueAfterMs?: number;
}

/**
 * Makes the world so, as of now; idempotent. Told which object, never what happened to it. A throw is retried with back-off,
 * a TerminalError is not. Lines written to `log` name controller, object and reconcile.
 */
export type Reconcile = (key: ObjectRef, signal: AbortSignal, log: Log) => Promise<Requeue | undefined>;

/** Puts a key into the queue of a controller. */
export type Enqueue = (key: ObjectRef, options?: AddOptions) => void;

/** A controller's own part: what it does, and what makes a key due. */
export interface Reconciler {
  reconcile: Reconcile;
  /** Enqueues every object there is, and from then on those that changes make due. Returns the way to stop that. */
  watch(enqueue: Enqueue): () => void;
}

/**
 * Makes each object of the cache due: those there are behind all else, then each as it changes, and one whose wish is new with its
 * failures forgotten. Returns the way to stop that.
 */
export function enqueueEach<T extends KubeObject>(
  cache: Pick<Cache<T>, 'list' | 'onChange'>,
  enqueue: Enqueue,
): () => void {
  for (const { metadata } of cache.list()) enqueue(metadata, { priority: 'low' });
  return cache.onChange(({ metadata }, type, before) => {
    if (type !== 'DELETED') enqueue(metadata, { fresh: before?.metadata.generation !== metadata.generation });
  });
}

/** Trying again cannot help before the object changes. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

export interface ControllerDeps extends Omit<RunDeps, 'fields'> {
  reconcile: Reconcile;
  /** Reconciles at a time; 4 when absent. */
  workers?: number;
  /** Back-off of failed keys. */
  retry?: BackOff;
  queueMetrics?: WorkQueueMetrics;
  /** All keys are worked on again at low priority this often, and up to a tenth later. */
  resync?: { everyMs: number; keys: () => readonly ObjectRef[] };
}

export interface Controller {
  readonly name: string;
  enqueue: Enqueue;
  /**
   * Works until the signal aborts, then waits for the reconciles under way, whose signals abort too, but for no longer than five
   * seconds; forgets what was queued. May be run again afterwards. Never rejects.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when no key is queued or worked on; delayed ones do not count. */
  idle(): Promise<void>;
  /** Whether a key is queued or worked on. */
  busy(): boolean;
  /** Keys queued, not counting those delayed or worked on. */
  depth(): number;
  /** Seconds that the reconciles under way have taken so far: all together, and the longest. */
  unfinished(): { seconds: number; longest: number };
}

/** After a Conflict: what is to be read again is on its way. */
const CONFLICT_RETRY: BackOff = { baseMs: 50, maxMs: 5_000 };
/** While the API does not answer: not often, and soon enough after it does again. */
const OUTAGE_RETRY: BackOff = { baseMs: 1_600, maxMs: 30_000 };
/** Nobody waits for what is to be done so much later. */
const PATIENT_MS = 600_000;

/** Kubernetes names hold no slash, so the text is unambiguous. */
const render = ({ namespace, name }: ObjectRef) => `${namespace ?? ''}/${name}`;
const parse = (key: string): ObjectRef => {
  const [namespace = '', name = ''] = key.split('/');
  return namespace === '' ? { name } : { namespace, name };
};

export function createController(deps: ControllerDeps): Controller {
  const { name, clock, random, log, workers = 4 } = deps;
  const queue = createWorkQueue({
    clock,
    random,
    name,
    ...(deps.retry ? { retry: deps.retry } : {}),
    ...(deps.queueMetrics ? { metrics: deps.queueMetrics } : {}),
  });
  const gate = createOutageGate(deps);
  const work = createWorker(deps, queue, gate);

  async function worker(signal: AbortSignal): Promise<void> {
    for (;;) {
      await gate.pass(signal);
      const key = await queue.take(signal);
      if (key === undefined) return;
      await work(key, signal);
    }
  }

  async function resync(signal: AbortSignal): Promise<void> {
    if (!deps.resync) return;
    const { everyMs, keys } = deps.resync;
    while (!signal.aborted) {
      await clock.sleep(everyMs * (1 + fraction(random) / 10), signal).catch(() => undefined);
      if (signal.aborted) return;
      for (const key of keys()) queue.add(render(key), { priority: 'low' });
    }
  }

  return {
    name,
    enqueue: (key, options) => queue.add(render(key), options),
    async run(signal) {
      log.debug({ controller: name, workers }, 'controller started');
      await Promise.all([...Array.from({ length: workers }, () => worker(signal)), resync(signal)]);
      queue.clear();
    },
    idle: () => queue.idle(),
    busy: () => queue.busy(),
    depth: () => queue.depth(),
    unfinished: () => queue.unfinished(),
  };
}

/** Works on one key. Resolves when its worker is free. */
function createWorker(
  deps: ControllerDeps,
  queue: WorkQueue,
  gate: OutageGate,
): (key: string, stop: AbortSignal) => Promise<void> {
  const run = createRun(deps);
  const conclude = createConclusion(queue, gate);

  return (key, stop) =>
    run(key, stop, {
      work: async (signal, log) => {
        try {
          const requeue = await deps.reconcile(parse(key), signal, log);
          return stop.aborted ? 'success' : conclude.success(key, requeue);
        } catch (error) {
          return stop.aborted ? 'stopped' : conclude.failure(key, error, log);
        }
      },
      ended: () => queue.done(key),
    });
}

/** What the end of a reconcile means for its key; each gives the result's name. */
function createConclusion(queue: WorkQueue, gate: OutageGate) {
  return {
    success(key: string, requeue: Requeue | undefined): string {
      gate.answered();
      queue.forget(key);
      if (requeue?.requeueAfterMs === undefined) return 'success';
      const { requeueAfterMs } = requeue;
      const priority = requeueAfterMs < PATIENT_MS ? 'normal' : 'low';
      queue.add(key, { afterMs: Math.max(1, requeueAfterMs), priority });
      return 'requeue';
    },
    failure(key: string, error: unknown, log: Log): string {
      if (isClusterError(error, 'Unavailable')) {
        const askedMs = error.retryAfterMs ?? 0;
        log.warn({ error }, 'reconcile failed');
        gate.failed(key, askedMs);
        queue.retry(key, { minimumMs: askedMs, backOff: OUTAGE_RETRY });
        return 'error';
      }
      gate.answered();
      if (error instanceof TerminalError) {
        queue.forget(key);
        log.warn({ error }, 'nothing to be done before the object changes');
        return 'terminal';
      }
      if (isClusterError(error, 'Conflict', 'AlreadyExists')) {
        log.debug({ error }, 'an object changed meanwhile');
        queue.retry(key, { backOff: CONFLICT_RETRY });
        return 'conflict';
      }
      log.warn({ error }, 'reconcile failed');
      queue.retry(key);
      return 'error';
    },
  };
}
