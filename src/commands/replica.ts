// One replica of the operator on a cluster, from its start to its orderly end. Every replica serves ACME, validates and signs with
// local CAs; what only one may do, the holder of the Lease does.
import type { FastifyInstance } from 'fastify';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { Server } from 'node:https';
import type { Account, Authorization } from '../api/acme.ts';
import type { Secret } from '../api/core.ts';
import { type CertificateRecord, RecordAnnotation } from '../api/issued-certificate.ts';
import type { KubeObject } from '../api/kind.ts';
import { createSecretReader } from '../cluster/secret-reader.ts';
import type { Config } from '../config.ts';
import { SecretAnnotation } from '../controllers/claim-secret.ts';
import type { DenyList } from '../domain/deny-list.ts';
import { parseDuration } from '../domain/duration.ts';
import type { Audit, Cache, CertbotRunner, Clock, Cluster, Log, Random, Validators } from '../ports.ts';
import { fenceCluster } from '../runtime/fenced-cluster.ts';
import { createLeaderElection, type LeaderElection } from '../runtime/leader-election.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { shrinkHeap } from './heap.ts';
import { listen, listenerOptions, SECURE_CONTEXT } from './listener.ts';
import { createOperator, type Operator, type OperatorDeps } from './operator.ts';
import { loadKeyring, rotateKeys, SEALING_KEYS_SECRET } from './sealing-keys.ts';
import { createServingTls, type ServingTls } from './serving-tls.ts';

export interface ReplicaDeps {
  config: Config;
  cluster: Cluster;
  /** At which other replicas reach this one. */
  address: string;
  validators: Validators;
  /** Where backends of CAIssuers never go; validators have it too. */
  denyList: DenyList;
  resolver: OperatorDeps['resolver'];
  /** Makes the backends of the issuers; createBackends when absent. */
  backends?: NonNullable<OperatorDeps['backends']>;
  /** Where certbot runs; without it no issuer can have that backend. */
  certbot?: CertbotRunner;
  clock: Clock;
  random: Random;
  log: Log;
  audit: Audit;
  metrics: Metrics;
}

export interface Replica {
  operator: Operator;
  election: LeaderElection;
  /** Resolves when it listens and its caches are filled; rejects where it cannot. */
  ready: Promise<void>;
  /** In order: goes on serving for a moment, answers what is under way; some half a minute at most. */
  stop(how: 'in order' | 'at once'): Promise<void>;
}

/** Told to end, it is no longer ready at once, and goes on serving until whoever sends it requests has noticed. */
const SERVE_ON_MS = 5000;
/** Requests under way have this long to end. */
const DRAIN_MS = 20_000;
/** Kubernetes kills after 30 s. */
const WIND_DOWN_MS = 4000;

export async function startReplica(deps: ReplicaDeps): Promise<Replica> {
  const parts = await assemble(deps);
  const { operator, tls, election } = parts;
  const stopping = { keep: new AbortController(), lead: new AbortController() };
  let keeping: Promise<void> = Promise.resolve();
  let leading: Promise<void> = Promise.resolve();
  let begun = false;

  async function begin(): Promise<void> {
    await listenAt(deps, operator.distribution, 'distribution');
    await tls.loaded(stopping.keep.signal);
    if (operator.peerApp) await listenAt(deps, operator.peerApp, 'peers');
    // Directory and nonces need no copies, which may be large, and take every moment while they are read: all else is put off until
    // they are whole.
    await listenAt(deps, operator.acme, 'acme');
    if (!parts.state.stopping) keeping = operator.keep(stopping.keep.signal);
    await operator.synced(stopping.keep.signal);
    follow(parts);
    await Promise.all([parts.keyring.reload(), tls.refresh()]);
    shrinkHeap();
    parts.state.caughtUp = true;
    if (parts.state.stopping) throw new Error('told to end before it was ready');
    begun = true;
    leading = election.run((signal) => lead(deps, parts, signal), stopping.lead.signal);
  }

  const ready = begin();
  // Whoever waits hears of a failure; after a stop nobody does.
  ready.catch(() => undefined);
  return {
    operator,
    election,
    ready,
    stop: async (how) => {
      parts.state.stopping = true;
      if (how === 'in order' && begun) {
        await deps.clock.sleep(SERVE_ON_MS);
        await within(deps.clock, DRAIN_MS, operator.drain());
      }
      stopping.lead.abort(new Error('the replica ends'));
      await within(deps.clock, WIND_DOWN_MS, leading);
      operator.acme.server.closeAllConnections();
      await operator.close();
      stopping.keep.abort(new Error('the replica ends'));
      await keeping;
    },
  };
}

interface Parts {
  operator: Operator;
  keyring: OperatorDeps['keyring'];
  tls: ServingTls;
  election: LeaderElection;
  /** For what the leader alone writes. */
  leaderCluster: Cluster;
  state: { stopping: boolean; caughtUp: boolean };
  namespace: string;
}

