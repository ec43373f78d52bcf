// How long to wait after the nth failure in a row: exponential, capped, with jitter so that many do not return as one.
import type { Clock, Random } from '../ports.ts';

export interface BackOff {
  baseMs: number;
  maxMs: number;
}

/** Milliseconds after `failures` (1 = the first): between half and all of base·2^(failures-1), at most maxMs. */
export function backOff({ baseMs, maxMs }: BackOff, failures: number, random: Random): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 40));
  return Math.round(full * (0.5 + fraction(random) / 2));
}

/** Uniform in [0, 1). */
export function fraction(random: Random): number {
  return random.bytes(4).readUInt32BE() / 2 ** 32;
}

export interface Rate {
  perSecond: number;
  /** So many at once after a while of rest. */
  burst: number;
}

/** Nobody is put off for longer, however many have come before. */
const LONGEST_RESERVATION_MS = 30_000;

/** Hands out turns at a rate. */
export function createBucket(clock: Pick<Clock, 'monotonic'>, { perSecond, burst }: Rate): { reserve(): number } {
  let turns = burst;
  let at = clock.monotonic();
  return {
    /** Takes a turn; milliseconds until it comes. */
    reserve() {
      const now = clock.monotonic();
      turns = Math.min(burst, turns + ((now - at) / 1000) * perSecond);
      at = now;
      turns = Math.max(turns - 1, (-perSecond * LONGEST_RESERVATION_MS) / 1000);
      return turns >= 0 ? 0 : (-turns / perSecond) * 1000;
    },
  };
}
