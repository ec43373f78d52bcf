// Authorizations and their challenges (RFC 8555 sections 7.1.4, 7.1.5, 7.5).
import type { Authorization } from '../api/acme.ts';
import { type ChallengeType, challengeTypesFor } from '../domain/challenge.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { identifierKey } from '../domain/identifier.ts';
import { authorizationFacts, type AuthorizationRef, authorizationStatus, orderedIdentifier } from '../domain/order.ts';
import { parseProblem, Problem } from '../domain/problem.ts';
import type { Clock } from '../ports.ts';
import { unsigned } from './account.ts';
import type { Births } from './birth.ts';
import { type Authenticated, authorizationUrl, readPayload, type Reply } from './exchange.ts';
import type { FirstLooks } from './first-looks.ts';
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
  firstLooks: Pick<FirstLooks, 'take'>;
  keyring: Keyring;
  births: Pick<Births, 'of'>;
  clock: Clock;
}

interface Shown {
  exchange: Authenticated;
  ref: AuthorizationRef;
  found: Authorization | undefined;
  /** It needs no challenge. */
  born?: boolean;
}

export function createAuthorizationHandlers(deps: AuthorizationDeps) {
  return {
    authorization: async (exchange: Authenticated): Promise<Reply> => {
      const ref = await deps.sealed.openAuthorization(exchange);
      const isRead = exchange.payload.length === 0;
      const isFirst = isRead && deps.firstLooks.take(ref);
      const found = isFirst ? deps.objects.knownAuthorization(ref) : await deps.objects.authorization(ref);
      const shown = { exchange, ref, found };
      if (isRead) return renderAuthorization(deps, { ...shown, born: await isBorn(deps, shown) });
      if (readPayload(exchange).status !== 'deactivated') {
        throw new Problem(
          'malformed',
          'an authorization is read by POST-as-GET or deactivated by {"status":"deactivated"}',
        );
      }
      return renderAuthorization(deps, { ...shown, found: await deactivate(deps, shown) });
    },
    challenge: (exchange: Authenticated) => challenge(deps, exchange),
  };
}

/** 256 bits, the same for the life of the authorization (RFC 8555 section 11.3), whichever key seals meanwhile. */
function tokenOf({ keyring }: AuthorizationDeps, { orderID, index, tokenKey }: AuthorizationRef): string {
  const token = keyring.derive('token', [orderID, String(index)], tokenKey);
  // The key outlives every order made with it, so whoever asks has one that is over.
  if (token === undefined) throw notFound();
  return token;
}

/** Throws where the requester is not to have the name, so that clients hear of it before they prove anything. */
async function isBorn(deps: AuthorizationDeps, { exchange, ref, found }: Shown): Promise<boolean> {
  if (authorizationStatus(ref, found, deps.clock.now()) !== 'pending') return false;
  const identifier = orderedIdentifier(ref);
  const about = { url: authorizationUrl(exchange), orderID: ref.orderID };
  const birth = await deps.births.of(exchange, { about, identifiers: [identifier] });
  if (birth?.refusal) throw birth.refusal;
  return birth?.valid.has(identifierKey(identifier)) ?? false;
}

function offered({ exchange, ref }: Pick<Shown, 'exchange' | 'ref'>): ChallengeType[] {
  const types = exchange.issuer.spec.acme?.challenges;
  return challengeTypesFor(ref.identifier, ref.wildcard).filter((type) => !types || types.includes(type));
}

function renderChallenge(
  deps: AuthorizationDeps,
  { exchange, ref, found, token }: Shown & { token: string },
  type: ChallengeType,
): object {
  const run = deps.runs.find(ref, type);
  const own = found?.spec.challenge === type ? found.spec : undefined;
  const undecided = run ? 'processing' : 'pending';
  return {
    type,
    url: exchange.urls.challenge(exchange.params.sealed ?? '', type),
    status: own && own.outcome !== 'deactivated' ? own.outcome : undecided,
    token,
    ...(own?.outcome === 'valid' && own.validated !== undefined ? { validated: own.validated } : {}),
    ...errorOf(own?.problem, own ? undefined : run),
  };
}

