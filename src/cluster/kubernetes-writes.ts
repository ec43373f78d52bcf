// Writes of the Cluster port on a Kubernetes API server. Nothing is written twice unless the first was certainly not done.
import { apiVersion, type Kind, type KubeObject, type NewObject } from '../api/kind.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import type { Cluster } from '../ports.ts';
import { type Answer, type Call, FIELD_MANAGER, type Send } from './kubernetes-calls.ts';
import { errorOf, namesAbsentObject } from './kubernetes-errors.ts';
import { received } from './kubernetes-objects.ts';
import { collectionPath, objectPath, withQuery } from './kubernetes-paths.ts';
import { mustHaveBody } from './object-metadata.ts';
import { namespaceOf } from './scope.ts';

/** How often an apply that lost a race with another writer is sent again. */
const APPLY_TRIES = 6;

export type Writes = Pick<Cluster, 'create' | 'replace' | 'replaceStatus' | 'delete' | 'apply'>;

type Sleep = (ms: number) => Promise<void>;

export function createWrites(call: Send, answer: Answer, sleep: Sleep): Writes {
  const strict = { fieldManager: FIELD_MANAGER, fieldValidation: 'Strict' };

  async function put<T extends KubeObject>(kind: Kind<T>, object: T, subresource: string): Promise<T> {
    mustHaveBody(kind);
    const { name, resourceVersion } = object.metadata;
    // Without a version core kinds would be replaced whatever they have become.
    if (!resourceVersion) throw new ClusterError('Conflict', `${kind.plural} "${name}": no resourceVersion to replace`);
    const path = withQuery(objectPath(kind, object.metadata, subresource), strict);
    return received(kind, await answer({ method: 'PUT', path, body: named(kind, object) }));
  }

  return {
    async create<T extends KubeObject>(kind: Kind<T>, object: NewObject<T>) {
      mustHaveBody(kind);
      const path = withQuery(collectionPath(kind, namespaceOf(kind, object.metadata)), strict);
      return received(kind, await answer({ method: 'POST', path, body: named(kind, object) }));
    },
    replace: (kind, object) => put(kind, object, ''),
    replaceStatus: (kind, object) => put(kind, object, '/status'),
    async delete(kind, ref, preconditions) {
      // A Job would leave its Pods behind, were nothing said.
      const propagationPolicy = 'Background';
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy,
        ...(preconditions ? { preconditions } : {}),
      };
      const result = await call({ method: 'DELETE', path: objectPath(kind, ref), body });
      if (!('refusal' in result)) return true;
      if (namesAbsentObject(result.refusal)) return false;
      throw errorOf(result.refusal, true);
    },
    apply: (kind, object, { fieldManager }) => apply(answer, sleep, { kind, object, fieldManager }),
  };
}

/** Server-side apply, taking over the fields that are sent. */
async function apply<T extends KubeObject>(
  answer: Answer,
  sleep: Sleep,
  { kind, object, fieldManager }: { kind: Kind<T>; object: NewObject<T>; fieldManager: string },
): Promise<T> {
  mustHaveBody(kind);
  const query = { fieldManager, force: true, fieldValidation: 'Strict' };
  const request: Call = {
    method: 'PATCH',
    path: withQuery(objectPath(kind, object.metadata), query),
    body: named(kind, object),
    contentType: 'application/apply-patch+yaml',
  };
  const { uid, resourceVersion } = object.metadata;
  for (let tries = 1; ; tries++) {
    try {
      return received(kind, await answer(request));
    } catch (error) {
      // Forced and without a version it can only have met another write of the same moment, and says the same after it.
      const raced = isClusterError(error, 'Conflict', 'AlreadyExists') && !resourceVersion && !uid;
      if (!raced || tries === APPLY_TRIES) throw error;
      await sleep(10 * 2 ** tries);
    }
  }
}

function named<T extends KubeObject>(kind: Kind<T>, object: NewObject<T> | T): object {
  return { ...object, apiVersion: apiVersion(kind), kind: kind.kind };
}
