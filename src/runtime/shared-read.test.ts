import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createSharedRead } from './shared-read.ts';

test('what is asked at once is read once, and a later question gets a later read', async () => {
  const clock = createFakeClock();
  let reads = 0;
  const ask = createSharedRead({ read: async () => ++reads, clock, gapMs: 250 });
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1]);
  const later = [ask(), ask()];
  await clock.advance(249);
  expect(reads).toBe(1);
  await clock.advance(1);
  expect(await Promise.all(later)).toEqual([2, 2]);
});

test('a question during a read is not answered by it', async () => {
  const clock = createFakeClock();
  const reading: (() => void)[] = [];
  let value = 'old';
  const ask = createSharedRead({
    read: async () => {
      const seen = value;
      await new Promise<void>((resolve) => reading.push(resolve));
      return seen;
    },
    clock,
    gapMs: 0,
  });
  const first = ask();
  await clock.advance(1);
  value = 'new';
  const second = ask();
  await clock.advance(1);
  for (const finish of reading) finish();
  expect([await first, await second]).toEqual(['old', 'new']);
});

test('a read that fails fails for those who waited for it, and the next one is tried', async () => {
  const clock = createFakeClock();
  let reads = 0;
  const ask = createSharedRead({
    read: async () => {
      if (++reads === 1) throw new Error('no API');
      return reads;
    },
    clock,
    gapMs: 10,
  });
  await expect(Promise.all([ask(), ask()])).rejects.toThrow('no API');
  const again = ask();
  await clock.advance(10);
  expect(await again).toBe(2);
});
