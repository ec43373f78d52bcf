// What a part of the program may do at the Kubernetes API. Each part declares its rights beside the code that uses them; RBAC and
// its reference page are generated from them, and tests hold them to what the program really asks for.
import type { Kind } from './kind.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'attest';

/**
 * Where a right holds: for objects without a namespace; in the operator's own namespace; in the namespaces that are served, all
 * unless they are listed; in the namespace `default`.
 */
export type Place = 'cluster' | 'operator' | 'tenants' | 'default';

export interface Right {
  kind: Pick<Kind, 'group' | 'plural' | 'kind'>;
  subresource?: 'status' | 'log';
  verbs: readonly Verb[];
  in: readonly Place[];
  /** The only objects it is about. RBAC cannot hold `create` to them: a name is not known yet when that is judged. */
  names?: readonly string[];
  /** Ends "in order to …" for the people who grant it. */
  why: string;
}
