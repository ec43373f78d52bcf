// How calls of the Cluster port become requests: headers, time limits, bounds.
import type { ApiRequest, Requests } from './kubernetes-requests.ts';

/** Owner of the fields that create and replace set. */
export const FIELD_MANAGER = 'countersign';
const OBJECT_MS = 20_000;
/** A first list of a large kind may make the API server read all of it from etcd. */
const LIST_MS = 90_000;
const OBJECT_BYTES = 16 * 1024 * 1024;
const LIST_BYTES = 64 * 1024 * 1024;

/** One request as reads and writes put it. */
export interface Call {
  method: ApiRequest['method'];
  path: string;
  accept?: string;
  contentType?: string;
  body?: unknown;
  list?: boolean;
}

export type Send = (request: Call) => ReturnType<Requests['send']>;
export type Answer = (request: Call) => Promise<unknown>;

export function completed({ method, path, accept = 'application/json', contentType, body, list }: Call): ApiRequest {
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
