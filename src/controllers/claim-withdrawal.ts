// Ends what a claim has reserved with a CA elsewhere, or had made, and does not want any more.
import { type CertificateRecord, isIssued, isReserved } from '../api/issued-certificate.ts';
import { issuerFields } from '../domain/issuer.ts';
import type { Problem } from '../domain/problem.ts';
import { refusalOf } from '../issuance/record.ts';
import type { Records } from '../issuance/records.ts';
import type { Audit, Clock, Log } from '../ports.ts';

export interface WithdrawalDeps {
  records: Pick<Records, 'refuse'>;
  clock: Clock;
  audit: Audit;
}

/** CRLReason superseded, RFC 5280 section 5.3.1. */
const SUPERSEDED = 4;

/** Returns the record as it is then: where a certificate was faster, that stands. */
export async function withdraw(
  { audit, records, clock }: WithdrawalDeps,
  record: CertificateRecord,
  why: Problem,
): Promise<CertificateRecord | undefined> {
  if (!isReserved(record)) return record;
  const { requestID: id, door, issuerRef } = record.spec;
  const { type: problem, detail } = why;
  // First the line, then the write: no refusal is without one.
  audit.record('refusal', {
    record: record.metadata.name,
    id,
    door,
    ...issuerFields({ metadata: issuerRef }),
    problem,
    detail,
  });
  return records.refuse(record, refusalOf(why, clock.now()));
}

/** Ends a record whose certificate was never released and never can be: revoked if there is one, else there will be none. */
export async function supersede(
  deps: WithdrawalDeps & { records: Pick<Records, 'revoke'>; log: Log },
  given: CertificateRecord,
  why: Problem,
): Promise<void> {
  const { name } = given.metadata;
  const record = await withdraw(deps, given, why);
  if (!record || !isIssued(record) || record.spec.revocation) return;
  // First the line, then the write: a process that dies in between writes it again, and no revocation is without one.
  deps.audit.record('revocation', {
    record: name,
    serial: record.status.serial,
    reason: SUPERSEDED,
    by: 'certificate-claim',
  });
  const revokedAt = deps.clock.now().toISOString();
  const revoked = await deps.records.revoke(record, { reason: SUPERSEDED, revokedAt, by: 'certificate-claim' });
  if (revoked) deps.log.info({ record: name }, 'a certificate that was never released is superseded');
}
