// The indexed copy behind a reflector: objects by namespace and name, and by what the index functions say.
import type { KubeObject } from '../api/kind.ts';
import type { ObjectRef } from '../ports.ts';

/** Values under which an object is found; an object may have none or several. Pure, and must not throw. */
export type IndexFunction<T> = (object: T) => readonly string[];

export type Indexes<T> = Readonly<Record<string, IndexFunction<T>>>;

export interface Store<T> {
  get(ref: ObjectRef): T | undefined;
  /** A snapshot; the same array until something changes. */
  list(): readonly T[];
  byIndex(index: string, value: string): readonly T[];
  /** The object that was there before. */
  set(object: T): T | undefined;
  delete(ref: ObjectRef): T | undefined;
}

const keyOf = (ref: ObjectRef) => `${ref.namespace ?? ''}/${ref.name}`;

export function createStore<T extends KubeObject>(indexes: Indexes<T>): Store<T> {
  const objects = new Map<string, T>();
  const tables = new Map(Object.entries(indexes).map(([name, values]) => [name, createTable(values)]));
  let snapshot: readonly T[] | undefined;

  /** Puts `after` where `before` was; either may be missing. */
  function change(key: string, after: T | undefined): T | undefined {
    const before = objects.get(key);
    for (const table of tables.values()) {
      if (before) table.remove(key, before);
      if (after) table.add(key, after);
    }
    if (after) objects.set(key, after);
    else objects.delete(key);
    snapshot = undefined;
    return before;
  }

  return {
    get: (ref) => objects.get(keyOf(ref)),
    list: () => (snapshot ??= Object.freeze([...objects.values()])),
    byIndex(name, value) {
      const table = tables.get(name);
      if (!table) throw new Error(`index ${name} was not declared`);
      return table.find(value);
    },
    set: (object) => change(keyOf(object.metadata), object),
    delete: (ref) => change(keyOf(ref), undefined),
  };
}

/** One index: objects by key, by value. */
function createTable<T>(valuesOf: IndexFunction<T>) {
  const entries = new Map<string, Map<string, T>>();
  return {
    find: (value: string): readonly T[] => [...(entries.get(value)?.values() ?? [])],
    add(key: string, object: T): void {
      for (const value of valuesOf(object)) {
        const entry = entries.get(value);
        if (entry) entry.set(key, object);
        else entries.set(value, new Map([[key, object]]));
      }
    },
    remove(key: string, object: T): void {
      for (const value of valuesOf(object)) {
        const entry = entries.get(value);
        entry?.delete(key);
        if (entry?.size === 0) entries.delete(value);
      }
    },
  };
}
