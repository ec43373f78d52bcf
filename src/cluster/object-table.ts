// The objects of one kind in memory, in order of namespace and name, with indexes for the labels that are asked for.
import type { KubeObject } from '../api/kind.ts';
import type { ListOptions, ObjectRef } from '../ports.ts';
import type { FieldOwners } from './field-ownership.ts';

export interface Entry {
  readonly object: KubeObject;
  readonly owners: FieldOwners | undefined;
}

/** Sorts by namespace, then name: no name has a character below the separator. */
export function objectKey(ref: ObjectRef): string {
  return `${ref.namespace ?? ''} ${ref.name}`;
}

type LabelIndex = Map<string, Set<string>>;

export class ObjectTable {
  readonly #entries = new Map<string, Entry>();
  #order: string[] = [];
  #stale = false;
  /** By label; made the first time a label is asked for, so that a look-up does not grow with the inventory. */
  readonly #indexes = new Map<string, LabelIndex>();

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Sets or, given undefined, removes. */
  put(key: string, entry: Entry | undefined): void {
    const before = this.#entries.get(key);
    if (entry) this.#entries.set(key, entry);
    else this.#entries.delete(key);
    if (!before && entry) this.#order.push(key);
    this.#stale ||= !before || !entry;
    if (this.#order.length > this.#entries.size * 2 + 1000) this.#sortedKeys();
    for (const [label, index] of this.#indexes) reindex(index, label, { key, before, after: entry });
  }

  #indexOf(label: string): LabelIndex {
    const known = this.#indexes.get(label);
    if (known) return known;
    const index = new Map() as LabelIndex;
    for (const [key, after] of this.#entries) reindex(index, label, { key, before: undefined, after });
    this.#indexes.set(label, index);
    return index;
  }

  #sortedKeys(): readonly string[] {
    if (this.#stale) {
      // New keys stand at the end of a sorted run, which the sort finds; a key put, removed and put again stands twice.
      this.#order = [...new Set(this.#order.filter((key) => this.#entries.has(key)))].sort();
      this.#stale = false;
    }
    return this.#order;
  }

  /** Sorted by namespace, then name. */
  select({ namespace, labels = {} }: Pick<ListOptions, 'namespace' | 'labels'>): KubeObject[] {
    const terms = Object.entries(labels);
    const [first] = terms;
    const keys = first ? [...(this.#indexOf(first[0]).get(first[1]) ?? [])].sort() : this.#sortedKeys();
    const prefix = namespace === undefined ? '' : `${namespace} `;
    const found: KubeObject[] = [];
    for (const key of keys) {
      if (!key.startsWith(prefix)) continue;
      const object = this.#entries.get(key)?.object;
      if (object && terms.every(([label, value]) => object.metadata.labels?.[label] === value)) found.push(object);
    }
    return found;
  }
}

function reindex(
  index: LabelIndex,
  label: string,
  change: { key: string; before: Entry | undefined; after: Entry | undefined },
): void {
  const was = change.before?.object.metadata.labels?.[label];
  const is = change.after?.object.metadata.labels?.[label];
  if (was === is) return;
  if (was !== undefined) {
    const keys = index.get(was);
    keys?.delete(change.key);
    if (keys?.size === 0) index.delete(was);
  }
  if (is === undefined) return;
  const keys = index.get(is);
  if (keys) keys.add(change.key);
  else index.set(is, new Set([change.key]));
}
