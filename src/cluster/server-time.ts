// The API server's clock as its answers tell it.
import type { Clock } from '../ports.ts';

export interface ServerTime {
  /** Told of the Date header of an answer that just came. */
  heard(date: string | undefined): void;
  /** Server's clock minus ours, ms. */
  offsetMs(): number | undefined;
}

/** A Date header is read this often at most: it changes once a second. */
const EVERY_MS = 1_000;

export function createServerTime(clock: Clock): ServerTime {
  /** Counted in monotonic time, so that a wall clock set later shows at once. */
  let known: { time: number; at: number } | undefined;
  return {
    heard(date) {
      const at = clock.monotonic();
      if (date === undefined || (known && at - known.at < EVERY_MS)) return;
      const time = Date.parse(date);
      // Whole seconds, cut off.
      if (!Number.isNaN(time)) known = { time: time + 500, at };
    },
    offsetMs: () => known && Math.round(known.time + clock.monotonic() - known.at - clock.now().getTime()),
  };
}
