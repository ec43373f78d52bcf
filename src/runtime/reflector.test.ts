import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cluster, WatchEvent } from '../ports.ts';
import { createReflector, onEach, type ReflectorDeps } from './reflector.ts';

type Wrap = (cluster: Cluster) => Pick<Cluster, 'list' | 'watch'>;

function reflect(more: Partial<ReflectorDeps<Secret>> = {}, wrap: Wrap = (cluster) => cluster) {
  const store = createFakeStore();
  const [clock, log, stop] = [createFakeClock(), createCapturingLog(), new AbortController()];
  const reflector = createReflector<Secret>({
    cluster: wrap(store.cluster),
    kind: SecretKind,
    clock,
    random: createFakeRandom(),
    log,
    ...more,
  });
  const changes: string[] = [];
  reflector.onChange(({ metadata }, type) => void changes.push(`${type} ${metadata.name}`));
  const ended = () => {
    stop.abort();
    return run;
  };
  const run = reflector.run(stop.signal);
  return { cluster: store.cluster, reflector, clock, log, stop, changes, ended };
}

const secret = (name: string, data: Record<string, string> = {}, namespace = 'default') => ({
  metadata: { namespace, name },
  type: 'Opaque',
  data,
});
const names = (secrets: readonly Secret[]) => secrets.map(({ metadata }) => metadata.name).sort();

test('what is there is listed, what comes is watched, and one’s own write is there a turn later', async () => {
  const { cluster, reflector, changes, ended } = reflect();
  expect(reflector.hasSynced()).toBe(false);
  await reflector.synced();
  const made = await cluster.create(SecretKind, secret('a'));
  await settle(2);
  expect(reflector.get({ namespace: 'default', name: 'a' })).toEqual(made);
  await cluster.replace(SecretKind, { ...made, data: { x: 'eA==' } });
  await cluster.create(SecretKind, secret('b'));
  await cluster.delete(SecretKind, { namespace: 'default', name: 'a' });
  await settle(2);
  expect(names(reflector.list())).toEqual(['b']);
  expect(changes).toEqual(['ADDED a', 'MODIFIED a', 'ADDED b', 'DELETED a']);
  await ended();
});

test('pages are read to the end', async () => {
  const store = createFakeStore();
  for (let n = 0; n < 1203; n++) await store.cluster.create(SecretKind, secret(`s${n}`));
  const { reflector, ended } = reflect({}, () => store.cluster);
  await reflector.synced();
  expect(reflector.list()).toHaveLength(1203);
  await ended();
});

test('indexes follow changes; an index nobody declared is an error', async () => {
  const { cluster, reflector, ended } = reflect({ indexes: { key: ({ data }) => Object.keys(data ?? {}) } });
  await reflector.synced();
  const a = await cluster.create(SecretKind, secret('a', { x: 'eA==', y: 'eA==' }));
  await cluster.create(SecretKind, secret('b', { x: 'eA==' }));
  await settle(2);
  expect(names(reflector.byIndex('key', 'x'))).toEqual(['a', 'b']);
  await cluster.replace(SecretKind, { ...a, data: { z: 'eA==' } });
  await settle(2);
  expect(names(reflector.byIndex('key', 'x'))).toEqual(['b']);
  expect(names(reflector.byIndex('key', 'y'))).toEqual([]);
  expect(names(reflector.byIndex('key', 'z'))).toEqual(['a']);
  expect(() => reflector.byIndex('nope', 'x')).toThrow('nope');
  await ended();
});

test('a transform decides what is kept', async () => {
  const { cluster, reflector, ended } = reflect({ transform: ({ data: _data, ...rest }) => rest });
  await reflector.synced();
  await cluster.create(SecretKind, secret('a', { password: 'eA==' }));
  await settle(2);
  expect(JSON.stringify(reflector.list())).not.toContain('password');
  await ended();
});

test('a listener that throws harms neither the others nor the copy; objects in the copy cannot be changed', async () => {
  const { cluster, reflector, log, ended } = reflect();
  reflector.onChange(() => {
    throw new Error('listener');
  });
  const heard: string[] = [];
  const stopHearing = reflector.onChange(({ metadata }) => void heard.push(metadata.name));
  await reflector.synced();
  await cluster.create(SecretKind, secret('a'));
  await settle(2);
  stopHearing();
  await cluster.create(SecretKind, secret('b'));
  await settle(2);
  expect(heard).toEqual(['a']);
  expect(names(reflector.list())).toEqual(['a', 'b']);
  expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
  expect(() => Object.assign(reflector.list()[0]?.metadata ?? {}, { name: 'x' })).toThrow(TypeError);
  await ended();
});

test('onEach tells of what is there and of what comes', async () => {
  const { cluster, reflector, ended } = reflect();
  await reflector.synced();
  await cluster.create(SecretKind, secret('a'));
  await settle(2);
  const seen: string[] = [];
  const stop = onEach(reflector, ({ metadata }, type) => void seen.push(`${type} ${metadata.name}`));
  await cluster.create(SecretKind, secret('b'));
  await settle(2);
  stop();
  await cluster.create(SecretKind, secret('c'));
  await settle(2);
  expect(seen).toEqual(['ADDED a', 'ADDED b']);
  await ended();
});

