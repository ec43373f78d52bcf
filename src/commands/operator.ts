// Everything that runs in one process, put together: caches, engine, ACME server, distribution, controllers.
// Adapters come in as arguments, so that dev, serve and the kill tests run the same code.
import type { FastifyServerOptions } from 'fastify';
import { createAcmeServer } from '../acme-server/index.ts';
import type { Keyring } from '../acme-server/keyring.ts';
import { createAcmeObjects } from '../acme-server/objects.ts';
import { createPeers, type Peers } from '../acme-server/peers.ts';
import type { Bucket, Limit } from '../acme-server/rate-limits.ts';
import { createReplicas, homeOf } from '../acme-server/replicas.ts';
import { createUrls } from '../acme-server/urls.ts';
import type { CertificateRecord } from '../api/issued-certificate.ts';
import type { Issuer } from '../api/issuer.ts';
import { type BackendName, type BackendsDeps, createBackends } from '../backends/index.ts';
import { createConfigMapReader } from '../cluster/config-map-reader.ts';
import { type ControllersDeps, createControllers } from '../controllers/index.ts';
import { createForgedRecords, type ForgedRecords } from '../controllers/forged-records.ts';
import { createDistributionApp } from '../distribution/app.ts';
import { createKeyAuthorizations } from '../distribution/key-authorizations.ts';
import { createCrls } from '../distribution/crl.ts';
import { clusterIssuer, issuerPath } from '../domain/issuer.ts';
import type { DenyList } from '../domain/deny-list.ts';
import { prepare } from '../domain/policy/prepare.ts';
import { compileExpression } from '../expressions/cel.ts';
import { createChainStore, createChainsInUse } from '../issuance/chains.ts';
import { createIssue } from '../issuance/engine.ts';
import { createRefuseKey } from '../issuance/forbidden-keys.ts';
import { createJudge } from '../issuance/judge.ts';
import { createNewestRecords, createRecords, keyAuthorizationIn } from '../issuance/records.ts';
import { sealRecords } from '../issuance/sealed-records.ts';
import { createAwaitRecord } from '../issuance/waiting.ts';
import type {
  Audit,
  Backends,
  CertbotRunner,
  Clock,
  Cluster,
  Log,
  ObjectRef,
  Random,
  Resolver,
  SecretReader,
  Validators,
} from '../ports.ts';
import type { Controller } from '../runtime/controller.ts';
import { createEventRecorder } from '../runtime/event-recorder.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { checkCaa } from '../validators/caa-check.ts';
import { createDnsUpdater } from '../validators/dns-update.ts';
import { createJudgedAddresses } from '../validators/judged-addresses.ts';
import { type Caches, createCaches } from './caches.ts';
import { createEvidence, type EvidenceDeps } from './evidence.ts';
import { issuerConditions } from './issuer-conditions.ts';
import { createIssuerSecrets } from './issuer-secrets.ts';
import { createLiveReads } from './live-reads.ts';

export interface OperatorDeps {
  cluster: Cluster;
  /** The operator's own namespace: records, accounts, Secrets of cluster issuers. */
  namespace: string;
  /** The namespaces whose claims are served; all when absent. The rights of the per-namespace mode suffice only for a list. */
  tenants?: readonly string[];
  secrets: SecretReader;
  /** Makes the backends of the issuers; createBackends when absent. */
  backends?: (deps: BackendsDeps) => Backends;
  /** Backends that CAIssuers may have besides `ca`, and where those never go; `ca` alone when absent. */
  tenantBackends?: { offered: readonly BackendName[]; denyList: DenyList };
  /** Where certbot runs; without it no issuer can have that backend. */
  certbot?: CertbotRunner;
  keyring: Keyring;
  validators: Validators;
  /** Asks these servers, or the system's. */
  resolver: (nameservers?: readonly string[]) => Resolver;
  clock: Clock;
  random: Random;
  log: Log;
  audit: Audit;
  metrics: Metrics;
  /** Origins under which clients reach the ACME server, the canonical one first; no trailing slash. */
  externalURLs: readonly string[];
  /** Origin of the plain HTTP listener, for CRLs and issuer certificates. */
  distributionURL: string;
  server: FastifyServerOptions;
  /** Where other replicas find this process; absent where it is alone. */
  replica?: {
    /** IP address, as the EndpointSlices of the Service have it. */
    address: string;
    port: number;
    /** Name of the Service, in `namespace`. */
    service: string;
  };
  limits?: Readonly<Record<Limit, Bucket>>;
  /** PEM of what signed the certificate of the ACME server, for whoever must trust it. */
  servingCA?: () => Promise<string | undefined>;
  /** Where that stands, if it is in a Secret. */
  servingSecret?: ObjectRef;
  /** Such as cluster.local, which it is when absent. */
  clusterDomain?: string;
  /** As of EvidenceDeps. */
  lookAgainMs?: NonNullable<EvidenceDeps['lookAgainMs']>;
  /** For what controllers write; `cluster` when absent. */
  leaderCluster?: Cluster;
  /** Name of this process among its replicas; `countersign` when absent. */
  instance?: string;
  /** Whether this process wants requests, its caches apart. */
  ready?: () => boolean;
  /** Whether its copies of objects, keys included, are whole; where it listens only then, absent. */
  caughtUp?: () => boolean;
  /** Further sweeps of what has served its time. */
  sweeps?: NonNullable<ControllersDeps['sweeps']>;
}

