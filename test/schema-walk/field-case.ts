// A field has an effect: set to values that all are valid, all else equal, it makes outcomes that all differ.
import { isDeepStrictEqual } from 'node:util';
import type { Kind, KubeObject } from '../../src/api/kind.ts';
import { validateObject } from '../../src/api/validate.ts';

/** The field left out. */
export const ABSENT = Symbol('absent');

export interface FieldCase {
  kind: Kind;
  /** As of leavesOf; `[]` is the first entry. */
  path: string;
  /** The spec around the field. */
  base: object;
  /** At least two. */
  values: readonly unknown[];
  /** What the program makes of an object with this spec: anything that JSON can hold. */
  outcome: (spec: never) => unknown;
}

export interface Run {
  value: unknown;
  outcome: unknown;
}

/** The outcome of every value. Throws for a value that is not valid: being refused is no effect of a field. */
export async function runCase({ kind, path, base, values, outcome }: FieldCase): Promise<Run[]> {
  const runs: Run[] = [];
  for (const value of values) {
    const { spec } = withValue({ spec: base }, path, value) as { spec: object };
    const metadata = { name: 'x', ...(kind.namespaced ? { namespace: 'default' } : {}) };
    const faults = validateObject(kind, { metadata, spec } as unknown as KubeObject);
    if (faults.length > 0) throw new Error(`${path} = ${shown(value)} is not valid: ${JSON.stringify(faults)}`);
    const result: unknown = await outcome(spec as never);
    if (result === undefined) throw new Error(`${path} = ${shown(value)} has no outcome`);
    runs.push({ value, outcome: JSON.parse(JSON.stringify(result)) });
  }
  return runs;
}

/** Pairs of values with the same outcome. */
export function indifferent(runs: readonly Run[]): string[] {
  return runs.flatMap((run, i) =>
    runs
      .slice(i + 1)
      .filter((other) => isDeepStrictEqual(run.outcome, other.outcome))
      .map((other) => `${shown(run.value)} and ${shown(other.value)} both give ${JSON.stringify(run.outcome)}`),
  );
}

export function shown(value: unknown): string {
  return value === ABSENT ? 'absent' : JSON.stringify(value);
}

/** A copy with the value at the path; missing maps and first entries on the way are made. */
export function withValue(object: object, path: string, value: unknown): object {
  const copy = structuredClone(object) as Record<string, unknown>;
  const steps = path.split('.').flatMap((step) => (step.endsWith('[]') ? [step.slice(0, -2), '0'] : [step]));
  let at = copy;
  for (const [i, step] of steps.slice(0, -1).entries()) {
    at[step] ??= steps[i + 1] === '0' ? [] : {};
    at = at[step] as Record<string, unknown>;
  }
  const last = steps.at(-1) ?? '';
  if (value === ABSENT) delete at[last];
  else at[last] = value;
  return copy;
}
