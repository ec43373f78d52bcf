// Carries the revocation of a record to a CA elsewhere. A record has no status subresource and its status never changes, so what became
// of it stands in an annotation: one write, after which the CA is not asked again.
import {
  type CertificateRecord,
  type IssuedCertificate,
  IssuedCertificateKind,
  isIssued,
  RecordAnnotation,
} from '../api/issued-certificate.ts';
import { issuerFields } from '../domain/issuer.ts';
import type { Audit, Backend, Cluster, RevocationOutcome } from '../ports.ts';
import type { Desk } from './fulfilment.ts';

export interface CarryRevocationDeps {
  cluster: Pick<Cluster, 'replace'>;
  audit: Audit;
}

/** Whether the CA has yet to be told that the record is revoked. */
export function isToBeCarried(record: CertificateRecord, backend: Backend): record is IssuedCertificate {
  if (!record.spec.revocation || !backend.revoke || !isIssued(record)) return false;
  return record.metadata.annotations?.[RecordAnnotation.revocation] === undefined;
}

/** Safe to repeat. Throws where the CA cannot answer now, and Conflict where the record changed meanwhile. */
export function createCarryRevocation({ cluster, audit }: CarryRevocationDeps) {
  return async (record: CertificateRecord, { issuer, backend, ask, signal }: Desk): Promise<void> => {
    const { revocation } = record.spec;
    const revoke = backend.revoke?.bind(backend);
    if (!revocation || !revoke || !isToBeCarried(record, backend)) return;
    const { serial, certificate } = record.status;
    const { name } = record.metadata;
    const entry = { serial, revokedAt: new Date(revocation.revokedAt), reason: revocation.reason };
    const outcome = await ask(() => revoke(name, Buffer.from(certificate, 'base64'), entry, signal));
    const said = render(outcome);
    audit.record('revocation at CA', { record: name, ...issuerFields(issuer), serial, outcome: said });
    const annotations = { ...record.metadata.annotations, [RecordAnnotation.revocation]: said };
    await cluster.replace(IssuedCertificateKind, { ...record, metadata: { ...record.metadata, annotations } });
  };
}

function render(outcome: RevocationOutcome): string {
  if (outcome.kind === 'revoked') return 'Done';
  return outcome.kind === 'unsupported' ? 'Unsupported' : `Refused: ${outcome.problem.detail}`;
}
