// Everything that runs in one process, put together: caches, engine, ACME server, distribution, controllers.
// Adapters come in as arguments, so that dev, serve and the kill tests run the same code.
import type { FastifyServerOptions } from 'fastify';
import { createAcmeServer } from '../acme-server/index.ts';
import type { Keyring } from '../acme-server/keyring.ts';
import { createAcmeObjects } from '../acme-server/objects.ts';
import type { Bucket, Limit } from '../acme-server/rate-limits.ts';
import { createUrls } from '../acme-server/urls.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { type BackendsDeps, createBackends } from '../backends/index.ts';
import { type ControllersDeps, createControllers } from '../controllers/index.ts';
import { createDistributionApp } from '../distribution/app.ts';
import { createCrls } from '../distribution/crl.ts';
import { prepare } from '../domain/policy/prepare.ts';
import { compileExpression } from '../expressions/cel.ts';
import { createChainStore } from '../issuance/chains.ts';
import { createIssue } from '../issuance/engine.ts';
import { createRefuseKey } from '../issuance/forbidden-keys.ts';
import { createJudge } from '../issuance/judge.ts';
import { createRecords } from '../issuance/records.ts';
import { createAwaitRecord } from '../issuance/waiting.ts';
import type { Audit, Backends, Clock, Cluster, Log, Random, Resolver, SecretReader, Validators } from '../ports.ts';
import { createEventRecorder } from '../runtime/event-recorder.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { checkCaa } from '../validators/caa-check.ts';
import { type Caches, createCaches } from './caches.ts';

export interface OperatorDeps {
  cluster: Cluster;
  /** The operator's own namespace: records, accounts, Secrets of cluster issuers. */
  namespace: string;
  secrets: SecretReader;
  /** Makes the backends of the issuers; createBackends when absent. */
  backends?: (deps: BackendsDeps) => Backends;
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
  limits?: Readonly<Record<Limit, Bucket>>;
  /** Further sweeps of what has served its time. */
  sweeps?: NonNullable<ControllersDeps['sweeps']>;
}

export function createOperator(deps: OperatorDeps) {
  const { caches, filled, keep } = createCaches(deps);
  const services = createServices(deps, caches);
  const acme = createAcmeServer({
    ...deps,
    ...caches,
    ...services,
    checkCaa,
    chainsOf: (issuer, record) => services.chains.pemsOf(issuer, record),
    counters: countersOf(deps.metrics),
  });
  const crls = createCrls({ records: caches.issued, backends: services.backends, clock: deps.clock });
  const distribution = createDistributionApp({
    issuers: caches.issuers,
    crls,
    ready: () => Object.values(caches).every((cache) => cache.hasSynced()),
    metrics: () => deps.metrics.render(),
    log: deps.log,
  });
  const events = createEventRecorder({ ...deps, instance: 'countersign' });
  const controllers = createControllers({
    ...deps,
    ...services,
    caches: { ...caches, secrets: caches.secretCache, records: caches.issued },
    marks: deps.keyring,
    directoryURL: ({ metadata }) => createUrls(deps.externalURLs[0] ?? '', metadata.name).directory,
    policyFault: (policy) => prepare(policy, compileExpression).broken,
    events,
    durations: deps.metrics.reconcileSeconds,
    showDepth: (controller, read) => deps.metrics.gauge('queueDepth', { controller }, read),
    sweeps: deps.sweeps ?? [],
    collected: deps.metrics.collected,
    counters: deps.metrics,
  });

  return {
    acme: acme.app,
    distribution,
    issuers: caches.issuers,
    /** Resolves once every cache is filled. */
    synced: filled,
    /** Keeps caches and runs controllers until the signal aborts. */
    run: async (signal: AbortSignal) => {
      await Promise.all([keep(signal), controllers.run(filled(signal), signal)]);
      await events.drain();
    },
    /** Stops serving, in order: no new requests, validations ended. */
    close: async () => {
      await acme.stop();
      await distribution.close();
    },
  };
}

function countersOf({ requests, requestSeconds, nonces, validations, rateLimited }: Metrics) {
  return { requests, requestSeconds, nonces, validations, rateLimited };
}

/** What doors and controllers share. */
function createServices(deps: OperatorDeps, caches: Caches) {
  const { cluster, clock, random, audit, metrics, namespace } = deps;
  const resolverOf = resolverByIssuer(deps.resolver);
  const backends = (deps.backends ?? createBackends)({
    secrets: deps.secrets,
    clock,
    random,
    urls: ({ metadata }) => ({
      crl: `${deps.distributionURL}/crl/${metadata.name}.crl`,
      issuerCertificate: `${deps.distributionURL}/ca/${metadata.name}.cer`,
    }),
  });
  const records = createRecords({ cluster, cache: caches.issued, namespace });
  const chains = createChainStore({ cluster });
  const objects = createAcmeObjects({ ...deps, ...caches });
  const judge = createJudge({
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
  return { resolverOf, backends, records, chains, objects, judge, issue };
}

export type Operator = ReturnType<typeof createOperator>;

/** One resolver per set of name servers. */
function resolverByIssuer(make: OperatorDeps['resolver']): (issuer: ClusterCAIssuer) => Resolver {
  const bySet = new Map<string, Resolver>();
  return (issuer) => {
    const servers = issuer.spec.acme?.validation?.nameservers;
    const key = servers?.join(' ') ?? '';
    const resolver = bySet.get(key) ?? make(servers);
    bySet.set(key, resolver);
    return resolver;
  };
}
