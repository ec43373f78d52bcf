// Rules across the fields of a CertificateClaim.
import type { CertificateClaim } from './certificate-claim.ts';
import type { FieldError } from './kind.ts';

export function claimRules(_object: CertificateClaim, _old?: CertificateClaim): FieldError[] {
  return [];
}
