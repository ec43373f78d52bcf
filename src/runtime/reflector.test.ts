import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cluster, WatchEvent } from '../ports.ts';
import { createPacking } from './packing.ts';
import { createReflector, onEach, type ReflectorDeps } from './reflector.ts';

type Wrap = (cluster: Cluster) => Pick<Cluster, 'list' | 'stream' | 'watch'>;

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
  expect(changes.filter((change) => change.endsWith('remade'))).toEqual(['DELETED remade', 'ADDED remade']);
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

test('a list whose token grows too old between pages begins anew, and keeps what it has', async () => {
  const store = createFakeStore();
  for (let n = 0; n < 1203; n++) await store.cluster.create(SecretKind, secret(`s${n}`));
  const asked: (string | undefined)[] = [];
  let expire = 1;
  const { reflector, changes, ended } = reflect({}, () => ({
    watch: (kind, options) => store.cluster.watch(kind, options),
    list: (kind, options) => {
      asked.push(options?.continue);
      if (options?.continue !== undefined && expire-- > 0) throw new ClusterError('Expired', 'the token is too old');
      return store.cluster.list(kind, options);
    },
  }));
  await reflector.synced();
  expect(reflector.list()).toHaveLength(1203);
  expect(new Set(changes).size).toBe(changes.length);
  expect(asked.filter((token) => token === undefined)).toHaveLength(2);
  await ended();
});

test('a listener gets what a modified object was', async () => {
  const { cluster, reflector, ended } = reflect();
  await reflector.synced();
  const seen: (string | undefined)[][] = [];
  reflector.onChange(({ data }, type, before) => void seen.push([type, data?.x, before?.data?.x]));
  const a = await cluster.create(SecretKind, secret('a', { x: 'MQ==' }));
  await cluster.replace(SecretKind, { ...a, data: { x: 'Mg==' } });
  await cluster.delete(SecretKind, a.metadata);
  await settle(2);
  expect(seen).toEqual([
    ['ADDED', 'MQ==', undefined],
    ['MODIFIED', 'Mg==', 'MQ=='],
    ['DELETED', 'Mg==', undefined],
  ]);
  await ended();
});

