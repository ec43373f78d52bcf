// CertificateClaim: keeps a certificate for the claim's names in the claim's Secret. Writes, exactly: the record (by the engine), the
// Secret, the status, an Event; nothing when all is well.
import type { Issuer } from '../api/issuer.ts';
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import { type Namespace, type Secret, SecretKind } from '../api/core.ts';
import type { KubeObject } from '../api/kind.ts';
import { specFault } from '../api/validate.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import { issuerFields, issuerKey } from '../domain/issuer.ts';
import { keyMatches } from '../domain/private-key.ts';
import { Problem } from '../domain/problem.ts';
import type { Backends, Cache, Cluster, EventRecorder, Log, ObjectRef, Random } from '../ports.ts';
import { fraction } from '../runtime/back-off.ts';
import { type Reconcile, type Requeue, TerminalError } from '../runtime/controller.ts';
import {
  type ClaimIssuance,
  type ClaimIssuanceDeps,
  createClaimIssuance,
  leafOf,
  type Obtained,
  revisionOnRecord,
} from './claim-issuance.ts';
import { pending, type Stage, stageOf } from './claim-remote.ts';
import { keepFinalizer, releaseClaim } from './claim-deletion.ts';
import { type PasswordFault, readPassword } from './claim-outputs.ts';
import { backOffObstacle, FAILED, isObserved, issuerObstacle, issuerOf, LONGEST_RETRY_MS } from './claim-obstacles.ts';
import { conclude, type Result } from './claim-conclusion.ts';
import { type ClaimRest, createClaimRest } from './claim-rest.ts';
import { createClaimTurns, rivalsOf, secretIndex } from './claim-turns.ts';
import { createRepairs, type Repairs } from './claim-repairs.ts';
import { type ClaimRequest, keyParameters, parseClaimSpec, requestHash } from './claim-request.ts';
import { judgeOwnership, type Marks, readKey, readReleased, tidySecret, writeSecret } from './claim-secret.ts';
import { type Current, currentOf, judgeReleased, type Obstacle, type Verdict } from './claim-status.ts';

export interface ClaimDeps extends ClaimIssuanceDeps {
  cluster: Cluster;
  /** With CLAIM_INDEXES. */
  claims: Cache<CertificateClaim>;
  issuers: Cache<Issuer>;
  /** Metadata is enough. */
  secrets: Cache<KubeObject>;
  namespaces: Cache<Namespace>;
  backends: Backends;
  events: EventRecorder;
  random: Random;
  marks: Marks;
}

/** Indexes the cache of claims must have. */
export const CLAIM_INDEXES = {
  secret: secretIndex,
  password: ({ metadata, spec }: CertificateClaim) => {
    const { passwordSecretRef } = spec.keystores?.pkcs12 ?? {};
    return passwordSecretRef ? [`${metadata.namespace}/${passwordSecretRef.name}`] : [];
  },
  issuer: (claim: CertificateClaim) => [issuerKey(issuerOf(claim))],
};

export interface ClaimReconciler {
  reconcile: Reconcile;
  /** What stood in the way may be gone: the next reconcile of this claim (uid) tries, whatever its back-off says. */
  nudge(uid: string): void;
  /** Something changed beside the claim (uid) and its Secret: it is to be looked at, whatever was just done for it. */
  disturb(uid: string): void;
  /** The claim (uid) is gone. */
  forget(uid: string): void;
}

export function createClaimReconciler(deps: ClaimDeps): ClaimReconciler {
  const issuance = createClaimIssuance(deps);
  const repairs = createRepairs(deps.clock);
  const nudged = new Set<string>();
  const rest = createClaimRest(deps);
  const inTurn = createClaimTurns(deps);

  function settled(uid: string): void {
    issuance.forget(uid);
    nudged.delete(uid);
  }

  async function reconcile(key: ObjectRef, signal: AbortSignal, log: Log): Promise<Requeue | undefined> {
    const claim = deps.claims.get(key);
    if (!claim) return undefined;
    const { uid } = claim.metadata;
    if (claim.metadata.deletionTimestamp !== undefined) return releaseClaim(deps, claim, { signal, log });
    if (isLeaving(deps, claim) || rest.isSuperseded(claim)) return undefined;
    // What it wrote comes back as a change of the claim.
    if (await keepFinalizer(deps.cluster, claim)) return undefined;
    const left = nudged.has(uid) ? undefined : rest.left(claim);
    if (left) settled(uid);
    if (left) return left;
    const result = await serve(claim, { signal, log });
    const next = await conclude(deps, claim, { result, onWritten: (version) => rest.reported(claim, version) });
    if ('obstacle' in result && result.obstacle.reason === INVALID) throw new TerminalError(result.obstacle.message);
    return next;
  }

  async function serve(claim: CertificateClaim, run: Run): Promise<Result> {
    const { uid } = claim.metadata;
    const situation = await look(deps, claim);
    if (!('verdict' in situation)) return { current: undefined, obstacle: situation };
    const { verdict, withheld } = situation;
    const current = 'current' in verdict ? verdict.current : undefined;
    const good = 'due' in verdict && !verdict.due ? verdict.current : undefined;
    if (good) settled(uid);
    const now = nudged.has(uid) ? undefined : deps.clock.now();
    const obstacle = good ? withheld : (waitFor(situation, now) ?? repairObstacle(situation, repairs));
    if (good || obstacle) await tidy(deps, situation);
    if (obstacle) return { current, obstacle };
    if (good) return { current: good };
    nudged.delete(uid);
    const result = await inTurn(situation, () => attempt({ ...deps, rest }, issuance, { situation, ...run }));
    if ('fault' in verdict && !('obstacle' in result)) repairs.delivered(uid, situation.hash);
    return result;
  }

  function forget(uid: string): void {
    settled(uid);
    repairs.forget(uid);
    rest.forget(uid);
  }

  return { reconcile, nudge: (uid) => void nudged.add(uid), disturb: (uid) => rest.end(uid), forget };
}

