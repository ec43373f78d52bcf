// CertificateClaim: keeps a certificate for the claim's names in the claim's Secret. Writes, exactly: the record (by the engine), the
// Secret, the status, an Event; nothing when all is well.
import type { Issuer } from '../api/issuer.ts';
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import { NamespaceKind, type Secret, SecretKind } from '../api/core.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import { findCondition, isTrue } from '../domain/conditions.ts';
import { issuerFields, issuerKey, type IssuerName, issuerTitle, referredIssuer } from '../domain/issuer.ts';
import { keyMatches } from '../domain/private-key.ts';
import { Problem } from '../domain/problem.ts';
import type { Cache, Cluster, EventRecorder, ObjectRef, Random } from '../ports.ts';
import { fraction } from '../runtime/back-off.ts';
import type { Reconcile, Requeue } from '../runtime/controller.ts';
import {
  type ClaimIssuance,
  type ClaimIssuanceDeps,
  createClaimIssuance,
  leafOf,
  type Obtained,
} from './claim-issuance.ts';
import { createRepairs, type Repairs } from './claim-repairs.ts';
import { type ClaimRequest, keyParameters, parseClaimSpec, requestHash } from './claim-request.ts';
import { judgeOwnership, type Marks, readKey, readReleased, takeOver, writeSecret } from './claim-secret.ts';
import { claimStatus, type Current, currentOf, judgeReleased, type Obstacle, type Verdict } from './claim-status.ts';
import { instant, writeStatus } from './status.ts';

export interface ClaimDeps extends ClaimIssuanceDeps {
  cluster: Cluster;
  /** With CLAIM_INDEXES. */
  claims: Cache<CertificateClaim>;
  issuers: Cache<Issuer>;
  events: EventRecorder;
  random: Random;
  marks: Marks;
}

/** A CAIssuer is looked for in the namespace of the claim and nowhere else. */
function issuerOf({ metadata, spec }: CertificateClaim): IssuerName {
  return referredIssuer(spec.issuerRef, metadata.namespace ?? '');
}

/** Indexes the cache of claims must have. */
export const CLAIM_INDEXES = {
  secret: ({ metadata, spec }: CertificateClaim) => [`${metadata.namespace}/${spec.secretName}`],
  issuer: (claim: CertificateClaim) => [issuerKey(issuerOf(claim))],
};

export interface ClaimReconciler {
  reconcile: Reconcile;
  /** What stood in the way may be gone: the next reconcile of this claim (uid) tries, whatever its back-off says. */
  nudge(uid: string): void;
  /** The claim (uid) is gone. */
  forget(uid: string): void;
}

export function createClaimReconciler(deps: ClaimDeps): ClaimReconciler {
  const issuance = createClaimIssuance(deps);
  const repairs = createRepairs(deps.clock);
  const nudged = new Set<string>();
  /** The version of a claim (uid) that its last status went onto: there is a successor, which makes the claim due when it is seen. */
  const superseded = new Map<string, string>();

  function settled(uid: string): void {
    issuance.forget(uid);
    nudged.delete(uid);
  }

  async function reconcile(key: ObjectRef, signal: AbortSignal): Promise<Requeue | undefined> {
    const claim = deps.claims.get(key);
    if (!claim || claim.metadata.deletionTimestamp !== undefined) return undefined;
    const { uid, resourceVersion } = claim.metadata;
    if (superseded.get(uid) === resourceVersion) return undefined;
    const result = await handle(claim, signal);
    return conclude(deps, claim, { result, concluded: (written) => written && superseded.set(uid, resourceVersion) });
  }

  async function handle(claim: CertificateClaim, signal: AbortSignal): Promise<Result> {
    const { uid } = claim.metadata;
    const situation = await look(deps, claim);
    if (!('verdict' in situation)) return { current: undefined, obstacle: situation };
    const { verdict, orphaned } = situation;
    const current = 'current' in verdict ? verdict.current : undefined;
    if (current && 'due' in verdict && !verdict.due) {
      settled(uid);
      if (orphaned) await takeOver(deps.cluster, { claim, before: orphaned, marks: deps.marks });
      return { current };
    }
    const obstacle =
      waitFor(situation, nudged.has(uid) ? undefined : deps.clock.now()) ?? repairObstacle(situation, repairs);
    if (obstacle) return { current, obstacle };
    nudged.delete(uid);
    const result = await attempt(deps, issuance, { situation, signal });
    if ('fault' in verdict && !('obstacle' in result)) repairs.delivered(uid, situation.hash);
    return result;
  }

  function forget(uid: string): void {
    settled(uid);
    superseded.delete(uid);
    repairs.forget(uid);
  }

  return { reconcile, nudge: (uid) => void nudged.add(uid), forget };
}

/** What is known of a claim when it is decided what to do. */
interface Situation {
  claim: CertificateClaim;
  request: ClaimRequest;
  hash: string;
  issuer: Issuer | undefined;
  secret: Secret | undefined;
  /** The Secret, where its owner is gone. */
  orphaned: Secret | undefined;
  verdict: Verdict;
  /** The last revision known to have been released. */
  revision: number;
}

