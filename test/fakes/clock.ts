// A clock that moves only when told.
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../src/ports.ts';

export interface FakeClock extends Clock {
  /** Moves time, waking sleepers in order; between two the program runs until it waits again. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock alone, as an administrator would. */
  setWall(now: Date): void;
  /** Number of sleepers. */
  sleeping(): number;
}

/** Lets everything that waits for no timer run. */
export async function settle(turns = 8): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await setImmediate();
}

export function createFakeClock(start: Date | string = '2026-01-01T00:00:00Z'): FakeClock {
  /** Of the wall clock, when none has elapsed. */
  let epoch = new Date(start).getTime();
  let elapsed = 0;
  const sleepers = new Set<{ due: number; wake: () => void }>();

  return {
    // Sleeps of broken milliseconds must not add up to one less than was asked for.
    now: () => new Date(Math.round((epoch + elapsed) * 1000) / 1000),
    monotonic: () => elapsed,
    sleep(ms, signal) {
      if (signal?.aborted) return Promise.reject(signal.reason as Error);
      if (ms <= 0) return Promise.resolve();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const abort = () => {
        sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const wake = () => {
        sleepers.delete(sleeper);
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const sleeper = { due: elapsed + ms, wake };
      sleepers.add(sleeper);
      signal?.addEventListener('abort', abort, { once: true });
      return promise;
    },
    async advance(ms) {
      const target = elapsed + ms;
      await settle();
      for (;;) {
        const next = [...sleepers].filter(({ due }) => due <= target).sort((a, b) => a.due - b.due)[0];
        if (!next) break;
        elapsed = Math.max(elapsed, next.due);
        next.wake();
        await settle(2);
      }
      elapsed = target;
      await settle();
    },
    setWall(now) {
      epoch = now.getTime() - elapsed;
    },
    sleeping: () => sleepers.size,
  };
}