async function assemble(deps: ReplicaDeps): Promise<Parts> {
  const { config, cluster, clock, random, log } = deps;
  const { namespace } = config;
  const secrets = createSecretReader(cluster, namespace);
  const keyring = await loadKeyring({ cluster, namespace, clock, random });
  const identity = `${hostname()}_${random.bytes(6).toString('hex')}`;
  const election = createLeaderElection({ cluster, clock, random, log, namespace, name: config.leaseName, identity });
  deps.metrics.gauge('leader', { lease: config.leaseName }, () => (election.isLeader() ? 1 : 0));
  const leaderCluster = fenceCluster(cluster, election);
  const state = { stopping: false, caughtUp: false };
  const tls = createServingTls({
    ...deps,
    secrets,
    namespace,
    secretName: config.tlsSecretName,
    names: servingNames(config),
    use: (pair) => (operator.acme.server as Server).setSecureContext({ ...SECURE_CONTEXT, ...pair }),
  });
  const operator = createOperator({
    ...deps,
    namespace,
    secrets,
    keyring,
    leaderCluster,
    instance: identity,
    tenantBackends: { offered: config.tenantBackends, denyList: deps.denyList },
    ...(config.watchNamespaces ? { tenants: config.watchNamespaces } : {}),
    servingCA: async () => (await secrets.read(tls.secretName))?.['ca.crt']?.toString(),
    servingSecret: { namespace, name: tls.secretName },
    clusterDomain: config.clusterDomain,
    externalURLs: config.externalURLs,
    distributionURL: config.distributionURL,
    replica: { address: deps.address, port: config.listen.peers, service: config.serviceName },
    ready: () => tls.isLoaded() && state.caughtUp && !state.stopping,
    caughtUp: () => state.caughtUp,
    server: { ...listenerOptions({}), trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false },
  });
  operator.acme.addHook('onSend', (_request, reply, _payload, done) => {
    // Clients that keep connections open come back by way of another replica.
    if (state.stopping) reply.header('Connection', 'close');
    done();
  });
  return { operator, keyring, tls, election, leaderCluster, state, namespace };
}

async function listenAt(
  { config }: ReplicaDeps,
  app: FastifyInstance,
  which: 'acme' | 'distribution' | 'peers',
): Promise<void> {
  const what = { acme: 'the ACME server', distribution: 'CRLs and health', peers: 'other replicas' }[which];
  await listen(app, { host: config.listen.address ?? '::', port: config.listen[which], what, flag: `listen.${which}` });
}

/** Takes up keys and certificates as their Secrets change. */
function follow({ operator, keyring, tls, namespace }: Parts): void {
  const isOurs = ({ metadata }: KubeObject, name: string) => metadata.namespace === namespace && metadata.name === name;
  operator.caches.secretCache.onChange((secret) => {
    // What cannot be read now is read when it is next needed.
    if (isOurs(secret, SEALING_KEYS_SECRET)) keyring.reload().catch(() => undefined);
    if (isOurs(secret, tls.secretName)) void tls.refresh();
  });
}

/** Everything that only one replica does. */
async function lead(
  deps: ReplicaDeps,
  { operator, keyring, tls, leaderCluster, namespace }: Parts,
  signal: AbortSignal,
): Promise<void> {
  // Another may have turned the keys over a moment ago.
  await keyring.reload().catch(() => undefined);
  const rotation = {
    ...deps,
    cluster: leaderCluster,
    namespace,
    keyring,
    rotateAfterMs: deps.config.rotateAfterMs,
    longestOrderMs: () => longestOrder(operator),
    macs: () => storedMacs(operator.caches),
    secrets: operator.caches.secretCache,
  };
  await Promise.all([operator.lead(signal), rotateKeys(rotation, signal), tls.renew(signal)]);
}

function longestOrder({ issuers }: Operator): number {
  const lives = issuers.list().map(({ spec }) => parseDuration(spec.acme?.orderDuration ?? '24h'));
  return Math.max(0, ...lives);
}

/** MACs of all that is stored: accounts, authorizations, records, Secrets of claims. */
function* storedMacs(caches: {
  accounts: Cache<Account>;
  authorizations: Cache<Authorization>;
  issued: Cache<CertificateRecord>;
  secretCache: Cache<Secret>;
}): Iterable<string> {
  for (const { spec } of caches.accounts.list()) yield spec.mac;
  for (const { spec } of caches.authorizations.list()) yield spec.mac;
  for (const [cache, annotation] of [
    [caches.issued, RecordAnnotation.mac],
    [caches.secretCache, SecretAnnotation.marker],
  ] as const)
    for (const { metadata } of cache.each()) {
      const mac = metadata.annotations?.[annotation];
      if (mac !== undefined) yield mac;
    }
}

/** Names by which clients may reach us: those of the external URLs and of the Service. */
export function servingNames({ externalURLs, serviceName, namespace }: Config): {
  dnsNames: string[];
  ipAddresses: string[];
} {
  const hosts = externalURLs.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''));
  const service = [`${serviceName}.${namespace}.svc`, `${serviceName}.${namespace}`];
  const names = [...new Set([...hosts, ...service])];
  return {
    dnsNames: names.filter((name) => isIP(name) === 0),
    ipAddresses: names.filter((name) => isIP(name) !== 0),
  };
}

/** Waits for the work, but not for ever. */
async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).catch(() => undefined);
  await Promise.race([work.catch(() => undefined), late]);
  over.abort();
}
