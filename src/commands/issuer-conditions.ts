// Conditions of issuers as metrics tell them, each with the backend that it is about.
import type { Issuer } from '../api/issuer.ts';
import { issuerLabels } from '../domain/issuer.ts';
import type { IssuerCondition } from '../telemetry/metrics.ts';

export function* issuerConditions(issuers: Iterable<Issuer>): Generator<IssuerCondition> {
  for (const issuer of issuers) {
    const [backend = 'none'] = Object.keys(issuer.spec.backend);
    for (const { type, status } of issuer.status?.conditions ?? [])
      yield { ...issuerLabels(issuer), backend, type, isTrue: status === 'True' };
  }
}
