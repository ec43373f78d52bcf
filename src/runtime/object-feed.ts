// Brings a store to what the API has, by lists and by events. Lists are the truth; of events, those that come twice, late or out of
// order change nothing.
import type { Kind, KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cluster, ObjectList, WatchEvent } from '../ports.ts';
import { remember } from './remembered.ts';
import type { Store } from './store.ts';

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** Told of each change; `before` is what a MODIFIED object was. */
export type Tell<T> = (object: T, type: ChangeType, before?: T) => void;

export interface FeedDeps<T extends KubeObject> {
  cluster: Pick<Cluster, 'list' | 'stream' | 'watch'>;
  kind: Kind<T>;
  /** One namespace; everywhere when absent. */
  namespace?: string;
  /** What is kept of an object. Identity fields of metadata must stay. */
  transform?: (object: T) => T;
  /** Whether there may be very many. */
  many?: boolean;
  store: Store<T>;
  tell: Tell<T>;
  /** Called whenever the API has said something. */
  heard: () => void;
}

export interface Feed {
  /** Makes the store what the API has, a page or a portion at a time; gives the version from which to watch. */
  list(): Promise<string>;
  /** Applies events as they come, giving the version from which to resume after each. */
  watch(resourceVersion: string, signal: AbortSignal): AsyncIterable<string>;
}

const PAGE = 500;
/** Of metadata alone, which is small: each page costs the API about as much as a thousand of these. */
const METADATA_PAGE = 2000;
/** Deleted objects remembered, so that no late event brings one back. */
const DELETED = 4096;

export function createFeed<T extends KubeObject>(deps: FeedDeps<T>): Feed {
  const { cluster, kind, heard } = deps;
  const copy = createCopy(deps);
  return {
    list: createList(deps, copy),
    async *watch(resourceVersion, signal) {
      let resume = resourceVersion;
      for await (const event of cluster.watch(kind, { ...scopeOf(deps), resourceVersion, signal })) {
        heard();
        const version = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion;
        if (event.type === 'DELETED') copy.remove(event.object);
        else if (event.type !== 'BOOKMARK') copy.putIfNews(event.object);
        if (!isOlder(version, resume)) resume = version;
        yield resume;
      }
    },
  };
}

type Copy<T extends KubeObject> = ReturnType<typeof createCopy<T>>;

const scopeOf = ({ namespace }: { namespace?: string }) => (namespace === undefined ? {} : { namespace });

/** As a stream for as long as those work; after one that did not by pages, which ask less of what is between us and the API. */
function createList<T extends KubeObject>(deps: FeedDeps<T>, copy: Copy<T>): () => Promise<string> {
  const { cluster, kind, store, many = false } = deps;
  let stream = many ? cluster.stream : undefined;
  let byPages = false;

  return async function list(): Promise<string> {
    const portions = byPages ? undefined : stream?.(kind, scopeOf(deps));
    store.mark();
    byPages = false;
    try {
      const version = await (portions ? takeStream(deps, copy, portions) : takePages(deps, copy));
      copy.dropMarked();
      return version;
    } catch (error) {
      byPages = portions !== undefined;
      if (!portions || !isClusterError(error, 'Invalid', 'Forbidden', 'NotFound')) throw error;
      // There are no such streams here.
      stream = undefined;
      return list();
    }
  };
}

async function takeStream<T extends KubeObject>(
  { heard }: FeedDeps<T>,
  copy: Copy<T>,
  portions: AsyncIterable<readonly WatchEvent<T>[]>,
): Promise<string> {
  let version = '';
  for await (const events of portions) {
    heard();
    for (const event of events) {
      if (event.type === 'BOOKMARK') version = event.resourceVersion;
      else if (event.type === 'DELETED') copy.remove(event.object);
      else copy.put(event.object);
    }
  }
  return version;
}

async function takePages<T extends KubeObject>(deps: FeedDeps<T>, copy: Copy<T>): Promise<string> {
  const { cluster, kind, heard } = deps;
  const limit = kind.metadataOnly ? METADATA_PAGE : PAGE;
  const read = (token?: string) =>
    cluster.list(kind, { ...scopeOf(deps), limit, ...(token === undefined ? {} : { continue: token }) });
  // The version of the first page: what changed while the pages were read is then seen again by the watch.
  let version: string | undefined;
  for (let reading: Promise<ObjectList<T>> | undefined = read(); reading; ) {
    const page: ObjectList<T> = await reading;
    heard();
    // The API finds the next page while this one is taken up.
    reading = page.continue === undefined ? undefined : read(page.continue);
    reading?.catch(() => undefined);
    for (const item of page.items) copy.put(item);
    version ??= page.resourceVersion;
  }
  return version ?? '';
}

/** The store, and who is told of its changes. */
function createCopy<T extends KubeObject>({ store, tell, transform }: FeedDeps<T>) {
  const deleted = new Map<string, true>();
  const keep = (object: T) => freeze(transform ? transform(object) : object);

  function put(object: T): void {
    const kept = keep(object);
    const before = store.set(kept);
    if (before?.metadata.resourceVersion === kept.metadata.resourceVersion) return;
    const same = before?.metadata.uid === kept.metadata.uid;
    if (before && !same) tell(before, 'DELETED');
    if (same) tell(kept, 'MODIFIED', before);
    else tell(kept, 'ADDED');
  }

  return {
    put,
    putIfNews(object: T): void {
      const { uid, resourceVersion } = object.metadata;
      const before = store.get(object.metadata);
      if (deleted.has(uid) || (before && isOlder(resourceVersion, before.metadata.resourceVersion))) return;
      put(object);
    },
    remove(object: T): void {
      const { uid } = object.metadata;
      remember(deleted, uid, true, DELETED);
      if (store.get(object.metadata)?.metadata.uid !== uid) return;
      store.delete(object.metadata);
      tell(keep(object), 'DELETED');
    },
    /** After a list: what it did not have is gone, and nothing is remembered against what it had. */
    dropMarked(): void {
      deleted.clear();
      for (const ref of store.marked()) {
        const old = store.delete(ref);
        if (old) tell(old, 'DELETED');
      }
    },
  };
}

/** Versions of one kind are decimal numbers that grow; of any other form none is older. */
function isOlder(version: string, than: string): boolean {
  if (!/^[1-9]\d*$/.test(version) || !/^[1-9]\d*$/.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}

/** Kept objects are shared: a write to one would be seen by all. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) freeze(member);
  return Object.freeze(value);
}
