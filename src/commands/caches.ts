// Watched copies of every kind the program reads, with the indexes its parts ask for.
import { EAB_INDEX, eabKey } from '../acme-server/external-account-binding.ts';
import { KEY_INDEX, keyIndex, REUSE_INDEX, reuseKey } from '../acme-server/objects.ts';
import { type Account, AccountKind, AuthorizationKind } from '../api/acme.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { EndpointSliceKind, NamespaceKind, SecretKind } from '../api/core.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import { CAIssuerKind } from '../api/issuer.ts';
import { type Kind, type KubeObject, metadataOf } from '../api/kind.ts';
import { CLAIM_INDEXES } from '../controllers/certificate-claim.ts';
import { SecretAnnotation } from '../controllers/claim-secret.ts';
import { KEPT_INDEX, keptIndex } from '../controllers/minted-keys.ts';
import { KEPT_FOR } from '../controllers/own-mark.ts';
import { REVOKED_INDEX, revokedIndex } from '../distribution/crl.ts';
import { RECORD_INDEXES } from '../issuance/records.ts';
import type { Clock, Cluster, Log, Random } from '../ports.ts';
import { createPacking } from '../runtime/packing.ts';
import { joinReflectors } from '../runtime/joined-reflector.ts';
import { joinNamespaces } from '../runtime/partitioned-reflector.ts';
import { createReflector, type Reflector, type ReflectorDeps } from '../runtime/reflector.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export interface CachesDeps {
  cluster: Cluster;
  /** The operator's own. */
  namespace: string;
  /** The namespaces that are served; all when absent. */
  tenants?: readonly string[];
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Pick<Metrics, 'reflectors' | 'gauge'>;
}

const ACCOUNT_INDEXES = {
  [KEY_INDEX]: keyIndex,
  [EAB_INDEX]: ({ spec }: Account) =>
    spec.externalAccountBinding ? [eabKey(spec.issuerUID, spec.externalAccountBinding.keyID)] : [],
};

/** Of the Secrets of others nothing but that they are there: their annotations may hold what they hold. */
function ownMarks<T extends KubeObject>(secret: T): T {
  const {
    labels: _labels,
    annotations = {},
    ownerReferences: _owners,
    finalizers: _finalizers,
    ...metadata
  } = secret.metadata;
  const own = [SecretAnnotation.marker, KEPT_FOR].flatMap((name) => {
    const value = annotations[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...secret,
    metadata: { ...metadata, ...(own.length > 0 ? { annotations: Object.fromEntries(own) } : {}) },
  };
}

const SECRETS = { transform: ownMarks, indexes: { [KEPT_INDEX]: keptIndex } };

export function createCaches({ cluster, namespace, tenants, clock, random, log, metrics }: CachesDeps) {
  const watch = <T extends KubeObject>(
    kind: Kind<T>,
    more: Pick<ReflectorDeps<T>, 'indexes' | 'transform' | 'packing' | 'namespace'> = {},
    label = kind.kind,
  ): Reflector<T> => {
    const reflector = createReflector({ cluster, clock, random, log, kind, metrics: metrics.reflectors, ...more });
    metrics.gauge('reflectorAge', { kind: label }, () => reflector.ageSeconds());
    return reflector;
  };
  /** In the namespaces that are served, and in `others` wherever those are listed. */
  const watchTenants = <T extends KubeObject>(
    kind: Kind<T>,
    more: Pick<ReflectorDeps<T>, 'indexes' | 'transform' | 'packing'> = {},
    others: readonly string[] = [],
  ): Reflector<T> => {
    if (!tenants) return watch(kind, more);
    const inOne = (name: string) => watch(kind, { ...more, namespace: name }, `${kind.kind} in ${name}`);
    return joinNamespaces(new Map([...tenants, ...others].map((name) => [name, inOne(name)])));
  };
  const caches = {
    issuers: joinReflectors(watch(ClusterCAIssuerKind), watchTenants(CAIssuerKind)),
    policies: watch(CertificateRequestPolicyKind),
    claims: watchTenants(CertificateClaimKind, { indexes: CLAIM_INDEXES }),
    secretCache: watchTenants(metadataOf(SecretKind), { ...SECRETS, packing: createPacking() }, [namespace]),
    namespaces: watch(NamespaceKind),
    slices: watch(EndpointSliceKind, { namespace }),
    accounts: watch(AccountKind, { namespace, indexes: ACCOUNT_INDEXES }),
    authorizations: watch(AuthorizationKind, {
      namespace,
      indexes: { [REUSE_INDEX]: ({ spec }) => (spec.outcome === 'valid' ? [reuseKey(spec)] : []) },
    }),
    issued: watch(IssuedCertificateKind, {
      namespace,
      indexes: { ...RECORD_INDEXES, [REVOKED_INDEX]: revokedIndex },
      packing: createPacking(),
    }),
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
