// Keeps a copy of all objects of a kind: list in pages or as a stream, then watch; resume where the watch broke or fell silent; list
// again when it has fallen too far behind, keeping the copy meanwhile and telling listeners what vanished in between.
import type { Kind, KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cache, Clock, Cluster, Counter, Log, Random } from '../ports.ts';
import { type BackOff, backOff, fraction } from './back-off.ts';
import { createFeed, type Feed, type Tell } from './object-feed.ts';
import type { Packing } from './packing.ts';
import { createStore, type Indexes } from './store.ts';

export interface ReflectorDeps<T extends KubeObject> {
  cluster: Pick<Cluster, 'list' | 'stream' | 'watch'>;
  kind: Kind<T>;
  clock: Clock;
  random: Random;
  log: Log;
  /** One namespace; everywhere when absent. */
  namespace?: string;
  indexes?: Indexes<T>;
  /** What is kept of an object, for example without the values of a Secret. Identity fields of metadata must stay. */
  transform?: (object: T) => T;
  /** For kinds of which there may be very many: each is kept in little room, and made anew for whoever reads it. */
  packing?: Packing<T>;
  metrics?: ReflectorMetrics;
  /** A watch that brings neither event nor bookmark for so long, and up to a fifth more, is made anew; 75 s when absent. */
  stallMs?: number;
  /** All is listed again so long after the last list, and up to a tenth later, in case an event went by unseen; 12 h when absent. */
  relistMs?: number;
}

/** Each counts with label `kind`. */
export interface ReflectorMetrics {
  /** Lists begun. */
  lists: Counter;
  /** Watches begun. */
  watches: Counter;
  /** Lists and watches that ended otherwise than in good order, by `reason`. */
  restarts: Counter;
}

export interface Reflector<T extends KubeObject> extends Cache<T> {
  /** Lists and watches until the signal aborts; then returns. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves once the first list is in the copy; rejects with the signal's reason. */
  synced(signal?: AbortSignal): Promise<void>;
  /** Seconds since the API was last heard of; since the reflector was made, where it never was. */
  ageSeconds(): number;
}

/** Calls the listener for each object there is, as ADDED, and from then on for each change. Returns the way to stop that. */
export function onEach<T extends KubeObject>(cache: Cache<T>, listener: Tell<T>): () => void {
  for (const object of cache.each()) listener(object, 'ADDED');
  return cache.onChange(listener);
}

/** At least 0.8 s, so that no fault makes more than two requests a second. */
const RETRY: BackOff = { baseMs: 1_600, maxMs: 30_000 };
const STALL_MS = 75_000;
const RELIST_MS = 12 * 3_600_000;
/** A watch that lasted so long counts as one that worked, whatever it brought. */
const GOOD_WATCH_MS = 10_000;
const SHORT_WATCH_MS = 1_000;
/** A list that follows an Expired without a pause is granted this often. */
const QUICK_LIST_MS = 30_000;

export function createReflector<T extends KubeObject>(deps: ReflectorDeps<T>): Reflector<T> {
  const { clock } = deps;
  const store = createStore<T>(deps.indexes ?? {}, deps.packing);
  const listeners = createListeners<T>(deps);
  const firstList = Promise.withResolvers<void>();
  let hasSynced = false;
  let heardAt = clock.monotonic();
  const feed = createFeed({
    ...deps,
    many: deps.packing !== undefined,
    store,
    tell: listeners.tell,
    heard: () => void (heardAt = clock.monotonic()),
  });
  const follower = { ...deps, feed, heardAt: () => heardAt };

  return {
    get: (ref) => store.get(ref),
    list: () => store.list(),
    each: () => store.each(),
    has: (index, value) => store.has(index, value),
    byIndex: (index, value, part) => store.byIndex(index, value, part),
    hasSynced: () => hasSynced,
    onChange: listeners.add,
    run: (signal) =>
      keepUp(follower, signal, () => {
        hasSynced = true;
        firstList.resolve();
      }),
    synced: (signal) => orAborted(firstList.promise, signal),
    ageSeconds: () => (clock.monotonic() - heardAt) / 1000,
  };
}

function createListeners<T extends KubeObject>({ kind, log }: ReflectorDeps<T>) {
  const listeners = new Set<Tell<T>>();
  return {
    add(this: void, listener: Tell<T>): () => void {
      // A wrapper, so that one function registered twice is two registrations.
      const registered: Tell<T> = (object, type, before) => listener(object, type, before);
      listeners.add(registered);
      return () => void listeners.delete(registered);
    },
    tell(this: void, ...change: Parameters<Tell<T>>): void {
      for (const listener of listeners) {
        try {
          listener(...change);
        } catch (error) {
          log.error({ kind: kind.kind, error }, 'a listener of the cache failed');
        }
      }
    },
  };
}

type FollowerDeps = Pick<ReflectorDeps<never>, 'clock' | 'random' | 'log' | 'metrics' | 'stallMs' | 'relistMs'> & {
  kind: Pick<Kind, 'kind'>;
  feed: Feed;
  heardAt: () => number;
};

