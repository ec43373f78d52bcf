// Features that only some issuers ask for, with the rights they need: nobody who does not use them has to grant those.
import {
  CertManagerClusterIssuerKind,
  CertManagerIssuerKind,
  CertManagerOrderKind,
  HTTPRouteKind,
  IngressKind,
  PodKind,
  ServiceKind,
} from '../api/foreign.ts';
import type { CAIssuerSpec } from '../api/ca-issuer.ts';
import type { Issuer } from '../api/issuer.ts';
import { CERTBOT_RIGHTS } from '../backends/certbot/job-runner.ts';
import { MINTED_KEY_RIGHTS } from '../controllers/minted-keys.ts';
import type { Right } from '../api/right.ts';
import { TRUST_BUNDLE_RIGHTS, TRUST_RIGHTS } from '../controllers/trust.ts';
import { clusterIssuer } from '../domain/issuer.ts';

export type Wants = (issuer: Pick<Issuer, 'spec' | 'metadata'>) => boolean;

const acmeOf = (issuer: Pick<Issuer, 'spec' | 'metadata'>) => clusterIssuer(issuer as Issuer)?.spec.acme;

export const wantsOrders: Wants = (issuer) => {
  const { proof, externalAccountBinding: binding } = acmeOf(issuer) ?? {};
  return proof?.certManagerOrders === true || (binding?.keys?.some(({ scope }) => scope === 'ByOrder') ?? false);
};

export const wantsServices: Wants = (issuer) => acmeOf(issuer)?.proof?.services === true;

export const wantsPods: Wants = (issuer) => acmeOf(issuer)?.proof?.podAddress?.enabled === true;

export const wantsIngresses: Wants = (issuer) => acmeOf(issuer)?.proof?.ingressClasses !== undefined;
export const wantsRoutes: Wants = (issuer) => acmeOf(issuer)?.proof?.gateways !== undefined;

const ORDER_RIGHTS: readonly Right[] = [
  {
    kind: CertManagerOrderKind,
    verbs: ['list', 'watch'],
    in: ['tenants'],
    why: 'know the namespace in which cert-manager keeps an order',
  },
  {
    kind: CertManagerOrderKind,
    verbs: ['patch'],
    in: ['tenants'],
    why: 'have cert-manager look at once, by an annotation, when a certificate is there that it was told to come back for; without, it comes by itself',
  },
  {
    kind: CertManagerIssuerKind,
    verbs: ['list', 'watch'],
    in: ['tenants'],
    why: 'know which account is that of an Issuer of cert-manager',
  },
  {
    kind: CertManagerClusterIssuerKind,
    verbs: ['list', 'watch'],
    in: ['cluster'],
    why: 'know which account is that of a ClusterIssuer of cert-manager',
  },
];

const SERVICE_RIGHTS: readonly Right[] = [
  {
    kind: ServiceKind,
    verbs: ['get', 'list', 'watch'],
    in: ['tenants'],
    why: 'know that a name is that of a Service of the namespace that asks; metadata alone is read',
  },
];

const POD_RIGHTS: readonly Right[] = [
  {
    kind: PodKind,
    verbs: ['get', 'list', 'watch'],
    in: ['tenants'],
    why: 'know the Pod that has the address of a client; its namespace, ServiceAccount, phase and addresses are kept',
  },
];

const INGRESS_RIGHTS: readonly Right[] = [
  { kind: IngressKind, verbs: ['list', 'watch'], in: ['tenants'], why: 'know the namespaces that have a host' },
];

const ROUTE_RIGHTS: readonly Right[] = [
  {
    kind: HTTPRouteKind,
    verbs: ['list', 'watch'],
    in: ['tenants'],
    why: 'know the namespaces that have a host, and the Gateways that gave it to them',
  },
];

export interface OptionalFeature {
  /** Last part of the names of its roles. */
  name: string;
  /** What it does, for the people who grant its rights. */
  does: string;
  /** The setting of an issuer that asks for it. */
  setting: string;
  rights: readonly Right[];
  wants: Wants;
}

const publishesMaps: Wants = ({ spec }) => spec.publishTrust?.configMap !== undefined;
const publishesBundles: Wants = ({ spec }) => (spec as CAIssuerSpec).publishTrust?.clusterTrustBundle === true;

const runsCertbot: Wants = (issuer) => clusterIssuer(issuer as Issuer)?.spec.backend.certbot !== undefined;
const mintsKeys: Wants = (issuer) => acmeOf(issuer)?.externalAccountBinding?.mint !== undefined;

export const OPTIONAL_FEATURES: readonly OptionalFeature[] = [
  {
    name: 'certbot',
    does: 'Runs certbot in Jobs.',
    setting: '`backend.certbot`',
    rights: CERTBOT_RIGHTS,
    wants: runsCertbot,
  },
  {
    name: 'minted-keys',
    does: 'Keeps keys for external account binding in namespaces.',
    setting: '`acme.externalAccountBinding.mint`',
    rights: MINTED_KEY_RIGHTS,
    wants: mintsKeys,
  },
  {
    name: 'cert-manager',
    does: 'Learns from cert-manager whose an ACME order is.',
    setting: '`acme.proof.certManagerOrders`, `acme.externalAccountBinding.keys[].scope: ByOrder`',
    rights: ORDER_RIGHTS,
    wants: wantsOrders,
  },
  {
    name: 'services',
    does: 'Takes the Services of a namespace as proof of their names.',
    setting: '`acme.proof.services`',
    rights: SERVICE_RIGHTS,
    wants: wantsServices,
  },
  {
    name: 'pods',
    does: 'Knows Pods by their addresses.',
    setting: '`acme.proof.podAddress`',
    rights: POD_RIGHTS,
    wants: wantsPods,
  },
  {
    name: 'ingresses',
    does: 'Takes Ingresses as proof of their hosts.',
    setting: '`acme.proof.ingressClasses`',
    rights: INGRESS_RIGHTS,
    wants: wantsIngresses,
  },
  {
    name: 'routes',
    does: 'Takes HTTPRoutes as proof of their host names.',
    setting: '`acme.proof.gateways`',
    rights: ROUTE_RIGHTS,
    wants: wantsRoutes,
  },
  {
    name: 'trust',
    does: 'Publishes what clients must trust in ConfigMaps.',
    setting: '`publishTrust.configMap`',
    rights: TRUST_RIGHTS,
    wants: publishesMaps,
  },
  {
    name: 'trust-bundles',
    does: 'Publishes it as ClusterTrustBundles.',
    setting: '`publishTrust.clusterTrustBundle`',
    rights: TRUST_BUNDLE_RIGHTS,
    wants: publishesBundles,
  },
];
