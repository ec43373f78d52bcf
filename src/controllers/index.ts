// All controllers of a process: made from what they need, started once the caches are filled.
import type { Account, Authorization } from '../api/acme.ts';
import type { Issuer } from '../api/issuer.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { CertificateRequestPolicy } from '../api/certificate-request-policy.ts';
import type { Namespace } from '../api/core.ts';
import type { CertificateRecord } from '../api/issued-certificate.ts';
import type { KubeObject } from '../api/kind.ts';
import type { IssuerName } from '../domain/issuer.ts';
import { type ChainStore, createChainsInUse } from '../issuance/chains.ts';
import { createFulfilment } from '../issuance/fulfilment.ts';
import { createMismatches, type Mismatches } from '../issuance/mismatches.ts';
import { createOrphans } from '../issuance/orphans.ts';
import type { Records } from '../issuance/records.ts';
import { createCarryRevocation } from '../issuance/remote-revocation.ts';
import type { KeySource } from '../issuance/minted-keys.ts';
import type { Issue } from '../issuance/types.ts';
import type {
  Audit,
  Backends,
  Cache,
  Clock,
  Cluster,
  Counter,
  EventRecorder,
  Histogram,
  Log,
  ObjectRef,
  Random,
} from '../ports.ts';
import { type Controller, createController, type Enqueue, type Reconciler } from '../runtime/controller.ts';
import type { WorkQueueMetrics } from '../runtime/work-queue.ts';
import { createAbandonedRequests } from './abandoned-requests.ts';
import { createCaIssuerReconciler } from './ca-issuer.ts';
import { createClaimReconciler } from './certificate-claim.ts';
import { createPolicyReconciler } from './certificate-request-policy.ts';
import type { Marks } from './claim-secret.ts';
import { createMintedKeyReconciler } from './minted-keys.ts';
import { createRevocationReconciler } from './revocations.ts';
import { createTrustReconciler } from './trust.ts';
import { watchClaims } from './claim-triggers.ts';
import { createUpstreamRenewals } from './upstream-renewals.ts';
import { createGarbage, type Sweep, sweepRegularly } from './garbage.ts';
import { createIssuedCertificateController } from './issued-certificate.ts';

export interface ControllersDeps {
  cluster: Cluster;
  /** The operator's. */
  namespace: string;
  /** The namespaces that are served; all when absent. */
  tenants?: readonly string[];
  /** `claims` with CLAIM_INDEXES; of `secrets` the metadata (metadataOf), with KEPT_INDEX. */
  caches: {
    issuers: Cache<Issuer>;
    policies: Cache<CertificateRequestPolicy>;
    claims: Cache<CertificateClaim>;
    secrets: Cache<KubeObject>;
    namespaces: Cache<Namespace>;
    accounts: Cache<Account>;
    authorizations: Cache<Authorization>;
    records: Cache<CertificateRecord>;
  };
  issue: Issue;
  records: Records;
  chains: ChainStore;
  backends: Backends;
  marks: Marks & KeySource;
  /** PEM of what signed the certificate of the ACME server; undefined where that is not known. */
  servingCA: () => Promise<string | undefined>;
  /** Where that stands, if it is in a Secret. */
  servingSecret?: ObjectRef;
  directoryURL: (issuer: Issuer) => string;
  /** Why a policy cannot be used, if it cannot. */
  policyFault: (policy: CertificateRequestPolicy) => string | undefined;
  events: EventRecorder;
  clock: Clock;
  random: Random;
  log: Log;
  audit: Audit;
  durations: Histogram;
  collected: Counter;
  /** Of CAs elsewhere. */
  counters: Record<'issued' | 'refused' | 'rejected' | 'orphaned' | 'backendCalls' | 'breakerOpened', Counter>;
  queueMetrics?: WorkQueueMetrics;
  /** Shows how much work a controller has. */
  showQueue?: (controller: Controller) => void;
  /** Further sweeps of what has served its time, such as sweepEvents where the store does not let Events expire. */
  sweeps?: readonly Sweep[];
}

export interface Controllers {
  all: readonly Controller[];
  /** Waits for `filled`, then works until the signal aborts and all reconciles have ended. Never rejects. */
  run(filled: Promise<void>, signal: AbortSignal): Promise<void>;
  /** Resolves when no controller has anything to do but wait for time to pass, and what they wrote has come back to them. */
  idle(): Promise<void>;
}

/** Everything is looked at again this often, in case a change went by unseen. */
const RESYNC_MS = 10 * 3_600_000;

/** A renewal is mostly waiting for the API. One connection to it is left to those who wait for us. */
const CLAIM_WORKERS = 6;

