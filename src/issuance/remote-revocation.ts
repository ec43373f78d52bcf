// Carries the revocation of a record to a CA elsewhere. A record has no status subresource and its status never changes, so what became
// of it stands in an annotation: one write, after which the CA is not asked again.
import {
  type CertificateRecord,
  type IssuedCertificate,
  isIssued,
  RecordAnnotation,
} from '../api/issued-certificate.ts';
import { issuerFields } from '../domain/issuer.ts';
import type { Audit, Backend, RevocationOutcome } from '../ports.ts';
import type { Desk } from './fulfilment.ts';
import type { Records } from './records.ts';

export interface CarryRevocationDeps {
  records: Pick<Records, 'noteRevocation'>;
  audit: Audit;
}

/** Whether the CA has yet to be told that the record is revoked. */
export function isToBeCarried(record: CertificateRecord, backend: Backend): record is IssuedCertificate {
  if (!record.spec.revocation || !backend.revoke || !isIssued(record)) return false;
  return record.metadata.annotations?.[RecordAnnotation.revocation] === undefined;
}

/** What the CA said to the revocation of a record, for as long as this process knows. */
export interface Heard {
  revocation?: string;
}

/** Safe to repeat: a CA that was heard is not asked again. Throws where the CA, or the cluster, cannot answer now. */
export function createCarryRevocation({ records, audit }: CarryRevocationDeps) {
  return async (record: CertificateRecord, { issuer, backend, ask, signal }: Desk, heard: Heard): Promise<void> => {
    const { revocation } = record.spec;
    const revoke = backend.revoke?.bind(backend);
    if (!revocation || !revoke || !isToBeCarried(record, backend)) return;
    if (heard.revocation === undefined) {
      const { serial, certificate } = record.status;
      const { name } = record.metadata;
      const entry = { serial, revokedAt: new Date(revocation.revokedAt), reason: revocation.reason };
      const outcome = render(await ask(() => revoke(name, Buffer.from(certificate, 'base64'), entry, signal)));
      heard.revocation = outcome;
      audit.record('revocation at CA', { record: name, ...issuerFields(issuer), serial, outcome });
    }
    await records.noteRevocation(record, heard.revocation);
  };
}

function render(outcome: RevocationOutcome): string {
  if (outcome.kind === 'revoked') return 'Done';
  return outcome.kind === 'unsupported' ? 'Unsupported' : `Refused: ${outcome.problem.detail}`;
}
