// get and list of the Cluster port on a Kubernetes API server, and what it serves at all.
import type { Kind, KubeObject } from '../api/kind.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import type { Cluster, ListOptions, ObjectList, ObjectRef } from '../ports.ts';
import type { Answer, Send } from './kubernetes-calls.ts';
import { errorOf, namesAbsentObject } from './kubernetes-errors.ts';
import { received } from './kubernetes-objects.ts';
import {
  collectionPath,
  groupPath,
  isPathStep,
  labelSelector,
  objectPath,
  type Query,
  withQuery,
} from './kubernetes-paths.ts';
import { AnswerTooLarge } from './kubernetes-requests.ts';
import { acceptOf } from './kubernetes-watch.ts';

const PAGE = 500;

export interface Reads extends Pick<Cluster, 'get' | 'list'> {
  serves(kind: Pick<Kind, 'group' | 'version' | 'plural'>): Promise<boolean>;
}

export function createReads(call: Send, answer: Answer): Reads {
  return {
    async get<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef) {
      // No object can have such a name, whoever made it up.
      if (!isPathStep(ref.name) || (ref.namespace && !isPathStep(ref.namespace))) return undefined;
      const result = await call({ method: 'GET', path: objectPath(kind, ref), accept: acceptOf(kind) });
      if (!('refusal' in result)) return received(kind, result.value);
      if (namesAbsentObject(result.refusal)) return undefined;
      throw errorOf(result.refusal, false);
    },
    list: <T extends KubeObject>(kind: Kind<T>, options: ListOptions = {}) =>
      options.limit === undefined ? allPages(answer, kind, options) : page(answer, kind, options, options.limit),
    async serves(kind) {
      const result = await call({ method: 'GET', path: groupPath(kind) });
      if ('refusal' in result) {
        if (result.refusal.code === 404) return false;
        throw errorOf(result.refusal, false);
      }
      const { resources = [] } = result.value as { resources?: readonly { name?: string }[] };
      return resources.some(({ name }) => name === kind.plural);
    },
  };
}

async function page<T extends KubeObject>(
  answer: Answer,
  kind: Kind<T>,
  options: ListOptions,
  limit: number,
): Promise<ObjectList<T>> {
  const query: Query = { labelSelector: labelSelector(options.labels), limit, continue: options.continue };
  const path = withQuery(collectionPath(kind, options.namespace), query);
  const value = await answer({ method: 'GET', path, accept: acceptOf(kind, 'List'), list: true }).catch(
    (error: unknown) => {
      // A token that the server cannot read any more is as good as one too old.
      if (options.continue !== undefined && isClusterError(error, 'Invalid'))
        throw new ClusterError('Expired', error.message);
      if (error instanceof AnswerTooLarge && limit > 1) return undefined;
      throw error;
    },
  );
  // Pages count objects, and objects may be large: nobody must be able to make a kind unreadable by that.
  if (value === undefined) return page(answer, kind, options, Math.ceil(limit / 4));
  const { items, metadata } = value as {
    items?: unknown[] | null;
    metadata?: { resourceVersion?: string; continue?: string };
  };
  return {
    items: (items ?? []).map((item) => received(kind, item)),
    resourceVersion: metadata?.resourceVersion ?? '',
    ...(metadata?.continue ? { continue: metadata.continue } : {}),
  };
}

/** The whole list, read in pages so that no answer grows with the inventory. Begins once more where the pages expired meanwhile. */
async function allPages<T extends KubeObject>(
  answer: Answer,
  kind: Kind<T>,
  options: ListOptions,
  again = true,
): Promise<ObjectList<T>> {
  const items: T[] = [];
  let next = options.continue;
  try {
    for (;;) {
      const part = await page(answer, kind, next === undefined ? options : { ...options, continue: next }, PAGE);
      for (const item of part.items) items.push(item);
      if (part.continue === undefined) return { items, resourceVersion: part.resourceVersion };
      next = part.continue;
    }
  } catch (error) {
    if (again && options.continue === undefined && isClusterError(error, 'Expired'))
      return allPages(answer, kind, options, false);
    throw error;
  }
}
