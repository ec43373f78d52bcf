// The API server's semantics over objects in memory: versions, generations, status subresource, finalizers, namespaces,
// validation. Synchronous, so that each operation is atomic; what it changes goes through `write`.
import type { Kind, KubeObject, NewObject, ObjectMeta } from '../api/kind.ts';
import { validateObject } from '../api/validate.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, ObjectRef, Random } from '../ports.ts';
import { coreErrors } from './core-kinds.ts';
import { applyFields, type FieldOwners, ownersAfter, ownersOfNew } from './field-ownership.ts';
import { frozenCopy, type JsonObject, sameJson } from './json-value.ts';
import { appliedPart, assembled, bodyOf, type Given, givenIn, taken } from './object-parts.ts';
import { mustHaveBody } from './object-metadata.ts';
import { type Entry, objectKey } from './object-table.ts';
import { invalidObject, namespaceOf } from './scope.ts';

/** What an object becomes; `after` undefined: it goes, and `last` is its final state. */
export interface Change {
  kind: Kind;
  key: string;
  before: Entry | undefined;
  after: Entry | undefined;
  last: KubeObject;
}

export interface ObjectStoreDeps {
  clock: Pick<Clock, 'now'>;
  random: Random;
  read: (kind: Kind, key: string) => Entry | undefined;
  write: (change: Change) => void;
  nextVersion: () => number;
  /** Throws NotFound or Forbidden where nothing may be created. */
  admit: (namespace: string) => void;
}

export type Precondition = { uid?: string; resourceVersion?: string };

export class ObjectStore {
  readonly #deps: ObjectStoreDeps;
  #now = { second: Number.NaN, text: '' };

  constructor(deps: ObjectStoreDeps) {
    this.#deps = deps;
  }

  create(kind: Kind, input: NewObject<KubeObject>, owners?: FieldOwners): KubeObject {
    const { body, given } = taken(kind, input);
    const key = keyOf(kind, input.metadata);
    const { name, namespace } = input.metadata;
    const metadata: ObjectMeta = {
      name,
      ...(namespace === undefined || namespace === '' ? {} : { namespace }),
      uid: uuid(this.#deps.random),
      resourceVersion: '',
      generation: 1,
      creationTimestamp: this.#timestamp(),
      ...given,
    };
    const draft = assembled(kind, metadata, body);
    check(kind, draft, undefined);
    if (namespace !== undefined) this.#deps.admit(namespace);
    if (this.#deps.read(kind, key)) throw new ClusterError('AlreadyExists', `${named(kind, name)} already exists`);
    return this.#stored({ kind, key, before: undefined, draft, owners });
  }

  replace(kind: Kind, input: KubeObject): KubeObject {
    const { key, entry } = this.#existing(kind, input.metadata);
    unchangedSince(kind, entry.object, input.metadata);
    const { body, given } = taken(kind, input);
    return this.#update({ kind, key, entry }, { body, given });
  }

  replaceStatus(kind: Kind, input: KubeObject): KubeObject {
    mustHaveBody(kind);
    if (!kind.statusSubresource) throw new ClusterError('NotFound', `${plural(kind)} have no status subresource`);
    const { key, entry } = this.#existing(kind, input.metadata);
    unchangedSince(kind, entry.object, input.metadata);
    const before = entry.object as KubeObject & { status?: unknown };
    const status = frozenCopy((input as { status?: unknown }).status ?? null, 'status');
    const { status: _old, ...rest } = before;
    const draft = (status === null ? rest : { ...rest, status }) as KubeObject;
    if (sameJson(draft, before)) return before;
    check(kind, draft, before);
    return this.#stored({ kind, key, before: entry, draft, owners: ownersOf(entry, before, draft) });
  }

  /** Shared by replace and apply: the draft is made of what is given and what only the store may set. */
  #update(
    target: { kind: Kind; key: string; entry: Entry },
    next: { body: JsonObject; given: Given; owners?: FieldOwners },
  ): KubeObject {
    const { kind, key, entry } = target;
    const before = entry.object;
    const { status, ...content } = bodyOf(before);
    const kept = kind.statusSubresource && status !== undefined ? { status } : {};
    const old = kind.statusSubresource || status === undefined ? content : { ...content, status };
    const advanced = !sameJson(old, next.body);
    const { name, namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp } = before.metadata;
    const metadata: ObjectMeta = {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion,
      generation: advanced ? generation + 1 : generation,
      creationTimestamp,
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      ...next.given,
    };
    const draft = assembled(kind, metadata, { ...next.body, ...kept });
    const owners = next.owners ?? ownersOf(entry, before, draft);
    if (!advanced && sameJson(draft.metadata, before.metadata) && sameJson(owners ?? {}, entry.owners ?? {}))
      return before;
    check(kind, draft, before);
    if (deletionTimestamp !== undefined) return this.#updateDeleted(target, draft, owners);
    return this.#stored({ kind, key, before: entry, draft, owners });
  }

  /** An object being deleted goes with its last finalizer and takes no new ones. */
  #updateDeleted(
    { kind, key, entry }: { kind: Kind; key: string; entry: Entry },
    draft: KubeObject,
    owners: FieldOwners | undefined,
  ): KubeObject {
    const had = entry.object.metadata.finalizers ?? [];
    const has = draft.metadata.finalizers ?? [];
    const fields = has
      .filter((finalizer) => !had.includes(finalizer))
      .map((finalizer) => ({
        path: 'metadata.finalizers',
        message: `an object being deleted takes no new finalizer ${finalizer}`,
      }));
    if (fields.length > 0) throw invalidObject(kind, draft.metadata.name, fields);
    if (has.length > 0) return this.#stored({ kind, key, before: entry, draft, owners });
    return this.#removed(kind, key, { object: draft, owners });
  }

