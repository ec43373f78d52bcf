// Finalizing an order (RFC 8555 section 7.4): hands it to the engine, once at a time, and waits a while for the certificate.
import { type CertificateRecord, type IssuedCertificate, isIssued, isRefused } from '../api/issued-certificate.ts';
import { parseDuration } from '../domain/duration.ts';
import { parseBase64url, sha256 } from '../domain/encoding.ts';
import { baseIdentifier, isWildcard } from '../domain/identifier.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import { encodeOrder, type Order } from '../domain/order.ts';
import { comeBack, Problem } from '../domain/problem.ts';
import { problemOf } from '../issuance/record.ts';
import type { IssuanceRequest, Issue, Requester } from '../issuance/types.ts';
import type { Clock, Log, Random } from '../ports.ts';
import { type Attribution, attributes } from './attribution.ts';
import type { CaaChecks } from './caa-checks.ts';
import { type Authenticated, isCertManager, orderUrl, readPayload } from './exchange.ts';
import { requireOpen } from './new-order.ts';
import type { LateAnswers } from './late-answers.ts';
import type { OrderFacts } from './order.ts';
import { doneWithin } from './hold.ts';

const HOLD_MS = 10_000;
/** cert-manager gives a finalize one of its five workers: M section 1e. */
const CERT_MANAGER_HOLD_MS = 2000;
/** Part of the hold after which a CA elsewhere is waited for no more: a last look at the record must end before the hold does. */
const PATIENCE = 0.9;
/** Issuance may go on this long after the client was told "processing". */
const SIGNING_MS = 60_000;

interface Running {
  csrHash: string;
  /** The record, when the engine is done; undefined where the CA has yet to answer. */
  outcome: Promise<IssuedCertificate | undefined>;
  /** A client was told that it goes on. */
  goesOn: boolean;
}

export interface Finalizations {
  /** Whether this replica is signing for the order right now. */
  running(orderID: string): boolean;
  /** How the last attempt of this replica failed, if its client was told before that it goes on; until it is finalized again. */
  failure(orderID: string): Problem | undefined;
  /** The record, or undefined if the hold is over first or the CA takes its time; throws where the client must be told no. */
  finalize(exchange: Authenticated, order: Order, facts: OrderFacts): Promise<IssuedCertificate | undefined>;
}

export interface FinalizationsDeps {
  issue: Issue;
  caa: CaaChecks;
  attribution: Pick<Attribution, 'of' | 'atNewOrder'>;
  lateAnswers: LateAnswers;
  clock: Clock;
  random: Random;
  log: Log;
}

/** Failures remembered; those who poll come within seconds. */
const MAX_FAILURES = 1024;

export function createFinalizations(deps: FinalizationsDeps): Finalizations {
  const active = new Map<string, Running>();
  const failures = new Map<string, Problem>();

  function fail(orderID: string, error: unknown): void {
    failures.set(orderID, problemFor(deps, orderID, error));
    const [oldest] = failures.keys();
    if (failures.size > MAX_FAILURES && oldest !== undefined) failures.delete(oldest);
  }

  function start(exchange: Authenticated, order: Order, work: Work & { csrHash: string }): Running {
    requireOpen(exchange.issuer);
    failures.delete(order.id);
    const outcome = run(deps, exchange, { order, ...work }).finally(() => active.delete(order.id));
    const running = { csrHash: work.csrHash, outcome, goesOn: false };
    // Whoever waits sees the failure; when nobody waits any longer, the order shows it, and the next finalize tries again.
    outcome.catch((error: unknown) => running.goesOn && fail(order.id, error));
    active.set(order.id, running);
    return running;
  }

  return {
    running: (orderID) => active.has(orderID),
    failure: (orderID) => failures.get(orderID),
    finalize: async (exchange, order, facts) => {
      const csr = readCsr(exchange);
      const csrHash = sha256(csr).toString('base64url');
      const { record } = facts;
      if (record) requireSameCsr(record, csr);
      if (record && isIssued(record)) return record;
      if (record && isRefused(record)) throw problemOf(record.status.refusal);
      if (!active.has(order.id) && !record && facts.status !== 'ready')
        throw facts.birth?.refusal ?? notReady(facts.status);
      const requester = await requesterOf(deps, exchange, { order, facts });
      const running = active.get(order.id);
      if (running && running.csrHash !== csrHash) throw notReady('processing');
      return held(deps, exchange, {
        order,
        running: running ?? start(exchange, order, { facts, csr, csrHash, requester }),
      });
    },
  };
}

interface Work {
  facts: OrderFacts;
  csr: Buffer;
  requester: Requester;
}

async function requesterOf(
  { attribution }: FinalizationsDeps,
  exchange: Authenticated,
  { order, facts }: Pick<Work, 'facts'> & { order: Order },
): Promise<Requester> {
  if (facts.birth) return facts.birth.requester;
  // Where there is a record, it says who asked.
  if (facts.record || !attributes(exchange.issuer)) return (await attribution.atNewOrder(exchange)).requester;
  const about = { url: orderUrl(exchange), orderID: order.id };
  return (await attribution.of(exchange, about)).requester;
}

