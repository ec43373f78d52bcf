import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { type HttpsServer, sendJson, sendStatus, startHttpsServer } from '../../test/support/https-server.ts';
import { connectTo, tokenConfig } from '../../test/support/kubernetes-connection.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { EventKind, NamespaceKind, SecretKind } from '../api/core.ts';
import { metadataOf } from '../api/kind.ts';
import type { ClusterError } from '../domain/cluster-error.ts';
import type { KubernetesCluster } from './kubernetes.ts';

let server: HttpsServer;
let cluster: KubernetesCluster;

beforeEach(async () => {
  server = await startHttpsServer((_request, response) => sendJson(response, 200, aSecret('one')));
  cluster = connectTo(server);
});
afterEach(async () => {
  cluster.close();
  await server.stop();
});

const aSecret = (name: string, resourceVersion = '7') => ({
  metadata: {
    name,
    namespace: 'default',
    uid: `uid-${name}`,
    resourceVersion,
    managedFields: [{ manager: 'kubectl' }],
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
  },
  data: { a: 'eA==' },
});

const ONE = { namespace: 'default', name: 'one' };

async function errorOf(work: Promise<unknown>): Promise<ClusterError> {
  return work.then(
    () => expect.unreachable('it was accepted'),
    (error: unknown) => error as ClusterError,
  );
}

/** Waits until the server has seen so many requests. */
const seen = (count: number) =>
  eventually(`the server has seen ${count} requests`, async () => (server.requests.length >= count ? true : undefined));

test('paths, queries and bodies are as the API has them', async () => {
  await cluster.get(SecretKind, ONE);
  await cluster.get(metadataOf(NamespaceKind), { name: 'team' });
  await cluster.create(CertificateClaimKind, { metadata: ONE, spec: {} } as never);
  await cluster.replaceStatus(CertificateClaimKind, { metadata: { ...ONE, resourceVersion: '3' } } as never);
  await cluster.delete(EventKind, ONE, { uid: 'u' });
  await cluster.apply(SecretKind, { metadata: ONE }, { fieldManager: 'mine' });
  server.answer = (_request, response) => sendJson(response, 200, { metadata: { resourceVersion: '9' }, items: null });
  await cluster.list(SecretKind, {
    namespace: 'default',
    labels: { a: 'b', 'x.test/y': '' },
    limit: 3,
    continue: 'c/=',
  });
  await cluster.list(CertificateClaimKind);
  const lines = server.requests.map(({ method, path, query }) => `${method} ${path} ${decodeURIComponent(`${query}`)}`);
  const claims = '/apis/countersign.dev/v1alpha1/namespaces/default/certificateclaims';
  expect(lines.map((line) => line.trim())).toEqual([
    'GET /api/v1/namespaces/default/secrets/one',
    'GET /api/v1/namespaces/team',
    `POST ${claims} fieldManager=countersign&fieldValidation=Strict`,
    `PUT ${claims}/one/status fieldManager=countersign&fieldValidation=Strict`,
    'DELETE /apis/events.k8s.io/v1/namespaces/default/events/one',
    'PATCH /api/v1/namespaces/default/secrets/one fieldManager=mine&force=true&fieldValidation=Strict',
    'GET /api/v1/namespaces/default/secrets labelSelector=a=b,x.test/y=&limit=3&continue=c/=',
    'GET /apis/countersign.dev/v1alpha1/certificateclaims limit=500',
  ]);
  const [get, metadata, create, , remove, apply] = server.requests;
  expect(get?.headers).toMatchObject({
    authorization: 'Bearer one',
    accept: 'application/json',
    'accept-encoding': 'identity',
  });
  expect(metadata?.headers.accept).toBe('application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1');
  expect(JSON.parse(create?.body ?? '')).toMatchObject({
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateClaim',
  });
  expect(JSON.parse(remove?.body ?? '')).toMatchObject({ kind: 'DeleteOptions', preconditions: { uid: 'u' } });
  expect(apply?.headers['content-type']).toBe('application/apply-patch+yaml');
});

test('objects come in named, without bookkeeping, frozen', async () => {
  const found = await cluster.get(SecretKind, ONE);
  expect(found).toMatchObject({ apiVersion: 'v1', kind: 'Secret', data: { a: 'eA==' } });
  expect(Object.keys(found?.metadata ?? {})).not.toContain('managedFields');
  expect(found?.metadata.annotations).toBeDefined();
  expect([found, found?.metadata, found?.data].every(Object.isFrozen)).toBe(true);
  // Even where a server knows nothing of metadata alone and sends the whole.
  const alone = await cluster.get(metadataOf(SecretKind), ONE);
  expect(alone).toEqual({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'one', namespace: 'default', uid: 'uid-one', resourceVersion: '7' },
  });
});

