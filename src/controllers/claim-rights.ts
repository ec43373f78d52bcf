// What CertificateClaims need of the Kubernetes API.
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';

export const CLAIM_RIGHTS: readonly Right[] = [
  {
    kind: CertificateClaimKind,
    verbs: ['get', 'list', 'watch'],
    in: ['tenants'],
    why: 'see what is claimed; a claim is read again, live, before a certificate is spent on it',
  },
  {
    kind: CertificateClaimKind,
    verbs: ['update'],
    in: ['tenants'],
    why: 'hold a claim with `revokeOnDelete` by a finalizer until its certificates are revoked; nothing else of a claim is written',
  },
  {
    kind: CertificateClaimKind,
    subresource: 'status',
    verbs: ['update'],
    in: ['tenants'],
    why: 'say what became of a claim',
  },
  {
    kind: NamespaceKind,
    verbs: ['list', 'watch'],
    in: ['cluster'],
    why: 'know the labels of the namespace that asks, by which issuers and policies select',
  },
];

export const CLAIM_SECRET_RIGHTS: readonly Right[] = [
  {
    kind: SecretKind,
    verbs: ['list', 'watch'],
    in: ['tenants'],
    why: "notice that a claim's Secret changed or went. Metadata alone is asked for and kept, yet to the API server that is `list` and `watch` on Secrets, values included",
  },
  {
    kind: SecretKind,
    verbs: ['get', 'create', 'update'],
    in: ['tenants'],
    why: "read the claim's Secret, and the one with the password of its stores, and write key and certificate into the former; a Secret of somebody else's is never written, and none is ever deleted",
  },
];
