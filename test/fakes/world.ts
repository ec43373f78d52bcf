// All controllers over the embedded cluster, with time in the test's hands.
import { createHmac } from 'node:crypto';
import { AccountKind, AuthorizationKind } from '../../src/api/acme.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { FOREIGN_KINDS } from '../../src/api/foreign.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { isIssued, type IssuedCertificate, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { type Kind, type KubeObject, metadataOf, type NewObject } from '../../src/api/kind.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { memoryStorage } from '../../src/cluster/storage.ts';
import { CLAIM_INDEXES } from '../../src/controllers/certificate-claim.ts';
import { type ControllersDeps, createControllers } from '../../src/controllers/index.ts';
import { KEPT_INDEX, keptIndex } from '../../src/controllers/minted-keys.ts';
import { createChainStore } from '../../src/issuance/chains.ts';
import { createNewestRecords, createRecords, RECORD_INDEXES } from '../../src/issuance/records.ts';
import type { Backend, BackendHealth, Cluster } from '../../src/ports.ts';
import { createEventRecorder } from '../../src/runtime/event-recorder.ts';
import { joinReflectors } from '../../src/runtime/joined-reflector.ts';
import { createReflector, type Reflector } from '../../src/runtime/reflector.ts';
import { createFakeClock, type FakeClock, settle } from './clock.ts';
import { createFakeEngine } from './issuance.ts';
import { type CapturingAudit, createCapturingAudit, createCapturingLog } from './log.ts';
import { observeCluster } from './observed-cluster.ts';
import { createFakeRandom } from './random.ts';

export const OPERATOR_NAMESPACE = 'countersign-system';

/** A store that outlives the processes that use it. */
export function createFakeStore(
  start?: string,
  namespaces: readonly string[] = ['default', 'countersign-system'],
): { cluster: Cluster; clock: FakeClock } {
  const clock = createFakeClock(start);
  const random = createFakeRandom('store');
  // The store tells the time but sends no bookmarks: in a test that lets months pass they would be most of the work.
  const still = { ...clock, sleep: () => new Promise<never>(() => undefined) };
  return {
    clock,
    cluster: createEmbeddedCluster({
      storage: memoryStorage(),
      clock: still,
      random,
      kinds: [...ALL_KINDS, ...FOREIGN_KINDS],
      namespaces,
    }),
  };
}

export type World = Awaited<ReturnType<typeof startWorld>>;

/** What a process is made of before its controllers are. */
interface Foundation {
  cluster: Cluster;
  caches: ControllersDeps['caches'];
  clock: FakeClock;
  audit: CapturingAudit;
}

/** One process: its own caches, queues and memory. `more` makes further parts of it, from what is there by then. */
export async function startWorld(
  store = createFakeStore(),
  overrides: Partial<ControllersDeps> = {},
  more: (foundation: Foundation) => Partial<ControllersDeps> = () => ({}),
) {
  const { clock } = store;
  const cluster = observeCluster(store.cluster);
  const [log, audit, random] = [createCapturingLog(), createCapturingAudit(), createFakeRandom('process')];
  const stop = new AbortController();
  const running: Promise<void>[] = [];
  const reflectors: Reflector<KubeObject>[] = [];

  function cache<T extends KubeObject>(
    kind: Kind<T>,
    more: { indexes?: Record<string, (object: T) => readonly string[]>; transform?: (object: T) => T } = {},
  ) {
    // The store here is never silent for want of a connection: in a test that lets months pass, looking after that would be most of
    // the work.
    const patient = { stallMs: Number.POSITIVE_INFINITY, relistMs: Number.POSITIVE_INFINITY };
    const reflector = createReflector({ cluster: store.cluster, kind, clock, random, log, ...patient, ...more });
    reflectors.push(reflector);
    return reflector;
  }

  const caches = {
    issuers: joinReflectors(cache(ClusterCAIssuerKind), cache(CAIssuerKind)),
    policies: cache(CertificateRequestPolicyKind),
    claims: cache(CertificateClaimKind, { indexes: CLAIM_INDEXES }),
    secrets: cache(metadataOf(SecretKind), { indexes: { [KEPT_INDEX]: keptIndex } }),
    namespaces: cache(NamespaceKind),
    accounts: cache(AccountKind),
    authorizations: cache(AuthorizationKind),
    records: cache(IssuedCertificateKind, { indexes: RECORD_INDEXES }),
  };
  const engine = createFakeEngine({ cluster, clock, namespace: OPERATOR_NAMESPACE });
  const events = createEventRecorder({ cluster, clock, random, log, instance: 'test' });
  const health: BackendHealth = { ready: true, reason: 'Ready', message: 'signs' };
  const backend = { health };
  const digest = (purpose: string, parts: readonly string[]) =>
    createHmac('sha256', 'key')
      .update(JSON.stringify([purpose, parts]))
      .digest('hex');
  const collected: string[] = [];
  const issued = { inc: () => undefined };
  const made = more({ cluster, caches, clock, audit });
  const controllers = createControllers({
    cluster,
    namespace: OPERATOR_NAMESPACE,
    caches,
    issue: engine.issue,
    chains: createChainStore({ cluster, inUse: () => new Set() }),
    counters: {
      issued,
      refused: issued,
      rejected: issued,
      orphaned: issued,
      backendCalls: issued,
      breakerOpened: issued,
    },
    records: createRecords({
      cluster,
      cache: caches.records,
      newest: createNewestRecords(caches.records, OPERATOR_NAMESPACE),
      namespace: OPERATOR_NAMESPACE,
    }),
    backends: { of: () => ({ local: true, check: async () => backend.health }) as unknown as Backend },
    marks: {
      mac: digest,
      verifyMac: (purpose, parts, mac) => digest(purpose, parts) === mac,
      derive: (purpose, parts, key) =>
        Buffer.from(digest(purpose, [...parts, String(key)]), 'hex').toString('base64url'),
      currentKey: () => 1,
      keys: () => [1],
    },
    servingCA: async () => undefined,
    directoryURL: ({ metadata }) => `https://ca.test/acme/${metadata.name}/directory`,
    policyFault: () => undefined,
    events,
    clock,
    random,
    log,
    audit,
    durations: { observe: () => undefined },
    collected: { inc: (labels) => void collected.push(labels?.kind ?? '') },
    ...overrides,
    ...made,
  });
  running.push(...reflectors.map((reflector) => reflector.run(stop.signal)));
  const filled = Promise.all(reflectors.map((reflector) => reflector.synced(stop.signal))).then(() => undefined);
  running.push(controllers.run(filled, stop.signal));
  await filled;

  /** Waits until nothing is left to do but wait for time to pass. */
  async function quiet(): Promise<void> {
    await settle();
    await controllers.idle();
    await events.drain();
    await settle();
  }

  return {
    store,
    cluster,
    clock,
    caches,
    controllers,
    engine,
    issue: made.issue ?? engine.issue,
    backend,
    log,
    audit,
    collected,
    events,
    quiet,
    /** Lets time pass in steps, each followed by the work it brings. */
    async pass(ms: number, steps = 1) {
      for (let step = 0; step < steps; step++) {
        await clock.advance(ms / steps);
        await quiet();
      }
    },
    /** The writes since the last call. */
    writes: () => cluster.writes.splice(0),
    /** Ends the process as a signal would, in order. */
    async stop() {
      stop.abort(new Error('stopping'));
      await Promise.all(running);
    },
    /** Ends the process at once: what it was about to do never happens. */
    die() {
      cluster.intercept = () => {
        throw new Error('this process is dead');
      };
      stop.abort(new Error('dead'));
    },
  };
}

export const anIssuer = (spec: Partial<ClusterCAIssuer['spec']> = {}): NewObject<ClusterCAIssuer> => ({
  metadata: { name: 'corporate' },
  spec: { backend: { ca: { secretRef: { name: 'corporate-ca' } } }, ...spec },
});

export async function recordsOf(cluster: Cluster): Promise<IssuedCertificate[]> {
  return (await cluster.list(IssuedCertificateKind)).items.filter(isIssued);
}