test('what names no object never becomes a request', async () => {
  for (const name of ['', '.', '..', '../two', 'a/status', '%2e%2e']) {
    expect(await cluster.get(SecretKind, { namespace: 'default', name })).toBeUndefined();
    expect(await cluster.get(SecretKind, { namespace: name === '' ? '..' : name, name: 'one' })).toBeUndefined();
    expect((await errorOf(cluster.delete(SecretKind, { namespace: 'default', name }))).reason).toBe('Invalid');
  }
  expect((await errorOf(cluster.get(SecretKind, { name: 'one' }))).reason).toBe('Invalid');
  expect((await errorOf(cluster.list(SecretKind, { labels: { 'a=b,c': 'd' } }))).reason).toBe('Invalid');
  const unversioned = { metadata: { ...ONE, resourceVersion: '' } } as never;
  expect((await errorOf(cluster.replace(SecretKind, unversioned))).reason).toBe('Conflict');
  expect(server.requests).toEqual([]);
});

test('a compressed answer is refused undecoded', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
    response.end(gzipSync(JSON.stringify(aSecret('one'))));
  };
  expect((await errorOf(cluster.get(SecretKind, ONE))).message).toContain('compressed');
});

test('an endless answer is cut, and a list asks for smaller pages', async () => {
  const megabyte = Buffer.alloc(1024 * 1024, 32);
  const flood = (response: ServerResponse, megabytes: number, end = '') => {
    response.writeHead(200, { 'content-type': 'application/json' });
    let left = megabytes;
    const more = () => {
      while (left-- > 0) if (!response.write(megabyte)) return void response.once('drain', more);
      response.end(end);
    };
    more();
  };
  server.answer = (_request, response) => flood(response, 2000);
  expect((await errorOf(cluster.get(SecretKind, ONE))).message).toContain('larger than');
  server.requests.length = 0;
  server.answer = ({ query }, response) => {
    const limit = Number(query.get('limit'));
    const page = { metadata: { resourceVersion: '9' }, items: [aSecret('one')] };
    if (limit > 10) flood(response, 80, JSON.stringify(page));
    else sendJson(response, 200, page);
  };
  expect((await cluster.list(SecretKind)).items).toHaveLength(1);
  expect(server.requests.map(({ query }) => query.get('limit'))).toEqual(['500', '125', '32', '8']);
});

test('a whole list is read in pages, and once more where they expired', async () => {
  let expired = false;
  server.answer = ({ query }, response) => {
    const start = Number(query.get('continue') ?? 0);
    if (start === 2 && !expired) {
      expired = true;
      return sendStatus(response, 410, 'Expired');
    }
    const items = [aSecret(`s-${start}`)];
    const metadata = { resourceVersion: '9', ...(start < 3 ? { continue: String(start + 1) } : {}) };
    return sendJson(response, 200, { metadata, items });
  };
  const { items, resourceVersion } = await cluster.list(SecretKind);
  expect(items.map(({ metadata }) => metadata.name)).toEqual(['s-0', 's-1', 's-2', 's-3']);
  expect(resourceVersion).toBe('9');
  expect(server.requests).toHaveLength(3 + 4);
  server.answer = (_request, response) => sendStatus(response, 410, 'Expired');
  expect((await errorOf(cluster.list(SecretKind))).reason).toBe('Expired');
  expect((await errorOf(cluster.list(SecretKind, { limit: 1, continue: 'x' }))).reason).toBe('Expired');
});

test('a create that is stored but not answered is not sent again, and says that it may be there', async () => {
  server.answer = ({ body }, response) => {
    if (body !== '') response.destroy();
    else sendJson(response, 200, aSecret('one'));
  };
  const error = await errorOf(cluster.create(SecretKind, { metadata: ONE }));
  expect(error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: true });
  expect(server.requests).toHaveLength(1);
  // On a connection that has served before, too.
  await cluster.get(SecretKind, ONE);
  expect(await errorOf(cluster.create(SecretKind, { metadata: ONE }))).toMatchObject({ outcomeUnknown: true });
  expect(server.requests).toHaveLength(3);
});

test('a server that is not there yet: what was asked goes once it is', async () => {
  await server.stop();
  const created = cluster.create(SecretKind, { metadata: ONE });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await server.start();
  expect((await created).metadata.name).toBe('one');
  expect(server.requests).toHaveLength(1);
});

