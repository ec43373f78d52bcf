// Keeps a process from hammering an API server that is down: after a failure nobody sends for a while, then one request goes ahead
// as the probe, and only when it is answered do the others follow.
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Random } from '../ports.ts';

export type Verdict =
  /** It answers. */
  | 'up'
  /** It cannot be reached, or says that it cannot serve now. */
  | 'down'
  /** Nothing learnt. */
  | 'unsure';

/** Leave to send one request; must be given back. `retryAfterMs` is how long the server asked to be left alone. */
export type Pass = (verdict: Verdict, retryAfterMs?: number) => void;

export interface Gate {
  /** Waits until a request may go, at most until `until` (monotonic ms), else throws Unavailable; at once in a long outage. */
  enter(until: number): Promise<Pass>;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 4_000;
/** What a server may ask for at most. */
const LONGEST_ASKED_MS = 30_000;
/** After this many failed probes it is an outage, and waiting for its end would only pile callers up. */
const OUTAGE = 3;

export function createGate({ clock, random }: { clock: Clock; random: Random }): Gate {
  let failures = 0;
  let opensAt = 0;
  let probe: PromiseWithResolvers<void> | undefined;

  function pause(retryAfterMs: number | undefined): void {
    const own = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
    const jittered = own * (0.5 + random.bytes(4).readUInt32BE() / 2 ** 33);
    const asked = Math.min(retryAfterMs ?? 0, LONGEST_ASKED_MS);
    opensAt = Math.max(opensAt, clock.monotonic() + Math.max(asked, jittered));
  }

  function pass(isProbe: boolean): Pass {
    let given = false;
    return (verdict, retryAfterMs) => {
      if (given) return;
      given = true;
      if (verdict === 'up') failures = 0;
      // Requests that were under way when the first of them failed say nothing new.
      else if (verdict === 'down' && (isProbe || failures === 0)) {
        failures++;
        pause(retryAfterMs);
      } else if (verdict === 'down' && retryAfterMs !== undefined) pause(retryAfterMs);
      if (!isProbe) return;
      probe?.resolve();
      probe = undefined;
    };
  }

  return {
    async enter(until) {
      for (;;) {
        if (failures === 0) return pass(false);
        const now = clock.monotonic();
        if (now >= opensAt && !probe) {
          probe = Promise.withResolvers<void>();
          return pass(true);
        }
        if (failures >= OUTAGE || now >= until || opensAt > until) {
          const retryAfterMs = Math.max(500, Math.ceil(opensAt - now));
          throw new ClusterError('Unavailable', 'the API server does not answer', { retryAfterMs });
        }
        await waitFor(probe?.promise, (probe ? until : opensAt) - now);
      }
    },
  };

  async function waitFor(promise: Promise<void> | undefined, ms: number): Promise<void> {
    const over = new AbortController();
    const slept = clock.sleep(Math.max(1, ms), over.signal).catch(() => undefined);
    await Promise.race(promise ? [promise, slept] : [slept]);
    over.abort();
  }
}
