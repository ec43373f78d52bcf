import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createWorkQueue, type WorkQueueDeps } from './work-queue.ts';

const make = (more: Partial<WorkQueueDeps> = {}) => {
  const clock = createFakeClock();
  const retry = { baseMs: 1000, maxMs: 60_000 };
  return { clock, queue: createWorkQueue({ clock, random: createFakeRandom(), retry, ...more }) };
};
const forever = new AbortController().signal;

/** What can be taken without waiting. */
async function ready(queue: ReturnType<typeof createWorkQueue>): Promise<string[]> {
  const taken: string[] = [];
  while (queue.depth() > 0) taken.push((await queue.take(forever)) ?? '');
  return taken;
}

test('a key added many times is worked on once, in order of arrival', async () => {
  const { queue } = make();
  for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
  expect(await ready(queue)).toEqual(['a', 'b', 'c']);
});

test('a key added while worked on comes again afterwards, and only then', async () => {
  const { queue } = make();
  queue.add('a');
  await queue.take(forever);
  queue.add('a');
  queue.add('a');
  expect(queue.depth()).toBe(0);
  queue.done('a');
  expect(await ready(queue)).toEqual(['a']);
  queue.done('a');
  expect(queue.depth()).toBe(0);
});

test('a resync waits behind what somebody waits for, and rises when a user joins', async () => {
  const { queue } = make();
  queue.add('resync-1', { priority: 'low' });
  queue.add('resync-2', { priority: 'low' });
  queue.add('user');
  queue.add('resync-2');
  expect(await ready(queue)).toEqual(['user', 'resync-2', 'resync-1']);
});

test('of several delays the earliest counts; adding at once ends them', async () => {
  const { clock, queue } = make();
  queue.add('a', { afterMs: 5000 });
  queue.add('a', { afterMs: 2000 });
  queue.add('a', { afterMs: 9000 });
  await clock.advance(1999);
  expect(queue.depth()).toBe(0);
  await clock.advance(1);
  expect(await ready(queue)).toEqual(['a']);
  queue.done('a');
  await clock.advance(20_000);
  expect(queue.depth()).toBe(0);
  queue.add('b', { afterMs: 5000 });
  queue.add('b');
  expect(await ready(queue)).toEqual(['b']);
  queue.done('b');
  await clock.advance(20_000);
  expect(queue.depth()).toBe(0);
});

test('a delay of months is kept to the second', async () => {
  const { clock, queue } = make();
  const months = 75 * 86_400_000;
  queue.add('a', { afterMs: months });
  await clock.advance(months - 1000);
  expect(queue.depth()).toBe(0);
  await clock.advance(1000);
  expect(queue.depth()).toBe(1);
});

test('a wall clock set forward makes delays due, one set back does not hold them up', async () => {
  const { clock, queue } = make();
  queue.add('a', { afterMs: 86_400_000 });
  clock.setWall(new Date(clock.now().getTime() + 172_800_000));
  await clock.advance(600_000);
  expect(await ready(queue)).toEqual(['a']);
  queue.done('a');
  queue.add('b', { afterMs: 60_000 });
  clock.setWall(new Date(0));
  await clock.advance(60_000);
  expect(await ready(queue)).toEqual(['b']);
});

test('retries wait ever longer, up to the limit, until forgotten', () => {
  const { clock, queue } = make();
  const wait = () => (queue.dueOf('a') ?? 0) - clock.monotonic();
  const waits: number[] = [];
  for (let n = 0; n < 12; n++) {
    queue.retry('a');
    waits.push(wait());
    queue.add('a');
  }
  waits.forEach((ms, n) => {
    const full = Math.min(60_000, 1000 * 2 ** n);
    expect(ms).toBeGreaterThanOrEqual(full / 2);
    expect(ms).toBeLessThanOrEqual(full);
  });
  queue.forget('a');
  queue.retry('a');
  expect(wait()).toBeLessThanOrEqual(1000);
  queue.add('a');
  queue.retry('a', { minimumMs: 45_000 });
  expect(wait()).toBe(45_000);
});

test('a waiting taker gets the next key; an aborted one gets nothing and takes nothing', async () => {
  const { queue } = make();
  const gone = new AbortController();
  const [first, second] = [queue.take(gone.signal), queue.take(forever)];
  gone.abort();
  queue.add('a');
  expect(await first).toBeUndefined();
  expect(await second).toBe('a');
  expect(await queue.take(gone.signal)).toBeUndefined();
});

test('idle resolves when the last key is done, whatever is delayed', async () => {
  const { queue } = make();
  queue.add('later', { afterMs: 1000 });
  await queue.idle();
  queue.add('a');
  let idle = false;
  void queue.idle().then(() => (idle = true));
  await queue.take(forever);
  await settle();
  expect(idle).toBe(false);
  queue.add('a');
  queue.done('a');
  await settle();
  expect(idle).toBe(false);
  await queue.take(forever);
  queue.done('a');
  await settle();
  expect(idle).toBe(true);
});