async function look(deps: ClaimDeps, claim: CertificateClaim): Promise<Situation | Obstacle> {
  const { namespace = '', uid } = claim.metadata;
  const request = parseOrObstacle(claim);
  if ('reason' in request) return request;
  const hash = requestHash(claim.spec, request);
  const [key = ''] = CLAIM_INDEXES.secret(claim);
  const rivals = deps.claims
    .byIndex('secret', key)
    .filter(({ metadata }) => metadata.uid !== uid && !metadata.deletionTimestamp);
  // Live, and so is the record below unless it is known already: what was written a moment ago must not be issued again.
  const secret = await deps.cluster.get(SecretKind, { namespace, name: claim.spec.secretName });
  const ownership = judgeOwnership(claim, secret, rivals, deps.marks);
  if (ownership.kind === 'refused') return ownership;
  const issuer = deps.issuers.get(issuerOf(claim));
  const released = !secret || ownership.kind === 'free' ? 'there is no Secret of ours' : readReleased(secret);
  const common = { claim, request, hash, issuer, secret, orphaned: ownership.kind === 'orphaned' ? secret : undefined };
  const known = claim.status?.revision ?? 0;
  if (typeof released === 'string') return { ...common, verdict: { fault: released }, revision: known };
  const record = released.record === undefined ? undefined : await deps.records.get(released.record);
  const verdict = judgeReleased(released, { ...common, record, now: deps.clock.now() });
  return { ...common, verdict, revision: Math.max(known, released.revision) };
}

function parseOrObstacle(claim: CertificateClaim): ClaimRequest | Obstacle {
  try {
    return parseClaimSpec(claim.spec);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { reason: 'InvalidRequest', message: error.detail };
  }
}

/** What the reconcile came to: a certificate that serves, or what stands in the way of (another) one, or both. */
type Result = ({ current: Current } | { current: Current | undefined; obstacle: Obstacle }) & {
  requeueAfterMs?: number;
};

/** What must be waited for before a certificate can be asked for; `now` is left out to ignore the back-off. */
function waitFor(situation: Situation, now: Date | undefined): Obstacle | undefined {
  return issuerObstacle(situation.claim, situation.issuer) ?? (now && backOffObstacle(situation, now));
}

function issuerObstacle(claim: CertificateClaim, issuer: Issuer | undefined): Obstacle | undefined {
  const wanted = issuerOf(claim);
  const title = issuerTitle(wanted);
  const where = wanted.namespace === undefined ? '' : ': a claim may name a CAIssuer of its own namespace only';
  if (!issuer) return { reason: 'IssuerNotFound', message: `there is no ${title}${where}` };
  if (issuer.spec.suspend) return { reason: 'IssuerSuspended', message: `${title} is suspended` };
  if (isTrue(issuer.status?.conditions, 'Ready')) return undefined;
  const why = findCondition(issuer.status?.conditions, 'Ready')?.message;
  return { reason: 'IssuerNotReady', message: `${title} is not ready${why ? `: ${why}` : ''}` };
}

function backOffObstacle({ claim, verdict }: Situation, now: Date): Obstacle | undefined {
  const { failures, nextAttempt, conditions } = claim.status ?? {};
  if (failures === undefined || nextAttempt === undefined || !isObserved(claim)) return undefined;
  const next = new Date(nextAttempt);
  if (next <= now) return undefined;
  const last = findCondition(conditions, 'current' in verdict ? 'Issuing' : 'Ready');
  const { reason = 'Failed', message = FAILED } = last ?? {};
  return { reason, message, failed: { failures, nextAttempt: next } };
}

function repairObstacle({ claim, hash, verdict }: Situation, repairs: Repairs): Obstacle | undefined {
  const failed = 'fault' in verdict ? repairs.next(claim.metadata.uid, hash) : undefined;
  if (!failed || !('fault' in verdict)) return undefined;
  const message = `the certificate in Secret ${claim.spec.secretName} was lost again (${verdict.fault}); there is another one later`;
  return { reason: 'SecretDamaged', message, failed };
}

/** Whether the status is about the spec as it is. */
function isObserved(claim: CertificateClaim): boolean {
  return findCondition(claim.status?.conditions, 'Ready')?.observedGeneration === claim.metadata.generation;
}

const FAILED = 'the certificate could not be issued; it is tried again';

