import { expect, test } from 'vitest';
import { createFakeStore } from '../../test/fakes/world.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { settle } from '../../test/fakes/clock.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { NamespaceKind } from '../api/core.ts';
import { CAIssuerKind, type Issuer } from '../api/issuer.ts';
import type { Kind, KubeObject } from '../api/kind.ts';
import { joinReflectors } from './joined-reflector.ts';
import { createReflector } from './reflector.ts';

const spec = { backend: { ca: { secretRef: { name: 'ca' } } } };
const byName = { name: ({ metadata }: KubeObject) => [metadata.name] };

async function setUp() {
  const { cluster, clock } = createFakeStore();
  const random = createFakeRandom('joined');
  const one = <T extends KubeObject>(kind: Kind<T>) =>
    createReflector({ cluster, kind, clock, random, log: createCapturingLog(), indexes: byName });
  const joined = joinReflectors(one(ClusterCAIssuerKind), one(CAIssuerKind));
  await cluster.create(NamespaceKind, { metadata: { name: 'team-a' } });
  await cluster.create(ClusterCAIssuerKind, { metadata: { name: 'web' }, spec });
  await cluster.create(CAIssuerKind, { metadata: { namespace: 'team-a', name: 'web' }, spec });
  await cluster.create(CAIssuerKind, { metadata: { namespace: 'team-a', name: 'mine' }, spec });
  const stop = new AbortController();
  const running = joined.run(stop.signal);
  return { cluster, joined, stop: async () => (stop.abort(new Error('stopping')), running) };
}

const shown = (issuers: readonly Issuer[]): string[] =>
  issuers.map(({ kind, metadata: { namespace = '', name } }) => `${kind} ${namespace}/${name}`).sort();

test('a reference finds an object of its own kind and never of the other', async () => {
  const { joined, stop } = await setUp();
  await joined.synced();
  expect(joined.hasSynced()).toBe(true);
  expect(joined.get({ name: 'web' })?.kind).toBe('ClusterCAIssuer');
  expect(joined.get({ namespace: 'team-a', name: 'web' })?.kind).toBe('CAIssuer');
  expect(joined.get({ name: 'mine' })).toBeUndefined();
  for (const namespace of ['', 'team-b']) expect(joined.get({ namespace, name: 'web' })).toBeUndefined();
  await stop();
});

test('lists, indexes and changes are those of both', async () => {
  const { cluster, joined, stop } = await setUp();
  expect(joined.hasSynced()).toBe(false);
  await joined.synced();
  expect(shown(joined.list())).toEqual(['CAIssuer team-a/mine', 'CAIssuer team-a/web', 'ClusterCAIssuer /web']);
  expect(joined.list()).toBe(joined.list());
  expect(shown(joined.byIndex('name', 'web'))).toEqual(['CAIssuer team-a/web', 'ClusterCAIssuer /web']);
  const seen: string[] = [];
  const unsubscribe = joined.onChange((object, type) => void seen.push(`${type} ${shown([object])[0]}`));
  await cluster.delete(ClusterCAIssuerKind, { name: 'web' });
  await cluster.create(CAIssuerKind, { metadata: { namespace: 'team-a', name: 'new' }, spec });
  await settle();
  expect(seen.sort()).toEqual(['ADDED CAIssuer team-a/new', 'DELETED ClusterCAIssuer /web']);
  expect(shown(joined.list())).toEqual(['CAIssuer team-a/mine', 'CAIssuer team-a/new', 'CAIssuer team-a/web']);
  unsubscribe();
  await cluster.delete(CAIssuerKind, { namespace: 'team-a', name: 'new' });
  await settle();
  expect(seen).toHaveLength(2);
  await stop();
});
