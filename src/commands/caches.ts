// Watched copies of every kind the program reads, with the indexes its parts ask for.
import { EAB_INDEX, eabKey } from '../acme-server/external-account-binding.ts';
import { KEY_INDEX, keyIndex, REUSE_INDEX, reuseKey } from '../acme-server/objects.ts';
import { type Account, AccountKind, AuthorizationKind } from '../api/acme.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { NamespaceKind, SecretKind } from '../api/core.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import type { Kind, KubeObject } from '../api/kind.ts';
import { CLAIM_INDEXES } from '../controllers/certificate-claim.ts';
import { withoutValues } from '../controllers/index.ts';
import { REVOKED_INDEX, revokedIndex } from '../distribution/crl.ts';
import { RECORD_INDEXES } from '../issuance/records.ts';
import type { Clock, Cluster, Log, Random } from '../ports.ts';
import { createReflector, type Reflector, type ReflectorDeps } from '../runtime/reflector.ts';

export interface CachesDeps {
  cluster: Cluster;
  clock: Clock;
  random: Random;
  log: Log;
}

const ACCOUNT_INDEXES = {
  [KEY_INDEX]: keyIndex,
  [EAB_INDEX]: ({ spec }: Account) =>
    spec.externalAccountBinding ? [eabKey(spec.issuerUID, spec.externalAccountBinding.keyID)] : [],
};

export function createCaches({ cluster, clock, random, log }: CachesDeps) {
  const watch = <T extends KubeObject>(
    kind: Kind<T>,
    more: Pick<ReflectorDeps<T>, 'indexes' | 'transform'> = {},
  ): Reflector<T> => createReflector({ cluster, clock, random, log, kind, ...more });
  const caches = {
    issuers: watch(ClusterCAIssuerKind),
    policies: watch(CertificateRequestPolicyKind),
    claims: watch(CertificateClaimKind, { indexes: CLAIM_INDEXES }),
    secretCache: watch(SecretKind, { transform: withoutValues }),
    namespaces: watch(NamespaceKind),
    accounts: watch(AccountKind, { indexes: ACCOUNT_INDEXES }),
    authorizations: watch(AuthorizationKind, {
      indexes: { [REUSE_INDEX]: ({ spec }) => (spec.outcome === 'valid' ? [reuseKey(spec)] : []) },
    }),
    issued: watch(IssuedCertificateKind, { indexes: { ...RECORD_INDEXES, [REVOKED_INDEX]: revokedIndex } }),
  };
  const all = Object.values(caches);
  return {
    caches,
    /** Resolves once every cache holds its first list. */
    filled: async (signal: AbortSignal): Promise<void> => {
      await Promise.all(all.map((cache) => cache.synced(signal)));
    },
    /** Lists and watches until the signal aborts. */
    keep: async (signal: AbortSignal): Promise<void> => {
      await Promise.all(all.map((cache) => cache.run(signal)));
    },
  };
}

export type Caches = ReturnType<typeof createCaches>['caches'];
