// The system's clock, which a test may move ahead: whoever sleeps wakes if its time has come.
import type { Clock } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';

export interface JumpingClock extends Clock {
  jump(ms: number): void;
}

export function createJumpingClock(): JumpingClock {
  const system = createClock();
  let ahead = 0;
  let jumped = new AbortController();
  const monotonic = () => system.monotonic() + ahead;
  return {
    now: () => new Date(system.now().getTime() + ahead),
    monotonic,
    async sleep(ms, signal) {
      const end = monotonic() + ms;
      for (let left = ms; left > 0; left = end - monotonic()) {
        const until = AbortSignal.any([jumped.signal, ...(signal ? [signal] : [])]);
        await system.sleep(left, until).catch(() => undefined);
        signal?.throwIfAborted();
      }
    },
    jump(ms) {
      ahead += ms;
      jumped.abort();
      jumped = new AbortController();
    },
  };
}