export function createOperator(given: OperatorDeps) {
  const forged = createForgedRecords(given);
  const deps = withSealedRecords(given, forged);
  const { caches, filled, keep, evidence } = watching(deps);
  const peers = peersOf(deps, caches);
  const services = createServices(deps, caches, peers);
  const acme = createAcmeServer({
    ...deps,
    ...caches,
    ...services,
    ...(peers && deps.replica ? { peering: { ask: peers.ask, ...homeOf(deps.replica.address) } } : {}),
    caughtUp: deps.caughtUp ?? (() => true),
    evidence,
    checkCaa,
    chainsOf: (issuer, record) => services.chains.pemsOf(issuer, record),
    counters: countersOf(deps.metrics),
  });
  const crls = createCrls({ records: caches.issued, backends: services.backends, clock: deps.clock });
  const distribution = createDistributionApp({
    issuers: caches.issuers,
    crls,
    keyAuthorization: answersIn(caches.issued, deps.clock),
    ready: () => Object.values(caches).every((cache) => cache.hasSynced()) && (deps.ready?.() ?? true),
    metrics: () => deps.metrics.render(),
    log: deps.log,
  });
  const lead = leading(deps, { caches, services, filled, forged });
  deps.metrics.issuerConditions(() => issuerConditions(caches.issuers.list()));

  return {
    acme: acme.app,
    /** What other replicas ask of this one; undefined without `replica`. */
    peerApp: acme.peerApp,
    distribution,
    issuers: caches.issuers,
    /** Resolves once every cache is filled. */
    synced: filled,
    /** Keeps caches and runs controllers until the signal aborts. */
    run: async (signal: AbortSignal) => {
      await Promise.all([keep(signal), lead(signal)]);
    },
    /** Keeps the caches, which every replica needs. */
    keep,
    /** Runs the controllers, which one replica does at a time; may be called again once it has resolved. */
    lead,
    caches,
    /** Takes no more requests; resolves once those under way have been answered. */
    drain: async () => {
      await acme.app.close();
    },
    /** Stops serving, in order: no new requests, validations ended. */
    close: async () => {
      await acme.stop();
      await distribution.close();
      peers?.close();
    },
  };
}

/** All that is watched: always, or while an issuer wants it. */
function watching(deps: OperatorDeps) {
  const { caches, filled, keep } = createCaches(deps);
  const evidence = createEvidence({ ...deps, caches });
  return {
    caches,
    filled,
    evidence: evidence.sources,
    keep: async (signal: AbortSignal): Promise<void> => {
      await Promise.all([keep(signal), evidence.keep(signal)]);
    },
  };
}

/** All that reads or writes records goes by these. */
function withSealedRecords(deps: OperatorDeps, forged: ForgedRecords): OperatorDeps {
  const { cluster, leaderCluster } = deps;
  const onForged = (record: CertificateRecord) => forged.saw(record);
  const seal = (each: Cluster) => sealRecords(each, { marks: deps.keyring, onForged });
  return { ...deps, cluster: seal(cluster), ...(leaderCluster ? { leaderCluster: seal(leaderCluster) } : {}) };
}

interface Leading extends Pick<ReturnType<typeof createCaches>, 'caches' | 'filled'> {
  services: Services;
  forged: ForgedRecords;
}

/** What one replica does at a time, until the signal aborts. */
function leading(
  deps: OperatorDeps,
  { caches, services, filled, forged }: Leading,
): (signal: AbortSignal) => Promise<void> {
  const leader = { ...deps, cluster: deps.leaderCluster ?? deps.cluster };
  const events = createEventRecorder({ ...leader, instance: deps.instance ?? 'countersign' });
  const controllers = createControllers({
    ...leader,
    ...services,
    records: createRecords({ ...leader, cache: caches.issued, newest: services.newestRecords }),
    caches: { ...caches, secrets: caches.secretCache, records: caches.issued },
    marks: deps.keyring,
    servingCA: deps.servingCA ?? (async () => undefined),
    directoryURL: ({ metadata }) => createUrls(deps.externalURLs[0] ?? '', metadata).directory,
    policyFault: (policy) => prepare(policy, compileExpression).broken,
    events,
    durations: deps.metrics.reconcileSeconds,
    queueMetrics: deps.metrics.queues,
    showQueue: (controller) => showQueue(deps.metrics, controller),
    sweeps: deps.sweeps ?? [],
    collected: deps.metrics.collected,
    counters: deps.metrics,
  });
  return async (signal) => {
    const synced = filled(signal);
    synced.then(
      () => forged.tell({ events, ...caches }, signal),
      () => undefined,
    );
    await controllers.run(synced, signal);
    await events.flush();
  };
}

