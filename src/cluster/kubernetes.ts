// The Cluster port on a Kubernetes API server.
import { apiVersion, type Kind, type KubeObject, type NewObject } from '../api/kind.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import type { Clock, Cluster, ListOptions, ObjectList, ObjectRef, Random, WatchEvent, WatchOptions } from '../ports.ts';
import type { ApiConfig } from './kubernetes-access.ts';
import { errorOf, namesAbsentObject, type Refusal } from './kubernetes-errors.ts';
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
import { AnswerTooLarge, type ApiRequest, createRequests, type Requests } from './kubernetes-requests.ts';
import { createServerTime } from './server-time.ts';
import { createTransport, type SocketLimits } from './kubernetes-transport.ts';
import { acceptOf, WATCH_TIMES, watchKind, type WatchTimes } from './kubernetes-watch.ts';
import { mustHaveBody } from './object-metadata.ts';
import { namespaceOf } from './scope.ts';

export interface KubernetesOptions {
  config: ApiConfig;
  clock: Clock;
  random: Random;
  /** Connections held at most; a watch beyond its share is refused. */
  sockets?: SocketLimits;
  watches?: WatchTimes;
}

export interface KubernetesCluster extends Cluster {
  /** Whether the API server has this kind, in this version. */
  serves(kind: Pick<Kind, 'group' | 'version' | 'plural'>): Promise<boolean>;
  /** How far the server's clock is ahead of ours, in ms, to about a second; undefined before its first answer. */
  serverTimeOffsetMs(): number | undefined;
  openSockets(): number;
  /** Cuts all connections; every later call is Unavailable. */
  close(): void;
}

/** Together below the twenty connections that one process may hold. */
const SOCKETS: SocketLimits = { requests: 7, watches: 12 };
/** Owner of the fields that create and replace set. */
const FIELD_MANAGER = 'countersign';
const OBJECT_MS = 20_000;
/** A first list of a large kind may make the API server read all of it from etcd. */
const LIST_MS = 90_000;
const OBJECT_BYTES = 16 * 1024 * 1024;
const LIST_BYTES = 64 * 1024 * 1024;
const PAGE = 500;
/** How often an apply that lost a race with another writer is sent again. */
const APPLY_TRIES = 6;

export function createKubernetesCluster(options: KubernetesOptions): KubernetesCluster {
  const { config, clock, random, sockets = SOCKETS, watches = WATCH_TIMES } = options;
  const transport = createTransport({ config, clock, sockets });
  const serverTime = createServerTime(clock);
  const requests = createRequests({ transport, clock, random, heard: serverTime.heard });
  let closed = false;
  let watching = 0;

  async function call(request: Call): Promise<{ value: unknown } | { refusal: Refusal }> {
    if (closed) throw new ClusterError('Unavailable', 'the connection to the API server is closed');
    return requests.send(completed(request));
  }
  async function answer(request: Call): Promise<unknown> {
    const result = await call(request);
    if ('refusal' in result) throw errorOf(result.refusal, request.method !== 'GET');
    return result.value;
  }

  async function* watch<T extends KubeObject>(kind: Kind<T>, given: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    if (closed) throw new ClusterError('Unavailable', 'the connection to the API server is closed');
    if (watching >= sockets.watches)
      throw new ClusterError('Unavailable', `more watches than the ${sockets.watches} that may be open at a time`);
    watching++;
    try {
      yield* watchKind({ requests, clock, random, times: watches }, kind, given);
    } finally {
      watching--;
    }
  }

  return {
    ...readers(call, answer),
    ...writers(call, answer, (ms) => clock.sleep(ms)),
    watch,
    serverTimeOffsetMs: serverTime.offsetMs,
    openSockets: transport.openSockets,
    close() {
      closed = true;
      transport.close();
    },
  };
}

interface Call {
  method: ApiRequest['method'];
  path: string;
  accept?: string;
  contentType?: string;
  body?: unknown;
  list?: boolean;
}

type Send = (request: Call) => ReturnType<Requests['send']>;
type Answer = (request: Call) => Promise<unknown>;

function completed({ method, path, accept = 'application/json', contentType, body, list }: Call): ApiRequest {
  const typed = body === undefined ? {} : { 'content-type': contentType ?? 'application/json' };
  return {
    method,
    path,
    headers: { accept, 'user-agent': FIELD_MANAGER, ...typed },
    safe: method === 'GET',
    timeoutMs: list ? LIST_MS : OBJECT_MS,
    maxBytes: list ? LIST_BYTES : OBJECT_BYTES,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
}

function readers(call: Send, answer: Answer): Pick<KubernetesCluster, 'get' | 'list' | 'serves'> {
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

function writers(
  call: Send,
  answer: Answer,
  sleep: (ms: number) => Promise<void>,
): Pick<Cluster, 'create' | 'replace' | 'replaceStatus' | 'delete' | 'apply'> {
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
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...(preconditions ? { preconditions } : {}) };
      const result = await call({ method: 'DELETE', path: objectPath(kind, ref), body });
      if (!('refusal' in result)) return true;
      if (namesAbsentObject(result.refusal)) return false;
      throw errorOf(result.refusal, true);
    },
    async apply<T extends KubeObject>(kind: Kind<T>, object: NewObject<T>, { fieldManager }: { fieldManager: string }) {
      mustHaveBody(kind);
      const query = { fieldManager, force: true, fieldValidation: 'Strict' };
      const path = withQuery(objectPath(kind, object.metadata), query);
      const request: Call = {
        method: 'PATCH',
        path,
        body: named(kind, object),
        contentType: 'application/apply-patch+yaml',
      };
      for (let tries = 1; ; tries++) {
        try {
          return received(kind, await answer(request));
        } catch (error) {
          // Forced and without a version it can only have met another write of the same moment, and says the same after it.
          const raced =
            isClusterError(error, 'Conflict', 'AlreadyExists') &&
            !object.metadata.resourceVersion &&
            !object.metadata.uid;
          if (!raced || tries === APPLY_TRIES) throw error;
          await sleep(10 * 2 ** tries);
        }
      }
    },
  };
}

function named<T extends KubeObject>(kind: Kind<T>, object: NewObject<T> | T): object {
  return { ...object, apiVersion: apiVersion(kind), kind: kind.kind };
}
