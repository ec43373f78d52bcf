import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import type { KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cache } from '../ports.ts';
import { type ControllerDeps, createController, enqueueEach, type Reconcile, TerminalError } from './controller.ts';

function start(reconcile: Reconcile, more: Partial<ControllerDeps> = {}) {
  const [clock, log, stop] = [createFakeClock(), createCapturingLog(), new AbortController()];
  const results: string[] = [];
  const controller = createController({
    name: 'test',
    reconcile,
    clock,
    log,
    random: createFakeRandom(),
    durations: { observe: ({ result }) => void results.push(result ?? '') },
    ...more,
  });
  const ended = controller.run(stop.signal);
  return { controller, clock, log, stop, ended, results };
}

test('keys are namespaces and names; what a reconcile asks for comes to pass', async () => {
  const seen: unknown[] = [];
  const { controller, clock, stop, ended } = start(async (key) => {
    seen.push(key);
    return key.namespace === undefined ? undefined : { requeueAfterMs: 60_000 };
  });
  controller.enqueue({ name: 'cluster-wide' });
  controller.enqueue({ namespace: 'a', name: 'x' });
  await controller.idle();
  expect(seen).toEqual([{ name: 'cluster-wide' }, { namespace: 'a', name: 'x' }]);
  await clock.advance(60_000);
  expect(seen).toHaveLength(3);
  stop.abort();
  await ended;
});

test('one key is never worked on twice at a time, several keys are', async () => {
  let [running, most, sameKey] = [0, 0, 0];
  const open = Promise.withResolvers<void>();
  const active = new Set<string>();
  const { controller, stop, ended } = start(
    async ({ name }) => {
      if (active.has(name)) sameKey++;
      active.add(name);
      most = Math.max(most, ++running);
      await open.promise;
      running--;
      active.delete(name);
      return undefined;
    },
    { workers: 3 },
  );
  for (let n = 0; n < 10; n++) {
    controller.enqueue({ name: `k${n % 5}` });
    await settle();
  }
  expect(running).toBe(3);
  expect(controller.depth()).toBe(2);
  open.resolve();
  await controller.idle();
  expect(most).toBe(3);
  expect(sameKey).toBe(0);
  stop.abort();
  await ended;
});

test('a throw is tried again with back-off; success ends the row', async () => {
  let attempts = 0;
  const { controller, clock, stop, ended, results, log } = start(async () => {
    if (++attempts <= 4) throw new Error('boom');
    return undefined;
  });
  controller.enqueue({ name: 'a' });
  await controller.idle();
  expect(attempts).toBe(1);
  await clock.advance(5_000);
  expect(attempts).toBe(5);
  await clock.advance(3_600_000);
  expect(attempts).toBe(5);
  expect(results).toEqual(['error', 'error', 'error', 'error', 'success']);
  const warned = log.lines.filter(({ level }) => level === 'warn');
  expect(new Set(warned.map(({ fields }) => fields.reconcileID)).size).toBe(4);
  stop.abort();
  await ended;
});

test('a throw before the first await is no worse', async () => {
  const { controller, stop, ended, results } = start(() => {
    throw new Error('sync');
  });
  controller.enqueue({ name: 'a' });
  await controller.idle();
  expect(results).toEqual(['error']);
  stop.abort();
  await ended;
});

test('a TerminalError is not tried again, a Conflict is without alarm, Unavailable when the API asks for it', async () => {
  const errors: Record<string, Error> = {
    terminal: new TerminalError('never'),
    conflict: new ClusterError('Conflict', 'changed'),
    unavailable: new ClusterError('Unavailable', 'later', { retryAfterMs: 120_000 }),
  };
  const attempts: Record<string, number> = {};
  const { controller, clock, stop, ended, log } = start(async ({ name }) => {
    attempts[name] = (attempts[name] ?? 0) + 1;
    if (attempts[name] === 1) throw errors[name];
    return undefined;
  });
  for (const name of Object.keys(errors)) controller.enqueue({ name });
  await controller.idle();
  await clock.advance(119_000);
  expect(attempts).toEqual({ terminal: 1, conflict: 2, unavailable: 1 });
  await clock.advance(2_000);
  expect(attempts.unavailable).toBe(2);
  await clock.advance(86_400_000);
  expect(attempts.terminal).toBe(1);
  const loud = log.lines
    .filter(({ level }) => level === 'warn' || level === 'error')
    .map(({ level, fields }) => [level, fields.object]);
  expect(loud).toEqual([
    ['warn', '/terminal'],
    ['warn', '/unavailable'],
  ]);
  stop.abort();
  await ended;
});

