// Everything that runs in one process, put together: caches, engine, ACME server, distribution, controllers.
// Adapters come in as arguments, so that dev, serve and the kill tests run the same code.
import type { FastifyServerOptions } from 'fastify';
import { createAcmeServer } from '../acme-server/index.ts';
import { createUrls } from '../acme-server/urls.ts';
import { EAB_INDEX, eabKey } from '../acme-server/external-account-binding.ts';
import type { Keyring } from '../acme-server/keyring.ts';
import { type AcmeObjects, createAcmeObjects, KEY_INDEX, keyIndex, REUSE_INDEX, reuseKey } from '../acme-server/objects.ts';
import type { Bucket, Limit } from '../acme-server/rate-limits.ts';
import { AccountKind, AuthorizationKind } from '../api/acme.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { NamespaceKind, SecretKind } from '../api/core.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import type { KubeObject, Kind } from '../api/kind.ts';
import { createBackends } from '../backends/index.ts';
import { CLAIM_INDEXES } from '../controllers/certificate-claim.ts';
import { createControllers, withoutValues } from '../controllers/index.ts';
import { createDistributionApp } from '../distribution/app.ts';
import { createCrls, REVOKED_INDEX, revokedIndex } from '../distribution/crl.ts';
import type { CertificateSigningRequest } from '../domain/certificate-model.ts';
import { sha256 } from '../domain/encoding.ts';
import { Problem } from '../domain/problem.ts';
import { prepare } from '../domain/policy/prepare.ts';
import { compileExpression } from '../expressions/cel.ts';
import { createChainStore } from '../issuance/chains.ts';
import { createIssue } from '../issuance/engine.ts';
import { createJudge } from '../issuance/judge.ts';
import { createRecords, RECORD_INDEXES } from '../issuance/records.ts';
import type { Audit, Clock, Cluster, Log, Random, Resolver, SecretReader, Validators } from '../ports.ts';
import { createEventRecorder } from '../runtime/event-recorder.ts';
import { createReflector, type Reflector } from '../runtime/reflector.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { checkCaa } from '../validators/caa-check.ts';

export interface OperatorDeps {
  cluster: Cluster;
  /** The operator's own namespace: records, accounts, Secrets of cluster issuers. */
  namespace: string;
  secrets: SecretReader;
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
}

export function createOperator(deps: OperatorDeps) {
  const { cluster, clock, random, log, audit, metrics, namespace } = deps;
  const reflectors: Reflector<KubeObject>[] = [];
  const watchKind = <T extends KubeObject>(
    kind: Kind<T>,
    indexes: Record<string, (object: T) => readonly string[]> = {},
    transform: (object: T) => T = (object) => object,
  ): Reflector<T> => {
    const reflector = createReflector({ cluster, kind, clock, random, log, indexes, transform });
    reflectors.push(reflector as unknown as Reflector<KubeObject>);
    return reflector;
  };
  const issuers = watchKind(ClusterCAIssuerKind);
  const policies = watchKind(CertificateRequestPolicyKind);
  const claims = watchKind(CertificateClaimKind, CLAIM_INDEXES);
  const secrets = watchKind(SecretKind, {}, withoutValues);
  const namespaces = watchKind(NamespaceKind);
  const accounts = watchKind(AccountKind, {
    [KEY_INDEX]: ({ spec }) => [keyIndex(spec.issuerUID, spec.spkiHash)],
    [EAB_INDEX]: ({ spec }) => (spec.externalAccountBinding ? [eabKey(spec.issuerUID, spec.externalAccountBinding.keyID)] : []),
  });
  const authorizations = watchKind(AuthorizationKind, { [REUSE_INDEX]: ({ spec }) => (spec.outcome === 'valid' ? [reuseKey(spec)] : []) });
  const issued = watchKind(IssuedCertificateKind, { ...RECORD_INDEXES, [REVOKED_INDEX]: revokedIndex });

  const resolverOf = resolverByIssuer(deps.resolver);
  const urls = ({ metadata }: ClusterCAIssuer) => ({
    crl: `${deps.distributionURL}/crl/${metadata.name}.crl`,
    issuerCertificate: `${deps.distributionURL}/ca/${metadata.name}.cer`,
  });
  const backends = createBackends({ secrets: deps.secrets, clock, random, urls });
  const records = createRecords({ cluster, cache: issued, namespace });
  const chains = createChainStore({ cluster });
  const objects = createAcmeObjects({ cluster, keyring: deps.keyring, namespace, accounts, authorizations });
  const judge = createJudge({ policies, compile: compileExpression, resolverOf, random, audit, decisions: metrics.decisions });
  const issue = createIssue({
    cluster,
    namespace,
    backends,
    judge,
    records,
    chains,
    refuseKey: refuseAccountKey(objects),
    clock,
    audit,
    log,
    issued: metrics.issued,
    refused: metrics.refused,
  });
  const acme = createAcmeServer({
    ...deps,
    objects,
    accounts,
    issuers,
    records,
    issue,
    judge,
    resolverOf,
    checkCaa,
    chainsOf: chains.pemsOf,
    counters: { requests: metrics.requests, nonces: metrics.nonces, validations: metrics.validations, rateLimited: metrics.rateLimited },
  });
  const crls = createCrls({ records: issued, backends, clock });
  const ready = () => reflectors.every((reflector) => reflector.hasSynced());
  const distribution = createDistributionApp({ issuers, crls, ready, metrics: () => metrics.render(), log });
  const events = createEventRecorder({ cluster, clock, random, log, instance: 'countersign' });
  const controllers = createControllers({
    ...deps,
    caches: { issuers, policies, claims, secrets, namespaces, accounts, authorizations, records: issued },
    issue,
    records,
    backends,
    marks: deps.keyring,
    directoryURL: ({ metadata }) => createUrls(deps.externalURLs[0] ?? '', metadata.name).directory,
    policyFault: (policy) => prepare(policy, compileExpression).broken,
    events,
    durations: metrics.reconcileSeconds,
    collected: metrics.collected,
  });

  return {
    acme: acme.app,
    distribution,
    issuers,
    /** Resolves once every cache is filled. */
    synced: async (signal: AbortSignal) => {
      await Promise.all(reflectors.map((reflector) => reflector.synced(signal)));
    },
    /** Keeps caches and runs controllers until the signal aborts. */
    run: async (signal: AbortSignal) => {
      const filled = Promise.all(reflectors.map((reflector) => reflector.synced(signal))).then(() => undefined);
      await Promise.all([...reflectors.map((reflector) => reflector.run(signal)), controllers.run(filled, signal)]);
      await events.drain();
    },
    /** Stops serving, in order: no new requests, validations ended. */
    close: async () => {
      await acme.stop();
      await distribution.close();
    },
  };
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

/** RFC 8555 section 11.1: the key of an account must not be the key of a certificate. */
function refuseAccountKey(objects: AcmeObjects) {
  return (issuerUID: string, { publicKey }: CertificateSigningRequest): Problem | undefined => {
    if (!objects.isAccountKey(issuerUID, sha256(publicKey.spki))) return undefined;
    return new Problem('badCSR', 'the key of the CSR is the key of an account: make another key for the certificate');
  };
}
