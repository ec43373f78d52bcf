// Validation off the request: attempts at a challenge, repeated where another may succeed, ended by one stored outcome.
import type { Authorization } from '../api/acme.ts';
import type { Issuer } from '../api/issuer.ts';
import { type ChallengeType, keyAuthorization } from '../domain/challenge.ts';
import { parseDuration } from '../domain/duration.ts';
import { identifierKey } from '../domain/identifier.ts';
import { clusterIssuer, issuerFields } from '../domain/issuer.ts';
import { authorizationFacts, type AuthorizationRef, authorizationName, orderedIdentifier } from '../domain/order.ts';
import { Problem } from '../domain/problem.ts';
import type { Judge } from '../issuance/judge.ts';
import type { Requester } from '../issuance/types.ts';
import type { Audit, Clock, Counter, Log, Resolver, ValidationResult, Validators } from '../ports.ts';
import type { Attribution } from './attribution.ts';
import type { CaaChecks } from './caa-checks.ts';
import { type Authenticated, authorizationUrl } from './exchange.ts';
import type { AcmeObjects } from './objects.ts';
import type { RateLimits } from './rate-limits.ts';

/** DESIGN section 11: after these many seconds another attempt, where one may help. */
const RETRY_SECONDS = [1, 3, 7, 15, 30];
const AUTHORIZATION_MS = 24 * 3600_000;
/** Validations under way for one account, of those at one name or address, and at one name or address over all accounts. */
const MAX_PER_ACCOUNT = 500;
/** Far below the cap of the target, so that no account keeps the others from a name. */
const MAX_PER_ACCOUNT_AND_TARGET = 5;
const MAX_PER_TARGET = 200;

export interface Run {
  type: ChallengeType;
  /** Problems of the attempts so far, oldest first. */
  problems: readonly Problem[];
  /** The stored outcome; rejects only if it could not be stored. */
  outcome: Promise<Authorization>;
}

export interface ValidationRuns {
  find(ref: AuthorizationRef, type: ChallengeType): Run | undefined;
  /** The run under way, else a new one. Throws rateLimited at the caps. */
  start(exchange: Authenticated, ref: AuthorizationRef, challenge: { type: ChallengeType; token: string }): Run;
  /** Ends all runs and waits for them. */
  stop(): Promise<void>;
}

export interface ValidationRunsDeps {
  objects: AcmeObjects;
  validators: Validators;
  resolverOf: (issuer: Issuer) => Resolver;
  judge: Judge;
  attribution: Pick<Attribution, 'of'>;
  caa: CaaChecks;
  limits: RateLimits;
  clock: Clock;
  audit: Audit;
  log: Log;
  validations: Counter;
}

interface Work {
  exchange: Authenticated;
  ref: AuthorizationRef;
  type: ChallengeType;
  token: string;
  /** Aborts when the server stops. */
  signal: AbortSignal;
}

export function createValidationRuns(deps: ValidationRunsDeps): ValidationRuns {
  const active = new Map<string, Run>();
  const occupy = createOccupancy();
  const stopping = new AbortController();
  const idOf = (ref: AuthorizationRef, type: ChallengeType) => `${ref.orderID}|${ref.index}|${type}`;

  function start(
    exchange: Authenticated,
    ref: AuthorizationRef,
    { type, token }: { type: ChallengeType; token: string },
  ): Run {
    const id = idOf(ref, type);
    const under = active.get(id);
    if (under) return under;
    // At newOrder too; but orders can be made first and validated after.
    deps.limits.check('failedValidation', failureKey(ref));
    deps.limits.take('challenge', ref.account);
    const release = occupy(ref);
    const problems: Problem[] = [];
    const outcome = attempts(deps, { exchange, ref, type, token, signal: stopping.signal }, problems).finally(() => {
      active.delete(id);
      release();
    });
    outcome.catch((error: unknown) =>
      deps.log.warn({ error, authorization: authorizationName(ref) }, 'validation ended without an outcome'),
    );
    const run = { type, problems, outcome };
    active.set(id, run);
    return run;
  }

  return {
    find: (ref, type) => active.get(idOf(ref, type)),
    start,
    stop: async () => {
      stopping.abort(new Error('the server is stopping'));
      await Promise.allSettled([...active.values()].map((run) => run.outcome));
    },
  };
}

/** Under what failed validations are counted. */
export function failureKey({ account, identifier }: Pick<AuthorizationRef, 'account' | 'identifier'>): string {
  return `${account}|${identifierKey(identifier)}`;
}

/** Counts validations under way by account, target and both; throws rateLimited at the caps. The result ends what it counted. */
function createOccupancy(): (ref: AuthorizationRef) => () => void {
  const load = new Map<string, number>();
  return (ref) => {
    const target = identifierKey(ref.identifier);
    const keys = [
      [`account|${ref.account}`, MAX_PER_ACCOUNT],
      [`both|${ref.account}|${target}`, MAX_PER_ACCOUNT_AND_TARGET],
      [`target|${target}`, MAX_PER_TARGET],
    ] as const;
    if (keys.some(([key, most]) => (load.get(key) ?? 0) >= most)) {
      throw new Problem('rateLimited', 'too many validations at once: try again soon', {
        headers: { 'Retry-After': '10' },
      });
    }
    for (const [key] of keys) load.set(key, (load.get(key) ?? 0) + 1);
    return () => {
      for (const [key] of keys) {
        const left = (load.get(key) ?? 1) - 1;
        if (left > 0) load.set(key, left);
        else load.delete(key);
      }
    };
  };
}

