import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { ALL_KINDS } from '../api/index.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { joinNamespaces } from './partitioned-reflector.ts';
import { createRandom } from './random.ts';
import { createReflector } from './reflector.ts';

const NAMESPACES = ['payments', 'web', 'hr'];
const SERVED = ['payments', 'web'];

/** Secrets `<namespace>/one` there are; those of SERVED in one cache, by type. */
function aWorld() {
  const [clock, random, log] = [createFakeClock(), createRandom(), createCapturingLog()];
  const cluster = createEmbeddedCluster({
    storage: memoryStorage(),
    clock,
    random,
    kinds: ALL_KINDS,
    namespaces: NAMESPACES,
  });
  const indexes = { type: ({ type = '' }: Secret) => [type] };
  const part = (namespace: string) =>
    createReflector({ cluster, clock, random, log, kind: SecretKind, namespace, indexes });
  return { cluster, cache: joinNamespaces(new Map(SERVED.map((namespace) => [namespace, part(namespace)]))) };
}

const names = (secrets: readonly Secret[]) =>
  secrets.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort((a, b) => (a < b ? -1 : 1));

test('several namespaces read as one cache, and no other is in it', async () => {
  const { cluster, cache } = aWorld();
  for (const namespace of NAMESPACES) {
    const type = namespace === 'web' ? 'example.test/other' : 'Opaque';
    await cluster.create(SecretKind, { metadata: { namespace, name: 'one' }, type });
  }
  expect(cache.hasSynced()).toBe(false);
  const stopping = new AbortController();
  const running = cache.run(stopping.signal);
  await cache.synced();
  expect(cache.hasSynced()).toBe(true);
  expect(names(cache.list())).toEqual(['payments/one', 'web/one']);
  expect(names(cache.byIndex('type', 'Opaque'))).toEqual(['payments/one']);
  expect(cache.get({ namespace: 'web', name: 'one' })?.type).toBe('example.test/other');
  expect(cache.get({ namespace: 'hr', name: 'one' })).toBeUndefined();
  expect(cache.get({ name: 'one' })).toBeUndefined();
  stopping.abort();
  await running;
  await cluster.close();
});

test('changes in each namespace are told until told no more', async () => {
  const { cluster, cache } = aWorld();
  const stopping = new AbortController();
  const running = cache.run(stopping.signal);
  await cache.synced();
  const told: string[] = [];
  const stop = cache.onChange(({ metadata }, type) => void told.push(`${type} ${metadata.namespace}/${metadata.name}`));
  for (const namespace of NAMESPACES) await cluster.create(SecretKind, { metadata: { namespace, name: 'two' } });
  await expect.poll(() => told).toEqual(['ADDED payments/two', 'ADDED web/two']);
  stop();
  await cluster.delete(SecretKind, { namespace: 'web', name: 'two' });
  await expect.poll(() => cache.list()).toHaveLength(1);
  expect(told).toHaveLength(2);
  stopping.abort();
  await running;
  await cluster.close();
});