/** Why the challenge failed; or, RFC 8555 section 8.2, what went wrong so far while another attempt is to come. */
function errorOf(stored: string | undefined, run: Run | undefined): { error?: object } {
  const problem = stored === undefined ? run?.problems.at(-1) : parseProblem(stored);
  return problem ? { error: problem.toJSON() } : {};
}

function renderAuthorization(deps: AuthorizationDeps, shown: Shown): Reply {
  const { ref, found, born = false } = shown;
  const status = born ? 'valid' : authorizationStatus(ref, found, deps.clock.now());
  // Once decided, only the challenge that decided is shown; none where there was none.
  const types = born ? [] : found?.spec.challenge ? [found.spec.challenge] : offered(shown);
  const running = types.some((type) => deps.runs.find(ref, type));
  const token = tokenOf(deps, ref);
  return {
    status: 200,
    ...(running ? { headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } } : {}),
    body: {
      identifier: ref.identifier,
      status,
      expires: found?.spec.outcome === 'valid' ? found.spec.expires : ref.expires.toISOString(),
      challenges: types.map((type) => renderChallenge(deps, { ...shown, token }, type)),
      ...(ref.wildcard ? { wildcard: true } : {}),
    },
  };
}

/** RFC 8555 section 7.5.2. */
async function deactivate(deps: AuthorizationDeps, { ref, found }: Shown): Promise<Authorization> {
  if (found && found.spec.outcome !== 'valid') return found;
  const stored = found ?? (await deps.objects.createAuthorization(deactivated(ref)));
  // A validation may have finished in between: then its result is what gets deactivated.
  if (stored.spec.outcome !== 'valid') return stored;
  try {
    return await deps.objects.replaceAuthorization(stored, { ...unsigned(stored.spec), outcome: 'deactivated' });
  } catch (error) {
    if (!isClusterError(error, 'Conflict')) throw error;
    throw new Problem('malformed', 'the authorization changed at the same time: read it and try again', {
      status: 409,
    });
  }
}

function deactivated(ref: AuthorizationRef): Omit<Authorization['spec'], 'mac'> {
  return {
    ...authorizationFacts(ref),
    outcome: 'deactivated',
    expires: ref.expires.toISOString(),
  };
}

/** RFC 8555 section 7.5.1. POST-as-GET never starts a validation (section 6.3). */
async function challenge(deps: AuthorizationDeps, exchange: Authenticated): Promise<Reply> {
  const ref = await deps.sealed.openAuthorization(exchange);
  const type = exchange.params.type as ChallengeType;
  if (!offered({ exchange, ref }).includes(type)) throw notFound();
  if (exchange.payload.length === 0)
    return challengeReply(deps, { exchange, ref, found: await deps.objects.authorization(ref) }, type);
  readPayload(exchange);
  // What only the cluster knows may be missed here: the validation is then for nothing, because the first outcome stands.
  const shown = { exchange, ref, found: deps.objects.knownAuthorization(ref) };
  const status = authorizationStatus(shown.ref, shown.found, deps.clock.now());
  if (shown.found || status === 'expired') return challengeReply(deps, shown, type);
  const run = deps.runs.start(exchange, shown.ref, { type, token: tokenOf(deps, shown.ref) });
  const done = await doneWithin(run.outcome, CHALLENGE_HOLD_MS, deps.clock);
  return challengeReply(deps, done ? { ...shown, found: await run.outcome } : shown, type);
}

function challengeReply(deps: AuthorizationDeps, shown: Shown, type: ChallengeType): Reply {
  const { exchange, ref } = shown;
  const waiting = deps.runs.find(ref, type) && !shown.found ? { 'Retry-After': String(RETRY_AFTER_SECONDS) } : {};
  const up = `<${authorizationUrl(exchange)}>;rel="up"`;
  return {
    status: 200,
    headers: { Link: [up], ...waiting },
    body: renderChallenge(deps, { ...shown, token: tokenOf(deps, ref) }, type),
  };
}
