// What a claim must wait for before a certificate can be asked for: its issuer, or the time of the next attempt.
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { Issuer } from '../api/issuer.ts';
import { findCondition, isTrue } from '../domain/conditions.ts';
import { type IssuerName, issuerTitle, referredIssuer } from '../domain/issuer.ts';
import type { Obstacle } from './claim-status.ts';

/** What a claim says of an attempt whose failure is nobody's business. */
export const FAILED = 'the certificate could not be issued; it is tried again';

/** Longest wait between two attempts, but for the tenth that is added by chance. */
export const LONGEST_RETRY_MS = 3_600_000;

/** A CAIssuer is looked for in the namespace of the claim and nowhere else. */
export function issuerOf({ metadata, spec }: CertificateClaim): IssuerName {
  return referredIssuer(spec.issuerRef, metadata.namespace ?? '');
}

export function issuerObstacle(claim: CertificateClaim, issuer: Issuer | undefined): Obstacle | undefined {
  const wanted = issuerOf(claim);
  const title = issuerTitle(wanted);
  const where = wanted.namespace === undefined ? '' : ': a claim may name a CAIssuer of its own namespace only';
  if (!issuer) return { reason: 'IssuerNotFound', message: `there is no ${title}${where}` };
  if (issuer.spec.suspend) return { reason: 'IssuerSuspended', message: `${title} is suspended` };
  if (isTrue(issuer.status?.conditions, 'Ready')) return undefined;
  const why = findCondition(issuer.status?.conditions, 'Ready')?.message;
  return { reason: 'IssuerNotReady', message: `${title} is not ready${why ? `: ${why}` : ''}` };
}

/** An attempt failed and the next is not due. A status that does not say why was not left by us. */
export function backOffObstacle(claim: CertificateClaim, now: Date): Obstacle | undefined {
  const { failures, nextAttempt, conditions } = claim.status ?? {};
  if (failures === undefined || nextAttempt === undefined || !isObserved(claim)) return undefined;
  const next = new Date(nextAttempt);
  // One that lies further ahead than we ever put it is not ours.
  if (next <= now || next.getTime() > now.getTime() + 2 * LONGEST_RETRY_MS) return undefined;
  const last = ['Issuing', 'Ready']
    .map((type) => findCondition(conditions, type))
    .find((condition) => condition?.status === 'False');
  return last && { reason: last.reason, message: last.message, failed: { failures, nextAttempt: next } };
}

/** Whether the status is about the spec as it is. */
export function isObserved(claim: CertificateClaim): boolean {
  return findCondition(claim.status?.conditions, 'Ready')?.observedGeneration === claim.metadata.generation;
}
