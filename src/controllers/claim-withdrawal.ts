// Ends what a claim has reserved with a CA elsewhere and does not want any more.
import { type CertificateRecord, isReserved } from '../api/issued-certificate.ts';
import { issuerFields } from '../domain/issuer.ts';
import type { Problem } from '../domain/problem.ts';
import { refusalOf } from '../issuance/record.ts';
import type { Records } from '../issuance/records.ts';
import type { Audit, Clock } from '../ports.ts';

export interface WithdrawalDeps {
  records: Pick<Records, 'refuse'>;
  clock: Clock;
  audit: Audit;
}

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
