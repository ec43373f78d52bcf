// What a Cluster adapter throws; the words are the Kubernetes API's own status reasons.
import type { FieldError } from '../api/kind.ts';

export type ClusterErrorReason =
  /** No such object (replace, replaceStatus, delete of a given uid). */
  | 'NotFound'
  /** Create of a name that is taken. */
  | 'AlreadyExists'
  /** resourceVersion or uid precondition failed: read again and decide anew. */
  | 'Conflict'
  /** Watch or continue token too old: list again. HTTP 410. */
  | 'Expired'
  /** The object breaks its schema or rules: `fields` says where. Never retry. */
  | 'Invalid'
  /** The caller may not do this. Never retry. */
  | 'Forbidden'
  /** The store cannot answer now: retry after `retryAfterMs` or by back-off. */
  | 'Unavailable';

export class ClusterError extends Error {
  readonly reason: ClusterErrorReason;
  readonly fields: readonly FieldError[];
  readonly retryAfterMs: number | undefined;
  /** With Unavailable from a write: it may have taken effect all the same. Look before doing it again. */
  readonly outcomeUnknown: boolean;

  constructor(
    reason: ClusterErrorReason,
    message: string,
    options: { fields?: readonly FieldError[]; retryAfterMs?: number; outcomeUnknown?: boolean } = {},
  ) {
    super(message);
    this.name = 'ClusterError';
    this.reason = reason;
    this.fields = options.fields ?? [];
    this.retryAfterMs = options.retryAfterMs;
    this.outcomeUnknown = options.outcomeUnknown ?? false;
  }
}

export function isClusterError(error: unknown, ...reasons: ClusterErrorReason[]): error is ClusterError {
  return error instanceof ClusterError && (reasons.length === 0 || reasons.includes(error.reason));
}
