// What the Kubernetes API server does to the kinds of its own beyond storing them.
import type { FieldError, Kind, KubeObject } from '../api/kind.ts';
import type { JsonObject, JsonValue } from './json-value.ts';
import { eventErrors } from './event-rules.ts';
import { isObject, sameJson, setMember } from './json-value.ts';
import { leaseErrors } from './lease-rules.ts';

/** Sum of a Secret's values, bytes. */
const SECRET_LIMIT = 1024 * 1024;
const SECRET_FIELDS = ['apiVersion', 'kind', 'metadata', 'type', 'data', 'immutable'];
const SECRET_KEY = /^[-._a-zA-Z0-9]{1,253}$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** An object about to be stored, without apiVersion, kind and metadata, as the API server stores it. */
export function defaultedBody(kind: Kind, body: JsonObject): JsonObject {
  if (kind.kind !== 'Secret' || kind.group !== '') return body;
  const { stringData, ...rest } = body;
  const data: Record<string, JsonValue> = {};
  if (isObject(rest.data)) for (const [key, value] of Object.entries(rest.data)) setMember(data, key, value);
  if (isObject(stringData)) {
    for (const [key, value] of Object.entries(stringData))
      setMember(data, key, typeof value === 'string' ? Buffer.from(value).toString('base64') : value);
  }
  return { ...rest, type: rest.type ?? 'Opaque', ...(Object.keys(data).length > 0 ? { data } : {}) };
}

/** Labels the API server sets by itself. */
export function defaultedLabels(kind: Kind, name: string, labels: JsonValue | undefined): JsonValue | undefined {
  if (kind.kind !== 'Namespace' || kind.group !== '') return labels;
  return { ...(isObject(labels) ? labels : {}), 'kubernetes.io/metadata.name': name };
}

export function coreErrors(kind: Kind, object: KubeObject, old: KubeObject | undefined): FieldError[] {
  if (kind.group === 'events.k8s.io') return eventErrors(object, old);
  if (kind.group === 'coordination.k8s.io') return leaseErrors(object);
  if (kind.kind !== 'Secret' || kind.group !== '') return [];
  const secret = object as KubeObject & { type?: unknown; data?: unknown };
  const errors = [...unknownFields(secret), ...secretDataErrors(secret.data)];
  if (typeof secret.type !== 'string') errors.push({ path: 'type', message: 'must be text' });
  if (secret.type === 'kubernetes.io/tls') errors.push(...tlsErrors(secret.data));
  return [...errors, ...secretUpdateErrors(secret, old)];
}

function unknownFields(secret: KubeObject): FieldError[] {
  return Object.keys(secret)
    .filter((name) => !SECRET_FIELDS.includes(name))
    .map((name) => ({ path: name, message: 'unknown field, known are type, data, stringData, immutable' }));
}

function secretDataErrors(data: unknown): FieldError[] {
  if (data === undefined) return [];
  if (!isObject(data)) return [{ path: 'data', message: 'must be a mapping of base64 text' }];
  let bytes = 0;
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(data)) {
    const path = `data[${key}]`;
    if (!SECRET_KEY.test(key) || key === '.' || key.startsWith('..'))
      errors.push({ path, message: 'is no valid key: at most 253 letters, digits, "-", "_" and "."' });
    if (typeof value !== 'string' || !BASE64.test(value)) errors.push({ path, message: 'must be base64 text' });
    else bytes += Math.floor((value.length * 3) / 4);
  }
  if (bytes > SECRET_LIMIT)
    errors.push({ path: 'data', message: `must not exceed ${SECRET_LIMIT} bytes, has ${bytes}` });
  return errors;
}

function tlsErrors(data: unknown): FieldError[] {
  return ['tls.crt', 'tls.key']
    .filter((key) => !isObject(data) || !Object.hasOwn(data, key))
    .map((key) => ({ path: `data[${key}]`, message: 'is required in a Secret of type kubernetes.io/tls' }));
}

function secretUpdateErrors(secret: KubeObject & { type?: unknown; data?: unknown }, old: unknown): FieldError[] {
  if (!isObject(old)) return [];
  const errors: FieldError[] = [];
  if (secret.type !== old.type) errors.push({ path: 'type', message: 'is immutable' });
  if (old.immutable === true) {
    if (!sameJson(secret.data, old.data)) errors.push({ path: 'data', message: 'is immutable: the Secret says so' });
    if ((secret as { immutable?: unknown }).immutable !== true)
      errors.push({ path: 'immutable', message: 'cannot be taken back' });
  }
  return errors;
}
