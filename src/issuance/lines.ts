// Lines of the audit log that more than one place writes.
import type { IssuedCertificate } from '../api/issued-certificate.ts';
import type { NewObject } from '../api/kind.ts';
import { issuerFields } from '../domain/issuer.ts';
import type { Audit } from '../ports.ts';
import type { Requester } from './types.ts';

/**
 * Before the record is written, so that no certificate is ever on record, let alone released, without its line, whatever ends the
 * process or hides the answer of the cluster. A line whose serial is in no record tells of a certificate that was signed and never
 * released.
 */
export function reportIssuance(
  audit: Audit,
  { metadata, spec, status }: Pick<NewObject<IssuedCertificate>, 'metadata' | 'spec' | 'status'>,
  requester: Requester,
): void {
  audit.record('issuance', {
    record: metadata.name,
    id: spec.requestID,
    door: spec.door,
    ...issuerFields({ metadata: spec.issuerRef }),
    requester,
    names: spec.names,
    profile: spec.profile,
    policy: spec.policy,
    decisionID: spec.decisionID,
    serial: status.serial,
    notBefore: status.notBefore,
    notAfter: status.notAfter,
  });
}