  /** False where there is no such object. One with finalizers is marked and stays until they are gone. */
  remove(kind: Kind, ref: ObjectRef, precondition: Precondition = {}): boolean {
    const key = keyOf(kind, ref);
    const entry = this.#deps.read(kind, key);
    if (!entry) return false;
    meetsPrecondition(kind, entry.object, precondition);
    if ((entry.object.metadata.finalizers ?? []).length === 0) this.#removed(kind, key, entry);
    else this.#marked(kind, key, entry);
    return true;
  }

  /** As remove, but the object stays in any case, marked, until `remove` is called again. */
  markDeleted(kind: Kind, ref: ObjectRef, precondition: Precondition = {}): boolean {
    const key = keyOf(kind, ref);
    const entry = this.#deps.read(kind, key);
    if (!entry) return false;
    meetsPrecondition(kind, entry.object, precondition);
    this.#marked(kind, key, entry);
    return true;
  }

  #marked(kind: Kind, key: string, entry: Entry): void {
    const { metadata } = entry.object;
    if (metadata.deletionTimestamp !== undefined) return;
    const { generation } = metadata;
    const marked = { ...metadata, generation: generation + 1, deletionTimestamp: this.#timestamp() };
    this.#stored({ kind, key, before: entry, draft: { ...entry.object, metadata: marked }, owners: entry.owners });
  }

  apply(kind: Kind, input: NewObject<KubeObject>, fieldManager: string): KubeObject {
    const key = keyOf(kind, input.metadata);
    const entry = this.#deps.read(kind, key);
    const { body, given } = taken(kind, input);
    const wanted = appliedPart(body, given);
    if (!entry) return this.create(kind, input, ownersOfNew(wanted, fieldManager));
    const { metadata } = input;
    if (metadata.resourceVersion !== undefined || metadata.uid !== undefined)
      unchangedSince(kind, entry.object, { ...entry.object.metadata, ...metadata });
    const { status, ...content } = bodyOf(entry.object);
    const old = kind.statusSubresource || status === undefined ? content : { ...content, status };
    const current = appliedPart(old, givenIn(entry.object.metadata));
    const { object, owners } = applyFields(current, wanted, fieldManager, entry.owners);
    const { metadata: given2 = {}, ...body2 } = frozenCopy(object) as JsonObject & { metadata?: Given };
    return this.#update({ kind, key, entry }, { body: body2, given: given2, owners });
  }

