// Objects of the cluster that prove a name to be of a namespace. They take the place of a challenge, never that of a policy.
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { HTTPRoute, Ingress } from '../api/foreign.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Identifier } from '../domain/identifier.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import { serviceOfName } from '../domain/service-name.ts';
import type { OptionalCache } from '../ports.ts';
import { HOST_INDEX, ingressGives, isHeldElsewhere, routeGives } from './route-hosts.ts';
import { requireKnown } from './known.ts';

type Proof = NonNullable<NonNullable<ClusterCAIssuer['spec']['acme']>['proof']>;

export interface Claimed {
  issuer: Issuer;
  /** Of the requester. */
  namespace: string;
  /** Without the wildcard label. */
  identifier: Identifier;
  wildcard: boolean;
}

export interface Proofs {
  /** Whether an object of the namespace proves the name. Rejects as the cluster does. */
  proves(claimed: Claimed): Promise<boolean>;
}

const UNKNOWN = 'the objects that prove names are not known yet: try again';

export interface ProofsDeps {
  /** Metadata is enough. */
  services: OptionalCache<KubeObject>;
  /** As stored now. */
  liveService: (ref: { namespace: string; name: string }) => Promise<KubeObject | undefined>;
  /** Such as cluster.local. */
  clusterDomain: string;
  /** Both with HOST_INDEX and PARENT_INDEX; whole, or reduced to ingressEssence and routeEssence. */
  ingresses: OptionalCache<Ingress>;
  routes: OptionalCache<HTTPRoute>;
  /** Whether they are seen in every namespace: else nobody knows that no other has a host. */
  seesAll: boolean;
}

export function createProofs(deps: ProofsDeps): Proofs {
  return {
    proves: async ({ issuer, namespace, identifier, wildcard }) => {
      const { proof } = clusterIssuer(issuer)?.spec.acme ?? {};
      if (identifier.type !== 'dns' || !proof) return false;
      const name = identifier.value;
      if (proof.services === true && (await isService(deps, namespace, name, wildcard))) return true;
      const host = wildcard ? `*.${name}` : name;
      return deps.seesAll && isRouted(deps, { proof, namespace, host });
    },
  };
}

interface Routed {
  proof: Pick<Proof, 'ingressClasses' | 'gateways'>;
  namespace: string;
  host: string;
}

/** A host that this namespace alone has, by an Ingress or an HTTPRoute of those that count. */
function isRouted({ ingresses, routes }: ProofsDeps, { proof, namespace, host }: Routed): boolean {
  const { ingressClasses = [], gateways = [] } = proof;
  if (ingressClasses.length > 0) requireKnown(ingresses, UNKNOWN);
  if (gateways.length > 0) requireKnown(routes, UNKNOWN);
  const ofNamespace = ({ metadata }: KubeObject): boolean => metadata.namespace === namespace;
  const given =
    ingresses
      .byIndex(HOST_INDEX, host)
      .some((ingress) => ofNamespace(ingress) && ingressGives(ingress, ingressClasses, host)) ||
    routes.byIndex(HOST_INDEX, host).some((route) => ofNamespace(route) && routeGives(route, gateways, host));
  return given && !isHeldElsewhere([ingresses, routes], namespace, host);
}

/** A name of a Service of this namespace, or one right below it; its wildcard means those right below. */
async function isService(
  { services, liveService, clusterDomain }: ProofsDeps,
  namespace: string,
  name: string,
  wildcard: boolean,
): Promise<boolean> {
  const found = serviceOfName(name, clusterDomain);
  if (found?.namespace !== namespace || (wildcard && found.below)) return false;
  const ref = { namespace, name: found.service };
  return (services.get(ref) ?? (await liveService(ref))) !== undefined;
}