async function run(
  { issue, caa }: FinalizationsDeps,
  exchange: Authenticated,
  { order, facts, csr, requester }: Work & { order: Order },
): Promise<IssuedCertificate | undefined> {
  const signal = AbortSignal.timeout(SIGNING_MS);
  // Judged when it was reserved.
  if (!facts.record) await checkCaa(caa, exchange, { order, facts, signal });
  const outcome = await issue(issuanceRequest(exchange, { order, facts, csr, requester }), signal);
  if (outcome.kind === 'refused') throw outcome.problem;
  if (outcome.kind === 'pending') return undefined;
  requireSameCsr(outcome.record, csr);
  return outcome.record;
}

/** RFC 8659 section 4: as of issuance, for each name by the method that validated it; all at once, since a hundred take their time. */
async function checkCaa(
  caa: CaaChecks,
  exchange: Authenticated,
  { order, facts, signal }: { order: Order; facts: OrderFacts; signal: AbortSignal },
): Promise<void> {
  if (!exchange.issuer.spec.acme?.caa?.enforce) return;
  const results = await Promise.all(
    order.identifiers.map((identifier, index) =>
      caa.check({
        ...exchange,
        identifier: baseIdentifier(identifier),
        wildcard: isWildcard(identifier),
        challenge: facts.found[index]?.spec.challenge ?? 'http-01',
        signal,
      }),
    ),
  );
  const refusals = results.filter((result) => !result.permitted);
  // What the DNS did not tell now is no refusal, and a client that is told 4xx does not come back.
  const [first] = [...refusals.filter(({ retryable }) => !retryable), ...refusals];
  if (first?.retryable) throw undecided(first.problem);
  if (first) throw first.problem;
}

function undecided({ detail }: Problem): Problem {
  return comeBack(`${detail}: finalize again`, 10);
}

function holdOf(exchange: Authenticated): number {
  if (isCertManager(exchange)) return CERT_MANAGER_HOLD_MS;
  const own = clusterIssuer(exchange.issuer)?.spec.acme?.finalizeTimeout;
  return own === undefined ? HOLD_MS : parseDuration(own);
}

async function held(
  { clock, lateAnswers }: FinalizationsDeps,
  exchange: Authenticated,
  { order, running }: { order: Order; running: Running },
): Promise<IssuedCertificate | undefined> {
  const done = await doneWithin(running.outcome, holdOf(exchange), clock);
  running.goesOn ||= !done;
  const record = done ? await running.outcome : undefined;
  if (record || !isCertManager(exchange)) return record;
  lateAnswers.expect({ id: order.id, url: orderUrl(exchange) });
  throw unavailable(5);
}

function readCsr(exchange: Authenticated): Buffer {
  const { csr } = readPayload(exchange);
  const der = typeof csr === 'string' ? parseBase64url(csr) : undefined;
  if (!der)
    throw new Problem('malformed', '"csr" must be the base64url text of a PKCS#10 request in DER, without padding');
  return der;
}

function requireSameCsr(record: CertificateRecord, csr: Buffer): void {
  if (record.spec.csr !== csr.toString('base64')) throw notReady(isIssued(record) ? 'valid' : 'processing');
}

function notReady(status: string): Problem {
  return new Problem('orderNotReady', `the order is ${status}, not ready`);
}

/** What the client may know of an error; what is no Problem is for the log. */
function problemFor({ random, log }: FinalizationsDeps, order: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const correlation = random.bytes(6).toString('hex');
  log.error({ error, correlation, order }, 'an order could not be finalized');
  const detail = `the certificate could not be issued: finalize again (correlation ${correlation})`;
  return new Problem('serverInternal', detail, { status: 503 });
}

function unavailable(seconds: number): Problem {
  return comeBack('the certificate is not there yet: finalize again', seconds);
}

function issuanceRequest(
  exchange: Authenticated,
  { order, facts, csr, requester }: Work & { order: Order },
): IssuanceRequest {
  return {
    id: order.id,
    door: 'ACME',
    issuer: exchange.issuer,
    requester,
    identifiers: order.identifiers,
    ...(facts.birth?.byPolicy.length ? { unproven: facts.birth.byPolicy } : {}),
    csr,
    wanted: {
      ...(order.notBefore ? { notBefore: order.notBefore } : {}),
      ...(order.notAfter ? { notAfter: order.notAfter } : {}),
      ...(order.profile === undefined ? {} : { profile: order.profile }),
    },
    ...(order.replaces ? { replaces: order.replaces.record } : {}),
    patienceMs: holdOf(exchange) * PATIENCE,
    order: { encoded: encodeOrder(order), expires: order.expires },
  };
}
