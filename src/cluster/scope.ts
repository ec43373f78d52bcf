// Whether an object may be named at all: in a namespace or not, as its kind has it.
import type { Kind } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { ObjectRef } from '../ports.ts';

/** The namespace, undefined for a kind of the whole cluster. Throws Invalid where a namespace lacks or is too much. */
export function namespaceOf(kind: Kind, ref: ObjectRef): string | undefined {
  const namespace = ref.namespace === '' ? undefined : ref.namespace;
  if (kind.namespaced === (namespace !== undefined)) return namespace;
  const message = kind.namespaced
    ? `is required: a ${kind.kind} lives in a namespace`
    : `must be absent: a ${kind.kind} belongs to the whole cluster`;
  throw invalidObject(kind, ref.name, [{ path: 'metadata.namespace', message }]);
}

export function invalidObject(
  kind: Kind,
  name: string,
  fields: readonly { path: string; message: string }[],
): ClusterError {
  const reasons = fields.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; ');
  return new ClusterError('Invalid', `${kind.kind} "${name}" is invalid: ${reasons}`, { fields });
}
