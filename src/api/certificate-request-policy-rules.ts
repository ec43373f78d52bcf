// Rules across the fields of a CertificateRequestPolicy.
import type { CertificateRequestPolicy } from './certificate-request-policy.ts';
import type { FieldError } from './kind.ts';

export function policyRules(_object: CertificateRequestPolicy, _old?: CertificateRequestPolicy): FieldError[] {
  return [];
}
