// The Pod behind a connection: the one live Pod that has the address of the peer, and no address in common with its node or another Pod.
import type { Pod } from '../api/foreign.ts';
import { parseAddress, renderAddress } from '../domain/address.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import type { ObjectRef, OptionalCache } from '../ports.ts';
import type { Exchange } from './exchange.ts';
import { requireKnown } from './known.ts';

export const POD_ADDRESS_INDEX = 'address';

/** Addresses of a Pod that runs with its own. */
export const podAddresses = (pod: Pod): string[] => (isLive(pod) ? addressesOf(pod) : []);

/** What is kept of a Pod. */
export function podEssence({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  const { labels: _labels, annotations: _annotations, ownerReferences: _owners, ...bare } = metadata;
  const { hostNetwork, serviceAccountName } = spec;
  return {
    apiVersion,
    kind,
    metadata: bare,
    spec: {
      ...(hostNetwork === undefined ? {} : { hostNetwork }),
      ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
    },
    status: {
      ...(status?.phase === undefined ? {} : { phase: status.phase }),
      podIPs: (status?.podIPs ?? []).map(({ ip }) => ({ ip })),
    },
  };
}

/** Namespaces whose Pods ask for others, where the issuer names none. */
const RELAYS: readonly string[] = ['cert-manager', 'ingress-nginx', 'kube-system'];

export interface PodIdentity {
  namespace: string;
  /** Name of its ServiceAccount. */
  serviceAccount: string;
}

export interface PodAddresses {
  /** Undefined where the address is no Pod's that speaks for itself. Throws 503 while Pods are not known yet. */
  find(exchange: Exchange): Promise<PodIdentity | undefined>;
}

const UNKNOWN = 'the Pods of the cluster are not known yet: try again';

export interface PodAddressesDeps {
  /** With POD_ADDRESS_INDEX; whole or reduced to podEssence. */
  pods: OptionalCache<Pod>;
  /** As stored now. */
  livePod: (ref: ObjectRef) => Promise<Pod | undefined>;
}

export function createPodAddresses(deps: PodAddressesDeps): PodAddresses {
  return {
    find: async ({ issuer, source, peer }) => {
      const settings = clusterIssuer(issuer)?.spec.acme?.proof?.podAddress;
      // What a proxy passes on is not of the Pod whose address the connection has.
      if (!settings?.enabled || peer !== source) return undefined;
      const identity = await identityAt(deps, peer);
      const relays = settings.relayNamespaces ?? RELAYS;
      return identity && !relays.includes(identity.namespace) ? identity : undefined;
    },
  };
}

async function identityAt({ pods, livePod }: PodAddressesDeps, address: string): Promise<PodIdentity | undefined> {
  requireKnown(pods, UNKNOWN);
  const [found, ...others] = pods.byIndex(POD_ADDRESS_INDEX, address);
  if (!found || others.length > 0) return undefined;
  // An address may be another Pod's by now, and the watch may be behind.
  const live = await livePod(found.metadata);
  if (live?.metadata.uid !== found.metadata.uid || !podAddresses(live).includes(address)) return undefined;
  return { namespace: live.metadata.namespace ?? '', serviceAccount: live.spec.serviceAccountName ?? 'default' };
}

function isLive({ metadata, spec, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && status?.phase === 'Running' && spec.hostNetwork !== true;
}

function addressesOf({ status }: Pod): string[] {
  return (status?.podIPs ?? []).flatMap(({ ip }) => {
    const address = parseAddress(ip);
    return address ? [renderAddress(address)] : [];
  });
}
