// A replica that does not ask the CA itself only watches the record.
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { observeCluster } from '../../test/fakes/observed-cluster.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { ALL_KINDS } from '../api/index.ts';
import { type CertificateRecord, IssuedCertificateKind } from '../api/issued-certificate.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { createReflector } from '../runtime/reflector.ts';
import { createAwaitRecord } from './waiting.ts';

const NAMESPACE = 'countersign-system';
const { signal } = new AbortController();

async function setUp() {
  const clock = createFakeClock();
  const random = createFakeRandom();
  const store = createEmbeddedCluster({
    storage: memoryStorage(),
    clock: { ...clock, sleep: () => new Promise<never>(() => undefined) },
    random,
    kinds: ALL_KINDS,
    namespaces: [NAMESPACE],
  });
  const cluster = observeCluster(store);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const cache = createReflector({ cluster: store, kind: IssuedCertificateKind, clock, random, log });
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  await cache.synced(stop.signal);
  const record = await store.create(IssuedCertificateKind, {
    metadata: { namespace: NAMESPACE, name: 'ic-a' },
    spec: {
      requestID: 'a',
      door: 'ACME',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
      issuerUID: 'uid',
      requester: {},
      names: ['dns:a.test'],
      csr: 'AA==',
      policy: 'open',
      decisionID: '1',
    },
  });
  await settle();
  const finish = async (live: CertificateRecord = record) => {
    const refusal = { type: 'badCSR', detail: 'no', status: 400, refusedAt: '2026-01-01T00:00:00Z' };
    await store.replace(IssuedCertificateKind, { ...live, status: { refusal } });
    await settle();
  };
  return {
    clock,
    cluster,
    record,
    finish,
    await: createAwaitRecord({ cluster, cache, namespace: NAMESPACE, clock }),
    end: async () => {
      stop.abort();
      await running;
    },
  };
}

test('the watch tells, and nothing is read', async () => {
  const world = await setUp();
  const others = world.clock.sleeping();
  const waiting = [1, 2, 3].map(() => world.await(world.record, { ms: 10_000, fresh: true, signal }));
  await world.finish();
  for (const record of await Promise.all(waiting)) expect(record.status?.refusal?.detail).toBe('no');
  expect(world.cluster.calls).toEqual([]);
  expect(world.clock.sleeping()).toBe(others);
  await world.end();
});

test('what was finished between the create and the wait is noticed', async () => {
  const world = await setUp();
  await world.finish();
  const record = await world.await(world.record, { ms: 10_000, fresh: true, signal });
  expect(record.status?.refusal).toBeDefined();
  expect(world.cluster.calls).toEqual([]);
  await world.end();
});

test('at the end of the wait it is read live, once: the watch may be behind', async () => {
  const world = await setUp();
  const waiting = world.await(world.record, { ms: 10_000, fresh: true, signal });
  await world.clock.advance(10_000);
  expect((await waiting).status).toBeUndefined();
  expect(world.cluster.calls).toEqual([{ verb: 'get', kind: 'IssuedCertificate', name: 'ic-a' }]);
  await world.end();
});

test('without patience, a record made this moment is not read again, another is', async () => {
  const world = await setUp();
  expect(await world.await(world.record, { ms: 0, fresh: true, signal })).toBe(world.record);
  expect(world.cluster.calls).toEqual([]);
  await world.finish();
  expect((await world.await(world.record, { ms: 0, fresh: false, signal })).status).toBeDefined();
  await world.end();
});

test('an aborted signal ends the wait', async () => {
  const world = await setUp();
  const stop = new AbortController();
  const waiting = world.await(world.record, { ms: 10_000, fresh: true, signal: stop.signal });
  stop.abort(new Error('over'));
  await expect(waiting).rejects.toThrow('over');
  await world.end();
});
