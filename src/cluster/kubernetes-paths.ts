// Paths and queries of the Kubernetes API.
import type { Kind } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { ListOptions, ObjectRef } from '../ports.ts';
import { invalidObject, namespaceOf } from './scope.ts';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export function groupPath({ group, version }: Pick<Kind, 'group' | 'version'>): string {
  return group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
}

/** Of one namespace, or of all. */
export function collectionPath(kind: Kind, namespace: string | undefined): string {
  const scope = namespace === undefined || namespace === '' ? '' : `/namespaces/${step(kind, namespace)}`;
  return `${groupPath(kind)}${scope}/${kind.plural}`;
}

/** Throws Invalid for what can be no object's name, lest it lead to another path. */
export function objectPath(kind: Kind, ref: ObjectRef, subresource = ''): string {
  return `${collectionPath(kind, namespaceOf(kind, ref))}/${step(kind, ref.name)}${subresource}`;
}

/** The rule of the API server for names in paths (path segment names). */
export function isPathStep(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/%]/.test(name);
}

function step(kind: Kind, name: string): string {
  if (!isPathStep(name)) throw invalidObject(kind, name, [{ path: 'metadata.name', message: 'is no name' }]);
  return encodeURIComponent(name);
}

export function withQuery(path: string, query: Query): string {
  const terms = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`);
  return terms.length === 0 ? path : `${path}?${terms.join('&')}`;
}

const LABEL_KEY = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;

/** Equality terms. A value that no label can have selects nothing, rather than being read as further terms. */
export function labelSelector(labels: ListOptions['labels']): string | undefined {
  const terms = Object.entries(labels ?? {});
  const [wrong] = terms.find(([key]) => !LABEL_KEY.test(key)) ?? [];
  if (wrong !== undefined) throw new ClusterError('Invalid', `${JSON.stringify(wrong)} is no label`);
  return terms.map(([key, value]) => (LABEL_VALUE.test(value) ? `${key}=${value}` : `${key},!${key}`)).join(',');
}