/** Its namespace is being deleted: the Secret may go before the claim, and nothing may be created there. */
function isLeaving({ namespaces }: ClaimDeps, { metadata: { namespace = '' } }: CertificateClaim): boolean {
  return namespaces.get({ name: namespace })?.metadata.deletionTimestamp !== undefined;
}

/** The spec cannot be asked for: nothing helps but another. */
const INVALID = 'InvalidRequest';

/** Of one reconcile. */
interface Run {
  signal: AbortSignal;
  log: Log;
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
  /** Of the stores that the claim wants, if any, and why there is none. */
  password: string | undefined;
  withheld: PasswordFault | undefined;
  /** The last revision known to have been released or refused. */
  revision: number;
}

async function look(deps: ClaimDeps, claim: CertificateClaim): Promise<Situation | Obstacle> {
  const { namespace = '' } = claim.metadata;
  const request = parseOrObstacle(claim);
  if ('reason' in request) return request;
  const hash = requestHash(claim.spec, request);
  // Live, and so is the record below unless it is known already: what was written a moment ago must not be issued again.
  const secret = await deps.cluster.get(SecretKind, { namespace, name: claim.spec.secretName });
  const ownership = judgeOwnership(claim, secret, rivalsOf(deps.claims, claim), deps.marks);
  if (ownership.kind === 'refused') return ownership;
  const issuer = deps.issuers.get(issuerOf(claim));
  const released = !secret || ownership.kind === 'free' ? 'there is no Secret of ours' : readReleased(secret);
  const orphaned = ownership.kind === 'orphaned' ? secret : undefined;
  const common = { claim, request, hash, issuer, secret, orphaned, ...(await passwordOf(deps, claim)) };
  const known = await revisionOnRecord(deps.records, claim);
  if (typeof released === 'string') return { ...common, verdict: { fault: released }, revision: known };
  const record = released.record === undefined ? undefined : await deps.records.issued(released.record);
  const verdict = judgeReleased(released, { ...common, record, now: deps.clock.now() });
  return { ...common, verdict, revision: Math.max(known, released.revision) };
}

async function passwordOf({ cluster }: ClaimDeps, claim: CertificateClaim) {
  const read = await readPassword(cluster, claim);
  return 'reason' in read ? { password: undefined, withheld: read } : { ...read, withheld: undefined };
}

/** A certificate that serves is not renewed for a change of what stands beside it. */
async function tidy({ cluster, marks, random }: ClaimDeps, situation: Situation): Promise<void> {
  const { claim, secret: before, verdict, withheld, password, orphaned } = situation;
  if (!before || withheld || !('current' in verdict)) return;
  await tidySecret(cluster, { claim, before, orphaned: orphaned !== undefined, marks, random, password });
}

function parseOrObstacle(claim: CertificateClaim): ClaimRequest | Obstacle {
  try {
    const request = parseClaimSpec(claim.spec);
    const fault = specFault(CertificateClaimKind, claim);
    return fault === undefined ? request : { reason: 'InvalidRequest', message: fault };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { reason: INVALID, message: error.detail };
  }
}

/** What must be waited for before a certificate can be asked for; `now` is left out to ignore the back-off. */
function waitFor(situation: Situation, now: Date | undefined): Obstacle | undefined {
  const { claim, issuer, withheld } = situation;
  return withheld ?? issuerObstacle(claim, issuer) ?? (now && backOffObstacle(claim, now));
}