async function attempts(deps: ValidationRunsDeps, work: Work, problems: Problem[]): Promise<Authorization> {
  for (const pause of [...RETRY_SECONDS, 0]) {
    const result = await attempt(deps, work);
    if (result.valid || !result.retryable || pause === 0)
      return store(deps, work, { result, earlier: problems.length });
    problems.push(result.problem);
    await deps.clock.sleep(pause * 1000, work.signal);
  }
  throw new Error('unreachable: the last pause is 0');
}

/** With the namespace for which it was validated, where that is known. */
type Attempt = ValidationResult & { namespace?: string };

async function attempt(deps: ValidationRunsDeps, work: Work): Promise<Attempt> {
  const { exchange, ref } = work;
  const about = { url: authorizationUrl(exchange), orderID: ref.orderID };
  const asked = await deps.attribution.of(exchange, about).catch((error: unknown) => {
    if (error instanceof Problem) return error;
    throw error;
  });
  if (asked instanceof Problem) return { valid: false, problem: asked, retryable: asked.status >= 500, addresses: [] };
  const { namespace } = asked.requester;
  const result = await attemptFor(deps, work, asked.requester);
  return namespace === undefined ? result : { ...result, namespace };
}

async function attemptFor(
  deps: ValidationRunsDeps,
  { exchange, ref, type, token, signal }: Work,
  requester: Requester,
): Promise<ValidationResult> {
  // The key may have been rolled over between attempts (RFC 8555 section 8.1).
  const account = (await deps.objects.account(ref.account)) ?? exchange.account;
  const { issuer } = exchange;
  const target = {
    identifier: ref.identifier,
    token,
    keyAuthorization: keyAuthorization(token, account.spec.thumbprint),
  };
  const result = await deps.validators[type].validate(
    target,
    {
      resolver: deps.resolverOf(issuer),
      redirects: clusterIssuer(issuer)?.spec.acme?.validation?.redirects ?? 0,
      judge: (_host, addresses, incomplete) =>
        deps.judge.atValidation({
          issuer,
          requester,
          identifier: orderedIdentifier(ref),
          addresses,
          incomplete,
          signal,
        }),
    },
    signal,
  );
  if (!result.valid) return result;
  const caa = await deps.caa.check({
    ...exchange,
    identifier: ref.identifier,
    wildcard: ref.wildcard,
    challenge: type,
    signal,
  });
  return caa.permitted
    ? result
    : { valid: false, problem: caa.problem, retryable: caa.retryable, addresses: result.addresses };
}

/** One create: of several replicas or attempts, the first outcome stands. */
async function store(
  deps: ValidationRunsDeps,
  work: Work,
  { result, earlier }: { result: Attempt; earlier: number },
): Promise<Authorization> {
  const { ref, type, exchange } = work;
  const now = deps.clock.now();
  const life = exchange.issuer.spec.acme?.authorizationDuration;
  const validUntil = new Date(now.getTime() + (life === undefined ? AUTHORIZATION_MS : parseDuration(life)));
  const addresses = result.addresses.slice(0, 64);
  report(deps, work, { result, earlier });
  const stored = await deps.objects.createAuthorization({
    ...authorizationFacts(ref),
    ...(result.namespace === undefined ? {} : { namespace: result.namespace }),
    outcome: result.valid ? 'valid' : 'invalid',
    challenge: type,
    ...(result.valid ? {} : { problem: storedProblem(result.problem, earlier) }),
    ...(addresses.length > 0 ? { addresses } : {}),
    validated: now.toISOString(),
    expires: (result.valid ? validUntil : ref.expires).toISOString(),
  });
  if (!result.valid) deps.limits.count('failedValidation', failureKey(ref));
  deps.validations.inc({ challenge: type, outcome: stored.spec.outcome });
  return stored;
}

/** Before the outcome is stored, so that none ever counts without its line: what this validation found, whichever outcome stands. */
function report(
  { audit }: ValidationRunsDeps,
  { ref, type, exchange }: Work,
  { result, earlier }: { result: ValidationResult; earlier: number },
): void {
  audit.record('validation', {
    ...issuerFields(exchange.issuer),
    account: ref.account,
    identifier: identifierKey(ref.identifier),
    wildcard: ref.wildcard,
    challenge: type,
    outcome: result.valid ? 'valid' : 'invalid',
    addresses: result.addresses,
    attempts: earlier + 1,
    ...(result.valid ? {} : { problem: result.problem.type, detail: result.problem.detail }),
  });
}

/** The part of a problem that is kept: how often it was tried is part of what the user sees. */
function storedProblem(problem: Problem, earlier: number): string {
  const detail = problem.detail.slice(0, 2000) + (earlier > 0 ? ` (after ${earlier + 1} attempts)` : '');
  return JSON.stringify(new Problem(problem.type, detail, { status: problem.status }));
}