async function attempt(
  deps: ClaimDeps,
  issuance: ClaimIssuance,
  { situation, signal }: { situation: Situation; signal: AbortSignal },
): Promise<Result> {
  const { claim, verdict } = situation;
  const current = 'current' in verdict ? verdict.current : undefined;
  // waitFor has made sure of it.
  const issuer = situation.issuer as Issuer;
  try {
    const obtained = await obtain(deps, issuance, { situation, issuer, signal });
    if (obtained.kind === 'issued') return { current: await deliver(deps, situation, { issuer, obtained }) };
    if (obtained.kind === 'pending') {
      const message = `${issuerTitle(issuer.metadata)} has the request and has yet to answer`;
      return { current, obstacle: { reason: 'Pending', message }, requeueAfterMs: obtained.retryAfterMs };
    }
    return { current, obstacle: failure(deps, claim, { reason: 'Denied', message: obtained.problem.detail }) };
  } catch (error) {
    // What the cluster cannot do now, the work queue tries again soon; what it will not do, people must know.
    const refused = isClusterError(error, 'Invalid', 'Forbidden');
    if (signal.aborted || (isClusterError(error) && !refused)) throw error;
    const { namespace, name } = claim.metadata;
    deps.log.warn({ claim: `${namespace}/${name}`, ...issuerFields(issuer), error }, 'issuance failed');
    const message = error instanceof Problem ? error.detail : refused ? error.message : FAILED;
    return { current, obstacle: failure(deps, claim, { reason: 'Failed', message }) };
  }
}

async function obtain(
  deps: ClaimDeps,
  issuance: ClaimIssuance,
  { situation, issuer, signal }: { situation: Situation; issuer: Issuer; signal: AbortSignal },
): Promise<Obtained> {
  const { claim, verdict, secret } = situation;
  // Whatever is decided from here on costs a certificate: the claim must be the one that is stored, not the one that was.
  const { namespace: home = '', name, resourceVersion } = claim.metadata;
  const live = await deps.cluster.get(CertificateClaimKind, { namespace: home, name });
  if (live?.metadata.resourceVersion !== resourceVersion)
    throw new ClusterError('Conflict', 'the claim changed meanwhile');
  const namespace = await deps.cluster.get(NamespaceKind, { name: home });
  const compromised = 'fault' in verdict && verdict.compromised;
  const old = claim.spec.rotationPolicy === 'Never' && secret && !compromised ? readKey(secret) : undefined;
  return issuance.obtain(
    {
      ...situation,
      issuer,
      reuse: old && keyMatches(old, keyParameters(claim.spec, issuer)) ? old : undefined,
      namespaceLabels: namespace && (namespace.metadata.labels ?? {}),
      replaces: 'current' in verdict ? verdict.current.record : undefined,
    },
    signal,
  );
}

async function deliver(
  deps: ClaimDeps,
  { claim, secret, hash }: Situation,
  { issuer, obtained }: { issuer: Issuer; obtained: Obtained & { kind: 'issued' } },
): Promise<Current> {
  const { outcome, key, revision } = obtained;
  const { record, chain } = outcome;
  const leaf = leafOf(record);
  const delivery = { key, revision, record: record.metadata.name, request: hash };
  await writeSecret(
    deps.cluster,
    { claim, before: secret, marks: deps.marks },
    { ...delivery, chain, root: outcome.root },
  );
  return currentOf({ ...delivery, leaf }, { claim, issuer, record });
}

/** After the nth failure in a row: 1 min, 2 min, 4 min … 1 h, and up to a tenth more. The count outlives the process. */
const RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;

function failure({ clock, random }: ClaimDeps, claim: CertificateClaim, why: Obstacle): Obstacle {
  const failures = (isObserved(claim) ? (claim.status?.failures ?? 0) : 0) + 1;
  const delay = Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** Math.min(failures - 1, 20)) * (1 + fraction(random) / 10);
  return { ...why, failed: { failures, nextAttempt: new Date(clock.now().getTime() + delay) } };
}

/** Puts the result on record, tells people of what is new, and says when to come back. */
async function conclude(
  deps: ClaimDeps,
  claim: CertificateClaim,
  { result, concluded }: { result: Result; concluded: (written: boolean) => void },
): Promise<Requeue | undefined> {
  const now = deps.clock.now();
  const { current } = result;
  const obstacle = 'obstacle' in result ? result.obstacle : undefined;
  const written = await writeStatus(deps.cluster, CertificateClaimKind, claim, claimStatus(claim, result, now));
  concluded(written);
  if (written && current && current.revision !== claim.status?.revision) {
    const note = `certificate ${current.serial} is in Secret ${claim.spec.secretName}, valid until ${instant(current.notAfter)}`;
    deps.events.event(claim, 'Normal', 'Issued', note);
  }
  if (written && obstacle && obstacle.reason !== 'Pending')
    deps.events.event(claim, 'Warning', obstacle.reason, obstacle.message);
  // With an obstacle the renewal waits for that to go, by its time or by being told; and Ready must turn when the certificate expires.
  const times = obstacle ? [obstacle.failed?.nextAttempt, current?.notAfter] : [current?.renewal];
  const waits = times.flatMap((time) => (time === undefined ? [] : [time.getTime() - now.getTime()]));
  if (result.requeueAfterMs !== undefined) waits.push(result.requeueAfterMs);
  return waits.length === 0 ? undefined : { requeueAfterMs: Math.max(1, Math.min(...waits)) };
}
