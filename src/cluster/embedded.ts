// The Cluster port without Kubernetes: one process, objects in memory, kept in a Storage. Writes of one turn of the event loop are
// committed together; no call answers, and no watcher hears, before what it saw or wrote is durable.
import type { Kind, KubeObject, NewObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Cluster, ListOptions, ObjectList, ObjectRef, Random, WatchEvent, WatchOptions } from '../ports.ts';
import type { FieldOwners } from './field-ownership.ts';
import { frozenCopy } from './json-value.ts';
import { type Change, keyOf, ObjectStore, type Precondition, plural } from './object-store.ts';
import { asSeen, eventsAsSeen } from './object-metadata.ts';
import { type Entry, ObjectTable, objectKey } from './object-table.ts';
import { createPager, type Pager } from './pager.ts';
import type { RowChange, Storage, StoredRow } from './storage.ts';
import { type LoggedEvent, WatchLog } from './watch-log.ts';

export interface EmbeddedOptions {
  storage: Storage;
  clock: Clock;
  random: Random;
  kinds: readonly Kind[];
  /** Exist from the start and cannot be deleted. */
  namespaces?: readonly string[];
  /** Events kept for each kind, for watches that resume. */
  history?: number;
}

export interface EmbeddedCluster extends Cluster {
  /** Commits what is pending and lets go of the storage; every later call is Unavailable. */
  close(): Promise<void>;
}

/** Changes that wait for one commit. */
interface Batch {
  changes: Change[];
  committed: Promise<void>;
}

/** Throws an Error that names the file and its fault when the storage cannot be read. */
export function createEmbeddedCluster(options: EmbeddedOptions): EmbeddedCluster {
  return new Embedded(options);
}

class Embedded implements EmbeddedCluster {
  readonly #storage: Storage;
  readonly #kinds: readonly Kind[];
  readonly #tables: ReadonlyMap<string, ObjectTable>;
  readonly #logs: ReadonlyMap<string, WatchLog>;
  readonly #store: ObjectStore;
  readonly #pager: Pager;
  readonly #permanent: ReadonlySet<string>;
  /** Namespaces that go once they are empty. */
  readonly #terminating = new Set<string>();
  /** Highest version given out. */
  #version: number;
  /** Highest version that is durable: watchers hear of no later one. */
  #published: number;
  #batch: Batch | undefined;
  /** Whether changes are committed by and by: not in a store that keeps nothing, and not while it is being opened. */
  #scheduling = false;
  #closed = false;

