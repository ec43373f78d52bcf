// CAA for one name of one account, as the issuer's settings demand.
import type { Issuer } from '../api/issuer.ts';
import type { ChallengeType } from '../domain/challenge.ts';
import type { Identifier } from '../domain/identifier.ts';
import type { Problem } from '../domain/problem.ts';
import type { Resolver } from '../ports.ts';
import type { Authenticated } from './exchange.ts';

export type CaaResult = { permitted: true } | { permitted: false; problem: Problem; retryable: boolean };

/** The check of the validators folder, injected by the wiring. */
export type CheckCaa = (request: {
  identifier: Identifier;
  wildcard: boolean;
  identities: readonly string[];
  accountURL: string;
  challenge: ChallengeType;
  resolver: Resolver;
  signal: AbortSignal;
}) => Promise<CaaResult>;

export type CaaRequest = Pick<Authenticated, 'issuer' | 'account' | 'urls'> & {
  identifier: Identifier;
  wildcard: boolean;
  challenge: ChallengeType;
  signal: AbortSignal;
};

export interface CaaChecks {
  /** Permitted where the issuer does not enforce CAA, and for addresses, which have none. */
  check(request: CaaRequest): Promise<CaaResult>;
}

export function createCaaChecks(deps: { checkCaa: CheckCaa; resolverOf: (issuer: Issuer) => Resolver }): CaaChecks {
  return {
    check: async ({ issuer, account, urls, identifier, wildcard, challenge, signal }) => {
      const settings = issuer.spec.acme?.caa;
      if (!settings?.enforce || identifier.type !== 'dns') return { permitted: true };
      return deps.checkCaa({
        identifier,
        wildcard,
        identities: settings.identities,
        accountURL: urls.account(account.metadata.name),
        challenge,
        resolver: deps.resolverOf(issuer),
        signal,
      });
    },
  };
}
