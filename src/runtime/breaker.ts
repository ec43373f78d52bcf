// Keeps calls away from a peer that fails: after each failure in a row all calls wait longer, and after some of them only one at a time
// is let through to see whether the peer is back.
import type { Clock, Random } from '../ports.ts';
import { type BackOff, backOff } from './back-off.ts';

export interface Breaker {
  /** Milliseconds until a call may be made; 0 = now. */
  waitMs(): number;
  /**
   * Makes the call if it may be made, else throws BreakerOpen. A throw of it is a failure, unless the signal has aborted for another
   * reason than time: then the call says nothing about the peer.
   */
  run<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Whether only probes are let through. */
  isOpen(): boolean;
}

export interface BreakerDeps {
  clock: Clock;
  random: Random;
  /** Wait after the nth failure in a row. */
  backOff?: BackOff;
  /** Failures in a row after which it is open. */
  opensAfter?: number;
  /** Told when it opens, and when a call succeeded that did not before. */
  onChange?: (state: 'open' | 'closed') => void;
}

export class BreakerOpen extends Error {
  override readonly name = 'BreakerOpen';
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super('calls wait until the peer has had time to recover');
    this.retryAfterMs = retryAfterMs;
  }
}

/** Half a minute at most: once the peer is back, that long is all that is lost. */
const BACK_OFF: BackOff = { baseMs: 500, maxMs: 30_000 };
const OPENS_AFTER = 5;
/** While a probe is under way, others look again after this long. */
const PROBE_MS = 1_000;

const isTimeUp = (reason: unknown) => reason instanceof Error && reason.name === 'TimeoutError';

export function createBreaker(deps: BreakerDeps): Breaker {
  const { clock, random, opensAfter = OPENS_AFTER } = deps;
  let failures = 0;
  /** Failures in a row, those of calls made side by side counted as one: they tell of one moment. */
  let rounds = 0;
  /** As of Clock.monotonic. */
  let closedUntil = 0;
  let probing = false;
  const isOpen = () => failures >= opensAfter;

  function waitMs(): number {
    const left = Math.max(0, closedUntil - clock.monotonic());
    return left === 0 && isOpen() && probing ? PROBE_MS : left;
  }

  function succeed(): void {
    const before = failures;
    failures = 0;
    rounds = 0;
    closedUntil = 0;
    if (before > 0) deps.onChange?.('closed');
  }

  function fail(round: number): void {
    failures++;
    if (round === rounds) {
      rounds++;
      closedUntil = clock.monotonic() + backOff(deps.backOff ?? BACK_OFF, rounds, random);
    }
    if (failures === opensAfter) deps.onChange?.('open');
  }

  return {
    waitMs,
    isOpen,
    async run(call, signal) {
      const wait = waitMs();
      if (wait > 0) throw new BreakerOpen(wait);
      const isProbe = isOpen();
      const round = rounds;
      probing ||= isProbe;
      try {
        const result = await call();
        succeed();
        return result;
      } catch (error) {
        if (!signal.aborted || isTimeUp(signal.reason)) fail(round);
        throw error;
      } finally {
        if (isProbe) probing = false;
      }
    },
  };
}
