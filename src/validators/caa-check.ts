// Whether the owners of a name let us issue for it (RFC 8659): the look-ups around domain/caa.ts.
import { caaDenial, climbCaa } from '../domain/caa.ts';
import type { ChallengeType } from '../domain/challenge.ts';
import type { Identifier } from '../domain/identifier.ts';
import { Problem } from '../domain/problem.ts';
import type { Resolver } from '../ports.ts';
import { dnsProblem } from './attempt.ts';

export interface CaaCheck {
  /** Without the wildcard label. */
  identifier: Identifier;
  wildcard: boolean;
  /** Our names as an issuer. */
  identities: readonly string[];
  accountURL: string;
  challenge: ChallengeType;
  resolver: Resolver;
  /** The climb takes one look-up a label: bind it in time. */
  signal: AbortSignal;
}

export type CaaResult = { permitted: true } | { permitted: false; problem: Problem; retryable: boolean };

/** A look-up that failed is no permission, and may be repeated. Rejects only when aborted. */
export async function checkCaa({ identifier, resolver, signal, ...question }: CaaCheck): Promise<CaaResult> {
  // Addresses have no CAA records: RFC 8738 section 9 leaves them to the CA.
  if (identifier.type === 'ip') return { permitted: true };
  const { value: name } = identifier;
  const relevant = await climbCaa(name, (at) => resolver.caa(at, signal));
  if (relevant.state === 'absent') return { permitted: true };
  if (relevant.state === 'failed')
    return { permitted: false, problem: dnsProblem(name, `CAA records of ${relevant.at}`, relevant), retryable: true };
  const denial = caaDenial(relevant.records, question);
  if (denial === undefined) return { permitted: true };
  return { permitted: false, problem: new Problem('caa', `${name}: ${denial} (at ${relevant.at})`), retryable: false };
}
