// What the validators share: one attempt, bound in time, and how it fails.
import { Problem, type ProblemType } from '../domain/problem.ts';
import type { Clock, ValidationResult } from '../ports.ts';
import { withDeadline } from './deadline.ts';

export type Failure = Extract<ValidationResult, { valid: false }>;

export function failure(
  problem: Problem,
  { retryable, addresses = [] }: { retryable: boolean; addresses?: readonly string[] },
): Failure {
  return { valid: false, problem, retryable, addresses };
}

/** What policy has against the addresses: final, but where it could not tell for want of an answer of the DNS. */
export function objection(problem: Problem, addresses: readonly string[]): Failure {
  return failure(problem, { retryable: problem.type === 'dns', addresses });
}

/** A look-up of `what` that did not find any. */
export function dnsProblem(
  label: string,
  what: string,
  answer: { state: 'absent' } | { state: 'failed'; reason: string },
): Problem {
  const text =
    answer.state === 'absent' ? `the DNS has no ${what}` : `the DNS did not tell the ${what}: ${answer.reason}`;
  return new Problem('dns', `${label}: ${text}`);
}

export interface AttemptBounds {
  clock: Clock;
  ms: number;
  signal: AbortSignal;
  /** Problem type and subject of an attempt that takes too long. */
  type: ProblemType;
  label: string;
}

/** The result of `work`, or a retryable failure once time has run out. Rejects only when the caller aborts. */
export async function withinAttempt(
  { type, label, ...bounds }: AttemptBounds,
  work: (signal: AbortSignal) => Promise<ValidationResult>,
): Promise<ValidationResult> {
  const result = await withDeadline(bounds, work);
  if (result) return result;
  return failure(new Problem(type, `${label}: no answer within ${bounds.ms / 1000} seconds`), { retryable: true });
}
