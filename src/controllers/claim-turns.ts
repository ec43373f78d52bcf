// Several claims may name one Secret. Which of them gets it is settled once it is written, so until then no other may ask for a
// certificate for it.
import type { CertificateClaim } from '../api/certificate-claim.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cache, Cluster } from '../ports.ts';

/** Index of the cache of claims by their Secrets. */
export const secretIndex = ({ metadata, spec }: CertificateClaim) => [`${metadata.namespace}/${spec.secretName}`];

/** The other living claims for the Secret of this one; `claims` has the index `secret`. */
export function rivalsOf(claims: Pick<Cache<CertificateClaim>, 'byIndex'>, claim: CertificateClaim) {
  const { uid } = claim.metadata;
  return secretIndex(claim)
    .flatMap((secret) => claims.byIndex('secret', secret))
    .filter(({ metadata }) => metadata.uid !== uid && !metadata.deletionTimestamp);
}

/** Runs one attempt at a time for each Secret. Conflict where another is under way, or where the Secret changed since it was seen. */
export type ClaimTurns = <T>(
  seen: { claim: CertificateClaim; secret: Secret | undefined },
  attempt: () => Promise<T>,
) => Promise<T>;

export function createClaimTurns({
  cluster,
  claims,
}: {
  cluster: Pick<Cluster, 'get'>;
  claims: Cache<CertificateClaim>;
}): ClaimTurns {
  const underWay = new Set<string>();

  async function requireAsSeen({ claim, secret }: Parameters<ClaimTurns>[0]): Promise<void> {
    if (rivalsOf(claims, claim).length === 0) return;
    const { namespace = '' } = claim.metadata;
    const now = await cluster.get(SecretKind, { namespace, name: claim.spec.secretName });
    if (now?.metadata.resourceVersion !== secret?.metadata.resourceVersion)
      throw new ClusterError('Conflict', 'another claim wrote the Secret');
  }

  return async (seen, attempt) => {
    const [secret = ''] = secretIndex(seen.claim);
    if (underWay.has(secret)) throw new ClusterError('Conflict', 'another claim for the Secret is being served');
    underWay.add(secret);
    try {
      await requireAsSeen(seen);
      return await attempt();
    } finally {
      underWay.delete(secret);
    }
  };
}
