// The indexed copy behind a reflector: objects by namespace and name, and by what the index functions say. Where there are very many, each
// is kept packed, and made anew for whoever reads it.
import type { KubeObject } from '../api/kind.ts';
import type { ObjectRef } from '../ports.ts';
import type { Packing } from './packing.ts';

/** Values under which an object is found; an object may have none or several. Pure, and must not throw. */
export type IndexFunction<T> = (object: T) => readonly string[];

export type Indexes<T> = Readonly<Record<string, IndexFunction<T>>>;

/** Of what is found. */
interface Part {
  from: number;
  count: number;
}

const ALL: Part = { from: 0, count: Infinity };

export interface Store<T> {
  get(ref: ObjectRef): T | undefined;
  /** A snapshot; the same array until something changes, unless objects are packed. */
  list(): readonly T[];
  /** One after the other; what changes meanwhile may or may not be seen. */
  each(): Iterable<T>;
  byIndex(index: string, value: string, part?: Part): readonly T[];
  /** Whether byIndex would give any. */
  has(index: string, value: string): boolean;
  /** The object that was there before. */
  set(object: T): T | undefined;
  delete(ref: ObjectRef): T | undefined;
  /** Marks what is there now; what is set after that is marked no more. */
  mark(): void;
  marked(): ObjectRef[];
}

/** What is kept of an object. */
interface Entry {
  /** Empty where there is none. */
  namespace: string;
  name: string;
  held: unknown;
  isMarked: boolean;
}

export function createStore<T extends KubeObject>(indexes: Indexes<T>, packing?: Packing<T>): Store<T> {
  const entries = createEntries();
  const tables = new Map(Object.entries(indexes).map(([name, values]) => [name, createTable(values)]));
  const hold = (object: T): unknown => packing?.pack(object) ?? object;
  const shown = ({ held }: Entry): T => (packing ? packing.unpack(held as string) : (held as T));
  let snapshot: readonly T[] | undefined;

  function table(name: string) {
    const found = tables.get(name);
    if (!found) throw new Error(`index ${name} was not declared`);
    return found;
  }

  function change(ref: ObjectRef, after: T | undefined): T | undefined {
    const known = entries.get(ref);
    if (!known && !after) return undefined;
    const before = known && shown(known);
    const entry = known ?? entries.add(ref);
    for (const each of tables.values()) each.move(entry, before, after);
    entry.held = after && hold(after);
    entry.isMarked = false;
    if (!after) entries.remove(ref);
    snapshot = undefined;
    return before;
  }

  return {
    get(ref) {
      const entry = entries.get(ref);
      return entry && shown(entry);
    },
    list() {
      if (packing) return [...entries.all()].map(shown);
      return (snapshot ??= Object.freeze([...entries.all()].map(shown)));
    },
    *each() {
      for (const entry of entries.all()) yield shown(entry);
    },
    byIndex: (name, value, { from, count } = ALL) =>
      table(name)
        .find(value)
        .slice(from, from + count)
        .map(shown),
    has: (name, value) => table(name).has(value),
    set: (object) => change(object.metadata, object),
    delete: (ref) => change(ref, undefined),
    mark: () => entries.mark(),
    marked: () => entries.marked(),
  };
}

/** By namespace, then by name: a key of both would be one more text for every object. */
function createEntries() {
  const namespaces = new Map<string, Map<string, Entry>>();
  function* all(): Iterable<Entry> {
    for (const names of namespaces.values()) yield* names.values();
  }
  return {
    get: ({ namespace = '', name }: ObjectRef): Entry | undefined => namespaces.get(namespace)?.get(name),
    add({ namespace = '', name }: ObjectRef): Entry {
      const entry: Entry = { namespace, name, held: undefined, isMarked: false };
      const names = namespaces.get(namespace);
      if (names) names.set(name, entry);
      else namespaces.set(namespace, new Map([[name, entry]]));
      return entry;
    },
    remove({ namespace = '', name }: ObjectRef): void {
      const names = namespaces.get(namespace);
      names?.delete(name);
      if (names?.size === 0) namespaces.delete(namespace);
    },
    all,
    mark(): void {
      for (const entry of all()) entry.isMarked = true;
    },
    marked: (): ObjectRef[] =>
      [...all()]
        .filter(({ isMarked }) => isMarked)
        .map(({ namespace, name }) => (namespace === '' ? { name } : { namespace, name })),
  };
}

/** One index. Mostly a value has one object, which then needs no set of its own. */
function createTable<T>(valuesOf: IndexFunction<T>) {
  const found = new Map<string, Entry | Set<Entry>>();

  function add(value: string, entry: Entry): void {
    const known = found.get(value);
    if (known === undefined) found.set(value, entry);
    else if (known instanceof Set) known.add(entry);
    else if (known !== entry) found.set(value, new Set([known, entry]));
  }

  function remove(value: string, entry: Entry): void {
    const known = found.get(value);
    if (known instanceof Set) known.delete(entry);
    if (known === entry || (known instanceof Set && known.size === 0)) found.delete(value);
  }

  return {
    find(value: string): readonly Entry[] {
      const known = found.get(value);
      if (known === undefined) return [];
      return known instanceof Set ? [...known] : [known];
    },
    has: (value: string) => found.has(value),
    move(entry: Entry, before: T | undefined, after: T | undefined): void {
      const [old, now] = [before, after].map((object) => (object === undefined ? [] : valuesOf(object)));
      for (const value of old ?? []) if (!now?.includes(value)) remove(value, entry);
      for (const value of now ?? []) add(value, entry);
    },
  };
}
