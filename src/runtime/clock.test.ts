import { expect, test, vi } from 'vitest';
import { createClock } from './clock.ts';

test('a sleep ends, and one that is aborted rejects with the reason', async () => {
  const clock = createClock();
  const start = clock.monotonic();
  await clock.sleep(15);
  expect(clock.monotonic() - start).toBeGreaterThanOrEqual(14);
  await expect(clock.sleep(60_000, AbortSignal.abort(new Error('no')))).rejects.toThrow('no');
  const stop = new AbortController();
  const sleeping = clock.sleep(60_000, stop.signal);
  stop.abort(new Error('enough'));
  await expect(sleeping).rejects.toThrow('enough');
});

test('a sleep of 40 days is no sleep of a millisecond', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    const clock = createClock();
    let awake = false;
    const days = 40 * 86_400_000;
    void clock.sleep(days).then(() => (awake = true));
    await vi.advanceTimersByTimeAsync(days - 1000);
    expect(awake).toBe(false);
    await vi.advanceTimersByTimeAsync(1001);
    expect(awake).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});
