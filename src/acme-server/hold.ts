// Waiting for work a while before answering without it.
import type { Clock } from '../ports.ts';

/** Ends a wait that is no longer needed; made once, because making an error costs more than the wait. */
const SETTLED = new Error('settled');

/** True once the work is done within `ms`, false after it; rejects as the work does. */
export async function doneWithin(work: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const timer = new AbortController();
  const late = clock.sleep(ms, timer.signal).then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    timer.abort(SETTLED);
  }
}