test('a reconcile whose time is up sees its signal abort and is tried again', async () => {
  const reasons: string[] = [];
  const { controller, clock, stop, ended } = start(
    (_key, signal) => {
      const { promise, reject } = Promise.withResolvers<undefined>();
      signal.addEventListener('abort', () => {
        reasons.push(String(signal.reason));
        reject(signal.reason);
      });
      return promise;
    },
    { timeoutMs: 1000 },
  );
  controller.enqueue({ name: 'a' });
  await clock.advance(1000);
  expect(reasons).toEqual(['TimeoutError: reconcile took longer than 1000 ms']);
  await clock.advance(1100);
  expect(reasons).toHaveLength(2);
  stop.abort();
  await ended;
});

test('a reconcile that ignores its signal costs no worker, and its key waits for it', async () => {
  const stuck = Promise.withResolvers<undefined>();
  const seen: string[] = [];
  const { controller, clock, stop, ended, log } = start(
    async ({ name }) => {
      seen.push(name);
      return name === 'stuck' ? stuck.promise : undefined;
    },
    { timeoutMs: 1000, workers: 1 },
  );
  controller.enqueue({ name: 'stuck' });
  controller.enqueue({ name: 'other' });
  await clock.advance(2000);
  expect(seen).toEqual(['stuck']);
  await clock.advance(5000);
  expect(seen).toEqual(['stuck', 'other']);
  controller.enqueue({ name: 'stuck' });
  await clock.advance(60_000);
  expect(seen).toEqual(['stuck', 'other']);
  expect(log.lines.some(({ level, fields }) => level === 'error' && fields.object === '/stuck')).toBe(true);
  stuck.resolve(undefined);
  await clock.advance(1000);
  expect(seen).toEqual(['stuck', 'other', 'stuck']);
  stop.abort();
  await ended;
});

test('stopping aborts what is under way, waits for it, and takes nothing new', async () => {
  const seen: string[] = [];
  let cleaned = false;
  const { controller, stop, ended } = start(
    async ({ name }, signal) => {
      seen.push(name);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await settle();
      cleaned = true;
      return undefined;
    },
    { workers: 1 },
  );
  controller.enqueue({ name: 'a' });
  controller.enqueue({ name: 'b' });
  await settle();
  stop.abort();
  await ended;
  expect(cleaned).toBe(true);
  expect(seen).toEqual(['a']);
});

test('a resync brings every key round again, behind the rest', async () => {
  const seen: string[] = [];
  const { clock, stop, ended } = start(
    async ({ name }) => {
      seen.push(name);
      return undefined;
    },
    { resync: { everyMs: 3_600_000, keys: () => [{ name: 'a' }, { name: 'b' }] } },
  );
  await clock.advance(3_600_000);
  expect(seen).toEqual([]);
  await clock.advance(3_600_000 * 1.2);
  expect(seen).toEqual(['a', 'b', 'a', 'b']);
  stop.abort();
  await ended;
});

test('lines of a reconcile name controller, object and reconcile', async () => {
  const { controller, log, stop, ended } = start(async (_key, _signal, own) => {
    own.info({ secret: 'x' }, 'written');
    return undefined;
  });
  controller.enqueue({ namespace: 'n', name: 'a' });
  await controller.idle();
  const line = log.lines.find(({ message }) => message === 'written');
  expect(line?.fields).toMatchObject({ controller: 'test', object: 'n/a', secret: 'x' });
  expect(line?.fields.reconcileID).toMatch(/^[0-9a-f]{16}$/);
  stop.abort();
  await ended;
});

test('an object that is due in 60 days is looked at then', async () => {
  const seen: number[] = [];
  const { controller, clock, stop, ended } = start(async () => {
    seen.push(clock.monotonic());
    return { requeueAfterMs: 60 * 86_400_000 };
  });
  controller.enqueue({ name: 'a' });
  await clock.advance(61 * 86_400_000);
  expect(seen).toEqual([0, 60 * 86_400_000]);
  stop.abort();
  await ended;
});

test('while the API fails there are few tries, whatever is queued; once it answers all is done within a minute', async () => {
  const tries: number[] = [];
  const finished = new Set<string>();
  let down = true;
  const { controller, clock, stop, ended } = start(async ({ name }) => {
    tries.push(clock.monotonic());
    if (down) throw new ClusterError('Unavailable', 'down');
    finished.add(name);
    return undefined;
  });
  for (let n = 0; n < 300; n++) controller.enqueue({ name: `k${n}` });
  await clock.advance(600_000);
  expect(tries.length).toBeGreaterThan(15);
  const inWindow = tries.map((from) => tries.filter((at) => at >= from && at < from + 10_000).length);
  expect(Math.max(...inWindow)).toBeLessThanOrEqual(20);
  expect(tries.length).toBeLessThan(60);
  down = false;
  await clock.advance(60_000);
  expect(finished.size).toBe(300);
  stop.abort();
  await ended;
});

