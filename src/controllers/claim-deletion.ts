// A claim that wants its certificates revoked when it goes is held by a finalizer until they are. However that fails, the claim goes in
// time: nobody's namespace waits for us.
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import { type IssuedCertificate, isIssued } from '../api/issued-certificate.ts';
import { Problem } from '../domain/problem.ts';
import type { Records } from '../issuance/records.ts';
import type { Audit, Clock, Cluster, EventRecorder, Log } from '../ports.ts';
import type { Requeue } from '../runtime/controller.ts';
import { withdraw } from './claim-withdrawal.ts';

export const REVOKE_FINALIZER = 'countersign.dev/revoke';

/** CRLReason cessationOfOperation, RFC 5280 section 5.3.1. */
const CESSATION_OF_OPERATION = 5;
export const DELETED = new Problem('malformed', 'withdrawn: the claim is deleted');
/** After the deletion; ten minutes are promised, and what is tried last takes its time too. */
const GIVE_UP_MS = 9 * 60_000;
const RETRY_MS = 30_000;

export interface DeletionDeps {
  cluster: Cluster;
  records: Records;
  clock: Clock;
  audit: Audit;
  events: EventRecorder;
}

const isHeld = ({ metadata }: CertificateClaim) => metadata.finalizers?.includes(REVOKE_FINALIZER) ?? false;

/** Makes the finalizer stand where the claim wants revocation, before there is anything to revoke, and nowhere else. Returns whether it wrote. */
export async function keepFinalizer(cluster: Pick<Cluster, 'replace'>, claim: CertificateClaim): Promise<boolean> {
  const wanted = claim.spec.revokeOnDelete ?? false;
  if (wanted === isHeld(claim)) return false;
  await writeFinalizer(cluster, claim, wanted);
  return true;
}

async function writeFinalizer(
  cluster: Pick<Cluster, 'replace'>,
  claim: CertificateClaim,
  wanted: boolean,
): Promise<void> {
  const others = (claim.metadata.finalizers ?? []).filter((finalizer) => finalizer !== REVOKE_FINALIZER);
  const finalizers = wanted ? [...others, REVOKE_FINALIZER] : others;
  await cluster.replace(CertificateClaimKind, { ...claim, metadata: { ...claim.metadata, finalizers } });
}

/** Lets a claim that is being deleted go, its certificates revoked before if it wants that. */
export async function releaseClaim(
  deps: DeletionDeps,
  claim: CertificateClaim,
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<Requeue | undefined> {
  const { deletionTimestamp = '' } = claim.metadata;
  if (!isHeld(claim)) return undefined;
  const left = new Date(deletionTimestamp).getTime() + GIVE_UP_MS - deps.clock.now().getTime();
  try {
    if (claim.spec.revokeOnDelete) await revokeAll(deps, claim);
  } catch (error) {
    if (signal.aborted) throw error;
    const givesUp = left <= 0;
    log.warn({ error, givesUp }, 'certificates of a deleted claim were not revoked');
    if (!givesUp) return { requeueAfterMs: Math.min(RETRY_MS, left) };
    const note =
      'certificates of the claim could not be revoked, and its deletion waits no longer: revoke them by hand';
    deps.events.event(claim, 'Warning', 'RevocationGivenUp', note);
  }
  await writeFinalizer(deps.cluster, claim, false);
  return undefined;
}

/** Revokes what the claim has that is valid still, superseded revisions too, and withdraws what a CA has yet to answer. */
async function revokeAll(deps: DeletionDeps, claim: CertificateClaim): Promise<void> {
  let count = 0;
  for (const given of await deps.records.ofClaim(claim.metadata.uid)) {
    const record = await withdraw(deps, given, DELETED);
    if (record && isIssued(record) && (await revoke(deps, record))) count++;
  }
  if (count > 0) {
    const note = `${count} certificate${count === 1 ? ' is' : 's are'} revoked, because the claim is deleted`;
    deps.events.event(claim, 'Normal', 'Revoked', note);
  }
}

async function revoke({ records, clock, audit }: DeletionDeps, record: IssuedCertificate): Promise<boolean> {
  const now = clock.now();
  if (record.spec.revocation || new Date(record.status.notAfter) <= now) return false;
  const revocation = { reason: CESSATION_OF_OPERATION, revokedAt: now.toISOString(), by: 'certificate-claim' };
  const { reason, by } = revocation;
  // First the line, then the write: no revocation is without one.
  audit.record('revocation', { record: record.metadata.name, serial: record.status.serial, reason, by });
  return records.revoke(record, revocation);
}
