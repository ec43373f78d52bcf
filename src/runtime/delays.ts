// Keys that become due later, months later if need be.
import type { Clock } from '../ports.ts';

export interface Delays {
  /** Of several delays of one key the earliest counts. */
  add(key: string, ms: number): void;
  remove(key: string): void;
  clear(): void;
  /** As Clock.monotonic; undefined for a key without delay. */
  dueOf(key: string): number | undefined;
}

/** Longest sleep in one piece, after which the wall clock is looked at again: a laptop that slept is late by no more. */
const LONGEST_SLEEP_MS = 600_000;

/** A key is due when either clock says so: the monotonic one may stand still in suspend, the wall clock may be set back. */
export function createDelays(clock: Clock, due: (key: string) => void): Delays {
  const waiting = new Map<string, { monotonic: number; wall: number }>();
  let sleep: { until: number; stop: AbortController } | undefined;

  const left = ({ monotonic, wall }: { monotonic: number; wall: number }) =>
    Math.min(monotonic - clock.monotonic(), wall - clock.now().getTime());

  function sleepUntil(ms: number): void {
    const until = clock.monotonic() + ms;
    if (sleep && sleep.until <= until) return;
    sleep?.stop.abort();
    const stop = new AbortController();
    sleep = { until, stop };
    clock.sleep(ms, stop.signal).then(wake, () => undefined);
  }

  function wake(): void {
    sleep = undefined;
    let soonest = LONGEST_SLEEP_MS;
    for (const [key, at] of waiting) {
      const ms = left(at);
      if (ms > 0) soonest = Math.min(soonest, ms);
      else {
        waiting.delete(key);
        due(key);
      }
    }
    if (waiting.size > 0) sleepUntil(soonest);
  }

  return {
    add(key, ms) {
      const at = { monotonic: clock.monotonic() + ms, wall: clock.now().getTime() + ms };
      const before = waiting.get(key);
      if (before && left(before) <= ms) return;
      waiting.set(key, at);
      sleepUntil(Math.min(ms, LONGEST_SLEEP_MS));
    },
    remove: (key) => void waiting.delete(key),
    clear() {
      waiting.clear();
      sleep?.stop.abort();
      sleep = undefined;
    },
    dueOf: (key) => waiting.get(key)?.monotonic,
  };
}