test('connections cut between requests cost nobody anything', async () => {
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 20 }, () => cluster.get(SecretKind, ONE)));
    server.cut();
  }
  expect(server.requests.length).toBeGreaterThanOrEqual(100);
});

test('a stranger’s certificate is not believed', async () => {
  const other = await startHttpsServer(() => undefined);
  const stranger = connectTo(server, { config: { ...tokenConfig(other), server: new URL(server.url) } });
  const error = await errorOf(stranger.get(SecretKind, ONE));
  expect(error.reason).toBe('Unavailable');
  expect(server.requests).toEqual([]);
  stranger.close();
  await other.stop();
});

test('two hundred requests and ten watches share fewer than twenty connections', async () => {
  const stop = new AbortController();
  server.answer = async ({ query }, response) => {
    if (query.has('watch')) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
    sendJson(response, 200, aSecret('one'));
  };
  const watches = Array.from({ length: 10 }, async () => {
    for await (const _event of cluster.watch(SecretKind, { resourceVersion: '7', signal: stop.signal }));
  });
  await seen(10);
  await Promise.all(Array.from({ length: 200 }, () => cluster.get(SecretKind, ONE)));
  expect(server.requests).toHaveLength(210);
  expect(server.connections.most).toBeLessThan(20);
  expect(server.connections.total).toBe(server.connections.most);
  expect(cluster.openSockets()).toBe(server.connections.now);
  stop.abort();
  await Promise.all(watches);
  await eventually('the connections of the watches are gone', async () =>
    cluster.openSockets() <= 7 ? true : undefined,
  );
});

test('a watch too many is refused, and its place is free again after it', async () => {
  cluster.close();
  cluster = connectTo(server, { sockets: { requests: 1, watches: 1 } });
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write(`${JSON.stringify({ type: 'ADDED', object: aSecret('one') })}\n`);
  };
  const { signal } = new AbortController();
  for (let round = 0; round < 3; round++) {
    for await (const _event of cluster.watch(SecretKind, { resourceVersion: '7', signal })) {
      const second = cluster.watch(SecretKind, { resourceVersion: '7', signal })[Symbol.asyncIterator]();
      expect((await errorOf(second.next())).message).toContain('more watches than the 1');
      break;
    }
  }
  expect(server.requests).toHaveLength(3);
});

test('new credentials for connections mean new connections; those of before end their work', async () => {
  let tls = { ca: server.ca };
  const config = { ...tokenConfig(server), access: async () => ({ tls, headers: {} }) };
  cluster.close();
  cluster = connectTo(server, { config });
  let release = () => {};
  server.answer = (_request, response) => {
    release = () => sendJson(response, 200, aSecret('slow'));
  };
  const slow = cluster.get(SecretKind, ONE);
  await seen(1);
  tls = { ca: `${server.ca}\n` };
  server.answer = (_request, response) => sendJson(response, 200, aSecret('quick'));
  expect((await cluster.get(SecretKind, ONE))?.metadata.name).toBe('quick');
  release();
  expect((await slow)?.metadata.name).toBe('slow');
  expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2]);
});

test('discovery tells what is served', async () => {
  server.answer = ({ path }, response) => {
    if (path === '/api/v1') sendJson(response, 200, { resources: [{ name: 'secrets' }, { name: 'secrets/x' }] });
    else if (path.includes('events')) sendStatus(response, 403, 'Forbidden');
    else response.writeHead(404).end('404 page not found');
  };
  expect(await cluster.serves(SecretKind)).toBe(true);
  expect(await cluster.serves(NamespaceKind)).toBe(false);
  expect(await cluster.serves(CertificateClaimKind)).toBe(false);
  expect((await errorOf(cluster.serves(EventKind))).reason).toBe('Forbidden');
});

test('the server’s clock is heard', async () => {
  expect(cluster.serverTimeOffsetMs()).toBeUndefined();
  server.answer = (_request, response) => {
    const date = new Date(Date.now() + 400 * 86_400_000).toUTCString();
    sendJson(response, 200, aSecret('one'), { date });
  };
  await cluster.get(SecretKind, ONE);
  expect(Math.abs((cluster.serverTimeOffsetMs() ?? 0) - 400 * 86_400_000)).toBeLessThan(60_000);
});

test('after close nothing is sent', async () => {
  const pending = errorOf(cluster.list(SecretKind));
  cluster.close();
  expect((await pending).reason).toBe('Unavailable');
  const count = server.requests.length;
  expect((await errorOf(cluster.get(SecretKind, ONE))).message).toContain('closed');
  expect(server.requests).toHaveLength(count);
});
