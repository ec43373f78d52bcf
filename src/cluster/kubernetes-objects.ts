// Objects as they come in from the API server: named as their kind has it, without what only the server's bookkeeping needs, frozen.
import { apiVersion, type Kind, type KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { asSeen } from './object-metadata.ts';

/** Takes the freshly parsed value as its own. Throws Unavailable for what is no object. */
export function received<T extends KubeObject>(kind: Kind<T>, value: unknown): T {
  const given = value as Partial<KubeObject> | null | undefined;
  if (typeof given?.metadata?.name !== 'string')
    throw new ClusterError('Unavailable', `the API server sent something that is no ${kind.kind}`);
  const { apiVersion: _version, kind: _kind, metadata, ...body } = given as KubeObject;
  const { managedFields: _fields, selfLink: _link, ...kept } = metadata as typeof metadata & Record<string, unknown>;
  // Lists of core kinds leave apiVersion and kind out, metadata-only answers carry those of their envelope.
  const object = { apiVersion: apiVersion(kind), kind: kind.kind, metadata: kept, ...body } as KubeObject;
  return frozen(asSeen(kind, object));
}

function frozen<V>(value: V): V {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) for (const item of value) frozen(item);
  else for (const key in value) frozen(value[key]);
  return Object.freeze(value);
}