function answersIn(records: Caches['issued'], clock: Clock) {
  return createKeyAuthorizations({ records, find: keyAuthorizationIn(records), clock });
}

function showQueue({ gauge }: Metrics, controller: Controller): void {
  const { name } = controller;
  gauge('queueDepth', { name }, () => controller.depth());
  gauge('queueUnfinished', { name }, () => controller.unfinished().seconds);
  gauge('queueLongest', { name }, () => controller.unfinished().longest);
}

function countersOf({ requests, requestSeconds, nonces, validations, rateLimited, attributions }: Metrics) {
  return { requests, requestSeconds, nonces, validations, rateLimited, attributions };
}

/** What doors and controllers share. */
function createServices(deps: OperatorDeps, caches: Caches, peers: Peers | undefined) {
  const { cluster, clock, random, audit, metrics, namespace } = deps;
  const resolverOf = resolverByIssuer(deps.resolver);
  const secretsOf = createIssuerSecrets(deps);
  const backends = createIssuerBackends(deps, secretsOf);
  const newestRecords = createNewestRecords(caches.issued, namespace);
  const records = createRecords({ cluster, cache: caches.issued, newest: newestRecords, namespace });
  const chains = createChainStore({ cluster, inUse: createChainsInUse({ records: caches.issued, clock }) });
  const objects = createAcmeObjects({ ...deps, ...caches, ...(peers ? { announce: peers.announce } : {}) });
  const live = createLiveReads({ ...deps, caches, isLocal: !deps.replica });
  const judge = createJudge({
    ...live,
    policies: caches.policies,
    compile: compileExpression,
    resolverOf,
    random,
    audit,
    decisions: metrics.decisions,
  });
  const refuseKey = createRefuseKey({ ...caches, objects, records });
  const { issued, refused } = metrics;
  const issue = createIssue({
    cluster,
    namespace,
    backends,
    judge,
    records,
    chains,
    refuseKey,
    awaitRecord: createAwaitRecord({ cluster, cache: caches.issued, namespace, clock }),
    clock,
    audit,
    issued,
    refused,
  });
  return { ...live, resolverOf, secretsOf, backends, newestRecords, records, chains, objects, judge, issue };
}

function createIssuerBackends(deps: OperatorDeps, secretsOf: ReturnType<typeof createIssuerSecrets>): Backends {
  const { cluster, clock, random, namespace } = deps;
  const configMaps = createConfigMapReader(cluster, namespace);
  return (deps.backends ?? createBackends)({
    secretsOf,
    // Those of tenants are none of the operator's business.
    configMapsOf: (issuer) => (issuer.metadata.namespace === undefined ? configMaps : undefined),
    clock,
    random,
    ...(deps.certbot ? { certbot: deps.certbot } : {}),
    proof: {
      validators: deps.validators,
      resolver: deps.resolver,
      dnsUpdater: createDnsUpdater({ clock, random }),
    },
    ...tenantsOf(deps),
    urls: ({ metadata }) => ({
      crl: `${deps.distributionURL}${issuerPath(metadata)}/crl/${metadata.name}.crl`,
      issuerCertificate: `${deps.distributionURL}${issuerPath(metadata)}/ca/${metadata.name}.cer`,
    }),
  });
}

function tenantsOf({ tenantBackends, resolver }: OperatorDeps): Pick<BackendsDeps, 'tenants'> {
  if (!tenantBackends) return {};
  const { offered, denyList } = tenantBackends;
  return { tenants: { offered, addressesOf: createJudgedAddresses({ denyList, resolver: resolver() }) } };
}

type Services = ReturnType<typeof createServices>;

function peersOf(deps: OperatorDeps, { slices }: Caches): Peers | undefined {
  const { replica } = deps;
  if (!replica) return undefined;
  const { name } = homeOf(replica.address);
  return createPeers({ ...deps, ...replica, replicas: createReplicas({ ...deps, ...replica, slices, own: name }) });
}

export type Operator = ReturnType<typeof createOperator>;

/** One resolver per set of name servers. */
function resolverByIssuer(make: OperatorDeps['resolver']): (issuer: Issuer) => Resolver {
  const bySet = new Map<string, Resolver>();
  return (issuer) => {
    const servers = clusterIssuer(issuer)?.spec.acme?.validation?.nameservers;
    const key = servers?.join(' ') ?? '';
    const resolver = bySet.get(key) ?? make(servers);
    bySet.set(key, resolver);
    return resolver;
  };
}
