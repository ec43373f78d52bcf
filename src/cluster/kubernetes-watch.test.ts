import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { type HttpsServer, sendJson, sendStatus, startHttpsServer } from '../../test/support/https-server.ts';
import { connectTo } from '../../test/support/kubernetes-connection.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { metadataOf } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { WatchEvent } from '../ports.ts';
import type { KubernetesCluster } from './kubernetes.ts';

let server: HttpsServer;
let cluster: KubernetesCluster;
let stop: AbortController;

beforeEach(async () => {
  server = await startHttpsServer(() => undefined);
  cluster = connectTo(server, { watches: { seconds: [1, 1], graceMs: 400 } });
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  cluster.close();
  await server.stop();
});

const event = (type: string, name: string, resourceVersion: string) =>
  `${JSON.stringify({ type, object: { metadata: { name, namespace: 'default', resourceVersion, uid: name } } })}\n`;
const bookmark = (resourceVersion: string, more: object = {}) =>
  `${JSON.stringify({ type: 'BOOKMARK', object: { kind: 'Secret', metadata: { resourceVersion, ...more } } })}\n`;

const LETTERS = ['ä', 'ö', 'ü', '€', '😀'];

function begin(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
}

interface Watched {
  events: string[];
  error: ClusterError | undefined;
  over: Promise<void>;
}

function show(each: WatchEvent<Secret>): string {
  if (each.type === 'BOOKMARK') return `BOOKMARK ${each.resourceVersion}`;
  return `${each.type} ${each.object.metadata.name}`;
}

function watch(resourceVersion = '5'): Watched {
  const watched: Watched = { events: [], error: undefined, over: Promise.resolve() };
  watched.over = (async () => {
    try {
      const { signal } = stop;
      for await (const each of cluster.watch(SecretKind, { resourceVersion, signal })) watched.events.push(show(each));
    } catch (error) {
      watched.error = error as ClusterError;
    }
  })();
  return watched;
}

const until = (what: string, holds: () => boolean) => eventually(what, async () => (holds() ? true : undefined));

test('asks for bookmarks and an end', async () => {
  watch();
  await until('it was asked', () => server.requests.length === 1);
  const [{ path, query, headers } = {}] = server.requests;
  expect(path).toBe('/api/v1/secrets');
  expect(Object.fromEntries(query ?? [])).toEqual({
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: '5',
    timeoutSeconds: '1',
  });
  expect(headers?.['accept-encoding']).toBe('identity');
});

