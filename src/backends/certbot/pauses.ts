// Pauses between the runs of one request that come to nothing: each run may be an order at the CA, and costs a Pod. Kept here, because a
// look at a run that goes on is a success to whoever paces requests.
import type { Clock } from '../../ports.ts';

export interface Pauses {
  /** Milliseconds until there may be another run for the request; 0 = now. */
  leftOf(request: string): number;
  /** A run came to nothing. `minimumMs`: what the CA wants. */
  failed(request: string, minimumMs?: number): void;
  /** The request has an outcome. */
  forget(request: string): void;
}

const BASE_MS = 1_000;
const MAX_MS = 300_000;
/** What nobody has asked for since is given up. */
const KEPT_MS = 3_600_000;

export function createPauses(clock: Clock): Pauses {
  const known = new Map<string, { failures: number; until: number }>();
  return {
    leftOf: (request) => Math.max(0, (known.get(request)?.until ?? 0) - clock.monotonic()),
    failed(request, minimumMs = 0) {
      const now = clock.monotonic();
      for (const [name, { until }] of known) if (now - until > KEPT_MS) known.delete(name);
      const failures = (known.get(request)?.failures ?? 0) + 1;
      const pauseMs = Math.max(minimumMs, Math.min(MAX_MS, BASE_MS * 2 ** (failures - 1)));
      known.set(request, { failures, until: now + pauseMs });
    },
    forget: (request) => void known.delete(request),
  };
}
