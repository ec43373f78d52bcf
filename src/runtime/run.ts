// One piece of work on a key of a queue: its log lines have an id in common, its time has an end, and how long it took is measured.
import type { Clock, Fields, Histogram, Log, Random } from '../ports.ts';

export interface RunDeps {
  /** Of the controller. */
  name: string;
  clock: Clock;
  random: Random;
  log: Log;
  /** For log lines, beside controller, object and reconcileID. */
  fields?: Fields;
  /** Longest run; 60 s when absent. Its signal aborts then. */
  timeoutMs?: number;
  /** Seconds, by controller and result. */
  durations?: Histogram;
}

export interface Piece {
  /** Gives the name of the result. Must not throw. The signal aborts when it is to stop, or its time is up (TimeUp). */
  work: (signal: AbortSignal, log: Log) => Promise<string>;
  /** Called when the work has ended, however late. */
  ended: () => void;
}

/** Resolves when whoever called is free for other work, which is before the work has ended if that ignores its signal. Never rejects. */
export type Run = (key: string, stop: AbortSignal, piece: Piece) => Promise<void>;

/** Named as what AbortSignal.timeout gives. */
export class TimeUp extends Error {
  override readonly name = 'TimeoutError';
}

/** How long work may take to notice that its time is up before its worker goes on without it. */
const GRACE_MS = 5_000;

export function createRun(deps: RunDeps): Run {
  const { name, clock, random, log, fields = {}, timeoutMs = 60_000, durations } = deps;

  async function once(
    key: string,
    { stop, timeout }: { stop: AbortSignal; timeout: AbortSignal },
    work: Piece['work'],
  ) {
    const own = logWith(log, {
      ...fields,
      controller: name,
      object: key,
      reconcileID: random.bytes(8).toString('hex'),
    });
    const started = clock.monotonic();
    const result = await work(AbortSignal.any([stop, timeout]), own);
    const seconds = (clock.monotonic() - started) / 1000;
    durations?.observe(
      { controller: name, result: timeout.aborted && result === 'error' ? 'timeout' : result },
      seconds,
    );
    own.debug({ result, seconds }, 'reconciled');
  }

  return async (key, stop, piece) => {
    const [timeout, ended] = [new AbortController(), new AbortController()];
    const about = { ...fields, controller: name, object: key };
    const run = once(key, { stop, timeout: timeout.signal }, piece.work)
      .catch((error: unknown) => log.error({ ...about, error }, 'a reconcile could not be concluded'))
      .finally(() => {
        piece.ended();
        ended.abort();
      });
    const overdue = async () => {
      await clock.sleep(timeoutMs, AbortSignal.any([ended.signal, stop])).catch(() => undefined);
      if (!stop.aborted && !ended.signal.aborted)
        timeout.abort(new TimeUp(`reconcile took longer than ${timeoutMs} ms`));
      await clock.sleep(GRACE_MS, ended.signal);
      log.error(about, 'a reconcile ignores that its time is up: going on without it');
    };
    await Promise.race([run, overdue().catch(() => run)]);
  };
}

/** The same log, whose lines have these fields too. */
function logWith(log: Log, fields: Fields): Log {
  return {
    debug: (more, message) => log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