test('one object that cannot be written holds up nobody else', async () => {
  const finished: string[] = [];
  const { controller, clock, stop, ended } = start(async ({ name }) => {
    if (name.startsWith('poison')) throw new ClusterError('Unavailable', 'a webhook failed');
    finished.push(name);
    return undefined;
  });
  controller.enqueue({ name: 'poison-1' });
  controller.enqueue({ name: 'poison-2' });
  await clock.advance(600_000);
  for (let n = 0; n < 50; n++) controller.enqueue({ name: `k${n}` });
  await settle();
  expect(finished).toHaveLength(50);
  stop.abort();
  await ended;
});

test('a third of writes in conflict: all is done soon', async () => {
  const random = createFakeRandom('conflicts');
  const finished = new Set<string>();
  const { controller, clock, stop, ended } = start(async ({ name }) => {
    if ((random.bytes(1)[0] ?? 0) < 77) throw new ClusterError('Conflict', 'changed');
    finished.add(name);
    return undefined;
  });
  for (let n = 0; n < 200; n++) controller.enqueue({ name: `k${n}` });
  await clock.advance(10_000);
  expect(finished.size).toBe(200);
  stop.abort();
  await ended;
});

test('stopping waits five seconds for a reconcile that ignores it, no longer; running again starts clean', async () => {
  const stuck = Promise.withResolvers<undefined>();
  const seen: string[] = [];
  const { controller, clock, stop, ended, results } = start(
    async ({ name }) => {
      seen.push(name);
      return name === 'stuck' ? stuck.promise : undefined;
    },
    { workers: 1 },
  );
  controller.enqueue({ name: 'stuck' });
  controller.enqueue({ name: 'left' });
  await settle();
  let over = false;
  void ended.then(() => (over = true));
  stop.abort();
  await clock.advance(4_900);
  expect(over).toBe(false);
  await clock.advance(100);
  expect(over).toBe(true);
  expect(controller.depth()).toBe(0);
  const again = new AbortController();
  const second = controller.run(again.signal);
  for (const name of ['stuck', 'other']) controller.enqueue({ name });
  await clock.advance(60_000);
  expect(seen).toEqual(['stuck', 'other']);
  stuck.resolve(undefined);
  await clock.advance(1_000);
  expect(seen).toEqual(['stuck', 'other', 'stuck']);
  expect(results).toEqual(['success', 'success', 'success']);
  again.abort();
  await second;
});

test('a reconcile that fails because it was told to stop is no failure', async () => {
  const { controller, stop, ended, results, log } = start(async (_key, signal) => {
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    return undefined;
  });
  controller.enqueue({ name: 'a' });
  await settle();
  stop.abort();
  await ended;
  expect(results).toEqual(['stopped']);
  expect(log.lines.filter(({ level }) => level !== 'debug')).toEqual([]);
});

test('a histogram that throws stops nobody', async () => {
  const seen: string[] = [];
  const { controller, clock, stop, ended } = start(
    async ({ name }) => {
      seen.push(name);
      return undefined;
    },
    {
      workers: 1,
      durations: {
        observe: () => {
          throw new Error('no such label');
        },
      },
    },
  );
  controller.enqueue({ name: 'a' });
  controller.enqueue({ name: 'b' });
  await clock.advance(1_000);
  expect(seen).toEqual(['a', 'b']);
  stop.abort();
  await ended;
});

test('what is there at the start waits behind what changes; a new wish ends the row of failures, a status does not', async () => {
  type Listener = Parameters<Cache<KubeObject>['onChange']>[0];
  const object = (name: string, generation: number): KubeObject => ({
    apiVersion: 'v1',
    kind: 'X',
    metadata: { name, uid: name, resourceVersion: '1', generation, creationTimestamp: '2026-01-01T00:00:00Z' },
  });
  const listeners = new Set<Listener>();
  const cache: Pick<Cache<KubeObject>, 'list' | 'onChange'> = {
    list: () => [object('a', 1), object('b', 1)],
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const enqueued: unknown[] = [];
  const stop = enqueueEach(cache, ({ name }, options) => enqueued.push([name, options]));
  for (const listener of listeners) {
    listener(object('a', 2), 'MODIFIED', object('a', 1));
    listener(object('a', 2), 'MODIFIED', object('a', 2));
    listener(object('c', 1), 'ADDED');
    listener(object('c', 1), 'DELETED');
  }
  stop();
  expect(listeners.size).toBe(0);
  expect(enqueued).toEqual([
    ['a', { priority: 'low' }],
    ['b', { priority: 'low' }],
    ['a', { fresh: true }],
    ['a', { fresh: false }],
    ['c', { fresh: true }],
  ]);
});
