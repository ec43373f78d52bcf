// Watches a kind over as many connections as it takes. Each lasts under a minute: the API server sends a bookmark before it ends one
// in good order, so that a quiet watch moves on, and one that has gone silent is noticed without waiting for news that may not come.
import type { IncomingMessage } from 'node:http';
import type { Kind, KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Random, WatchEvent, WatchOptions } from '../ports.ts';
import { errorOf, type Status } from './kubernetes-errors.ts';
import { received } from './kubernetes-objects.ts';
import { collectionPath, withQuery } from './kubernetes-paths.ts';
import { readable, type Requests } from './kubernetes-requests.ts';
import { createLineBuffer } from './line-buffer.ts';

export interface WatchTimes {
  /** The server ends a watch after this many seconds, spread between the two. */
  seconds: readonly [number, number];
  /** How much longer the client waits for that end. */
  graceMs: number;
}

/** So short that a stalled watch is noticed, and its news is here, within a minute. */
export const WATCH_TIMES: WatchTimes = { seconds: [36, 46], graceMs: 8_000 };

const OPEN_MS = 15_000;
/** An event holds one object; etcd takes none beyond 1.5 MB. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
/** An end this much before its time is no ordinary one. */
const EARLY_MS = 3_000;

export interface WatcherDeps {
  requests: Requests;
  clock: Clock;
  random: Random;
  times: WatchTimes;
}

/** Events in order until the signal aborts; throws ClusterError where it cannot go on. */
export async function* watchKind<T extends KubeObject>(
  deps: WatcherDeps,
  kind: Kind<T>,
  { namespace, resourceVersion, signal }: WatchOptions,
): AsyncGenerator<WatchEvent<T>> {
  if (resourceVersion === '' || resourceVersion === '0')
    throw new ClusterError('Expired', 'a watch starts at the resource version of a list');
  const { clock } = deps;
  let from = resourceVersion;
  while (!signal.aborted) {
    const seconds = spread(deps);
    const due = clock.monotonic() + seconds * 1000;
    try {
      for await (const event of connection(deps, kind, { namespace, from, seconds, signal })) {
        from = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion;
        yield event;
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    if (!signal.aborted && clock.monotonic() < due - EARLY_MS)
      throw new ClusterError('Unavailable', `the API server ended a watch of ${kind.plural} before its time`);
  }
}

interface Connection {
  namespace: string | undefined;
  from: string;
  seconds: number;
  signal: AbortSignal;
}

async function* connection<T extends KubeObject>(
  { requests, clock, times }: WatcherDeps,
  kind: Kind<T>,
  { namespace, from, seconds, signal }: Connection,
): AsyncGenerator<WatchEvent<T>> {
  const path = withQuery(collectionPath(kind, namespace), {
    watch: true,
    allowWatchBookmarks: true,
    resourceVersion: from,
    timeoutSeconds: seconds,
  });
  const headers = { accept: acceptOf(kind) };
  const stream = await requests.stream({
    method: 'GET',
    path,
    headers,
    safe: true,
    timeoutMs: OPEN_MS,
    maxBytes: 256 * 1024,
    signal,
  });
  const over = new AbortController();
  const stop = () => void stream.destroy();
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true, signal: over.signal });
  clock.sleep(seconds * 1000 + times.graceMs, over.signal).then(
    () => stream.destroy(new Error('it fell silent')),
    () => undefined,
  );
  try {
    yield* eventsOf(kind, stream);
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('Unavailable', `the watch of ${kind.plural} broke: ${(error as Error).message}`);
  } finally {
    over.abort();
    stream.destroy();
  }
}

async function* eventsOf<T extends KubeObject>(kind: Kind<T>, stream: IncomingMessage): AsyncGenerator<WatchEvent<T>> {
  readable(stream.headers);
  const buffer = createLineBuffer(MAX_EVENT_BYTES);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (const line of buffer.push(chunk)) if (line !== '') yield eventOf(kind, line);
  }
  if (buffer.pending()) throw new Error('it ended within an event');
}

function eventOf<T extends KubeObject>(kind: Kind<T>, line: string): WatchEvent<T> {
  const { type, object } = JSON.parse(line) as { type?: string; object?: unknown };
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: received(kind, object) };
    case 'BOOKMARK': {
      const { resourceVersion } = (object as KubeObject).metadata;
      return { type, resourceVersion };
    }
    case 'ERROR': {
      const status = object as Status;
      throw errorOf({ code: status.code ?? 500, status, retryAfterMs: undefined }, false);
    }
    default:
      throw new Error(`it told of ${JSON.stringify(type)}`);
  }
}

/** Metadata-only kinds ask the server to leave all else out. */
export function acceptOf(kind: Pick<Kind, 'metadataOnly'>, list = ''): string {
  return kind.metadataOnly ? `application/json;as=PartialObjectMetadata${list};g=meta.k8s.io;v=v1` : 'application/json';
}

function spread({ random, times: { seconds } }: WatcherDeps): number {
  const [least, most] = seconds;
  return least + (random.bytes(2).readUInt16BE() % (most - least + 1));
}