function repairObstacle({ claim, hash, verdict }: Situation, repairs: Repairs): Obstacle | undefined {
  const failed = 'fault' in verdict ? repairs.next(claim.metadata.uid, hash) : undefined;
  if (!failed || !('fault' in verdict)) return undefined;
  const message = `the certificate in Secret ${claim.spec.secretName} was lost again (${verdict.fault}); there is another one later`;
  return { reason: 'SecretDamaged', message, failed };
}

type Attempting = ClaimDeps & { rest: ClaimRest };

async function attempt(
  deps: Attempting,
  issuance: ClaimIssuance,
  { situation, signal, log }: { situation: Situation } & Run,
): Promise<Result> {
  const { claim, verdict } = situation;
  const current = 'current' in verdict ? verdict.current : undefined;
  // waitFor has made sure of it.
  const issuer = situation.issuer as Issuer;
  try {
    const stage = stageOf(deps, situation, issuer);
    const obtained = await obtain(deps, issuance, { situation, issuer, stage, signal, log });
    if (obtained.kind === 'issued') {
      const secret = stage?.secret() ?? situation.secret;
      return { current: await deliver(deps, { ...situation, secret }, { issuer, obtained }) };
    }
    if (obtained.kind === 'pending') return { current, ...pending(issuer, obtained) };
    const why = { reason: 'Denied', message: obtained.problem.detail, refused: obtained.revision };
    return { current, obstacle: failure(deps, claim, why) };
  } catch (error) {
    // What the cluster cannot do now, the work queue tries again soon; what it will not do, people must know.
    const refused = isClusterError(error, 'Invalid', 'Forbidden');
    if (signal.aborted || (isClusterError(error) && !refused)) throw error;
    log.warn({ ...issuerFields(issuer), error }, 'issuance failed');
    const message = error instanceof Problem ? error.detail : refused ? error.message : FAILED;
    return { current, obstacle: failure(deps, claim, { reason: 'Failed', message }) };
  }
}

async function obtain(
  deps: ClaimDeps,
  issuance: ClaimIssuance,
  given: { situation: Situation; issuer: Issuer; stage: Stage | undefined } & Run,
): Promise<Obtained> {
  const { situation, issuer, stage, signal, log } = given;
  const { claim, verdict, secret } = situation;
  // Whatever is decided from here on costs a certificate: the claim must be the one that is stored, not the one that was.
  const { namespace: home = '', name, resourceVersion } = claim.metadata;
  const live = await deps.cluster.get(CertificateClaimKind, { namespace: home, name });
  if (live?.metadata.resourceVersion !== resourceVersion)
    throw new ClusterError('Conflict', 'the claim changed meanwhile');
  // Where its labels are behind, and that is why there is a refusal, their change makes the claim due again.
  const namespace = deps.namespaces.get({ name: home });
  if (!namespace) throw new ClusterError('Conflict', 'the namespace of the claim is not known yet');
  const compromised = 'fault' in verdict && verdict.compromised;
  const old = claim.spec.rotationPolicy === 'Never' && secret && !compromised ? readKey(secret) : undefined;
  return issuance.obtain(
    {
      ...situation,
      issuer,
      stage,
      log,
      reuse: old && keyMatches(old, keyParameters(claim.spec, issuer)) ? old : undefined,
      namespaceLabels: namespace.metadata.labels ?? {},
      replaces: 'current' in verdict ? verdict.current.record : undefined,
    },
    signal,
  );
}

async function deliver(
  deps: Attempting,
  { claim, secret, hash, password }: Situation,
  { issuer, obtained }: { issuer: Issuer; obtained: Obtained & { kind: 'issued' } },
): Promise<Current> {
  const { outcome, key, revision } = obtained;
  const { record, chain } = outcome;
  const leaf = leafOf(record);
  const delivery = { key, revision, record: record.metadata.name, request: hash };
  const written = await writeSecret(
    deps.cluster,
    { claim, before: secret, marks: deps.marks, random: deps.random, password },
    { ...delivery, chain, root: outcome.root },
  );
  const current = currentOf({ ...delivery, leaf }, { claim, issuer, record });
  deps.rest.delivered(claim.metadata.uid, {
    before: secret?.metadata.resourceVersion,
    after: written.metadata.resourceVersion,
    renewal: current.renewal,
  });
  return current;
}

/** After the nth failure in a row: 1 min, 2 min, 4 min … 1 h, and up to a tenth more. The count outlives the process. */
const RETRY_MS = 60_000;

function failure({ clock, random }: ClaimDeps, claim: CertificateClaim, why: Obstacle): Obstacle {
  const failures = (isObserved(claim) ? (claim.status?.failures ?? 0) : 0) + 1;
  const delay = Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** Math.min(failures - 1, 20)) * (1 + fraction(random) / 10);
  return { ...why, failed: { failures, nextAttempt: new Date(clock.now().getTime() + delay) } };
}
