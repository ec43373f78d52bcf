// Kinds of others that tell who asks, or that a name is somebody's, reduced to the fields that are read; and where trust is published.
import type { Kind, KubeObject } from './kind.ts';

const foreign = {
  version: 'v1',
  shortNames: [],
  namespaced: true,
  statusSubresource: true,
  schema: undefined,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  rules: () => [],
} as const satisfies Partial<Kind>;

/** An order as cert-manager keeps it (acme.cert-manager.io): in the namespace of the Certificate. */
export interface CertManagerOrder extends KubeObject {
  spec: {
    issuerRef: { name: string; kind?: string; group?: string };
    commonName?: string;
    dnsNames?: readonly string[];
    ipAddresses?: readonly string[];
  };
  /** Written by cert-manager alone. */
  status?: { url?: string; authorizations?: readonly { url?: string }[] };
}

export const CertManagerOrderKind: Kind<CertManagerOrder> = {
  ...foreign,
  group: 'acme.cert-manager.io',
  kind: 'Order',
  plural: 'orders',
  singular: 'order',
  description: 'An order of cert-manager at an ACME server.',
};

/** A ClusterIssuer or Issuer of cert-manager. */
export interface CertManagerIssuer extends KubeObject {
  spec: { acme?: { solvers?: readonly unknown[]; server?: string; caBundle?: string } };
  /** `uri`: of the account at the ACME server. Written by cert-manager alone. */
  status?: { acme?: { uri?: string } };
}

const CERT_MANAGER = 'cert-manager.io';

export const CertManagerIssuerKind: Kind<CertManagerIssuer> = {
  ...foreign,
  group: CERT_MANAGER,
  kind: 'Issuer',
  plural: 'issuers',
  singular: 'issuer',
  description: 'An issuer of cert-manager for one namespace.',
};

export const CertManagerClusterIssuerKind: Kind<CertManagerIssuer> = {
  ...foreign,
  group: CERT_MANAGER,
  kind: 'ClusterIssuer',
  plural: 'clusterissuers',
  singular: 'clusterissuer',
  namespaced: false,
  description: 'An issuer of cert-manager for all namespaces.',
};

export const ServiceKind: Kind = {
  ...foreign,
  group: '',
  kind: 'Service',
  plural: 'services',
  singular: 'service',
  description: 'A Kubernetes Service.',
};

export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: string | null };
  terminated?: { exitCode: number; reason?: string; message?: string };
}

export interface Pod extends KubeObject {
  spec: { hostNetwork?: boolean; serviceAccountName?: string };
  status?: {
    phase?: string;
    podIPs?: readonly { ip: string }[] | null;
    podIP?: string;
    conditions?: readonly { type: string; status: string; reason?: string; message?: string }[] | null;
    containerStatuses?: readonly { name: string; state?: ContainerState }[] | null;
  };
}

export const PodKind: Kind<Pod> = {
  ...foreign,
  group: '',
  kind: 'Pod',
  plural: 'pods',
  singular: 'pod',
  description: 'A Kubernetes Pod.',
};

export interface Ingress extends KubeObject {
  spec?: {
    ingressClassName?: string;
    rules?: readonly { host?: string }[] | null;
    tls?: readonly { hosts?: readonly string[] | null }[] | null;
  };
}

export const IngressKind: Kind<Ingress> = {
  ...foreign,
  group: 'networking.k8s.io',
  kind: 'Ingress',
  plural: 'ingresses',
  singular: 'ingress',
  description: 'A Kubernetes Ingress.',
};

export interface ParentRef {
  group?: string;
  kind?: string;
  /** That of the route when absent. */
  namespace?: string;
  name: string;
}

/** A route of the Gateway API. */
export interface HTTPRoute extends KubeObject {
  spec?: { hostnames?: readonly string[] | null; parentRefs?: readonly ParentRef[] | null };
  /** Written by the controllers of Gateways. */
  status?: {
    parents?:
      | readonly {
          parentRef: ParentRef;
          conditions?: readonly { type: string; status: string; observedGeneration?: number }[] | null;
        }[]
      | null;
  };
}

export const HTTPRouteKind: Kind<HTTPRoute> = {
  ...foreign,
  group: 'gateway.networking.k8s.io',
  kind: 'HTTPRoute',
  plural: 'httproutes',
  singular: 'httproute',
  description: 'A route of the Gateway API.',
};

/** A bundle that Pods can mount (certificates.k8s.io); the one foreign kind that is written. */
export interface ClusterTrustBundle extends KubeObject {
  spec: {
    /** Whoever publishes under it needs the right to attest for it. */
    signerName?: string;
    /** PEM, CA certificates only, none twice. */
    trustBundle: string;
  };
}

/** In the version in which the API server has it. */
export const clusterTrustBundleKind = (version: 'v1' | 'v1beta1'): Kind<ClusterTrustBundle> => ({
  ...foreign,
  version,
  namespaced: false,
  statusSubresource: false,
  group: 'certificates.k8s.io',
  kind: 'ClusterTrustBundle',
  plural: 'clustertrustbundles',
  singular: 'clustertrustbundle',
  description: 'CA certificates for all Pods.',
});

/** All of them. */
export const FOREIGN_KINDS: readonly Kind[] = [
  CertManagerOrderKind,
  CertManagerIssuerKind,
  CertManagerClusterIssuerKind,
  ServiceKind,
  PodKind,
  IngressKind,
  HTTPRouteKind,
  clusterTrustBundleKind('v1'),
];
