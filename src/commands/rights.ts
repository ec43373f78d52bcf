// What `serve` may do on a cluster: the rights its parts need, from which `check` asks and RBAC is made.
import { AccountKind, AuthorizationKind } from '../api/acme.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { EndpointSliceKind, EventKind, LeaseKind, NamespaceKind, SecretKind } from '../api/core.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import type { Kind } from '../api/kind.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export interface Right {
  kind: Pick<Kind, 'group' | 'plural' | 'namespaced'>;
  subresource?: 'status';
  verbs: readonly Verb[];
  /** Everywhere, in the operator's namespace, or in that one. */
  where: 'cluster' | 'operator' | 'default';
  /** What needs it, for people. */
  part: string;
}

const READ = ['get', 'list', 'watch'] as const;

export const RIGHTS: readonly Right[] = [
  { kind: ClusterCAIssuerKind, verbs: READ, where: 'cluster', part: 'issuers' },
  { kind: ClusterCAIssuerKind, subresource: 'status', verbs: ['update'], where: 'cluster', part: 'issuers' },
  { kind: CertificateRequestPolicyKind, verbs: ['list', 'watch'], where: 'cluster', part: 'policies' },
  { kind: CertificateRequestPolicyKind, subresource: 'status', verbs: ['update'], where: 'cluster', part: 'policies' },
  { kind: CertificateClaimKind, verbs: READ, where: 'cluster', part: 'claims' },
  { kind: CertificateClaimKind, subresource: 'status', verbs: ['update'], where: 'cluster', part: 'claims' },
  { kind: SecretKind, verbs: [...READ, 'create', 'update'], where: 'cluster', part: 'claims' },
  { kind: NamespaceKind, verbs: READ, where: 'cluster', part: 'claims' },
  { kind: EventKind, verbs: ['create', 'patch'], where: 'cluster', part: 'events' },
  { kind: IssuedCertificateKind, verbs: [...READ, 'create', 'update', 'delete'], where: 'operator', part: 'records' },
  { kind: AccountKind, verbs: [...READ, 'create', 'update', 'delete'], where: 'operator', part: 'ACME' },
  { kind: AuthorizationKind, verbs: [...READ, 'create', 'update', 'delete'], where: 'operator', part: 'ACME' },
  { kind: LeaseKind, verbs: ['get', 'create', 'update'], where: 'operator', part: 'leader election' },
  { kind: EndpointSliceKind, verbs: ['list', 'watch'], where: 'operator', part: 'replicas' },
  { kind: EndpointSliceKind, verbs: ['list'], where: 'default', part: 'addresses of the API server' },
];