/** Lists, and lists again whenever watching cannot go on, until aborted. */
async function keepUp(deps: FollowerDeps, signal: AbortSignal, listed: () => void): Promise<void> {
  const { clock, log, metrics } = deps;
  const { kind } = deps.kind;
  let failures = 0;
  let quickAt = -QUICK_LIST_MS;
  const moved = () => void (failures = 0);
  while (!signal.aborted) {
    try {
      metrics?.lists.inc({ kind });
      const resourceVersion = await deps.feed.list();
      listed();
      await follow(deps, { resourceVersion, signal, moved });
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      const expired = isClusterError(error, 'Expired');
      metrics?.restarts.inc({ kind, reason: expired ? 'expired' : 'list' });
      if (expired) log.info({ kind }, 'a list or watch fell behind: listing again');
      else log.warn({ kind, error, failures }, 'a list failed');
      const now = clock.monotonic();
      if (expired && failures === 1 && now - quickAt >= QUICK_LIST_MS) quickAt = now;
      else await pause(deps, { failures, error, signal });
    }
  }
}

/** Watches from a version on, again and again; returns when aborted or when it is time to list, throws Expired when it must list. */
async function follow(
  deps: FollowerDeps,
  start: { resourceVersion: string; signal: AbortSignal; moved: () => void },
): Promise<void> {
  const { clock, random, relistMs = RELIST_MS } = deps;
  const { signal, moved } = start;
  const listAt = clock.monotonic() + relistMs * (1 + fraction(random) / 10);
  let from = start.resourceVersion;
  for (let failures = 0; !signal.aborted && clock.monotonic() < listAt; ) {
    const began = clock.monotonic();
    const { version, failure } = await watchOnce(deps, { from, listAt, signal, moved });
    if (signal.aborted) return;
    const lived = clock.monotonic() - began;
    // A watch that ends at once must not become a busy loop, however it ended and whatever it brought.
    if (lived >= GOOD_WATCH_MS) failures = 0;
    else if (version === from) failures++;
    else failures = lived >= SHORT_WATCH_MS ? 0 : 1;
    from = version;
    if (failures > 0) await pause(deps, { failures, error: failure, signal });
  }
}

/** One watch, to its end: the version from which to resume, and why it broke, if it did. Throws Expired. */
async function watchOnce(
  deps: FollowerDeps,
  { from, listAt, signal, moved }: { from: string; listAt: number; signal: AbortSignal; moved: () => void },
): Promise<{ version: string; failure?: unknown }> {
  const { log, metrics } = deps;
  const { kind } = deps.kind;
  const watch = superviseWatch(deps, listAt, signal);
  let version = from;
  metrics?.watches.inc({ kind });
  try {
    for await (version of deps.feed.watch(from, watch.signal)) moved();
  } catch (failure) {
    if (isClusterError(failure, 'Expired')) throw failure;
    if (!watch.signal.aborted) {
      log.warn({ kind, error: failure }, 'a watch broke');
      metrics?.restarts.inc({ kind, reason: 'watch' });
      return { version, failure };
    }
  } finally {
    watch.over();
  }
  if (watch.stalled()) {
    log.debug({ kind }, 'a watch was silent: making it anew');
    metrics?.restarts.inc({ kind, reason: 'stalled' });
  }
  return { version };
}

/** Resolves after the back-off, or what the API asked for if that is longer, or at once when aborted. */
async function pause(
  { clock, random }: FollowerDeps,
  { failures, error, signal }: { failures: number; error: unknown; signal: AbortSignal },
): Promise<void> {
  const askedMs = isClusterError(error) ? (error.retryAfterMs ?? 0) : 0;
  await clock.sleep(Math.max(backOff(RETRY, failures, random), askedMs), signal).catch(() => undefined);
}

/** A signal that aborts when the API has been silent for too long, or when it is time to list. */
function superviseWatch(
  { clock, random, heardAt, stallMs = STALL_MS }: FollowerDeps,
  listAt: number,
  signal: AbortSignal,
) {
  const [silent, done] = [new AbortController(), new AbortController()];
  const began = clock.monotonic();
  const limit = stallMs * (1 + fraction(random) / 5);
  let stalled = false;

  async function supervise(): Promise<void> {
    for (;;) {
      const stallAt = Math.max(began, heardAt()) + limit;
      const left = Math.min(stallAt, listAt) - clock.monotonic();
      if (left <= 0) {
        stalled = stallAt < listAt;
        return silent.abort(new Error('the watch is silent'));
      }
      await clock.sleep(left, done.signal);
    }
  }
  supervise().catch(() => {
    // The watch is over.
  });
  return {
    signal: AbortSignal.any([signal, silent.signal]),
    stalled: () => stalled,
    over: () => done.abort(),
  };
}

async function orAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) {
    await promise;
    return;
  }
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<void>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  await Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener('abort', abort));
}
