// Which of several processes does the work that only one may do. Built on a Lease; safe as long as monotonic clocks run at about
// the same rate, whatever the wall clocks say. It saves double work, and is no lock on what is written: that is what
// resourceVersions, atomic creates and the fence (fenced-cluster.ts) are for.
import type { Clock, Cluster, Log, Random } from '../ports.ts';
import { fraction } from './back-off.ts';
import { createLeaseLock } from './lease-lock.ts';

export interface LeaderElection {
  /**
   * Campaigns until the signal aborts. Whenever it holds the lease it runs `lead`, whose signal aborts before the lease can lapse;
   * waits for it to end, then campaigns again or, on abort, releases. Never rejects.
   */
  run(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Whether the lease is held now, also while the work ends in good order. Finding that its time is over ends the work at once. */
  isLeader(): boolean;
}

export interface ElectionTimings {
  /** How long others keep off a record that does not change. */
  leaseDurationMs: number;
  /** How long after the start of the last request that renewed it the holder still relies on the lease. */
  renewDeadlineMs: number;
  retryPeriodMs: number;
}

export interface LeaderElectionDeps {
  cluster: Pick<Cluster, 'get' | 'create' | 'replace'>;
  clock: Clock;
  random: Random;
  log: Log;
  namespace: string;
  name: string;
  /** Unique to this process, not to its pod or host alone. */
  identity: string;
  timings?: ElectionTimings;
}

const TIMINGS: ElectionTimings = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 };
/** How long the lease is kept for work that was told to end. */
const WIND_DOWN_MS = 30_000;

/** Throws where the timings cannot keep two from leading at once. */
export function createLeaderElection(deps: LeaderElectionDeps): LeaderElection {
  const { clock, random, log, name, identity, timings = TIMINGS } = deps;
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = timings;
  if (!(leaseDurationMs > renewDeadlineMs && renewDeadlineMs > 1.5 * retryPeriodMs && retryPeriodMs > 0))
    throw new Error(
      'leader election: the lease must outlast the renew deadline, and that one and a half retry periods',
    );
  const lock = createLeaseLock({ ...deps, leaseDurationMs, requestMs: renewDeadlineMs / 2 });
  const about = { lease: name, identity };
  let term: Term | undefined;

  const pause = (jitter: number, signal: AbortSignal) =>
    clock.sleep(retryPeriodMs * (1 + jitter * fraction(random)), signal).catch(() => undefined);

  /** When the request began that won the lease; undefined once aborted. */
  async function campaign(signal: AbortSignal): Promise<number | undefined> {
    while (!signal.aborted) {
      const began = clock.monotonic();
      const won = await lock.attempt().catch((error: unknown) => {
        log.debug({ ...about, error }, 'the lease could not be asked for');
        return false;
      });
      if (won && clock.monotonic() - began < renewDeadlineMs) return began;
      await pause(0.5, signal);
    }
    return undefined;
  }

  async function reign(lead: (signal: AbortSignal) => Promise<void>, current: Term): Promise<void> {
    const over = new AbortController();
    const keeping = [renew(current, over.signal), guard(current, over.signal)];
    try {
      await lead(current.signal);
      if (!current.signal.aborted) log.warn(about, 'the work of the leader ended by itself');
    } catch (error) {
      if (!current.signal.aborted) log.error({ ...about, error }, 'the work of the leader failed');
    }
    over.abort();
    await Promise.all(keeping);
  }

  /** Renews until the work has ended, also after it was told to: nobody else should begin while it goes on. */
  async function renew(current: Term, over: AbortSignal): Promise<void> {
    for (;;) {
      await pause(0.1, over);
      if (over.aborted || current.endingForMs() > WIND_DOWN_MS) return;
      const began = clock.monotonic();
      // A process that stood still finds out before it asks.
      current.holds();
      try {
        if (await lock.attempt()) current.renewed(began);
        else return current.end('another holds the lease');
      } catch (error) {
        log.warn({ ...about, error }, 'the lease was not renewed');
      }
    }
  }

  /** Ends the term when its time is over. */
  async function guard(current: Term, over: AbortSignal): Promise<void> {
    const sleep = (ms: number) => clock.sleep(ms, over).catch(() => undefined);
    while (!over.aborted && current.holds()) await sleep(current.leftMs());
    await sleep(leaseDurationMs - renewDeadlineMs);
    if (!over.aborted) log.error(about, 'the work goes on although the lease may have lapsed');
  }

  return {
    isLeader: () => term?.holds() ?? false,
    async run(lead, signal) {
      for (;;) {
        const began = await campaign(signal);
        if (began === undefined || signal.aborted) break;
        log.info(about, 'leading');
        term = createTerm(clock, began, renewDeadlineMs);
        const stop = term.stop;
        signal.addEventListener('abort', stop, { once: true });
        await reign(lead, term);
        signal.removeEventListener('abort', stop);
        term = undefined;
        log.info(about, 'no longer leading');
        await lock.release();
        await pause(0.5, signal);
      }
      await lock.release();
    },
  };
}

interface Term {
  readonly signal: AbortSignal;
  /** Whether the lease can be relied on. The first no ends the term. */
  holds(): boolean;
  leftMs(): number;
  /** How long ago the work was told to end. */
  endingForMs(): number;
  renewed(began: number): void;
  end(reason: string): void;
  /** Tells the work to end in good order, while the lease is still held. */
  stop(this: void): void;
}

function createTerm(clock: Clock, began: number, renewDeadlineMs: number): Term {
  const work = new AbortController();
  let until = began + renewDeadlineMs;
  let over = false;
  let endingSince: number | undefined;

  function tell(reason: string): void {
    endingSince ??= clock.monotonic();
    work.abort(new Error(reason));
  }
  function end(reason: string): void {
    over = true;
    tell(reason);
  }

  return {
    signal: work.signal,
    holds() {
      if (!over && clock.monotonic() >= until) end('the lease was not renewed in time');
      return !over;
    },
    leftMs: () => until - clock.monotonic(),
    endingForMs: () => (endingSince === undefined ? 0 : clock.monotonic() - endingSince),
    renewed(from) {
      until = Math.max(until, from + renewDeadlineMs);
    },
    end,
    stop: () => tell('stopping'),
  };
}
