// Runs a reconcile function over the keys of a work queue: workers, time-outs, retries, log lines. Nothing a reconcile does,
// throws or forgets stops the controller.
import { isClusterError } from '../domain/cluster-error.ts';
import type { Clock, Histogram, Log, ObjectRef, Random } from '../ports.ts';
import { createWorkQueue, type AddOptions, type WorkQueue } from './work-queue.ts';
import type { BackOff } from './back-off.ts';

/** When to look at the object again without being told. */
export interface Requeue {
  requeueAfterMs?: number;
}

/**
 * Makes the world so, as of now; idempotent. Told which object, never what happened to it. A throw is retried with back-off,
 * a TerminalError is not.
 */
export type Reconcile = (key: ObjectRef, signal: AbortSignal) => Promise<Requeue | undefined>;

/** Puts a key into the queue of a controller. */
export type Enqueue = (key: ObjectRef, options?: AddOptions) => void;

/** A controller's own part: what it does, and what makes a key due. */
export interface Reconciler {
  reconcile: Reconcile;
  /** Enqueues every object there is, and from then on those that changes make due. Returns the way to stop that. */
  watch(enqueue: Enqueue): () => void;
}

/** Trying again cannot help before the object changes. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

export interface ControllerDeps {
  name: string;
  reconcile: Reconcile;
  clock: Clock;
  random: Random;
  log: Log;
  /** Reconciles at a time; 4 when absent. */
  workers?: number;
  /** Longest reconcile; 60 s when absent. Its signal aborts then. */
  timeoutMs?: number;
  /** Back-off of failed keys. */
  retry?: BackOff;
  /** Seconds, by controller and result. */
  durations?: Histogram;
  /** All keys are worked on again at low priority this often. */
  resync?: { everyMs: number; keys: () => readonly ObjectRef[] };
}

export interface Controller {
  readonly name: string;
  enqueue: Enqueue;
  /** Works until the signal aborts, then waits for the reconciles under way, whose signals abort too. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when no key is queued or worked on; delayed ones do not count. */
  idle(): Promise<void>;
  /** Whether a key is queued or worked on. */
  busy(): boolean;
  /** Keys queued, not counting those delayed or worked on. */
  depth(): number;
}

/** How long a reconcile may take to notice that its time is up before its worker goes on without it. */
const GRACE_MS = 5_000;

/** Kubernetes names hold no slash, so the text is unambiguous. */
const render = ({ namespace, name }: ObjectRef) => `${namespace ?? ''}/${name}`;
const parse = (key: string): ObjectRef => {
  const [namespace = '', name = ''] = key.split('/');
  return namespace === '' ? { name } : { namespace, name };
};

export function createController(deps: ControllerDeps): Controller {
  const { clock, random, log, workers = 4 } = deps;
  const queue = createWorkQueue({ clock, random, ...(deps.retry ? { retry: deps.retry } : {}) });
  const work = createWorker(deps, queue);

  async function worker(signal: AbortSignal): Promise<void> {
    for (;;) {
      const key = await queue.take(signal);
      if (key === undefined) return;
      await work(key, signal);
    }
  }

  async function resync(signal: AbortSignal): Promise<void> {
    if (!deps.resync) return;
    const { everyMs, keys } = deps.resync;
    while (!signal.aborted) {
      await clock.sleep(everyMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      for (const key of keys()) queue.add(render(key), { priority: 'low' });
    }
  }

  return {
    name: deps.name,
    enqueue: (key, options) => queue.add(render(key), options),
    async run(signal) {
      log.debug({ controller: deps.name, workers }, 'controller started');
      await Promise.all([...Array.from({ length: workers }, () => worker(signal)), resync(signal)]);
    },
    idle: () => queue.idle(),
    busy: () => queue.busy(),
    depth: () => queue.depth(),
  };
}

/** Works on one key. Resolves when its worker is free, which is before the reconcile has ended if that ignores its signal. */
function createWorker(deps: ControllerDeps, queue: WorkQueue): (key: string, signal: AbortSignal) => Promise<void> {
  const { name, reconcile, clock, random, log, timeoutMs = 60_000, durations } = deps;

  function succeed(key: string, requeue: Requeue | undefined): string {
    queue.forget(key);
    if (requeue?.requeueAfterMs === undefined) return 'success';
    queue.add(key, { afterMs: Math.max(1, requeue.requeueAfterMs) });
    return 'requeue';
  }

  function fail(key: string, error: unknown, fields: object): string {
    if (error instanceof TerminalError) {
      queue.forget(key);
      log.error({ ...fields, error }, 'reconcile failed for good');
      return 'terminal';
    }
    if (isClusterError(error, 'Conflict', 'AlreadyExists')) {
      log.debug({ ...fields, error }, 'an object changed meanwhile');
      queue.retry(key);
      return 'conflict';
    }
    log.warn({ ...fields, error }, 'reconcile failed');
    queue.retry(key, isClusterError(error) ? error.retryAfterMs : undefined);
    return 'error';
  }

  async function once(key: string, signal: AbortSignal): Promise<void> {
    const fields = { controller: name, object: key, reconcileID: random.bytes(8).toString('hex') };
    const started = clock.monotonic();
    let result: string;
    try {
      result = succeed(key, await reconcile(parse(key), signal));
    } catch (error) {
      result = fail(key, error, fields);
    }
    queue.done(key);
    const seconds = (clock.monotonic() - started) / 1000;
    durations?.observe({ controller: name, result }, seconds);
    log.debug({ ...fields, result, seconds }, 'reconciled');
  }

  return async (key, signal) => {
    const timeout = new AbortController();
    const ended = new AbortController();
    const run = once(key, AbortSignal.any([signal, timeout.signal])).finally(() => ended.abort());
    const overdue = async () => {
      await clock.sleep(timeoutMs, ended.signal);
      timeout.abort(new Error(`reconcile took longer than ${timeoutMs} ms`));
      await clock.sleep(GRACE_MS, ended.signal);
      log.error({ controller: name, object: key }, 'a reconcile ignores that its time is up: going on without it');
    };
    await Promise.race([run, overdue().catch(() => run)]);
  };
}
