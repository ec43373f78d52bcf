// How long to wait after the nth failure in a row: exponential, capped, with jitter so that many do not return as one.
import type { Random } from '../ports.ts';

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
