// Holds a controller back while the API fails whatever it is asked for: then one key at a time is tried, ever more rarely, until one
// gets through. A single object that cannot be written holds up nobody.
import type { Clock, Random } from '../ports.ts';
import { type BackOff, backOff } from './back-off.ts';

export interface OutageGate {
  /** Resolves when one more key may be tried, or when aborted. */
  pass(signal: AbortSignal): Promise<void>;
  /** The API answered, be it with a refusal. */
  answered(): void;
  /** It did not, for this key; `askedMs` is how long it wants to be left alone. */
  failed(key: string, askedMs: number): void;
}

/** Different keys that fail in a row before it counts as an outage. */
const KEYS = 3;
const PAUSE: BackOff = { baseMs: 1_600, maxMs: 30_000 };

export function createOutageGate({ clock, random }: { clock: Clock; random: Random }): OutageGate {
  const failing = new Set<string>();
  let pauses = 0;
  let asked = 0;
  let opened = new AbortController();
  let turn: Promise<void> = Promise.resolve();

  async function hold(signal: AbortSignal): Promise<void> {
    if (failing.size < KEYS || signal.aborted) return;
    const ms = Math.max(backOff(PAUSE, ++pauses, random), asked);
    await clock.sleep(ms, AbortSignal.any([signal, opened.signal])).catch(() => undefined);
  }

  return {
    pass(signal) {
      // One after the other, so that each try has had its pause.
      turn = turn.then(() => hold(signal));
      return turn;
    },
    answered() {
      if (failing.size === 0) return;
      failing.clear();
      pauses = 0;
      opened.abort();
      opened = new AbortController();
    },
    failed(key, askedMs) {
      if (failing.size < KEYS) failing.add(key);
      asked = askedMs;
    },
  };
}