test('whatever happens, no key has two workers and no addition is lost', async () => {
  const operation = fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    what: fc.constantFrom('add', 'low', 'later', 'take', 'done'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
      const { clock, queue } = make();
      const working = new Set<string>();
      const owed = new Set<string>();
      const take = async () => {
        const key = (await queue.take(forever)) ?? '';
        expect(working.has(key)).toBe(false);
        working.add(key);
        owed.delete(key);
      };
      for (const { key, what } of operations) {
        if (what === 'take' && queue.depth() > 0) await take();
        else if (what === 'done') {
          if (working.delete(key)) queue.done(key);
        } else if (what !== 'take') {
          owed.add(key);
          queue.add(key, what === 'later' ? { afterMs: 10 } : what === 'low' ? { priority: 'low' } : {});
        }
      }
      await clock.advance(10);
      for (const key of working) {
        working.delete(key);
        queue.done(key);
      }
      while (queue.depth() > 0) await take();
      expect([...owed]).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('a change of the wish ends the row of failures; another addition does not', () => {
  const { clock, queue } = make();
  const wait = () => {
    queue.retry('a');
    const ms = (queue.dueOf('a') ?? 0) - clock.monotonic();
    queue.add('a');
    return ms;
  };
  for (let n = 0; n < 5; n++) wait();
  expect(wait()).toBeGreaterThan(10_000);
  queue.add('a', { fresh: true });
  expect(wait()).toBeLessThanOrEqual(1000);
});

test('what is delayed keeps its priority', async () => {
  const { clock, queue } = make();
  queue.add('renewal', { afterMs: 1000, priority: 'low' });
  queue.add('both', { afterMs: 2000, priority: 'low' });
  queue.add('both', { afterMs: 1000 });
  await clock.advance(1000);
  queue.add('user');
  expect(await ready(queue)).toEqual(['both', 'user', 'renewal']);
});

test('many retries at once come at a rate, none later than its own back-off and half a minute', () => {
  const { clock, queue } = make({ retry: { baseMs: 1, maxMs: 1 }, overall: { perSecond: 10, burst: 20 } });
  for (let n = 0; n < 1000; n++) queue.retry(`k${n}`);
  const dues = Array.from({ length: 1000 }, (_, n) => (queue.dueOf(`k${n}`) ?? 0) - clock.monotonic());
  expect(dues.filter((ms) => ms <= 1)).toHaveLength(20);
  for (let second = 1; second < 29; second++)
    expect(dues.filter((ms) => ms > second * 1000 && ms <= (second + 1) * 1000)).toHaveLength(10);
  expect(Math.max(...dues)).toBe(30_000);
});

test('clearing forgets all but what is worked on', async () => {
  const { clock, queue } = make();
  queue.add('working');
  await queue.take(forever);
  for (const key of ['queued', 'working']) queue.add(key);
  queue.add('low', { priority: 'low' });
  queue.add('delayed', { afterMs: 1000 });
  queue.clear();
  await clock.advance(5000);
  expect(queue.depth()).toBe(0);
  expect(clock.sleeping()).toBe(0);
  expect(queue.busy()).toBe(true);
  queue.add('working');
  expect(queue.depth()).toBe(0);
  queue.done('working');
  expect(await ready(queue)).toEqual(['working']);
});

test('additions, retries, waiting and work are measured', async () => {
  const seen: string[] = [];
  const counter = (what: string) => ({
    inc: (labels: Readonly<Record<string, string>> = {}) => void seen.push(`${what} ${labels.name}`),
  });
  const histogram = (what: string) => ({
    observe: (_labels: unknown, value: number) => void seen.push(`${what} ${value}`),
  });
  const { clock, queue } = make({
    name: 'q',
    metrics: {
      adds: counter('add'),
      retries: counter('retry'),
      queueSeconds: histogram('queued'),
      workSeconds: histogram('worked'),
    },
  });
  queue.add('a');
  queue.add('a');
  await clock.advance(2000);
  await queue.take(forever);
  expect(seen.splice(0)).toEqual(['add q', 'queued 2']);
  await clock.advance(3000);
  queue.add('b');
  await queue.take(forever);
  await clock.advance(1000);
  expect(queue.unfinished()).toEqual({ seconds: 5, longest: 4 });
  seen.length = 0;
  queue.add('a');
  queue.add('a');
  queue.done('a');
  queue.retry('b');
  queue.done('b');
  expect(seen).toEqual(['add q', 'worked 4', 'retry q', 'worked 1']);
  expect(queue.unfinished()).toEqual({ seconds: 0, longest: 0 });
});