  constructor(options: EmbeddedOptions) {
    const { storage, clock, random, kinds, namespaces = ['default', 'countersign-system'], history = 4096 } = options;
    this.#storage = storage;
    this.#kinds = kinds;
    this.#pager = createPager(random);
    this.#permanent = new Set(namespaces);
    this.#tables = new Map(kinds.map((kind) => [plural(kind), new ObjectTable()]));
    this.#store = new ObjectStore({
      clock,
      random,
      read: (kind, key) => this.#table(kind).get(key),
      write: (change) => this.#write(change),
      nextVersion: () => ++this.#version,
      admit: (namespace) => this.#admit(namespace),
    });
    const { resourceVersion, rows } = storage.load();
    this.#version = resourceVersion;
    for (const row of rows) this.#tables.get(row.kind)?.put(objectKey(row), parsedEntry(row));
    this.#ensureNamespaces();
    this.#published = this.#version;
    this.#scheduling = storage.commit !== undefined;
    const published = (): number => this.#published;
    const log = (): WatchLog => new WatchLog({ clock, published, capacity: history }, this.#version);
    this.#logs = new Map(kinds.map((kind) => [plural(kind), log()]));
  }

  get<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef): Promise<T | undefined> {
    return this.#run(() => {
      const found = this.#table(kind).get(keyOf(kind, ref));
      return found && asSeen(kind, found.object);
    });
  }

  list<T extends KubeObject>(kind: Kind<T>, options: ListOptions = {}): Promise<ObjectList<T>> {
    return this.#run(() => {
      const page = this.#page(kind, options);
      return { ...page, items: page.items.map((object) => asSeen(kind, object)) };
    });
  }

  #page(kind: Kind, options: ListOptions): ObjectList<KubeObject> {
    if (options.continue !== undefined)
      return this.#pager.nextPage(plural(kind), { ...options, continue: options.continue });
    const items = this.#table(kind).select(options);
    return this.#pager.firstPage({ kind: plural(kind), items, resourceVersion: String(this.#version) }, options.limit);
  }

  watch<T extends KubeObject>(kind: Kind<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>> {
    return eventsAsSeen(kind, this.#log(kind).watch(options));
  }

  create<T extends KubeObject>(kind: Kind<T>, object: NewObject<T>): Promise<T> {
    return this.#run(() => this.#store.create(kind, object) as T);
  }

  replace<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T> {
    return this.#run(() => this.#store.replace(kind, object) as T);
  }

  replaceStatus<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T> {
    return this.#run(() => this.#store.replaceStatus(kind, object) as T);
  }

  delete(kind: Kind, ref: ObjectRef, precondition?: Precondition): Promise<boolean> {
    return this.#run(() =>
      isNamespaceKind(kind)
        ? this.#deleteNamespace(kind, ref, precondition)
        : this.#store.remove(kind, ref, precondition),
    );
  }

  apply<T extends KubeObject>(kind: Kind<T>, object: NewObject<T>, options: { fieldManager: string }): Promise<T> {
    return this.#run(() => this.#store.apply(kind, object, options.fieldManager) as T);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#batch?.committed;
    } finally {
      this.#storage.close();
    }
  }

  /** Runs one atomic operation and answers once all it could have seen is durable. */
  async #run<R>(operation: () => R): Promise<R> {
    if (this.#closed) throw new ClusterError('Unavailable', 'the store is closed');
    try {
      const result = operation();
      if (this.#terminating.size > 0) this.#finishNamespaces();
      return result;
    } finally {
      if (this.#batch) await this.#settled(this.#batch);
    }
  }

  #settled(batch: Batch): Promise<void> | undefined {
    if (this.#scheduling) return batch.committed;
    this.#publish(this.#takeChanges());
    return undefined;
  }

  #write(change: Change): void {
    this.#table(change.kind).put(change.key, change.after);
    this.#batch ??= this.#scheduling ? this.#scheduledBatch() : { changes: [], committed: Promise.resolve() };
    this.#batch.changes.push(change);
  }

  #scheduledBatch(): Batch {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    setImmediate(() => {
      const changes = this.#takeChanges();
      try {
        this.#storage.commit?.(rowChanges(changes), this.#version);
      } catch (error) {
        this.#undo(changes);
        const reason = error instanceof Error ? error.message : String(error);
        reject(new ClusterError('Unavailable', `the store cannot be written: ${reason}`, { retryAfterMs: 1000 }));
        return;
      }
      this.#publish(changes);
      resolve();
    });
    return { changes: [], committed: promise };
  }

  #takeChanges(): readonly Change[] {
    const changes = this.#batch?.changes ?? [];
    this.#batch = undefined;
    return changes;
  }

  #publish(changes: readonly Change[]): void {
    this.#published = this.#version;
    for (const change of changes) this.#log(change.kind).append(eventOf(change));
  }

  #undo(changes: readonly Change[]): void {
    for (const { kind, key, before } of changes.toReversed()) this.#table(kind).put(key, before);
    this.#published = this.#version;
  }

  #table(kind: Pick<Kind, 'plural' | 'group'>): ObjectTable {
    return known(this.#tables, kind);
  }

  #log(kind: Pick<Kind, 'plural' | 'group'>): WatchLog {
    return known(this.#logs, kind);
  }

  // ---- Namespaces ---------------------------------------------------------------------------------------------------

  #ensureNamespaces(): void {
    const kind = this.#kinds.find(isNamespaceKind);
    if (!kind) return;
    for (const { metadata } of this.#table(kind).select({})) {
      if (metadata.deletionTimestamp !== undefined) this.#terminating.add(metadata.name);
    }
    for (const name of this.#permanent) {
      if (!this.#table(kind).get(objectKey({ name }))) this.#store.create(kind, { metadata: { name } });
    }
    const changes = this.#takeChanges();
    if (changes.length > 0) this.#storage.commit?.(rowChanges(changes), this.#version);
  }

  #admit(namespace: string): void {
    const found = this.#tables.get('namespaces')?.get(objectKey({ name: namespace }));
    if (!found) throw new ClusterError('NotFound', `namespaces "${namespace}" not found`);
    if (found.object.metadata.deletionTimestamp !== undefined)
      throw new ClusterError('Forbidden', `namespace "${namespace}" is being deleted: nothing is created in it`);
  }

  /** A namespace goes with all that is in it; objects with finalizers keep it until they are gone. */
  #deleteNamespace(kind: Kind, ref: ObjectRef, precondition: Precondition | undefined): boolean {
    if (this.#permanent.has(ref.name))
      throw new ClusterError('Forbidden', `namespaces "${ref.name}" is needed and cannot be deleted`);
    if (!this.#store.markDeleted(kind, ref, precondition)) return false;
    this.#terminating.add(ref.name);
    for (const inside of this.#kinds.filter((each) => each.namespaced)) {
      for (const { metadata } of this.#table(inside).select({ namespace: ref.name }))
        this.#store.remove(inside, { namespace: ref.name, name: metadata.name });
    }
    return true;
  }

  #finishNamespaces(): void {
    const kind = this.#kinds.find(isNamespaceKind);
    for (const name of this.#terminating) {
      const occupied = this.#kinds.some(
        (each) => each.namespaced && this.#table(each).select({ namespace: name }).length > 0,
      );
      if (occupied || !kind) continue;
      this.#terminating.delete(name);
      this.#store.remove(kind, { name });
    }
  }
}

function known<V>(map: ReadonlyMap<string, V>, kind: Pick<Kind, 'plural' | 'group'>): V {
  const value = map.get(plural(kind));
  if (value === undefined) throw new ClusterError('NotFound', `the store holds no ${plural(kind)}`);
  return value;
}

function isNamespaceKind(kind: Kind): boolean {
  return kind.group === '' && kind.plural === 'namespaces';
}

function parsedEntry(row: StoredRow): Entry {
  const object = frozenCopy(JSON.parse(row.object)) as unknown as KubeObject;
  return { object, owners: row.owners === undefined ? undefined : (JSON.parse(row.owners) as FieldOwners) };
}

function eventOf({ before, after, last }: Change): LoggedEvent {
  const type = before === undefined ? 'ADDED' : after === undefined ? 'DELETED' : 'MODIFIED';
  return { version: Number(last.metadata.resourceVersion), type, object: last };
}

/** The last state of each object: what came between in one commit need not be written. */
function rowChanges(changes: readonly Change[]): RowChange[] {
  const rows = new Map<string, RowChange>();
  for (const { kind, key, after, last } of changes) {
    const row = { kind: plural(kind), namespace: last.metadata.namespace ?? '', name: last.metadata.name };
    const owners = after?.owners && JSON.stringify(after.owners);
    rows.set(
      `${row.kind} ${key}`,
      after ? { ...row, object: JSON.stringify(after.object), owners } : { ...row, object: undefined },
    );
  }
  return [...rows.values()];
}
