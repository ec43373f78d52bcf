// Authorizations that are born valid: the requester's namespace is known, policy lets it have the name, and an object of that namespace
// or the policy itself stands in for the challenge. Nothing of it is stored: it is found anew for each request.
import { baseIdentifier, type Identifier, identifierKey, isWildcard } from '../domain/identifier.ts';
import { comeBack, Problem } from '../domain/problem.ts';
import type { Judge } from '../issuance/judge.ts';
import type { Requester } from '../issuance/types.ts';
import type { Clock } from '../ports.ts';
import { type About, type Attributed, type Attribution, attributes } from './attribution.ts';
import type { Authenticated } from './exchange.ts';
import type { Proofs } from './proofs.ts';

export interface Birth {
  requester: Requester;
  /** Those of the identifiers asked about that need no challenge, as identifierKey has them. */
  valid: ReadonlySet<string>;
  /** Those of them that nothing but the policy stands for. */
  byPolicy: readonly Identifier[];
  /** Why nothing of it can be had. */
  refusal?: Problem;
}

export interface Births {
  /** Undefined where the issuer believes nothing but challenges. `about`: absent at newOrder. */
  of(exchange: Authenticated, asked: { about: About; identifiers: readonly Identifier[] }): Promise<Birth | undefined>;
  /** Of a requester that is known already. */
  ofKnown(exchange: Authenticated, attributed: Attributed, identifiers: readonly Identifier[]): Promise<Birth>;
}

export interface BirthsDeps {
  attribution: Attribution;
  proofs: Proofs;
  judge: Pick<Judge, 'atAuthorization'>;
  clock: Clock;
}

export function createBirths(deps: BirthsDeps): Births {
  const ofKnown: Births['ofKnown'] = async (exchange, { requester, order }, identifiers) => {
    const nothing: Birth = { requester, valid: new Set(), byPolicy: [] };
    const { namespace } = requester;
    if (namespace === undefined) return nothing;
    const { issuer } = exchange;
    // All of the order where it is known: a refusal then tells of every name.
    const judged = order?.order.identifiers ?? identifiers;
    const refusal = await deps.judge.atAuthorization({ issuer, requester, identifiers: judged });
    if (refusal) return { ...nothing, refusal };
    const proven = await Promise.all(
      identifiers.map((identifier) =>
        deps.proofs.proves({
          issuer,
          namespace,
          identifier: baseIdentifier(identifier),
          wildcard: isWildcard(identifier),
        }),
      ),
    );
    const unproven = identifiers.filter((_, index) => !proven[index]);
    const needed =
      unproven.length > 0 && (await deps.judge.atAuthorization({ issuer, requester, identifiers, unproven }));
    if (!needed) return { requester, valid: new Set(identifiers.map(identifierKey)), byPolicy: unproven };
    const valid = new Set(identifiers.filter((_, index) => proven[index]).map(identifierKey));
    const mute = order && !order.hasSolvers ? order.order : undefined;
    if (!mute) return { requester, valid, byPolicy: [] };
    const age = deps.clock.now().getTime() - mute.created.getTime();
    return { requester, valid, byPolicy: [], refusal: unprovable({ namespace, unproven, age }) };
  };
  return {
    of: async (exchange, { about, identifiers }) =>
      attributes(exchange.issuer)
        ? ofKnown(exchange, await deps.attribution.of(exchange, about), identifiers)
        : undefined,
    ofKnown,
  };
}

/** What is applied beside the Certificate may come after it, and cert-manager does not come back from a refusal for an hour. */
const GRACE_MS = 60_000;

interface Unprovable {
  namespace: string;
  unproven: readonly Identifier[];
  /** Of the order, ms. */
  age: number;
}

/** cert-manager would wait for ever for a challenge that nobody answers. */
function unprovable({ namespace, unproven, age }: Unprovable): Problem {
  const detail = `nothing in the namespace ${namespace} proves it, and the issuer in cert-manager has no solver for a challenge`;
  const [first] = unproven;
  if (age < GRACE_MS) return comeBack(`${first?.value}: ${detail}: it is waited for a moment`, 5);
  return new Problem('unauthorized', `${first?.value}: ${detail}`, {
    subproblems: unproven.map((identifier) => ({ type: 'unauthorized', detail, identifier })),
  });
}
