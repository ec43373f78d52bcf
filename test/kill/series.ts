// For every k: lets an experiment run against a program that dies at the k-th call, until k is beyond the last one.
import type { Among, Kill } from './meter.ts';

/** Programs side by side; each is a process, and so are the tests. */
export const LANES = 2;

const ALL = process.env.KILL_TESTS === 'all';

export type SeriesKind = { when: Kill['when']; among: Exclude<Among, object> };

/**
 * What is killed. A call that stays within the process (time, randomness, counters, the log) leaves nothing that the next process
 * could find, so death there is death at the next call that does not; KILL_TESTS=all shows it, for death before a call: some of those
 * calls never end.
 */
export const SERIES: SeriesKind[] = (['before', 'after'] as const).map((when) => ({
  when,
  among: ALL && when === 'before' ? 'all' : 'outside',
}));

/** Where nobody outside sees what happens between two writes, death before or after a read is death after the last write. */
export const UNSEEN_SERIES: SeriesKind[] = SERIES.map(({ when, among }) => ({ when, among: ALL ? among : 'writes' }));

/** Ends a series that hangs; says nothing about speed. */
export const SERIES_TIMEOUT = { timeout: 3_600_000 };

export interface Outcome {
  /** The call at which the program died; undefined if it lived. */
  death: string | undefined;
}

export interface Series {
  /** The calls at which it died, in order of k. */
  deaths: string[];
  /** What was not as it must be, by k. */
  faults: string[];
}

/**
 * `lanes` run side by side, each with a program of its own; each takes the next k. Ends with the first k at which the experiment came
 * to its end unharmed. An experiment that throws is a fault, and its lane goes on.
 */
export async function forEveryCall(
  kill: SeriesKind,
  lanes: readonly ((kill: Kill, k: number) => Promise<Outcome>)[],
): Promise<Series> {
  const deaths: string[] = [];
  const faults: string[] = [];
  let next = 1;
  let last = Number.POSITIVE_INFINITY;
  await Promise.all(
    lanes.map(async (experiment) => {
      while (next <= last && faults.length < 5) {
        const at = next++;
        try {
          const { death } = await experiment({ ...kill, at }, at);
          if (death === undefined) last = Math.min(last, at);
          else deaths[at - 1] = death;
        } catch (error) {
          faults.push(
            `${kill.when} call ${at} (${kill.among}): ${error instanceof Error ? error.message : String(error)}`,
          );
        }
      }
    }),
  );
  return { deaths, faults };
}
