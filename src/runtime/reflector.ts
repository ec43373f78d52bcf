// Keeps a copy of all objects of a kind: list in pages, then watch; resume where the watch broke; list again when it has
// fallen too far behind, keeping the copy meanwhile and telling listeners what vanished in between.
import type { Kind, KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cache, Clock, Cluster, Log, Random } from '../ports.ts';
import { type BackOff, backOff } from './back-off.ts';
import { createStore, type Indexes, type Store } from './store.ts';

export interface ReflectorDeps<T extends KubeObject> {
  cluster: Pick<Cluster, 'list' | 'watch'>;
  kind: Kind<T>;
  clock: Clock;
  random: Random;
  log: Log;
  /** One namespace; everywhere when absent. */
  namespace?: string;
  indexes?: Indexes<T>;
  /** What is kept of an object, for example without the values of a Secret. Identity fields of metadata must stay. */
  transform?: (object: T) => T;
}

export interface Reflector<T extends KubeObject> extends Cache<T> {
  /** Lists and watches until the signal aborts; then returns. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves once the first list is in the copy; rejects with the signal's reason. */
  synced(signal?: AbortSignal): Promise<void>;
}

/** Calls the listener for each object there is, as ADDED, and from then on for each change. Returns the way to stop that. */
export function onEach<T extends KubeObject>(cache: Cache<T>, listener: Listener<T>): () => void {
  for (const object of cache.list()) listener(object, 'ADDED');
  return cache.onChange(listener);
}

type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';
type Listener<T> = (object: T, type: ChangeType) => void;

const PAGE = 500;
const RETRY: BackOff = { baseMs: 800, maxMs: 30_000 };

export function createReflector<T extends KubeObject>(deps: ReflectorDeps<T>): Reflector<T> {
  const store = createStore<T>(deps.indexes ?? {});
  const listeners = createListeners<T>(deps);
  const firstList = Promise.withResolvers<void>();
  let hasSynced = false;
  const feed = createFeed(deps, store, listeners.tell);

  return {
    get: (ref) => store.get(ref),
    list: () => store.list(),
    byIndex: (index, value) => store.byIndex(index, value),
    hasSynced: () => hasSynced,
    onChange: listeners.add,
    run: (signal) =>
      keepUp(deps, feed, {
        signal,
        listed() {
          hasSynced = true;
          firstList.resolve();
        },
      }),
    synced: (signal) => orAborted(firstList.promise, signal),
  };
}

function createListeners<T extends KubeObject>({ kind, log }: ReflectorDeps<T>) {
  const listeners = new Set<Listener<T>>();
  return {
    add(this: void, listener: Listener<T>): () => void {
      // A wrapper, so that one function registered twice is two registrations.
      const registered: Listener<T> = (object, type) => listener(object, type);
      listeners.add(registered);
      return () => void listeners.delete(registered);
    },
    tell(this: void, object: T, type: ChangeType): void {
      for (const listener of listeners) {
        try {
          listener(object, type);
        } catch (error) {
          log.error({ kind: kind.kind, error }, 'a listener of the cache failed');
        }
      }
    },
  };
}

/** Lists, and lists again whenever watching cannot go on, until aborted. */
async function keepUp<T extends KubeObject>(
  deps: ReflectorDeps<T>,
  feed: Feed,
  { signal, listed }: { signal: AbortSignal; listed: () => void },
): Promise<void> {
  const { clock, random, log, kind } = deps;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const resourceVersion = await feed.list();
      listed();
      await follow(deps, feed, {
        resourceVersion,
        signal,
        moved() {
          failures = 0;
        },
      });
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      const expired = isClusterError(error, 'Expired');
      if (expired) log.info({ kind: kind.kind }, 'a watch fell behind: listing again');
      else log.warn({ kind: kind.kind, error, failures }, 'a list failed');
      if (expired && failures === 1) continue;
      await clock.sleep(backOff(RETRY, failures, random), signal).catch(() => undefined);
    }
  }
}

/** Watches from a version on, again and again; returns when aborted, throws Expired when it must list anew. */
async function follow<T extends KubeObject>(
  { clock, random, log, kind }: ReflectorDeps<T>,
  feed: Feed,
  start: { resourceVersion: string; signal: AbortSignal; moved: () => void },
): Promise<void> {
  const { signal } = start;
  let { resourceVersion } = start;
  for (let failures = 0; !signal.aborted; ) {
    const from = resourceVersion;
    try {
      for await (const version of feed.watch(from, signal)) {
        resourceVersion = version;
        start.moved();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isClusterError(error, 'Expired')) throw error;
      log.warn({ kind: kind.kind, error, failures }, 'a watch broke');
    }
    // A watch that ends without having moved must not become a busy loop, however it ended.
    failures = resourceVersion === from ? failures + 1 : 0;
    if (failures > 0 && !signal.aborted) await clock.sleep(backOff(RETRY, failures, random), signal);
  }
}

interface Feed {
  /** Makes the store what the API has; gives the version from which to watch. */
  list(): Promise<string>;
  /** Applies events as they come, giving the version after each. */
  watch(resourceVersion: string, signal: AbortSignal): AsyncIterable<string>;
}

function createFeed<T extends KubeObject>(
  deps: ReflectorDeps<T>,
  store: Store<T>,
  tell: (object: T, type: ChangeType) => void,
): Feed {
  const { cluster, kind } = deps;
  const scope = deps.namespace === undefined ? {} : { namespace: deps.namespace };
  const keep = (object: T) => freeze(deps.transform ? deps.transform(object) : object);

  function put(object: T): void {
    const kept = keep(object);
    const before = store.set(kept);
    if (before?.metadata.resourceVersion === kept.metadata.resourceVersion) return;
    const same = before?.metadata.uid === kept.metadata.uid;
    if (before && !same) tell(before, 'DELETED');
    tell(kept, same ? 'MODIFIED' : 'ADDED');
  }

  function remove(object: T): void {
    if (store.delete(object.metadata)) tell(keep(object), 'DELETED');
  }

  return {
    async list() {
      const { items, resourceVersion } = await listAll(cluster, kind, scope);
      const present = new Set(items.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`));
      for (const old of store.list()) {
        if (!present.has(`${old.metadata.namespace ?? ''}/${old.metadata.name}`)) remove(old);
      }
      for (const item of items) put(item);
      return resourceVersion;
    },
    async *watch(resourceVersion, signal) {
      for await (const event of cluster.watch(kind, { ...scope, resourceVersion, signal })) {
        if (event.type === 'BOOKMARK') {
          yield event.resourceVersion;
          continue;
        }
        if (event.type === 'DELETED') remove(event.object);
        else put(event.object);
        yield event.object.metadata.resourceVersion;
      }
    },
  };
}

async function listAll<T extends KubeObject>(
  cluster: Pick<Cluster, 'list'>,
  kind: Kind<T>,
  scope: { namespace?: string },
): Promise<{ items: T[]; resourceVersion: string }> {
  const items: T[] = [];
  let next: string | undefined;
  // The version of the first page: what changed while the pages were read is then seen again by the watch.
  let resourceVersion: string | undefined;
  do {
    const page = await cluster.list(kind, { ...scope, limit: PAGE, ...(next === undefined ? {} : { continue: next }) });
    items.push(...page.items);
    resourceVersion ??= page.resourceVersion;
    next = page.continue;
  } while (next !== undefined);
  return { items, resourceVersion };
}

/** Cached objects are shared: a write to one would be seen by all. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) freeze(member);
  return Object.freeze(value);
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
