// Watches a kind over as many connections as it takes. Each lasts under a minute: the API server sends a bookmark before it ends one
// in good order, so that a quiet watch moves on, and one that has gone silent is noticed without waiting for news that may not come.
import type { IncomingMessage } from 'node:http';
import type { Kind, KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Random, WatchEvent, WatchOptions } from '../ports.ts';
import { errorOf, type Status } from './kubernetes-errors.ts';
import { received } from './kubernetes-objects.ts';
import { collectionPath, type Query, withQuery } from './kubernetes-paths.ts';
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
/** Of a refusal. */
const STATUS_BYTES = 256 * 1024;
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
      const opened = { namespace, query: { resourceVersion: from }, seconds, signal };
      for await (const event of oneByOne(connection(deps, kind, opened))) {
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

async function* oneByOne<E>(portions: AsyncIterable<readonly E[]>): AsyncGenerator<E> {
  for await (const portion of portions) yield* portion;
}

/** A stream that brings nothing for so long is over. */
const STREAM_SILENCE_MS = 20_000;
const STREAM_SECONDS = 600;

/**
 * All objects there are, as a watch that begins with them (KEP-3157): the API server takes them from its memory one by one, where of a
 * list it reads every page but the first from etcd unless the kind has changed of late. Throws ClusterError; Invalid where the server has
 * no such watches.
 */
export async function* streamKind<T extends KubeObject>(
  deps: WatcherDeps,
  kind: Kind<T>,
  { namespace }: { namespace?: string },
): AsyncGenerator<readonly WatchEvent<T>[]> {
  const opened = {
    namespace,
    query: { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' },
    seconds: STREAM_SECONDS,
    silenceMs: STREAM_SILENCE_MS,
    signal: new AbortController().signal,
  };
  for await (const told of connection(deps, kind, opened)) {
    yield told;
    if (told.some(({ isWhole }) => isWhole)) return;
  }
  throw new ClusterError('Unavailable', `the API server ended a stream of ${kind.plural} before its time`);
}

interface Connection {
  namespace: string | undefined;
  query: Query;
  /** After which the server ends it. */
  seconds: number;
  /** Without a word in between; for as long as it lasts when absent. */
  silenceMs?: number;
  signal: AbortSignal;
}

/** Events as they come, some at a time, until the server ends the watch. */
async function* connection<T extends KubeObject>(
  { requests, clock, times }: WatcherDeps,
  kind: Kind<T>,
  { namespace, query, seconds, silenceMs, signal }: Connection,
): AsyncGenerator<readonly Told<T>[]> {
  const path = withQuery(collectionPath(kind, namespace), {
    watch: true,
    allowWatchBookmarks: true,
    ...query,
    timeoutSeconds: seconds,
  });
  const headers = { accept: acceptOf(kind) };
  const request = { path, headers, safe: true, timeoutMs: OPEN_MS, maxBytes: STATUS_BYTES, signal };
  const stream = await unlessAborted(requests.stream({ method: 'GET', ...request }), signal);
  const over = new AbortController();
  signal.addEventListener('abort', () => void stream.destroy(), { once: true, signal: over.signal });
  const limitMs = silenceMs ?? seconds * 1000 + times.graceMs;
  let until = clock.monotonic() + limitMs;
  const supervise = async () => {
    for (let left = limitMs; left > 0; left = until - clock.monotonic()) await clock.sleep(left, over.signal);
    stream.destroy(new Error('it fell silent'));
  };
  supervise().catch(() => undefined);
  try {
    for await (const told of eventsOf(kind, stream)) {
      if (silenceMs !== undefined) until = clock.monotonic() + silenceMs;
      yield told;
    }
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('Unavailable', `the watch of ${kind.plural} broke: ${(error as Error).message}`);
  } finally {
    over.abort();
    stream.destroy();
  }
}

/** The stream, unless the signal aborts while it is still waited for: then that is told at once. */
async function unlessAborted(opening: Promise<IncomingMessage>, signal: AbortSignal): Promise<IncomingMessage> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([opening, aborted.promise]);
  } catch (error) {
    opening.then(
      (stream) => stream.destroy(),
      () => undefined,
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Of a bookmark also whether a stream has told of all there was. */
type Told<T> = WatchEvent<T> & { isWhole?: boolean };

const WHOLE = 'k8s.io/initial-events-end';

async function* eventsOf<T extends KubeObject>(
  kind: Kind<T>,
  stream: IncomingMessage,
): AsyncGenerator<readonly Told<T>[]> {
  readable(stream.headers);
  const buffer = createLineBuffer(MAX_EVENT_BYTES);
  for await (const chunk of stream as AsyncIterable<Buffer>) yield* eventsIn(kind, buffer.push(chunk));
  if (buffer.pending()) throw new Error('it ended within an event');
}

/** All at once; where one is an error, those before it, which count, and then the error. */
function* eventsIn<T extends KubeObject>(kind: Kind<T>, lines: readonly string[]): Generator<readonly Told<T>[]> {
  const told: Told<T>[] = [];
  try {
    for (const line of lines) if (line !== '') told.push(eventOf(kind, line));
  } finally {
    if (told.length > 0) yield told;
  }
}

function eventOf<T extends KubeObject>(kind: Kind<T>, line: string): Told<T> {
  const { type, object } = JSON.parse(line) as { type?: string; object?: unknown };
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: received(kind, object) };
    case 'BOOKMARK': {
      const { resourceVersion, annotations } = (object as KubeObject).metadata;
      return { type, resourceVersion, ...(annotations?.[WHOLE] === 'true' ? { isWhole: true } : {}) };
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
