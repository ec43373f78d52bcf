// Requests to CAs elsewhere whose claim is deleted: nobody will have their certificates.
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import { type CertificateRecord, RecordLabel } from '../api/issued-certificate.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Records } from '../issuance/records.ts';
import type { Audit, Cache, Clock, Cluster, Log } from '../ports.ts';
import { DELETED } from './claim-deletion.ts';
import { supersede } from './claim-withdrawal.ts';

export interface AbandonedRequestsDeps {
  cluster: Pick<Cluster, 'get'>;
  claims: Cache<CertificateClaim>;
  records: Records;
  clock: Clock;
  audit: Audit;
  log: Log;
}

export interface AbandonedRequests {
  /** Whether the record is of a claim that is deleted; for records of other doors never. */
  includes(record: CertificateRecord): Promise<boolean>;
  /** Ends the record, which was never released: withdrawn, or, where there is a certificate, revoked. */
  end(record: CertificateRecord): Promise<void>;
  /** Tells of claims that are deleted, by uid. Returns the way to stop that. */
  watch(listener: (claimUID: string) => void): () => void;
}

const isDeleted = ({ metadata }: CertificateClaim) => metadata.deletionTimestamp !== undefined;

export function createAbandonedRequests(deps: AbandonedRequestsDeps): AbandonedRequests {
  const { cluster, claims, records } = deps;

  async function isClaimGone(ref: { namespace: string; name: string }, uid: string): Promise<boolean> {
    const known = claims.get(ref);
    if (known?.metadata.uid === uid) return isDeleted(known);
    try {
      const live = await cluster.get(CertificateClaimKind, ref);
      return live?.metadata.uid !== uid || isDeleted(live);
    } catch (error) {
      // A namespace that is served no longer: of its claims nothing is known.
      if (isClusterError(error, 'Forbidden')) return false;
      throw error;
    }
  }

  return {
    async includes({ metadata, spec }) {
      const { namespace, claim: name } = spec.requester;
      const uid = metadata.labels?.[RecordLabel.claim];
      return namespace !== undefined && name !== undefined && uid !== undefined
        ? isClaimGone({ namespace, name }, uid)
        : false;
    },
    async end({ metadata }) {
      const record = await records.get(metadata.name);
      if (record) await supersede(deps, record, DELETED);
    },
    watch: (listener) =>
      claims.onChange((claim, type) => {
        if (type === 'DELETED' || isDeleted(claim)) listener(claim.metadata.uid);
      }),
  };
}