test('events however the bytes fall: one at a time, many at once, cut within a letter', async () => {
  const text = LETTERS.map((name, i) => event('ADDED', name, `${10 + i}`)).join('') + bookmark('20');
  for (const size of [1, 7, text.length * 4]) {
    server.answer = async (_request, response) => {
      begin(response);
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += size) {
        response.write(bytes.subarray(at, at + size));
        if (size > 1) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const watched = watch();
    await until('all came', () => watched.events.length === 6);
    expect(watched.events).toEqual([...LETTERS.map((name) => `ADDED ${name}`), 'BOOKMARK 20']);
    stop.abort();
    await watched.over;
    expect(watched.error).toBeUndefined();
    stop = new AbortController();
  }
});

test('an end at its time is followed by a watch from there, event or bookmark, without a word', async () => {
  const told = [
    event('ADDED', 'a', '6'),
    `${event('MODIFIED', 'a', '7')}${bookmark('9')}`,
    '',
    event('DELETED', 'a', '12'),
  ];
  server.answer = (_request, response) => {
    begin(response);
    response.write(told[server.requests.length - 1] ?? '');
    setTimeout(() => response.end(), 1_000);
  };
  const watched = watch();
  await until('the fifth began', () => server.requests.length === 5);
  expect(server.requests.map(({ query }) => query.get('resourceVersion'))).toEqual(['5', '6', '9', '9', '12']);
  expect(watched.events).toEqual(['ADDED a', 'MODIFIED a', 'BOOKMARK 9', 'DELETED a']);
  expect(watched.error).toBeUndefined();
});

test('an end before its time is an error', async () => {
  cluster.close();
  cluster = connectTo(server);
  server.answer = (_request, response) => {
    begin(response);
    response.end(event('ADDED', 'a', '6'));
  };
  const watched = watch();
  await watched.over;
  expect(watched.events).toEqual(['ADDED a']);
  expect(watched.error?.reason).toBe('Unavailable');
  expect(server.requests).toHaveLength(1);
});

test('silence beyond the end that was asked for is an error', async () => {
  server.answer = (_request, response) => {
    begin(response);
    response.write(event('ADDED', 'a', '6'));
  };
  const watched = watch();
  await watched.over;
  expect(watched.events).toEqual(['ADDED a']);
  expect(watched.error).toMatchObject({ reason: 'Unavailable', message: expect.stringContaining('silent') });
});

test.each([
  [
    'as an event',
    (response: ServerResponse) => {
      begin(response);
      response.write(
        `${JSON.stringify({ type: 'ERROR', object: { code: 410, reason: 'Expired', message: 'too old' } })}\n`,
      );
    },
  ],
  ['as an answer', (response: ServerResponse) => sendStatus(response, 410, 'Expired', { message: 'too old' })],
])('410 %s is Expired', async (_name, answer) => {
  server.answer = (_request, response) => answer(response);
  const watched = watch();
  await watched.over;
  expect(watched.error?.reason).toBe('Expired');
  expect(server.requests).toHaveLength(1);
});

test('a version that is none is Expired unasked', async () => {
  for (const version of ['', '0']) {
    const watched = watch(version);
    await watched.over;
    expect(watched.error?.reason).toBe('Expired');
  }
  expect(server.requests).toEqual([]);
});

test.each([
  ['a 500', (response: ServerResponse) => sendStatus(response, 500, 'InternalError')],
  [
    'a cut',
    (response: ServerResponse) => {
      begin(response);
      response.write(event('ADDED', 'a', '6').slice(0, 20));
      setTimeout(() => response.destroy(), 20);
    },
  ],
  [
    'half an event',
    (response: ServerResponse) => {
      begin(response);
      response.end(event('ADDED', 'a', '6').slice(0, 20));
    },
  ],
  [
    'no JSON',
    (response: ServerResponse) => {
      begin(response);
      response.write('nonsense\n');
    },
  ],
  [
    'an object without a name',
    (response: ServerResponse) => {
      begin(response);
      response.write('{"type":"ADDED","object":{"metadata":{}}}\n');
    },
  ],
  [
    'an unknown event',
    (response: ServerResponse) => {
      begin(response);
      response.write('{"type":"SURPRISE","object":{}}\n');
    },
  ],
  [
    'an error within',
    (response: ServerResponse) => {
      begin(response);
      response.write('{"type":"ERROR","object":{"code":500,"message":"etcd is gone"}}\n');
    },
  ],
  [
    'another type of content',
    (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/html' }).end('x'),
  ],
  ['compression', (response: ServerResponse) => sendJson(response, 200, {}, { 'content-encoding': 'gzip' })],
  ['another status', (response: ServerResponse) => sendJson(response, 202, {})],
])('%s ends it as Unavailable', async (_name, answer) => {
  server.answer = (_request, response) => answer(response);
  const watched = watch();
  await watched.over;
  expect(watched.error).toBeInstanceOf(ClusterError);
  expect(watched.error?.reason).toBe('Unavailable');
  expect(watched.events).toEqual([]);
});

test('abort ends it at any point, and lets go of its connection', async () => {
  // Before it is asked, before it is answered, and within.
  stop.abort();
  await watch().over;
  expect(server.requests).toEqual([]);
  for (const answer of [() => undefined, begin]) {
    stop = new AbortController();
    server.requests.length = 0;
    server.answer = (_request, response) => answer(response);
    const watched = watch();
    await until('it was asked', () => server.requests.length === 1);
    stop.abort();
    await watched.over;
    expect(watched.error).toBeUndefined();
    await until('the connection is gone', () => server.connections.now === 0);
  }
});

test('abort does not wait for what the server asks to wait', async () => {
  server.answer = (_request, response) =>
    sendStatus(response, 429, 'TooManyRequests', { headers: { 'retry-after': '4' } });
  const watched = watch();
  await until('it was asked', () => server.requests.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  let over = false;
  void watched.over.then(() => (over = true));
  stop.abort();
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(over).toBe(true);
  expect(watched.error).toBeUndefined();
});

test('of a kind by its metadata the server is asked for no more', async () => {
  server.answer = (_request, response) => begin(response);
  const events = cluster.watch(metadataOf(SecretKind), { resourceVersion: '5', signal: stop.signal });
  const next = events[Symbol.asyncIterator]().next();
  await until('it was asked', () => server.requests.length === 1);
  expect(server.requests[0]?.headers.accept).toBe('application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1');
  stop.abort();
  expect((await next).done).toBe(true);
});

const WHOLE = bookmark('30', { annotations: { 'k8s.io/initial-events-end': 'true' } });

async function streamed(): Promise<string[]> {
  const told: string[] = [];
  for await (const events of cluster.stream?.(SecretKind, { namespace: 'team' }) ?? []) told.push(...events.map(show));
  return told;
}

test('a stream tells of all there is and of what changes meanwhile, and ends with the version to go on from', async () => {
  server.answer = (_request, response) => {
    begin(response);
    response.write(event('ADDED', 'a', '6') + event('ADDED', 'b', '7') + bookmark('8'));
    setImmediate(() => response.write(event('DELETED', 'a', '9') + WHOLE));
  };
  expect(await streamed()).toEqual(['ADDED a', 'ADDED b', 'BOOKMARK 8', 'DELETED a', 'BOOKMARK 30']);
  const [{ path, query } = {}] = server.requests;
  expect(path).toBe('/api/v1/namespaces/team/secrets');
  expect(Object.fromEntries(query ?? [])).toMatchObject({
    watch: 'true',
    allowWatchBookmarks: 'true',
    sendInitialEvents: 'true',
    resourceVersionMatch: 'NotOlderThan',
  });
  await until('the connection is let go', () => cluster.openSockets() === 0);
});

test('a stream that ends before it has told of all, or that the server does not know, is an error', async () => {
  server.answer = (_request, response) => {
    begin(response);
    response.end(event('ADDED', 'a', '6'));
  };
  await expect(streamed()).rejects.toMatchObject({ reason: 'Unavailable' });
  server.answer = (_request, response) =>
    sendStatus(response, 422, 'Invalid', { message: 'sendInitialEvents is forbidden' });
  await expect(streamed()).rejects.toMatchObject({ reason: 'Invalid' });
});
