// Evidence from what is watched only while somebody wants it.
import type { KubeObject } from '../api/kind.ts';
import { comeBack } from '../domain/problem.ts';
import type { OptionalCache } from '../ports.ts';

/** Throws 503 with this detail while it cannot be told what there is. A kind that the cluster does not have is known: there is nothing. */
export function requireKnown({ state }: Pick<OptionalCache<KubeObject>, 'state'>, detail: string): void {
  if (state() === 'filling' || state() === 'off') throw comeBack(detail, 5);
}
