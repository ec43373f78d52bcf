// How a reconcile of a claim ends: with a status, an Event where there is news, and the time of the next look.
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import type { Clock, Cluster, EventRecorder } from '../ports.ts';
import type { Requeue } from '../runtime/controller.ts';
import { claimStatus, type Current, type Obstacle } from './claim-status.ts';
import { instant, writeStatus } from './status.ts';

/** What the reconcile came to: a certificate that serves, or what stands in the way of (another) one, or both. */
export type Result = ({ current: Current } | { current: Current | undefined; obstacle: Obstacle }) & {
  requeueAfterMs?: number;
  /** It is too early to say so. */
  quiet?: boolean;
};

export interface ConclusionDeps {
  cluster: Cluster;
  clock: Clock;
  events: EventRecorder;
}

/** Puts the result on record (`onWritten` where that changed it), tells people of what is new, and says when to come back. */
export async function conclude(
  deps: ConclusionDeps,
  claim: CertificateClaim,
  { result, onWritten }: { result: Result; onWritten: (version: string) => void },
): Promise<Requeue | undefined> {
  if (result.quiet) return { requeueAfterMs: Math.max(1, result.requeueAfterMs ?? 1) };
  const now = deps.clock.now();
  const { current } = result;
  const obstacle = 'obstacle' in result ? result.obstacle : undefined;
  const written = await writeStatus(deps.cluster, CertificateClaimKind, claim, claimStatus(claim, result, now));
  if (written) onWritten(written.metadata.resourceVersion);
  if (written && current && current.revision !== claim.status?.revision) {
    const note = `certificate ${current.serial} is in Secret ${claim.spec.secretName}, valid until ${instant(current.notAfter)}`;
    deps.events.event(claim, 'Normal', 'Issued', note);
  }
  if (written && obstacle && obstacle.reason !== 'Pending')
    deps.events.event(claim, 'Warning', obstacle.reason, obstacle.message);
  return nextLook(result, now);
}

/** With an obstacle the renewal waits for that to go, by its time or by being told; and Ready must turn when the certificate expires. */
function nextLook(result: Result, now: Date): Requeue | undefined {
  const { current } = result;
  const obstacle = 'obstacle' in result ? result.obstacle : undefined;
  const times = obstacle ? [obstacle.failed?.nextAttempt, current?.notAfter] : [current?.renewal];
  const waits = times.flatMap((time) => (time === undefined ? [] : [time.getTime() - now.getTime()]));
  if (result.requeueAfterMs !== undefined) waits.push(result.requeueAfterMs);
  return waits.length === 0 ? undefined : { requeueAfterMs: Math.max(1, Math.min(...waits)) };
}