/** A cluster whose watches end as told, and that counts lists and watches. */
function breakable() {
  const count = { lists: 0, watches: [] as string[] };
  let broken: { error: Error; ended: AbortController } = { error: new Error(), ended: new AbortController() };
  const wrap: Wrap = (cluster) => ({
    list: (kind, options) => {
      count.lists++;
      return cluster.list(kind, options);
    },
    async *watch(kind, options) {
      count.watches.push(options.resourceVersion);
      const mine = (broken = { error: new Error('none'), ended: new AbortController() });
      yield* cluster.watch(kind, { ...options, signal: AbortSignal.any([options.signal, mine.ended.signal]) });
      if (mine.ended.signal.aborted) throw mine.error;
    },
  });
  return {
    wrap,
    count,
    breakWith(this: void, error: Error) {
      broken.error = error;
      broken.ended.abort();
    },
  };
}

test('a broken watch resumes after the last change, without a list, after a pause', async () => {
  const { wrap, count, breakWith } = breakable();
  const { cluster, reflector, changes, clock, ended } = reflect({}, wrap);
  await reflector.synced();
  const a = await cluster.create(SecretKind, secret('a'));
  await settle(2);
  breakWith(new Error('connection reset'));
  await settle(2);
  await cluster.create(SecretKind, secret('b'));
  await clock.advance(60_000);
  expect(changes).toEqual(['ADDED a', 'ADDED b']);
  expect(count.lists).toBe(1);
  expect(count.watches[1]).toBe(a.metadata.resourceVersion);
  await ended();
});

test('a watch too old lists again: the copy stays meanwhile, and what vanished is told', async () => {
  const { wrap, count, breakWith } = breakable();
  const { cluster, reflector, changes, ended } = reflect({}, wrap);
  await reflector.synced();
  await cluster.create(SecretKind, secret('stays'));
  await cluster.create(SecretKind, secret('goes'));
  const remade = await cluster.create(SecretKind, secret('remade'));
  await settle(2);
  changes.length = 0;
  breakWith(new ClusterError('Expired', 'too old'));
  expect(reflector.list()).toHaveLength(3);
  await cluster.delete(SecretKind, { namespace: 'default', name: 'goes' });
  await cluster.delete(SecretKind, remade.metadata);
  await cluster.create(SecretKind, secret('remade'));
  await settle();
  expect(names(reflector.list())).toEqual(['remade', 'stays']);
  expect(count.lists).toBe(2);
  expect(changes.filter((change) => change.endsWith('stays'))).toEqual([]);
  expect(changes).toContain('DELETED goes');
  expect(changes.slice(-2)).toEqual(['DELETED remade', 'ADDED remade']);
  await ended();
});

test('a list that fails is tried again with growing pauses, and never by way of rejecting', async () => {
  let failures = 0;
  const { reflector, clock, ended, log } = reflect({}, (cluster) => ({
    ...cluster,
    watch: (kind, options) => cluster.watch(kind, options),
    list: async (kind, options) => {
      if (failures++ < 5) throw new ClusterError('Unavailable', 'not now');
      return cluster.list(kind, options);
    },
  }));
  await settle();
  expect(reflector.hasSynced()).toBe(false);
  await clock.advance(60_000);
  expect(reflector.hasSynced()).toBe(true);
  expect(failures).toBe(6);
  expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(5);
  await ended();
});

test('a watch that ends at once is no busy loop', async () => {
  let watches = 0;
  const { reflector, clock, ended } = reflect({}, (cluster) => ({
    list: (kind, options) => cluster.list(kind, options),
    // oxlint-disable-next-line require-yield -- it ends without a word, which is the point
    async *watch(): AsyncGenerator<WatchEvent<never>> {
      watches++;
    },
  }));
  await reflector.synced();
  await clock.advance(60_000);
  expect(watches).toBeGreaterThan(3);
  expect(watches).toBeLessThan(12);
  await ended();
});

test('a store that is always too old is asked ever more rarely', async () => {
  let lists = 0;
  const { clock, ended } = reflect({}, (cluster) => ({
    list: (kind, options) => {
      lists++;
      return cluster.list(kind, options);
    },
    // oxlint-disable-next-line require-yield -- it fails before the first event
    async *watch(): AsyncGenerator<WatchEvent<never>> {
      throw new ClusterError('Expired', 'too old');
    },
  }));
  await clock.advance(60_000);
  expect(lists).toBeGreaterThan(3);
  expect(lists).toBeLessThan(15);
  await ended();
});

test('waiting for the first list ends when aborted', async () => {
  const { reflector } = reflect({}, (cluster) => ({
    watch: (kind, options) => cluster.watch(kind, options),
    list: () => new Promise<never>(() => undefined),
  }));
  await expect(reflector.synced(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  const soon = new AbortController();
  const waiting = reflector.synced(soon.signal);
  soon.abort(new Error('stop'));
  await expect(waiting).rejects.toThrow('stop');
});
