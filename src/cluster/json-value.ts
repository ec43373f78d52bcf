// Plain JSON values as the store keeps them: copied in once, frozen through and through, and shared from then on.
import { ClusterError } from '../domain/cluster-error.ts';

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** A frozen deep copy without undefined members. Throws Invalid for what JSON has no word for: dates, bytes, functions, NaN. */
export function frozenCopy(value: unknown, path = ''): JsonValue {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return Object.freeze(value.map((item, i) => frozenCopy(item, `${path}[${i}]`)));
  if (typeof value !== 'object' || !isPlain(value)) throw notJson(path);
  const copy: Record<string, JsonValue> = {};
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) continue;
    const item = frozenCopy(member, path === '' ? key : `${path}.${key}`);
    setMember(copy, key, item);
  }
  return Object.freeze(copy);
}

/** Sets an own member, also one called `__proto__`, which a Secret may have. */
export function setMember(target: Record<string, JsonValue>, key: string, value: JsonValue): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function notJson(path: string): ClusterError {
  return new ClusterError('Invalid', `${path === '' ? 'the object' : path} is no JSON value`, {
    fields: [{ path, message: 'must be a JSON value' }],
  });
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether two JSON values are the same, whatever the order of members. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && sameJson(a[key], b[key]))
  );
}
