// What tells who asks and what is whose: watched copies of kinds of others, each only while an issuer wants it, and the live reads beside
// them.
import {
  ACCOUNT_URI_INDEX,
  accountURIs,
  issuerEssence,
  ORDER_URL_INDEX,
  orderEssence,
  orderURLs,
} from '../acme-server/cert-manager-orders.ts';
import type { AcmeServerDeps } from '../acme-server/index.ts';
import { NamespaceKind } from '../api/core.ts';
import {
  CertManagerClusterIssuerKind,
  CertManagerIssuerKind,
  CertManagerOrderKind,
  ServiceKind,
} from '../api/foreign.ts';
import type { Issuer } from '../api/issuer.ts';
import { type Kind, type KubeObject, metadataOf } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import type { Cache, Clock, Cluster, Log, Random } from '../ports.ts';
import {
  createOptionalReflector,
  type OptionalReflector,
  type OptionalReflectorDeps,
} from '../runtime/optional-reflector.ts';
import { createSharedRead } from '../runtime/shared-read.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Caches } from './caches.ts';

export const NAMESPACE_RIGHTS: readonly Right[] = [
  { kind: NamespaceKind, verbs: ['get'], in: ['cluster'], why: 'know the labels of the namespace that asks' },
];

export const CERT_MANAGER_RIGHTS: readonly Right[] = [
  {
    kind: CertManagerOrderKind,
    verbs: ['list', 'watch'],
    in: ['cluster'],
    why: 'know the namespace in which cert-manager keeps an order',
  },
  {
    kind: CertManagerClusterIssuerKind,
    verbs: ['list', 'watch'],
    in: ['cluster'],
    why: 'know which account is that of which issuer of cert-manager',
  },
  { kind: CertManagerIssuerKind, verbs: ['list', 'watch'], in: ['cluster'], why: 'the same' },
];

export const SERVICE_RIGHTS: readonly Right[] = [
  {
    kind: ServiceKind,
    verbs: ['get', 'list', 'watch'],
    in: ['cluster'],
    why: 'know that a name is that of a Service of the namespace that asks',
  },
];

export interface EvidenceDeps {
  cluster: Cluster;
  caches: Pick<Caches, 'issuers' | 'namespaces'>;
  clusterDomain?: string;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Pick<Metrics, 'reflectors' | 'gauge'>;
  /** How often kinds that are not to be had are looked for. */
  lookAgainMs?: number;
}

/** Between two lists of the Orders of a cluster. */
const LIST_GAP_MS = 500;

type Wants = (issuer: Issuer) => boolean;

const proofOf = (issuer: Issuer) => clusterIssuer(issuer)?.spec.acme?.proof;
const wantsOrders: Wants = (issuer) =>
  proofOf(issuer)?.certManagerOrders === true ||
  (clusterIssuer(issuer)?.spec.acme?.externalAccountBinding?.keys?.some(({ scope }) => scope === 'ByOrder') ?? false);
const wantsServices: Wants = (issuer) => proofOf(issuer)?.services === true;

export interface Evidence {
  sources: AcmeServerDeps['evidence'];
  /** Until the signal aborts. */
  keep(signal: AbortSignal): Promise<void>;
}

export function createEvidence(deps: EvidenceDeps): Evidence {
  const { cluster, caches, clock, random, log, clusterDomain = 'cluster.local' } = deps;
  const wanted: [OptionalReflector<never>, Wants][] = [];

  function watch<T extends KubeObject>(
    kind: Kind<T>,
    wants: Wants,
    more: Pick<OptionalReflectorDeps<T>, 'indexes' | 'transform'> = {},
  ): OptionalReflector<T> {
    const { lookAgainMs } = deps;
    const again = lookAgainMs === undefined ? {} : { lookAgainMs };
    const metrics = deps.metrics.reflectors;
    const reflector = createOptionalReflector({ cluster, clock, random, log, kind, metrics, ...again, ...more });
    const label = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
    deps.metrics.gauge('reflectorAge', { kind: label }, () => reflector.ageSeconds());
    wanted.push([reflector as unknown as OptionalReflector<never>, wants]);
    return reflector;
  }

  const issuersOf = { indexes: { [ACCOUNT_URI_INDEX]: accountURIs }, transform: issuerEssence };
  const orders = watch(CertManagerOrderKind, wantsOrders, {
    indexes: { [ORDER_URL_INDEX]: orderURLs },
    transform: orderEssence,
  });
  const clusterIssuers = watch(CertManagerClusterIssuerKind, wantsOrders, issuersOf);
  const namespacedIssuers = watch(CertManagerIssuerKind, wantsOrders, issuersOf);
  const services = watch(metadataOf(ServiceKind), wantsServices);

  const sources: Evidence['sources'] = {
    orders,
    clusterIssuers,
    namespacedIssuers,
    services,
    clusterDomain,
    live: liveReads(cluster, clock),
    liveService: (ref) => cluster.get(metadataOf(ServiceKind), ref),
    namespace: async (name) => caches.namespaces.get({ name }) ?? cluster.get(NamespaceKind, { name }),
  };
  return {
    sources,
    keep: async (signal) => {
      const stop = follow(caches.issuers, wanted);
      await Promise.all(wanted.map(([reflector]) => reflector.run(signal)));
      stop();
    },
  };
}

function liveReads(cluster: Cluster, clock: Clock): Evidence['sources']['live'] {
  return {
    orders: createSharedRead({
      read: async () => (await cluster.list(CertManagerOrderKind)).items,
      clock,
      gapMs: LIST_GAP_MS,
    }),
    issuers: createSharedRead({
      read: async () => {
        const lists = [cluster.list(CertManagerClusterIssuerKind), cluster.list(CertManagerIssuerKind)];
        return (await Promise.all(lists)).flatMap(({ items }) => items);
      },
      clock,
      gapMs: LIST_GAP_MS,
    }),
  };
}

/** Watches what some issuer wants, from when it does until none does. */
function follow(
  issuers: Pick<Cache<Issuer>, 'list' | 'onChange'>,
  wanted: readonly (readonly [OptionalReflector<never>, Wants])[],
): () => void {
  const look = (): void => {
    for (const [reflector, wants] of wanted) reflector.want(issuers.list().some(wants));
  };
  look();
  return issuers.onChange(look);
}
