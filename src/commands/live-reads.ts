// Live reads before a refusal, shared by all requests that wait for one (docs/adr/0012).
import type { LiveIssuer } from '../acme-server/confirm.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type CertificateRequestPolicy, CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import type { LivePolicies } from '../issuance/judge.ts';
import type { Clock, Cluster } from '../ports.ts';
import { createSharedRead } from '../runtime/shared-read.ts';
import type { Caches } from './caches.ts';

/** Between two reads of one kind of question. */
const GAP_MS = 250;
/** Between two reads for issuers nobody has heard of; names can be made up. */
const UNKNOWN_GAP_MS = 500;

export function createLiveReads(deps: {
  cluster: Pick<Cluster, 'get' | 'list'>;
  clock: Clock;
  caches: Pick<Caches, 'issuers' | 'policies'>;
}): { liveIssuer: LiveIssuer; livePolicies: LivePolicies } {
  const { cluster, clock, caches } = deps;
  const known = new Map<string, LiveIssuer>();
  const all = createSharedRead({
    read: async () => (await cluster.list(ClusterCAIssuerKind)).items,
    clock,
    gapMs: UNKNOWN_GAP_MS,
  });

  function one(name: string): LiveIssuer {
    const read = createSharedRead({ read: () => cluster.get(ClusterCAIssuerKind, { name }), clock, gapMs: GAP_MS });
    known.set(name, read);
    return read;
  }

  return {
    liveIssuer: async (name) => {
      // Only names of issuers there are get a read of their own, so there are no more of those than issuers.
      if (caches.issuers.get({ name })) return (known.get(name) ?? one(name))(name);
      known.delete(name);
      return (await all()).find(({ metadata }) => metadata.name === name);
    },
    livePolicies: createSharedRead({
      read: async () => {
        const { items } = await cluster.list(CertificateRequestPolicyKind);
        return sameObjects(items, caches.policies.list()) ? undefined : items;
      },
      clock,
      gapMs: GAP_MS,
    }),
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
