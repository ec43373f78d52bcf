// Authorizations and their challenges (RFC 8555 sections 7.1.4, 7.1.5, 7.5).
import type { Authorization } from '../api/acme.ts';
import { type ChallengeType, challengeTypesFor } from '../domain/challenge.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { type AuthorizationRef, authorizationStatus } from '../domain/order.ts';
import { parseProblem, Problem } from '../domain/problem.ts';
import type { Clock } from '../ports.ts';
import { unsigned } from './account.ts';
import { type Authenticated, readPayload, type Reply } from './exchange.ts';
import { doneWithin } from './hold.ts';
import type { Keyring } from './keyring.ts';
import type { AcmeObjects } from './objects.ts';
import { RETRY_AFTER_SECONDS } from './order.ts';
import { notFound, type Sealed } from './sealed.ts';
import type { Run, ValidationRuns } from './validation-runs.ts';

/** How long a POST to a challenge waits for the outcome. */
const CHALLENGE_HOLD_MS = 5000;

export interface AuthorizationDeps {
  objects: AcmeObjects;
  sealed: Sealed;
  runs: ValidationRuns;
  keyring: Keyring;
  clock: Clock;
}

interface Shown {
  exchange: Authenticated;
  ref: AuthorizationRef;
  found: Authorization | undefined;
}

export function createAuthorizationHandlers(deps: AuthorizationDeps) {
  /** 256 bits, the same for the life of the authorization (RFC 8555 section 11.3). */
  const tokenOf = (ref: AuthorizationRef) => deps.keyring.mac('token', [ref.orderID, String(ref.index)]);

  async function open(exchange: Authenticated): Promise<Shown> {
    const ref = deps.sealed.openAuthorization(exchange);
    return { exchange, ref, found: await deps.objects.authorization(ref) };
  }

  function offered({ exchange, ref }: Shown): ChallengeType[] {
    const types = exchange.issuer.spec.acme?.challenges;
    return challengeTypesFor(ref.identifier, ref.wildcard).filter((type) => !types || types.includes(type));
  }

  function renderChallenge({ exchange, ref, found }: Shown, type: ChallengeType): object {
    const run = deps.runs.find(ref, type);
    const own = found?.spec.challenge === type ? found.spec : undefined;
    const lastAttempt = run?.problems.at(-1);
    return {
      type,
      url: exchange.urls.challenge(exchange.params.sealed ?? '', type),
      status: own && own.outcome !== 'deactivated' ? own.outcome : run ? 'processing' : 'pending',
      token: tokenOf(ref),
      ...(own?.outcome === 'valid' && own.validated !== undefined ? { validated: own.validated } : {}),
      ...(own?.problem === undefined ? {} : { error: parseProblem(own.problem).toJSON() }),
      // RFC 8555 section 8.2: what went wrong so far, while another attempt is to come.
      ...(!own && lastAttempt ? { error: lastAttempt.toJSON() } : {}),
    };
  }

  function renderAuthorization(shown: Shown): Reply {
    const { ref, found } = shown;
    const status = authorizationStatus(ref, found, deps.clock.now());
    // Once decided, only the challenge that decided is shown.
    const types = found?.spec.challenge ? [found.spec.challenge] : offered(shown);
    const running = types.some((type) => deps.runs.find(ref, type));
    return {
      status: 200,
      ...(running ? { headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } } : {}),
      body: {
        identifier: ref.identifier,
        status,
        expires: found?.spec.outcome === 'valid' ? found.spec.expires : ref.expires.toISOString(),
        challenges: types.map((type) => renderChallenge(shown, type)),
        ...(ref.wildcard ? { wildcard: true } : {}),
      },
    };
  }

  async function authorization(exchange: Authenticated): Promise<Reply> {
    const shown = await open(exchange);
    if (exchange.payload.length === 0) return renderAuthorization(shown);
    if (readPayload(exchange).status !== 'deactivated') {
      throw new Problem('malformed', 'an authorization is read by POST-as-GET or deactivated by {"status":"deactivated"}');
    }
    return renderAuthorization({ ...shown, found: await deactivate(shown) });
  }

  /** RFC 8555 section 7.5.2. */
  async function deactivate({ ref, found }: Shown): Promise<Authorization> {
    const { outcome, ...spec } = found
      ? unsigned(found.spec)
      : {
          orderID: ref.orderID,
          index: ref.index,
          account: ref.account,
          issuerUID: ref.issuerUID,
          identifier: { type: ref.identifier.type, value: ref.identifier.value },
          wildcard: ref.wildcard,
          outcome: 'deactivated' as const,
          expires: ref.expires.toISOString(),
        };
    if (outcome === 'invalid' || (found && outcome === 'deactivated')) return found as Authorization;
    const next = { ...spec, outcome: 'deactivated' as const };
    const stored = found ? await replace(found, next) : await deps.objects.createAuthorization(next);
    // A validation may have finished in between: then that result is what gets deactivated.
    return stored.spec.outcome === 'deactivated' ? stored : replace(stored, { ...unsigned(stored.spec), outcome: 'deactivated' });
  }

  async function replace(found: Authorization, spec: Omit<Authorization['spec'], 'mac'>): Promise<Authorization> {
    try {
      return await deps.objects.replaceAuthorization(found, spec);
    } catch (error) {
      if (!isClusterError(error, 'Conflict')) throw error;
      throw new Problem('malformed', 'the authorization changed at the same time: read it and try again', { status: 409 });
    }
  }

  async function challenge(exchange: Authenticated): Promise<Reply> {
    const shown = await open(exchange);
    const type = exchange.params.type as ChallengeType;
    if (!offered(shown).includes(type)) throw notFound();
    // POST-as-GET never starts a validation (RFC 8555 section 6.3).
    if (exchange.payload.length === 0) return challengeReply(shown, type);
    readPayload(exchange);
    const status = authorizationStatus(shown.ref, shown.found, deps.clock.now());
    if (shown.found || status === 'expired') return challengeReply(shown, type);
    const run = deps.runs.start(exchange, shown.ref, { type, token: tokenOf(shown.ref) });
    return challengeReply({ ...shown, found: await outcomeOf(run) }, type);
  }

  /** The stored outcome if it comes within the hold. */
  async function outcomeOf(run: Run): Promise<Authorization | undefined> {
    return (await doneWithin(run.outcome, CHALLENGE_HOLD_MS, deps.clock)) ? run.outcome : undefined;
  }

  function challengeReply(shown: Shown, type: ChallengeType): Reply {
    const { exchange, ref } = shown;
    const waiting = deps.runs.find(ref, type) && !shown.found ? { 'Retry-After': String(RETRY_AFTER_SECONDS) } : {};
    const up = `<${exchange.urls.authorization(exchange.params.sealed ?? '')}>;rel="up"`;
    return { status: 200, headers: { Link: [up], ...waiting }, body: renderChallenge(shown, type) };
  }

  return { authorization, challenge };
}

