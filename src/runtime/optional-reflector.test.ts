// A kind that comes, goes, may not be seen, and is wanted only for a while.
import { expect, test } from 'vitest';
import { settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { ServiceKind } from '../api/foreign.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cluster } from '../ports.ts';
import { createOptionalReflector, joinOptional } from './optional-reflector.ts';

function stage(namespace?: string) {
  const { cluster: store, clock } = createFakeStore(undefined, ['default', 'other']);
  const world: { refusal: ClusterError | undefined; asked: number } = { refusal: undefined, asked: 0 };
  const cluster: Pick<Cluster, 'list' | 'watch'> = {
    list: async (kind, options) => {
      world.asked++;
      if (world.refusal) throw world.refusal;
      return store.list(kind, options);
    },
    watch: (kind, options) => store.watch(kind, options),
  };
  const reflector = createOptionalReflector({
    cluster,
    kind: ServiceKind,
    clock,
    random: createFakeRandom('reflector'),
    log: createCapturingLog(),
    lookAgainMs: 30_000,
    ...(namespace === undefined ? {} : { namespace }),
  });
  const stop = new AbortController();
  const make = (name: string, at = 'default') => store.create(ServiceKind, { metadata: { namespace: at, name } });
  const names = () => reflector.list().map(({ metadata }) => metadata.name);
  return { reflector, world, clock, stop, make, names, running: reflector.run(stop.signal) };
}

test('nothing is asked until it is wanted, and nothing kept once it is not', async () => {
  const { reflector, world, stop, make, names, running } = stage();
  await make('web');
  await settle();
  expect([reflector.state(), world.asked, names()]).toEqual(['off', 0, []]);
  const told: string[] = [];
  reflector.onChange(({ metadata }, type) => void told.push(`${type} ${metadata.name}`));
  reflector.want(true);
  await settle();
  expect([reflector.state(), names()]).toEqual(['watching', ['web']]);
  await make('api');
  await settle();
  reflector.want(false);
  await settle();
  expect([reflector.state(), names(), reflector.hasSynced()]).toEqual(['off', [], false]);
  expect(told).toEqual(['ADDED web', 'ADDED api', 'DELETED web', 'DELETED api']);
  reflector.want(true);
  await settle();
  expect(names()).toEqual(['api', 'web']);
  stop.abort();
  await running;
});

test('a kind that is absent, or may not be seen, is looked for from time to time and taken up when it is there', async () => {
  const { reflector, world, clock, stop, make, names, running } = stage();
  world.refusal = new ClusterError('NotFound', 'no such kind');
  reflector.want(true);
  await settle();
  expect(reflector.state()).toBe('absent');
  world.refusal = new ClusterError('Forbidden', 'not you');
  await clock.advance(30_000);
  await settle();
  expect([reflector.state(), world.asked]).toEqual(['refused', 2]);
  world.refusal = undefined;
  await make('web');
  await clock.advance(30_000);
  await settle();
  expect([reflector.state(), names()]).toEqual(['watching', ['web']]);
  stop.abort();
  await running;
});

test('one that is wanted no more while it is looked for is not looked for again', async () => {
  const { reflector, world, clock, stop, running } = stage();
  world.refusal = new ClusterError('NotFound', 'no such kind');
  reflector.want(true);
  await settle();
  reflector.want(false);
  await settle();
  await clock.advance(120_000);
  expect([reflector.state(), world.asked]).toEqual(['off', 1]);
  stop.abort();
  await running;
});

test('several are as far as the one that is least far', async () => {
  const [one, other] = [stage('default'), stage('other')];
  other.world.refusal = new ClusterError('Forbidden', 'not you');
  const joined = joinOptional([one.reflector, other.reflector]);
  joined.want(true);
  await one.make('web');
  await settle();
  expect([joined.state(), joined.list().map(({ metadata }) => metadata.name)]).toEqual(['refused', ['web']]);
  expect(joined.get({ namespace: 'default', name: 'web' })).toBeDefined();
  for (const { stop, running } of [one, other]) {
    stop.abort();
    await running;
  }
});
