// Rules across the fields of a IssuedCertificate.
import type { IssuedCertificate } from './issued-certificate.ts';
import type { FieldError } from './kind.ts';

export function recordRules(_object: IssuedCertificate, _old?: IssuedCertificate): FieldError[] {
  return [];
}
