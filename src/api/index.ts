// All kinds, for the stores, the generators and the command line.
import { AccountKind, AuthorizationKind } from './acme.ts';
import { ClusterCAIssuerKind } from './ca-issuer.ts';
import { CertificateClaimKind } from './certificate-claim.ts';
import { CertificateRequestPolicyKind } from './certificate-request-policy.ts';
import { ConfigMapKind, EndpointSliceKind, EventKind, LeaseKind, NamespaceKind, SecretKind } from './core.ts';
import { IssuedCertificateKind } from './issued-certificate.ts';
import { CAIssuerKind } from './issuer.ts';
import type { Kind } from './kind.ts';

/** Kinds this project defines; each has a CRD. */
export const OWN_KINDS: readonly Kind[] = [
  ClusterCAIssuerKind,
  CAIssuerKind,
  CertificateRequestPolicyKind,
  CertificateClaimKind,
  IssuedCertificateKind,
  AccountKind,
  AuthorizationKind,
];

/** Every kind the embedded store holds. */
export const ALL_KINDS: readonly Kind[] = [
  ...OWN_KINDS,
  SecretKind,
  ConfigMapKind,
  NamespaceKind,
  EventKind,
  LeaseKind,
  EndpointSliceKind,
];
