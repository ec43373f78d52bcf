// Live reads shared by all who wait for them: whoever asks gets a read that began after it asked, and reads begin at most so often,
// so that no flood of questions becomes a flood of reads.
import type { Clock } from '../ports.ts';

export interface SharedReadDeps<T> {
  read: () => Promise<T>;
  clock: Clock;
  /** Milliseconds between the beginnings of two reads. */
  gapMs: number;
}

export function createSharedRead<T>({ read, clock, gapMs }: SharedReadDeps<T>): () => Promise<T> {
  let began = -Infinity;
  /** The read that has not begun yet, for all who ask until it does. */
  let next: Promise<T> | undefined;

  async function begin(): Promise<T> {
    const wait = began + gapMs - clock.monotonic();
    // At least a turn of the event loop, so that what is asked at once is read once.
    if (wait > 0) await clock.sleep(wait);
    else await Promise.resolve();
    began = clock.monotonic();
    next = undefined;
    return read();
  }

  return () => {
    next ??= begin();
    return next;
  };
}
