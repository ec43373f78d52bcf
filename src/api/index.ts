// All kinds, for the stores, the generators and the command line.
import { AccountKind, AuthorizationKind } from './acme.ts';
import { ClusterCAIssuerKind } from './ca-issuer.ts';
import { CertificateClaimKind } from './certificate-claim.ts';
import { CertificateRequestPolicyKind } from './certificate-request-policy.ts';
import { EventKind, NamespaceKind, SecretKind } from './core.ts';
import { IssuedCertificateKind } from './issued-certificate.ts';
import type { Kind } from './kind.ts';

/** Kinds this project defines; each has a CRD. */
export const OWN_KINDS = [
  ClusterCAIssuerKind,
  CertificateRequestPolicyKind,
  CertificateClaimKind,
  IssuedCertificateKind,
  AccountKind,
  AuthorizationKind,
] as unknown as readonly Kind[];

/** Every kind the embedded store holds. */
export const ALL_KINDS = [...OWN_KINDS, SecretKind, NamespaceKind, EventKind] as unknown as readonly Kind[];
