// The system's clock.
import type { Clock } from '../ports.ts';

/** Node's timers take a 32-bit delay (24.8 days); longer sleeps are made of pieces. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function createClock(): Clock {
  const monotonic = () => performance.now();

  function piece(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    timer.unref();
    signal?.addEventListener('abort', abort, { once: true });
    return promise;
  }

  return {
    now: () => new Date(),
    monotonic,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      const end = monotonic() + ms;
      for (let left = ms; left > 0; left = end - monotonic()) await piece(Math.min(left, LONGEST_TIMER_MS), signal);
    },
  };
}
