// Binds a piece of work to a time and to the caller's signal.
import type { Clock } from '../ports.ts';

const OVER = new Error('the work is over');
const TIMED_OUT = new Error('time ran out');

/**
 * What `work` resolves to, or `undefined` once `ms` have passed, even where `work` pays no heed to the signal it is given: that one
 * aborts when time runs out, when the caller aborts, and at the end. Rejects with the caller's reason once the caller aborts.
 */
export async function withDeadline<T>(
  { clock, ms, signal }: { clock: Clock; ms: number; signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  signal.throwIfAborted();
  const own = new AbortController();
  const forward = () => own.abort(signal.reason);
  signal.addEventListener('abort', forward, { once: true });
  clock.sleep(ms, own.signal).then(
    () => own.abort(TIMED_OUT),
    () => {},
  );
  try {
    return await untilAborted(own.signal, work(own.signal));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error === TIMED_OUT) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', forward);
    own.abort(OVER);
  }
}

function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    work.then(resolve, reject);
  });
}
