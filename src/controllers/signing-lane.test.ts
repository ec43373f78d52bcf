// How a lane ends, and begins again where its process leads once more.
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createLane, type LaneDeps } from './signing-lane.ts';

function setUp(work: LaneDeps['work']) {
  const clock = createFakeClock();
  const lane = createLane({
    fields: { issuer: 'main' },
    clock,
    random: createFakeRandom(),
    log: createCapturingLog(),
    concurrency: () => 1,
    work,
    onBreaker: () => undefined,
  });
  return { clock, lane };
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
