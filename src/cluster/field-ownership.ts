// Server-side apply as far as the Cluster port needs it: who owns which fields, and what an apply makes of an object. Maps merge
// by key, lists and scalars are leaves.
import { isObject, type JsonObject, type JsonValue, sameJson, setMember } from './json-value.ts';

/** Field manager → the leaves it owns, as RFC 6901 pointers. What nobody owns belongs to whoever created or replaced the object. */
export type FieldOwners = Readonly<Record<string, readonly string[]>>;

/** An object of our own making, still being changed. */
type Mutable = Record<string, JsonValue>;
type Path = readonly string[];

function pointer(path: Path): string {
  return path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function parsePointer(text: string): string[] {
  return text
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Leaves of an object: lists, scalars and empty maps, by pointer. */
function leavesOf(value: JsonValue, path: Path = [], into = new Map<string, JsonValue>()): Map<string, JsonValue> {
  if (!isObject(value) || (path.length > 0 && Object.keys(value).length === 0)) return into.set(pointer(path), value);
  for (const key of Object.keys(value)) leavesOf(value[key] ?? null, [...path, key], into);
  return into;
}

function valueAt(root: JsonValue, path: Path): JsonValue | undefined {
  let at: JsonValue | undefined = root;
  for (const key of path) at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  return at;
}

/**
 * The object after `manager` applied `wanted`, and the owners after that. Fields the manager owned and leaves out now go, unless
 * another owns them too; a field another manager owns changes hands when its value changes.
 */
export function applyFields(
  current: JsonObject,
  wanted: JsonObject,
  manager: string,
  owners: FieldOwners = {},
): { object: JsonObject; owners: FieldOwners } {
  const leaves = leavesOf(wanted);
  const mine = new Set(owners[manager]);
  const others = new Set(Object.entries(owners).flatMap(([name, paths]) => (name === manager ? [] : paths)));
  const object = structuredClone<Mutable>(current);
  for (const path of mine) {
    const at = valueAt(current, parsePointer(path));
    // Who owns an empty map does not own what others put into it.
    const inhabited = isObject(at) && Object.keys(at).length > 0;
    if (!leaves.has(path) && !others.has(path) && !inhabited) remove(object, parsePointer(path));
  }
  for (const [path, value] of leaves) set(object, parsePointer(path), value);
  const owned = [...leaves.keys()].filter(
    (path) =>
      mine.has(path) || others.has(path) || !sameJson(valueAt(current, parsePointer(path)), leaves.get(path) ?? null),
  );
  return { object, owners: { ...ownersAfter(owners, current, object), [manager]: owned } };
}

/** Owners once `before` has become `after` by someone's hand: a changed or removed field is no longer its manager's. */
export function ownersAfter(owners: FieldOwners, before: JsonObject, after: JsonObject): FieldOwners {
  const kept = Object.entries(owners).map(([manager, paths]) => {
    const still = paths.filter((path) => {
      const parts = parsePointer(path);
      const value = valueAt(after, parts);
      return value !== undefined && sameJson(valueAt(before, parts), value);
    });
    return [manager, still] as const;
  });
  return Object.fromEntries(kept.filter(([, paths]) => paths.length > 0));
}

/** The owners of an object that `manager` created by applying it. */
export function ownersOfNew(object: JsonObject, manager: string): FieldOwners {
  return { [manager]: [...leavesOf(object).keys()] };
}

function set(root: Mutable, path: Path, value: JsonValue): void {
  let at = root;
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(at, key) ? at[key] : undefined;
    const map = isObject(next) ? next : {};
    setMember(at, key, map);
    at = map;
  }
  const last = path.at(-1);
  if (last === undefined) return;
  // An empty map only says that there is one.
  if (isObject(value) && isObject(at[last])) return;
  setMember(at, last, structuredClone(value));
}

/** Removes the member, and maps it leaves empty. */
function remove(at: Mutable, path: Path): void {
  const [key, ...rest] = path;
  if (key === undefined || !Object.hasOwn(at, key)) return;
  const child = at[key];
  if (rest.length > 0) {
    if (!isObject(child)) return;
    remove(child, rest);
    if (Object.keys(child).length > 0) return;
  }
  delete at[key];
}
