// Rules across the fields of a ClusterCAIssuer.
import type { ClusterCAIssuer } from './ca-issuer.ts';
import type { FieldError } from './kind.ts';

export function issuerRules(_object: ClusterCAIssuer, _old?: ClusterCAIssuer): FieldError[] {
  return [];
}
