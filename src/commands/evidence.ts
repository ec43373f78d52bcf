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
import { POD_ADDRESS_INDEX, podAddresses, podEssence } from '../acme-server/pod-addresses.ts';
import {
  HOST_INDEX,
  ingressEssence,
  ingressHosts,
  PARENT_INDEX,
  parents,
  routeEssence,
  routeHosts,
} from '../acme-server/route-hosts.ts';
import { NamespaceKind } from '../api/core.ts';
import {
  CertManagerClusterIssuerKind,
  CertManagerIssuerKind,
  CertManagerOrderKind,
  HTTPRouteKind,
  IngressKind,
  PodKind,
  ServiceKind,
} from '../api/foreign.ts';
import type { Issuer } from '../api/issuer.ts';
import { type Kind, type KubeObject, metadataOf } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cache, Clock, Cluster, Log, Random } from '../ports.ts';
import {
  createOptionalReflector,
  joinOptional,
  type OptionalReflector,
  type OptionalReflectorDeps,
} from '../runtime/optional-reflector.ts';
import { createSharedRead } from '../runtime/shared-read.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Caches } from './caches.ts';
import { type Wants, wantsIngresses, wantsOrders, wantsPods, wantsRoutes, wantsServices } from './optional-features.ts';

export interface EvidenceDeps {
  cluster: Cluster;
  /** The namespaces that are served; all when absent. */
  tenants?: readonly string[];
  caches: Pick<Caches, 'issuers' | 'namespaces'>;
  clusterDomain?: string;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Pick<Metrics, 'reflectors' | 'gauge'>;
  /** How often kinds that are not to be had are looked for. */
  lookAgainMs?: number;
}

/** At Orders of cert-manager: name of the record that is finished. */
const ANSWERED = 'countersign.dev/answered';
const FIELD_MANAGER = 'countersign';

/** Between two lists of the Orders of a cluster. */
const LIST_GAP_MS = 500;

export interface Evidence {
  sources: AcmeServerDeps['evidence'];
  /** Until the signal aborts. */
  keep(signal: AbortSignal): Promise<void>;
}

export function createEvidence(deps: EvidenceDeps): Evidence {
  const { cluster, caches, clock, tenants, clusterDomain = 'cluster.local' } = deps;
  const { watch, wanted } = createWatch(deps);
  const namespaces = createSharedRead({
    read: async () => (await cluster.list(NamespaceKind)).items,
    clock,
    gapMs: LIST_GAP_MS,
  });
  return {
    sources: {
      ...watchedKinds(watch),
      seesAll: tenants === undefined,
      clusterDomain,
      live: liveReads(deps),
      // One annotation, which says the same to whoever sets it.
      mark: async (order, record) => {
        const metadata = { ...order, annotations: { [ANSWERED]: record } };
        await cluster.apply<KubeObject>(CertManagerOrderKind, { metadata }, { fieldManager: FIELD_MANAGER });
      },
      livePod: (ref) => cluster.get(PodKind, ref),
      liveService: async (ref) => {
        try {
          return await cluster.get(metadataOf(ServiceKind), ref);
        } catch (error) {
          // What must not be seen proves nothing.
          if (isClusterError(error, 'Forbidden', 'NotFound')) return undefined;
          throw error;
        }
      },
      namespace: async (name) =>
        caches.namespaces.get({ name }) ?? (await namespaces()).find(({ metadata }) => metadata.name === name),
    },
    keep: async (signal) => {
      const stop = follow(caches.issuers, wanted);
      await Promise.all(wanted.map(([reflector]) => reflector.run(signal)));
      stop();
    },
  };
}

type Watch = <T extends KubeObject>(
  kind: Kind<T>,
  wants: Wants,
  more?: Pick<OptionalReflectorDeps<T>, 'indexes' | 'transform'>,
) => OptionalReflector<T>;

type Wanted = readonly [Pick<OptionalReflector<never>, 'want' | 'run'>, Wants];

/** Makes reflectors, and notes who wants each. */
function createWatch(deps: EvidenceDeps): { watch: Watch; wanted: readonly Wanted[] } {
  const { cluster, clock, random, log, tenants, lookAgainMs } = deps;
  const metrics = deps.metrics.reflectors;
  const again = lookAgainMs === undefined ? {} : { lookAgainMs };
  const wanted: Wanted[] = [];
  return {
    wanted,
    watch(kind, wants, more = {}) {
      const inOne = (scope: { namespace?: string }) =>
        createOptionalReflector({ cluster, clock, random, log, kind, metrics, ...again, ...more, ...scope });
      const reflector =
        tenants && kind.namespaced ? joinOptional(tenants.map((namespace) => inOne({ namespace }))) : inOne({});
      const label = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
      deps.metrics.gauge('reflectorAge', { kind: label }, () => reflector.ageSeconds());
      wanted.push([reflector, wants]);
      return reflector;
    },
  };
}

function watchedKinds(watch: Watch) {
  const issuersOf = { indexes: { [ACCOUNT_URI_INDEX]: accountURIs }, transform: issuerEssence };
  return {
    orders: watch(CertManagerOrderKind, wantsOrders, {
      indexes: { [ORDER_URL_INDEX]: orderURLs },
      transform: orderEssence,
    }),
    clusterIssuers: watch(CertManagerClusterIssuerKind, wantsOrders, issuersOf),
    namespacedIssuers: watch(CertManagerIssuerKind, wantsOrders, issuersOf),
    services: watch(metadataOf(ServiceKind), wantsServices),
    pods: watch(PodKind, wantsPods, { indexes: { [POD_ADDRESS_INDEX]: podAddresses }, transform: podEssence }),
    ingresses: watch(IngressKind, wantsIngresses, {
      indexes: { [HOST_INDEX]: ingressHosts, [PARENT_INDEX]: parents(ingressHosts) },
      transform: ingressEssence,
    }),
    routes: watch(HTTPRouteKind, wantsRoutes, {
      indexes: { [HOST_INDEX]: routeHosts, [PARENT_INDEX]: parents(routeHosts) },
      transform: routeEssence,
    }),
  };
}

function liveReads({ cluster, clock, tenants }: EvidenceDeps): Evidence['sources']['live'] {
  async function list<T extends KubeObject>(kind: Kind<T>): Promise<readonly T[]> {
    if (!tenants || !kind.namespaced) return (await cluster.list(kind)).items;
    const lists = await Promise.all(tenants.map((namespace) => cluster.list(kind, { namespace })));
    return lists.flatMap(({ items }) => items);
  }
  const issuers = async () =>
    (await Promise.all([list(CertManagerClusterIssuerKind), list(CertManagerIssuerKind)])).flat();
  return {
    orders: createSharedRead({ read: () => list(CertManagerOrderKind), clock, gapMs: LIST_GAP_MS }),
    issuers: createSharedRead({ read: issuers, clock, gapMs: LIST_GAP_MS }),
  };
}

/** Watches what some issuer wants, from when it does until none does. */
function follow(issuers: Pick<Cache<Issuer>, 'list' | 'onChange'>, wanted: readonly Wanted[]): () => void {
  const look = (): void => {
    for (const [reflector, wants] of wanted) reflector.want(issuers.list().some(wants));
  };
  look();
  return issuers.onChange(look);
}
