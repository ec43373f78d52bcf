// Whoever damages or deletes the Secret of a claim gets another certificate, at once the first time and ever more rarely after, so
// that nobody wears a CA out by it. Kept in this process alone: a new one begins anew.
import type { Clock } from '../ports.ts';

export interface Repairs {
  /** A certificate was delivered where there was none that served. `hash` says for which request. */
  delivered(uid: string, hash: string): void;
  /** When the next certificate may be delivered so, and how often that was done; undefined for now. */
  next(uid: string, hash: string): { failures: number; nextAttempt: Date } | undefined;
  /** The claim is gone. */
  forget(uid: string): void;
}

const MINUTE_MS = 60_000;
const LONGEST_MS = 3_600_000;
/** Quiet for so long, and it counts from the start. */
const FORGIVEN_MS = 24 * 3_600_000;

interface Delivered {
  hash: string;
  count: number;
  at: number;
}

export function createRepairs(clock: Pick<Clock, 'now'>): Repairs {
  const all = new Map<string, Delivered>();

  function latest(uid: string, hash: string): Delivered | undefined {
    const known = all.get(uid);
    return known?.hash === hash && clock.now().getTime() - known.at < FORGIVEN_MS ? known : undefined;
  }

  return {
    delivered: (uid, hash) => {
      all.set(uid, { hash, count: (latest(uid, hash)?.count ?? 0) + 1, at: clock.now().getTime() });
    },
    next: (uid, hash) => {
      const known = latest(uid, hash);
      // The first was the claim's own, the second is free.
      if (!known || known.count < 2) return undefined;
      const nextAttempt = new Date(known.at + Math.min(LONGEST_MS, MINUTE_MS * 2 ** Math.min(known.count - 2, 20)));
      return nextAttempt > clock.now() ? { failures: known.count - 1, nextAttempt } : undefined;
    },
    forget: (uid) => void all.delete(uid),
  };
}