/** A cluster whose list is empty and whose one watch gives what it is fed. */
function fed() {
  const queue: WatchEvent<Secret>[] = [];
  let wake: () => void = () => undefined;
  const wrap: Wrap = () => ({
    list: async () => ({ items: [], resourceVersion: '1' }),
    async *watch(_kind, { signal }) {
      signal.addEventListener('abort', () => wake(), { once: true });
      while (!signal.aborted) {
        const event = queue.shift();
        if (event) yield event as WatchEvent<never>;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  });
  return {
    wrap,
    feed(this: void, events: readonly WatchEvent<Secret>[]) {
      queue.push(...events);
      wake();
    },
  };
}

test('events that come twice, late or in any order lead to the same end', async () => {
  const deed = fc.record({ name: fc.constantFrom('a', 'b'), deed: fc.constantFrom('put', 'put', 'delete') });
  const deeds = fc.array(deed, { minLength: 1, maxLength: 12 });
  const order = fc.array(fc.nat(), { minLength: 40, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(deeds, order, async (history, picks) => {
      const truth = createFakeStore().cluster;
      const events: WatchEvent<Secret>[] = [];
      const stop = new AbortController();
      const { resourceVersion } = await truth.list(SecretKind);
      const recording = (async () => {
        for await (const event of truth.watch(SecretKind, { resourceVersion, signal: stop.signal })) events.push(event);
      })();
      for (const { name, deed: what } of history) {
        const old = await truth.get(SecretKind, { namespace: 'default', name });
        if (what === 'delete') await truth.delete(SecretKind, { namespace: 'default', name });
        else if (old)
          await truth.replace(SecretKind, { ...old, data: { x: old.data?.x === 'MQ==' ? 'Mg==' : 'MQ==' } });
        else await truth.create(SecretKind, secret(name));
      }
      await settle(2);
      stop.abort();
      await recording;
      const { wrap, feed } = fed();
      const { reflector, changes, ended } = reflect({}, wrap);
      await reflector.synced();
      // Any number of them in any order first, then each once, backwards.
      const shuffled = picks.flatMap((pick) => events[pick % Math.max(1, events.length)] ?? []);
      feed([...shuffled, ...events.toReversed()]);
      await settle(3);
      const expected = (await truth.list(SecretKind)).items;
      expect([...reflector.list()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))).toEqual(expected);
      for (const name of ['a', 'b']) {
        const mine = changes.filter((change) => change.endsWith(` ${name}`)).map((change) => change.split(' ')[0]);
        const balance =
          mine.filter((type) => type === 'ADDED').length - mine.filter((type) => type === 'DELETED').length;
        expect(balance).toBe(expected.some(({ metadata }) => metadata.name === name) ? 1 : 0);
      }
      await ended();
    }),
    { numRuns: 200 },
  );
});

test('a watch that falls silent is made anew within 90 s, from where it was and without a list; bookmarks keep one alive', async () => {
  let silent = true;
  const watches: number[] = [];
  let lists = 0;
  const { cluster, reflector, clock, changes, log, ended } = reflect({}, (inner) => ({
    list: (kind, options) => {
      lists++;
      return inner.list(kind, options);
    },
    async *watch(kind, options) {
      watches.push(clock.monotonic());
      if (silent) {
        // As over a connection that is gone without a word.
        await new Promise((resolve) => options.signal.addEventListener('abort', resolve, { once: true }));
        return;
      }
      const { items, resourceVersion } = await inner.list(kind);
      for (const object of items) yield { type: 'ADDED', object };
      while (!options.signal.aborted) {
        await clock.sleep(60_000, options.signal).catch(() => undefined);
        yield { type: 'BOOKMARK', resourceVersion };
      }
    },
  }));
  await reflector.synced();
  await cluster.create(SecretKind, secret('a'));
  await clock.advance(74_000);
  expect(watches).toHaveLength(1);
  silent = false;
  await clock.advance(16_000);
  expect(watches).toHaveLength(2);
  await clock.advance(3_600_000);
  expect(watches).toHaveLength(2);
  expect(lists).toBe(1);
  expect(changes).toContain('ADDED a');
  expect(reflector.ageSeconds()).toBeLessThanOrEqual(60);
  expect(log.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  await ended();
});

test('what no event told of is noticed at the next list, which comes twice a day', async () => {
  const store = createFakeStore();
  let deaf = false;
  const { reflector, clock, changes, ended } = reflect({ stallMs: 40_000_000 }, () => ({
    list: (kind, options) => store.cluster.list(kind, options),
    async *watch(kind, options) {
      for await (const event of store.cluster.watch(kind, options)) if (!deaf) yield event;
    },
  }));
  await reflector.synced();
  await store.cluster.create(SecretKind, secret('a'));
  await settle(2);
  deaf = true;
  await store.cluster.delete(SecretKind, { namespace: 'default', name: 'a' });
  await clock.advance(12 * 3_600_000 - 1);
  expect(changes).toEqual(['ADDED a']);
  await clock.advance(1.2 * 3_600_000 + 1);
  expect(changes).toEqual(['ADDED a', 'DELETED a']);
  await ended();
});

test('whatever fails, there are no more than two requests a second, and once healed the copy is right', async () => {
  const faults: Record<string, () => Error | 'cut' | 'stall'> = {
    'list and watch fail': () => new ClusterError('Unavailable', '500'),
    'the API asks for patience': () => new ClusterError('Unavailable', '429', { retryAfterMs: 7_000 }),
    'always too old': () => new ClusterError('Expired', '410'),
    'cut after one event': () => 'cut',
    'no answer': () => 'stall',
    'not a ClusterError': () => new TypeError('socket hang up'),
  };
  for (const [name, fault] of Object.entries(faults)) {
    const requests: number[] = [];
    let healed = false;
    let version = 2;
    const { cluster, reflector, clock, ended } = reflect({}, (inner) => ({
      list: async (kind, options) => {
        requests.push(clock.monotonic());
        const what = fault();
        if (!healed && what instanceof Error && !(what instanceof ClusterError && what.reason === 'Expired'))
          throw what;
        return inner.list(kind, options);
      },
      async *watch(kind, options) {
        requests.push(clock.monotonic());
        const what = fault();
        if (healed) yield* inner.watch(kind, options);
        else if (what === 'cut') yield { type: 'BOOKMARK', resourceVersion: String(version++) };
        else if (what instanceof Error) throw what;
        else await new Promise((resolve) => options.signal.addEventListener('abort', resolve, { once: true }));
      },
    }));
    await clock.advance(600_000);
    const inWindow = requests.map((from) => requests.filter((at) => at >= from && at < from + 10_000).length);
    expect(Math.max(...inWindow), name).toBeLessThanOrEqual(20);
    expect(requests.length, name).toBeGreaterThan(5);
    healed = true;
    await cluster.create(SecretKind, secret('after'));
    await clock.advance(60_000 + 90_000);
    expect(names(reflector.list()), name).toEqual(['after']);
    await ended();
  }
});

test('lists, watches and restarts are counted', async () => {
  const counts: Record<string, number> = {};
  const counter = (name: string) => ({
    inc: (labels: Readonly<Record<string, string>> = {}) => {
      const key = [name, ...Object.values(labels)].join(' ');
      counts[key] = (counts[key] ?? 0) + 1;
    },
  });
  const metrics = { lists: counter('lists'), watches: counter('watches'), restarts: counter('restarts') };
  const { wrap, breakWith } = breakable();
  const { reflector, clock, ended } = reflect({ metrics, stallMs: 1_000_000 }, wrap);
  await reflector.synced();
  await settle(2);
  breakWith(new ClusterError('Expired', 'too old'));
  await clock.advance(20_000);
  breakWith(new Error('reset'));
  await clock.advance(20_000);
  expect(reflector.ageSeconds()).toBeGreaterThanOrEqual(40);
  await clock.advance(1_300_000);
  expect(counts).toEqual({
    'lists Secret': 2,
    'watches Secret': 4,
    'restarts Secret expired': 1,
    'restarts Secret watch': 1,
    'restarts Secret stalled': 1,
  });
  await ended();
});

/** What a stream does in its turn: what it tells of the objects there are, and what it ends with. */
type Turn = (present: readonly Secret[], version: string) => readonly (readonly WatchEvent<Secret>[] | ClusterError)[];

const whole: Turn = (present, resourceVersion) => [
  present.map((object) => ({ type: 'ADDED', object })),
  [{ type: 'BOOKMARK', resourceVersion }],
];

/** A reflector of a kind of which there may be very many, on an API that has these objects and streams as it is told. */
function streaming(present: readonly string[], ...turns: readonly Turn[]) {
  const asked: string[] = [];
  const reflected = reflect({ packing: createPacking<Secret>(), relistMs: 3_600_000 }, (cluster) => ({
    list: (kind, options) => {
      asked.push('list');
      return cluster.list(kind, options);
    },
    watch: (kind, options) => cluster.watch(kind, options),
    async *stream<T>() {
      const turn = turns[asked.filter((each) => each === 'stream').length] ?? whole;
      if (asked.length === 0) for (const name of present) await cluster.create(SecretKind, secret(name));
      asked.push('stream');
      const { items, resourceVersion } = await cluster.list(SecretKind);
      for (const portion of turn(items, resourceVersion)) {
        if (portion instanceof ClusterError) throw portion;
        yield portion as unknown as readonly WatchEvent<T>[];
      }
    },
  }));
  return { ...reflected, asked };
}

test('of what there may be very many a stream tells instead of pages, with what changes meanwhile', async () => {
  const { cluster, reflector, changes, asked, ended } = streaming(['a', 'b'], (present, resourceVersion) => [
    present.map((object) => ({ type: 'ADDED', object })),
    present.slice(0, 1).map((object) => ({ type: 'DELETED', object })),
    present.slice(1).map((object) => ({ type: 'MODIFIED', object: { ...object, data: { x: 'eA==' } } })),
    [{ type: 'BOOKMARK', resourceVersion }],
  ]);
  await reflector.synced();
  expect(reflector.list().map(({ metadata, data }) => [metadata.name, data])).toEqual([['b', { x: 'eA==' }]]);
  await cluster.create(SecretKind, secret('c'));
  await settle(2);
  expect(names(reflector.list())).toEqual(['b', 'c']);
  expect(changes.at(-1)).toBe('ADDED c');
  expect(asked).toEqual(['stream']);
  await ended();
});

test('what a stream does not tell of any more is gone', async () => {
  const { reflector, clock, changes, asked, ended } = streaming(['a', 'b'], whole, (present, resourceVersion) =>
    whole(present.slice(1), resourceVersion),
  );
  await reflector.synced();
  await clock.advance(1.1 * 3_600_000);
  expect(names(reflector.list())).toEqual(['b']);
  expect(changes).toEqual(['ADDED a', 'ADDED b', 'DELETED a']);
  expect(asked).toEqual(['stream', 'stream']);
  await ended();
});

test('after a stream that broke pages are read, and what it told of too early is not taken for what is there', async () => {
  const gone = { apiVersion: 'v1', kind: 'Secret', ...secret('gone') } as unknown as Secret;
  Object.assign(gone.metadata, { uid: 'gone', resourceVersion: '1' });
  const broken: Turn = () => [[{ type: 'ADDED', object: gone }], new ClusterError('Unavailable', 'it was cut')];
  const { reflector, clock, asked, ended } = streaming(['a'], broken);
  await settle();
  expect(reflector.hasSynced()).toBe(false);
  await clock.advance(10_000);
  expect(names(reflector.list())).toEqual(['a']);
  expect(asked).toEqual(['stream', 'list']);
  await clock.advance(1.1 * 3_600_000);
  expect(asked).toEqual(['stream', 'list', 'stream']);
  await ended();
});

test('an API without streams is asked once, and for pages at once', async () => {
  const { reflector, clock, asked, ended } = streaming(['a'], () => [
    new ClusterError(
      'Invalid',
      'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    ),
  ]);
  await reflector.synced();
  expect(names(reflector.list())).toEqual(['a']);
  await clock.advance(1.1 * 3_600_000);
  expect(asked).toEqual(['stream', 'list', 'list']);
  await ended();
});
