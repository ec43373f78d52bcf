// Conditions of a status (metav1.Condition): set by type, their time moving only when their status does.
import type { Condition } from '../api/kind.ts';
import { oneLine } from './remote-text.ts';

/** A condition as judged now; the time of its last transition follows from what was there before. */
export type NewCondition = Omit<Condition, 'lastTransitionTime'>;

/** As the schema of Condition has it. */
const LONGEST_MESSAGE = 32_768;

/**
 * The list with this condition in it. `lastTransitionTime` is `now` for a new condition or a changed status and stays otherwise;
 * the very same list comes back when nothing changed, so that the caller need not write. The message may hold what others wrote: it
 * is put on one line.
 */
export function setCondition(
  conditions: readonly Condition[],
  condition: NewCondition,
  now: Date,
): readonly Condition[] {
  const before = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime =
    before?.status === condition.status ? before.lastTransitionTime : `${now.toISOString().slice(0, 19)}Z`;
  const message = oneLine(condition.message).slice(0, LONGEST_MESSAGE);
  const after: Condition = { ...condition, message, lastTransitionTime };
  if (!before) return [...conditions, after];
  if (equal(before, after)) return conditions;
  return conditions.map((other) => (other === before ? after : other));
}

/** The list without conditions of this type; the very same list when there are none. */
export function removeCondition(conditions: readonly Condition[], type: string): readonly Condition[] {
  return conditions.some((condition) => condition.type === type)
    ? conditions.filter((condition) => condition.type !== type)
    : conditions;
}

export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Absent counts as Unknown. */
export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

function equal(a: Condition, b: Condition): boolean {
  return (
    a.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration &&
    a.lastTransitionTime === b.lastTransitionTime
  );
}
