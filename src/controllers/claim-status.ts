// A claim's status, derived: what the Secret holds, whether it must or should be replaced, and how the last attempt went.
import type { CertificateClaim, CertificateClaimStatus } from '../api/certificate-claim.ts';
import type { Issuer } from '../api/issuer.ts';
import { type IssuedCertificate, RecordAnnotation } from '../api/issued-certificate.ts';
import type { Condition } from '../api/kind.ts';
import { removeCondition, setCondition } from '../domain/conditions.ts';
import { parseDuration } from '../domain/duration.ts';
import { firstReissue, renewalTime } from '../domain/renewal.ts';
import { sameNames } from './claim-issuance.ts';
import type { ClaimRequest } from './claim-request.ts';
import type { Released } from './claim-secret.ts';
import { instant } from './status.ts';

/** The certificate in the Secret as far as it serves. */
export interface Current {
  revision: number;
  serial: string;
  record: string | undefined;
  notBefore: Date;
  notAfter: Date;
  renewal: Date;
}

export type Verdict =
  /** Good for now; `due` once it is to be renewed. */
  | { current: Current; due: boolean }
  /** Of no use: why. */
  | { fault: string; compromised?: boolean };

export interface Judged {
  claim: CertificateClaim;
  request: ClaimRequest;
  hash: string;
  issuer: Issuer | undefined;
  record: IssuedCertificate | undefined;
  now: Date;
}

/** CRLReason keyCompromise: a reused key is then worse than none. */
const KEY_COMPROMISE = 1;

/** Whether what the Secret holds is what the claim asks for. */
export function judgeReleased(released: Released, judged: Judged): Verdict {
  const fault = faultOf(released, judged);
  if (fault) return fault;
  const current = currentOf(released, judged);
  return { current, due: current.renewal <= judged.now };
}

export function currentOf(released: Released, judged: Pick<Judged, 'claim' | 'issuer' | 'record'>): Current {
  const { notBefore, notAfter, serial } = released.leaf;
  const { revision, record } = released;
  const renewal = new Date(Math.ceil(renewalOf(released, judged).getTime() / 1000) * 1000);
  return { revision, serial, record, notBefore, notAfter, renewal };
}

function faultOf(
  released: Released,
  { claim, request, hash, record, now }: Judged,
): { fault: string; compromised?: boolean } | undefined {
  const { leaf } = released;
  if (released.request !== hash) return { fault: 'the certificate is for an earlier spec' };
  if (!sameNames(leaf.names, request.names)) return { fault: 'the certificate has other names' };
  // A record outlives its certificate, and nothing else is proof: the status is not ours alone to write.
  if (!record) return { fault: 'the certificate is not on record' };
  if (!ofClaim(record, claim, leaf.der)) return { fault: 'the certificate is not the one on record' };
  const { revocation } = record.spec;
  if (revocation) return { fault: 'the certificate is revoked', compromised: revocation.reason === KEY_COMPROMISE };
  if (leaf.notAfter <= now) return { fault: 'the certificate has expired' };
  return undefined;
}

function ofClaim({ spec, status }: IssuedCertificate, { metadata }: CertificateClaim, leaf: Buffer): boolean {
  return spec.requester.namespace === metadata.namespace && status.certificate === leaf.toString('base64');
}

function renewalOf({ leaf }: Released, { claim, issuer, record }: Pick<Judged, 'claim' | 'issuer' | 'record'>): Date {
  const before = claim.spec.renewBefore ?? issuer?.spec.defaults?.renewBefore;
  const lifetime = {
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    ...(record ? { issuedAt: new Date(record.status.issuedAt) } : {}),
  };
  return renewalTime(lifetime, {
    renewBeforeMs: before === undefined ? undefined : parseDuration(before),
    seed: `${claim.metadata.namespace}/${claim.metadata.name}`,
    name: record?.metadata.name,
    reissueBefore: firstReissue(
      lifetime,
      issuer?.spec.reissueBefore,
      record?.metadata.annotations?.[RecordAnnotation.renewal],
    ),
  });
}

/** What stands in the way of a certificate, or what is being waited for. */
export interface Obstacle {
  reason: string;
  message: string;
  /** Set when an attempt was made and failed. */
  failed?: { failures: number; nextAttempt: Date };
  /** Revision that a record says was refused. */
  refused?: number | undefined;
}

/**
 * The status to be. With a certificate that serves, Ready is True and an obstacle to its renewal shows as Issuing=False; without one
 * Ready is False for the reason of the obstacle.
 */
export function claimStatus(
  claim: CertificateClaim,
  result: { current: Current } | { current: Current | undefined; obstacle: Obstacle },
  now: Date,
): CertificateClaimStatus {
  const { current } = result;
  const obstacle = 'obstacle' in result ? result.obstacle : undefined;
  const revision = current?.revision ?? claim.status?.revision;
  const refusedRevision = obstacle?.refused ?? claim.status?.refusedRevision ?? 0;
  return {
    conditions: [...conditionsOf(claim, { current, obstacle, now })],
    ...(revision === undefined ? {} : { revision }),
    ...(refusedRevision > (revision ?? 0) ? { refusedRevision } : {}),
    ...(current ? certificateFields(current) : {}),
    ...(obstacle?.failed
      ? { failures: obstacle.failed.failures, nextAttempt: instant(obstacle.failed.nextAttempt) }
      : {}),
  };
}

function conditionsOf(
  claim: CertificateClaim,
  { current, obstacle, now }: { current: Current | undefined; obstacle: Obstacle | undefined; now: Date },
): readonly Condition[] {
  const observedGeneration = claim.metadata.generation;
  const { reason = 'Issued', message = '' } = obstacle ?? {};
  const hindered = { status: 'False' as const, reason, message, observedGeneration };
  const before = claim.status?.conditions ?? [];
  if (!current) return setCondition(removeCondition(before, 'Issuing'), { type: 'Ready', ...hindered }, now);
  const said = `certificate ${current.serial} is in Secret ${claim.spec.secretName}, valid until ${instant(current.notAfter)}`;
  const ready = { type: 'Ready', status: 'True' as const, reason: 'Issued', message: said, observedGeneration };
  const conditions = setCondition(before, ready, now);
  return obstacle
    ? setCondition(conditions, { type: 'Issuing', ...hindered }, now)
    : removeCondition(conditions, 'Issuing');
}

function certificateFields({ serial, record, notBefore, notAfter, renewal }: Current): CertificateClaimStatus {
  return {
    serial,
    ...(record === undefined ? {} : { record }),
    notBefore: instant(notBefore),
    notAfter: instant(notAfter),
    renewalTime: instant(renewal),
  };
}
