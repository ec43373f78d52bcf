// Defines a test by the number of its line in the conformance checklist, and holds pebble to its committed list of deviations.
import { basename } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import listed from './pebble-deviations.json' with { type: 'json' };
import { startTarget, type Target, targetKind } from './target.ts';

/** A test that pebble fails, and how. */
interface Deviation {
  file: string;
  line: number;
  test: string;
  /** What pebble does instead. */
  pebble: string;
  /** Part of the message with which the test then fails. */
  failsWith: string;
  /** Pebble loses a race, and only sometimes: the test may also pass. */
  race?: boolean;
}

const deviations: readonly Deviation[] = listed;

export type Line = (line: number, name: string, run: (target: Target) => Promise<void>) => void;

/** A wait that runs into this is a failure; nothing asserts on wall-clock time. */
const TIMEOUT = 300_000;

/** Starts the target for a test file (`import.meta.filename`) and gives the function that defines its tests. */
export function conformance(filename: string): Line {
  const expected = targetKind() === 'pebble' ? deviations.filter(({ file }) => file === basename(filename)) : [];
  const defined = new Set<string>();
  let target: Target | undefined;
  beforeAll(async () => {
    target = await startTarget();
  }, TIMEOUT);
  afterAll(async () => {
    await target?.stop();
    const stale = expected.filter((each) => !defined.has(`${each.line}. ${each.test}`));
    expect(stale, 'entries of pebble-deviations.json that name no test').toEqual([]);
  }, TIMEOUT);
  return (line, name, run) => {
    const title = `${line}. ${name}`;
    if (defined.has(title)) throw new Error(`two tests are called "${title}"`);
    defined.add(title);
    const deviation = expected.find((each) => each.line === line && each.test === name);
    test(title, { timeout: TIMEOUT }, async () => {
      if (target === undefined) throw new Error('the target did not start');
      if (deviation === undefined) await run(target);
      else expectFailure(deviation, await failureOf(run, target));
    });
  };
}

/** A listed test must fail, and for the reason given: passing, or failing otherwise, turns the run red. */
function expectFailure({ race, pebble, failsWith }: Deviation, message: string | undefined): void {
  if (message === undefined && !race) throw new Error('this test is listed in pebble-deviations.json, but passes');
  if (message !== undefined) expect(message, pebble).toContain(failsWith);
}

async function failureOf(run: (target: Target) => Promise<void>, target: Target): Promise<string | undefined> {
  try {
    await run(target);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
