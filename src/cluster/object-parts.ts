// The parts of an object: what a caller may set, what the store sets, and what appliers own.
import { apiVersion, type Kind, type KubeObject, type ObjectMeta } from '../api/kind.ts';
import { defaultedBody, defaultedLabels } from './core-kinds.ts';
import { frozenCopy, type JsonObject } from './json-value.ts';
import { mustHaveBody } from './object-metadata.ts';

/** Metadata as a caller may set it. */
export type Given = Partial<Pick<ObjectMeta, 'labels' | 'annotations' | 'finalizers' | 'ownerReferences'>>;

const GIVEN = ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const;

/** Copies what a caller may set: the body (without status where that has its own door) and the caller's part of metadata. */
export function taken(kind: Kind, input: { metadata: unknown }): { body: JsonObject; given: Given } {
  mustHaveBody(kind);
  const { metadata, apiVersion: _version, kind: _kind, ...rest } = input as KubeObject & { status?: unknown };
  if (kind.statusSubresource) delete rest.status;
  const body = defaultedBody(kind, frozenCopy(rest) as JsonObject);
  const given = givenIn(metadata);
  const labels = defaultedLabels(kind, metadata.name, given.labels);
  return {
    body: body === rest ? body : Object.freeze(body),
    given: labels === undefined ? given : { ...given, labels: Object.freeze(labels) as Record<string, string> },
  };
}

export function givenIn(metadata: ObjectMeta | (Partial<ObjectMeta> & { name: string })): Given {
  const given: Record<string, unknown> = {};
  for (const key of GIVEN) {
    const value = metadata[key];
    if (value !== undefined && !isEmpty(value)) given[key] = frozenCopy(value, `metadata.${key}`);
  }
  return given;
}

/** The API server drops empty maps and lists of metadata. */
function isEmpty(value: object): boolean {
  for (const _key in value) return false;
  return true;
}

export function bodyOf(object: KubeObject): JsonObject {
  const { apiVersion: _version, kind: _kind, metadata: _metadata, ...body } = object;
  return body;
}

export function assembled(kind: Kind, metadata: ObjectMeta, body: JsonObject): KubeObject {
  return { apiVersion: apiVersion(kind), kind: kind.kind, metadata, ...body };
}

/** The part of an object that appliers own. */
export function appliedPart(body: JsonObject, given: Given): JsonObject {
  return Object.keys(given).length === 0 ? body : { ...body, metadata: given as unknown as JsonObject };
}
