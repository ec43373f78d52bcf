// How a lane ends, and begins again where its process leads once more.
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createLane, type LaneDeps } from './signing-lane.ts';

function setUp(work: LaneDeps['work']) {
  const clock = createFakeClock();
  const log = createCapturingLog();
  const results: (string | undefined)[] = [];
  const lane = createLane({
    fields: { issuer: 'main' },
    clock,
    random: createFakeRandom(),
    log,
    durations: { observe: ({ result }) => void results.push(result) },
    concurrency: () => 1,
    work,
    onBreaker: () => undefined,
  });
  return { clock, lane, log, results };
}

test('what ignores that its time is up keeps a lane for five seconds and no longer', async () => {
  const { clock, lane } = setUp(() => new Promise(() => undefined));
  const stop = new AbortController();
  let ended = false;
  const run = lane.run(stop.signal).then(() => (ended = true));
  lane.add('a');
  await settle();
  stop.abort(new Error('the lease is lost'));
  await clock.advance(4_999);
  expect(ended).toBe(false);
  await clock.advance(2);
  await run;
});

test('what was queued when a lane ended is forgotten; one that runs again works on what is added then', async () => {
  const seen: string[] = [];
  const { lane } = setUp(async (key, signal) => {
    seen.push(key);
    if (key === 'a') await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return undefined;
  });
  const stop = new AbortController();
  const run = lane.run(stop.signal);
  for (const key of ['a', 'b']) lane.add(key);
  await settle();
  expect([lane.depth(), lane.busy()]).toEqual([1, true]);
  stop.abort(new Error('the lease is lost'));
  await run;
  expect([lane.depth(), lane.busy()]).toEqual([0, false]);
  const again = new AbortController();
  const second = lane.run(again.signal);
  lane.add('c');
  await settle();
  again.abort(new Error('over'));
  await second;
  expect(seen).toEqual(['a', 'c']);
});

test('what takes too long is aborted, counts as a failure of the CA, and is tried again; its lines have an id in common', async () => {
  let calls = 0;
  const { clock, lane, log, results } = setUp((_key, signal, own) =>
    lane.breaker.run(
      () =>
        new Promise((_resolve, reject) => {
          own.info({}, 'asking');
          if (calls++ === 0) signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }),
      signal,
    ),
  );
  const stop = new AbortController();
  const run = lane.run(stop.signal);
  lane.add('a');
  await settle();
  await clock.advance(179_000);
  expect(lane.breaker.waitMs()).toBe(0);
  await clock.advance(1_000);
  expect(results).toEqual(['timeout']);
  expect(lane.breaker.waitMs()).toBeGreaterThan(0);
  await clock.advance(60_000);
  expect(calls).toBe(2);
  const ids = log.lines.filter(({ fields }) => fields.issuer === 'main').map(({ fields }) => fields.reconcileID);
  expect(ids.filter((id) => id !== undefined && id === ids[0]).length).toBeGreaterThanOrEqual(2);
  expect(new Set(ids).size).toBeGreaterThanOrEqual(2);
  stop.abort(new Error('over'));
  await clock.advance(6_000);
  await run;
});