export function createControllers(deps: ControllersDeps): Controllers {
  const { caches } = deps;
  const checkIssuer = (issuer: IssuerName) => reconciled[0]?.controller.enqueue(issuer);
  const mismatches = createMismatches({ ...deps, onChange: ({ metadata }) => checkIssuer(metadata) });
  const reconciled = reconcilersOf(deps, mismatches).map(({ name, reconciler, cache, workers }) => ({
    watch: (enqueue: Enqueue) => reconciler.watch(enqueue),
    controller: createController({
      ...deps,
      name,
      ...(workers === undefined ? {} : { workers }),
      reconcile: reconciler.reconcile,
      resync: { everyMs: RESYNC_MS, keys: () => cache.list().map(({ metadata }): ObjectRef => metadata) },
    }),
  }));
  const remote = issuedCertificates({ ...deps, mismatches, onBreaker: checkIssuer });
  const made = [...reconciled, { watch: (enqueue: Enqueue) => remote.watch(enqueue), controller: remote }];
  const sweeps = [createGarbage({ ...deps, ...caches }), ...(deps.sweeps ?? [])];
  for (const { controller } of made) deps.showQueue?.(controller);

  return {
    all: made.map(({ controller }) => controller),
    async run(filled, signal) {
      await filled.catch(() => undefined);
      if (signal.aborted) return;
      const stops = made.map(({ watch, controller }) => watch(controller.enqueue));
      await Promise.all([
        ...made.map(({ controller }) => controller.run(signal)),
        ...sweeps.map((sweep) => sweepRegularly(deps, sweep, signal)),
      ]);
      for (const stop of stops) stop();
    },
    idle: () => idle(made.map(({ controller }) => controller)),
  };
}

interface Reconciled {
  name: string;
  reconciler: Reconciler;
  /** What is looked at again from time to time. */
  cache: { list(): readonly KubeObject[] };
  workers?: number;
}

function reconcilersOf(deps: ControllersDeps, mismatches: Mismatches): Reconciled[] {
  const { caches } = deps;
  const chainsInUse = createChainsInUse({ ...deps, ...caches });
  return [
    {
      name: 'ca-issuer',
      reconciler: createCaIssuerReconciler({ ...deps, ...caches, chainsInUse, mismatches }),
      cache: caches.issuers,
    },
    {
      name: 'certificate-request-policy',
      reconciler: createPolicyReconciler({ ...deps, ...caches, faultOf: deps.policyFault }),
      cache: caches.policies,
    },
    {
      name: 'minted-key',
      reconciler: createMintedKeyReconciler({ ...deps, ...caches }),
      cache: caches.namespaces,
    },
    {
      name: 'revocation',
      reconciler: createRevocationReconciler({ ...deps, recordCache: caches.records }),
      cache: { list: () => [] },
    },
    { name: 'trust', reconciler: createTrustReconciler({ ...deps, ...caches }), cache: { list: () => [] } },
    { name: 'certificate-claim', reconciler: claimReconciler(deps), cache: caches.claims, workers: CLAIM_WORKERS },
  ];
}

function issuedCertificates(
  deps: ControllersDeps & { mismatches: Mismatches; onBreaker: (issuer: IssuerName) => void },
) {
  const orphans = createOrphans({ ...deps, ...deps.counters });
  return createIssuedCertificateController({
    ...deps,
    ...deps.counters,
    issuers: deps.caches.issuers,
    records: deps.caches.records,
    orphans,
    abandoned: createAbandonedRequests({ ...deps, claims: deps.caches.claims }),
    fulfilment: createFulfilment({ ...deps, ...deps.counters, orphans }),
    carryRevocation: createCarryRevocation(deps),
    renewals: createUpstreamRenewals(deps),
  });
}

function claimReconciler(deps: ControllersDeps): Reconciler {
  const { caches } = deps;
  const claims = createClaimReconciler({ ...deps, ...caches, records: deps.records });
  return {
    reconcile: claims.reconcile,
    watch: (enqueue) =>
      watchClaims(caches, {
        enqueue,
        nudge: (uid) => claims.nudge(uid),
        disturb: (uid) => claims.disturb(uid),
        forget: (uid) => claims.forget(uid),
      }),
  };
}

/** Turns of the event loop without work after which what was written has come back through the watches, in one process. */
const QUIET_TURNS = 20;

async function idle(controllers: readonly Controller[]): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    const busy = controllers.filter((controller) => controller.busy());
    if (busy.length > 0) quiet = 0;
    await Promise.all(busy.map((controller) => controller.idle()));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
