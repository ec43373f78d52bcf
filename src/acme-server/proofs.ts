// Objects of the cluster that prove a name to be of a namespace. They take the place of a challenge, never that of a policy.
import type { KubeObject } from '../api/kind.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Identifier } from '../domain/identifier.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import { serviceOfName } from '../domain/service-name.ts';
import type { OptionalCache } from '../ports.ts';

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

export interface ProofsDeps {
  /** Metadata is enough. */
  services: OptionalCache<KubeObject>;
  /** As stored now. */
  liveService: (ref: { namespace: string; name: string }) => Promise<KubeObject | undefined>;
  /** Such as cluster.local. */
  clusterDomain: string;
}

export function createProofs(deps: ProofsDeps): Proofs {
  return {
    proves: async ({ issuer, namespace, identifier, wildcard }) => {
      const { proof } = clusterIssuer(issuer)?.spec.acme ?? {};
      if (identifier.type !== 'dns' || !proof) return false;
      return proof.services === true && isService(deps, namespace, identifier.value, wildcard);
    },
  };
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
