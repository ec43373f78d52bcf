import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { correctClock } from './corrected-clock.ts';

test('a clock far off is corrected once the offset is known, a small difference is left alone', () => {
  const clock = createFakeClock('2026-01-01T00:00:00Z');
  let offset: number | undefined;
  const corrected = correctClock(clock, () => offset);
  expect(corrected.now()).toEqual(clock.now());
  offset = -400 * 24 * 3_600_000;
  expect(corrected.now().toISOString()).toBe('2024-11-27T00:00:00.000Z');
  offset = 9_999;
  expect(corrected.now()).toEqual(clock.now());
  offset = -10_000;
  expect(corrected.now().toISOString()).toBe('2025-12-31T23:59:50.000Z');
});

test('time that only grows is untouched', async () => {
  const clock = createFakeClock();
  const corrected = correctClock(clock, () => 3_600_000);
  const sleeping = corrected.sleep(1000);
  await clock.advance(1000);
  await expect(sleeping).resolves.toBeUndefined();
  expect(corrected.monotonic()).toBe(1000);
});
