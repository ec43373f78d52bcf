import { expect, test } from 'vitest';
import { testClock } from '../../test/support/validation.ts';
import { withDeadline } from './deadline.ts';

const never = () => new Promise<never>(() => {});

test('work that ends in time gives its value, and its signal is over afterwards', async () => {
  let seen: AbortSignal | undefined;
  const work = (signal: AbortSignal) => {
    seen = signal;
    return Promise.resolve('done');
  };
  const { signal } = new AbortController();
  expect(await withDeadline({ clock: testClock, ms: 60_000, signal }, work)).toBe('done');
  expect(seen?.aborted).toBe(true);
});

test('work that pays no heed to its signal is left behind', async () => {
  const { signal } = new AbortController();
  expect(await withDeadline({ clock: testClock, ms: 5, signal }, never)).toBeUndefined();
});

test("the caller's abort rejects with its reason, at once or later", async () => {
  const caller = new AbortController();
  const waiting = withDeadline({ clock: testClock, ms: 60_000, signal: caller.signal }, never);
  caller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  let started = false;
  const work = () => Promise.resolve((started = true));
  await expect(withDeadline({ clock: testClock, ms: 60_000, signal: caller.signal }, work)).rejects.toThrow('enough');
  expect(started).toBe(false);
});

test('an error of the work stays its own', async () => {
  const { signal } = new AbortController();
  const work = () => Promise.reject(new RangeError('mine'));
  await expect(withDeadline({ clock: testClock, ms: 60_000, signal }, work)).rejects.toThrow('mine');
});
