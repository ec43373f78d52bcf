// What the Kubernetes API server refuses in a Lease of coordination.k8s.io/v1.
import type { FieldError, KubeObject } from '../api/kind.ts';
import { isObject } from './json-value.ts';
import { microTimeErrors } from './micro-time.ts';

/** No finding for a Lease that the API server would take. */
export function leaseErrors(lease: KubeObject & { spec?: unknown }): FieldError[] {
  const { spec } = lease;
  if (spec === undefined) return [];
  if (!isObject(spec)) return [{ path: 'spec', message: 'must be a mapping' }];
  const errors = microTimeErrors(spec, 'spec', ['acquireTime', 'renewTime']);
  const { leaseDurationSeconds = 1, leaseTransitions = 0, holderIdentity = '' } = spec;
  if (!isInteger(leaseDurationSeconds, 1))
    errors.push({ path: 'spec.leaseDurationSeconds', message: 'must be an integer greater than 0' });
  if (!isInteger(leaseTransitions, 0))
    errors.push({ path: 'spec.leaseTransitions', message: 'must be an integer of at least 0' });
  if (typeof holderIdentity !== 'string') errors.push({ path: 'spec.holderIdentity', message: 'must be text' });
  return errors;
}

function isInteger(value: unknown, least: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) < 2 ** 31;
}
