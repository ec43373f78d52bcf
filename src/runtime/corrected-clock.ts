// The time of day as the cluster has it, where this machine's own clock is plainly wrong: certificates and expiries are judged alike on
// all replicas (reliability: a replica whose clock is off by an hour or a year).
import type { Clock } from '../ports.ts';

/** Less than this is no error worth correcting, and within what the offset is known to. */
const TOLERATED_MS = 10_000;

/** `offsetMs`: how far the cluster's clock is ahead of ours; undefined while that is not known. */
export function correctClock(clock: Clock, offsetMs: () => number | undefined): Clock {
  return {
    now: () => {
      const now = clock.now();
      const offset = offsetMs() ?? 0;
      return Math.abs(offset) < TOLERATED_MS ? now : new Date(now.getTime() + offset);
    },
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  };
}
