// Live reads before a refusal, shared by all requests that wait for one (docs/adr/0010).
import type { LiveIssuer } from '../acme-server/confirm.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type CertificateRequestPolicy, CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { CAIssuerKind, type Issuer } from '../api/issuer.ts';
import { issuerKey, type IssuerName } from '../domain/issuer.ts';
import type { LivePolicies } from '../issuance/judge.ts';
import type { Clock, Cluster } from '../ports.ts';
import { createSharedRead } from '../runtime/shared-read.ts';
import type { Caches } from './caches.ts';

/** Between two reads of one kind of question. */
const GAP_MS = 250;
/** Between two reads for issuers nobody has heard of; names can be made up. */
const UNKNOWN_GAP_MS = 500;

export interface LiveReadsDeps {
  cluster: Pick<Cluster, 'get' | 'list'>;
  clock: Clock;
  caches: Pick<Caches, 'issuers' | 'policies'>;
  /** The namespaces that are served; all when absent. */
  tenants?: readonly string[];
  /** The store is of this very process: nobody has to be spared reads. */
  isLocal?: boolean;
}

export function createLiveReads(deps: LiveReadsDeps): { liveIssuer: LiveIssuer; livePolicies: LivePolicies } {
  const { cluster, clock, caches, isLocal = false } = deps;
  return {
    liveIssuer: createLiveIssuer(deps),
    livePolicies: createSharedRead({
      read: async () => {
        const { items } = await cluster.list(CertificateRequestPolicyKind);
        return sameObjects(items, caches.policies.list()) ? undefined : items;
      },
      clock,
      gapMs: isLocal ? 0 : GAP_MS,
    }),
  };
}

function createLiveIssuer({ cluster, clock, caches, tenants, isLocal = false }: LiveReadsDeps): LiveIssuer {
  const [gapMs, unknownGapMs] = isLocal ? [0, 0] : [GAP_MS, UNKNOWN_GAP_MS];
  const known = new Map<string, () => Promise<Issuer | undefined>>();
  const clusterWide = async (): Promise<readonly Issuer[]> => (await cluster.list(ClusterCAIssuerKind)).items;
  const namespaced = async (): Promise<readonly Issuer[]> => {
    if (!tenants) return (await cluster.list(CAIssuerKind)).items;
    const lists = await Promise.all(tenants.map((namespace) => cluster.list(CAIssuerKind, { namespace })));
    return lists.flatMap(({ items }) => items);
  };
  const all = {
    clusterWide: createSharedRead({ read: clusterWide, clock, gapMs: unknownGapMs }),
    namespaced: createSharedRead({ read: namespaced, clock, gapMs: unknownGapMs }),
  };

  /** Only names of issuers there are get a read of their own, so there are no more of those than issuers. */
  function readOf({ namespace, name }: IssuerName): () => Promise<Issuer | undefined> {
    const key = issuerKey({ ...(namespace === undefined ? {} : { namespace }), name });
    const made =
      known.get(key) ??
      createSharedRead<Issuer | undefined>({
        read: () =>
          namespace === undefined
            ? cluster.get(ClusterCAIssuerKind, { name })
            : cluster.get(CAIssuerKind, { namespace, name }),
        clock,
        gapMs,
      });
    known.set(key, made);
    return made;
  }

  return async (name) => {
    if (caches.issuers.get(name)) return readOf(name)();
    known.delete(issuerKey(name));
    const issuers = await (name.namespace === undefined ? all.clusterWide() : all.namespaced());
    return issuers.find(({ metadata }) => issuerKey(metadata) === issuerKey(name));
  };
}

function sameObjects(live: readonly CertificateRequestPolicy[], cached: readonly CertificateRequestPolicy[]): boolean {
  const versions = (list: readonly CertificateRequestPolicy[]) =>
    list
      .map(({ metadata: { uid, generation } }) => `${uid}/${generation}`)
      .sort()
      .join();
  return versions(live) === versions(cached);
}