  /** Whole seconds, as Kubernetes writes them. Rendered once a second: it stands in every object. */
  #timestamp(): string {
    const second = Math.floor(this.#deps.clock.now().getTime() / 1000);
    if (second !== this.#now.second)
      this.#now = { second, text: `${new Date(second * 1000).toISOString().slice(0, 19)}Z` };
    return this.#now.text;
  }

  #existing(kind: Kind, ref: ObjectRef): { key: string; entry: Entry } {
    const key = keyOf(kind, ref);
    const entry = this.#deps.read(kind, key);
    if (!entry) throw new ClusterError('NotFound', `${named(kind, ref.name)} not found`);
    return { key, entry };
  }

  #stored(change: {
    kind: Kind;
    key: string;
    before: Entry | undefined;
    draft: KubeObject;
    owners: FieldOwners | undefined;
  }): KubeObject {
    const { kind, key, before, draft, owners } = change;
    const metadata = Object.freeze({ ...draft.metadata, resourceVersion: String(this.#deps.nextVersion()) });
    const object = Object.freeze({ ...draft, metadata });
    this.#deps.write({ kind, key, before, after: { object, owners }, last: object });
    return object;
  }

  #removed(kind: Kind, key: string, entry: Entry): KubeObject {
    const metadata = Object.freeze({ ...entry.object.metadata, resourceVersion: String(this.#deps.nextVersion()) });
    const last = Object.freeze({ ...entry.object, metadata });
    this.#deps.write({ kind, key, before: this.#deps.read(kind, key), after: undefined, last });
    return last;
  }
}

export function plural(kind: Pick<Kind, 'plural' | 'group'>): string {
  return kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
}

function named(kind: Kind, name: string): string {
  return `${plural(kind)} "${name}"`;
}

/** Key of the object. Throws Invalid where a namespace lacks or is too much. */
export function keyOf(kind: Kind, ref: ObjectRef): string {
  const namespace = namespaceOf(kind, ref);
  return objectKey(namespace === undefined ? { name: ref.name } : { namespace, name: ref.name });
}

function ownersOf(entry: Entry, before: KubeObject, after: KubeObject): FieldOwners | undefined {
  if (!entry.owners) return undefined;
  const owners = ownersAfter(entry.owners, before as unknown as JsonObject, after as unknown as JsonObject);
  return Object.keys(owners).length === 0 ? undefined : owners;
}

function check(kind: Kind, draft: KubeObject, old: KubeObject | undefined): void {
  const fields = validateObject(kind, draft, old);
  if (fields.length === 0) fields.push(...coreErrors(kind, draft, old));
  if (fields.length > 0) throw invalidObject(kind, draft.metadata.name, fields);
}

function meetsPrecondition(kind: Kind, object: KubeObject, precondition: Precondition): void {
  const { metadata } = object;
  const { uid = metadata.uid, resourceVersion = metadata.resourceVersion } = precondition;
  if (uid !== metadata.uid || resourceVersion !== metadata.resourceVersion)
    throw new ClusterError('Conflict', `${named(kind, metadata.name)} is not the one of the precondition`);
}

function unchangedSince(kind: Kind, current: KubeObject, given: ObjectMeta): void {
  const { resourceVersion, uid } = current.metadata;
  if (given.resourceVersion === resourceVersion && (given.uid === undefined || given.uid === uid)) return;
  throw new ClusterError('Conflict', `${named(kind, given.name)} has been changed: read it again and decide anew`);
}

/** RFC 9562 version 4. */
function uuid(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
