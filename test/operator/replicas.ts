// Several replicas of `serve` in this process, on one memory store and on addresses of loopback, for tests that look inside.
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { EndpointSliceKind, SecretKind } from '../../src/api/core.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { memoryStorage } from '../../src/cluster/storage.ts';
import { type Replica, startReplica } from '../../src/commands/replica.ts';
import { SERVING_SECRET } from '../../src/commands/serving-tls.ts';
import { parseConfig } from '../../src/config.ts';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import type { Cluster } from '../../src/ports.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createAudit } from '../../src/telemetry/audit.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createValidators } from '../../src/validators/index.ts';
import { createResolver } from '../../src/validators/resolver.ts';
import type { Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Transport } from '../support/acme-wire.ts';
import { createJumpingClock, type JumpingClock } from '../support/jumping-clock.ts';
import { freePort, NAMESPACE, OPEN_POLICY } from './harness.ts';
import { startResponders } from '../support/responders.ts';

export interface Replicas {
  /** The store itself, ahead of what any replica has seen of it. */
  cluster: Cluster;
  clock: JumpingClock;
  responders: Responders;
  replicas: readonly Replica[];
  /** Lines of the log of all. */
  lines: string[];
  /** Origins of the replicas, by position. */
  origins: readonly string[];
  ca: string;
  /** A client that sends each request to the replica of that position, or to where `route` says then. */
  client(route: number | (() => number)): Promise<AcmeWire>;
  /** Holds back what the watches of a replica would bring, of one kind or of all, until the result is called. */
  hold(replica: number, only?: AnyKind): () => void;
  stop(): Promise<void>;
}

export async function startReplicas(count: number, issuer: Partial<CAIssuerSpec> = {}): Promise<Replicas> {
  await using cleanup = new AsyncDisposableStack();
  const clock = createJumpingClock();
  const random = createRandom();
  const store = createEmbeddedCluster({
    storage: memoryStorage(),
    clock,
    random,
    kinds: ALL_KINDS,
    namespaces: ['default', NAMESPACE],
  });
  cleanup.defer(() => store.close());
  const responders = await startResponders();
  for (const responder of Object.values(responders)) cleanup.defer(() => responder.stop());
  const [acme, distribution, peers] = [await freePort(), await freePort(), await freePort()];
  const addresses = Array.from({ length: count }, (_, i) => `127.0.1.${i + 1}`);
  const origins = addresses.map((address) => `https://${address}:${acme}`);
  await prepare(store, addresses, issuer);
  const lines: string[] = [];
  const gates = addresses.map(() => createGate());
  const replicas: Replica[] = [];
  const denyList = createLoopbackDenyList([]);
  for (const [i, address] of addresses.entries()) {
    const log = createLog({ clock, level: 'debug', sink: { write: (line) => void lines.push(`${i} ${line}`) } });
    const replica = await startReplica({
      config: parseConfig(
        JSON.stringify({ externalURLs: origins, listen: { address, acme, distribution, peers } }),
        NAMESPACE,
      ),
      cluster: lagging(store, gates[i] as Gate),
      address,
      denyList,
      validators: createValidators({
        denyList,
        clock,
        http01Port: responders.http01.port,
        tlsAlpn01Port: responders.tlsAlpn.port,
      }),
      resolver: () => createResolver({ clock, random, nameservers: [responders.dns.address] }),
      clock,
      random,
      log,
      audit: createAudit({ clock, sink: { write: () => undefined } }),
      metrics: createMetrics(),
    });
    cleanup.defer(() => replica.stop('at once'));
    await replica.ready;
    replicas.push(replica);
  }
  const serving = await store.get(SecretKind, { namespace: NAMESPACE, name: SERVING_SECRET });
  const ca = Buffer.from(serving?.data?.['ca.crt'] ?? '', 'base64').toString();
  const running = cleanup.move();
  return {
    cluster: store,
    clock,
    responders,
    replicas,
    lines,
    origins,
    ca,
    client: async (route) => {
      const transport = routed(createTransport(ca), origins, typeof route === 'number' ? () => route : route);
      running.defer(() => transport.close());
      return connect(transport, `${origins[0]}/acme/main/directory`);
    },
    hold: (replica, only) => (gates[replica] as Gate).hold(only),
    stop: async () => {
      for (const gate of gates) gate.open();
      await running.disposeAsync();
    },
  };
}

async function prepare(store: Cluster, addresses: readonly string[], issuer: Partial<CAIssuerSpec>): Promise<void> {
  const labels = { 'kubernetes.io/service-name': 'countersign' };
  await store.create(EndpointSliceKind, {
    metadata: { name: 'countersign-a', namespace: NAMESPACE, labels },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  });
  const backend = { ca: { secretRef: { name: 'main-ca' }, selfSigned: { commonName: 'Test CA' } } };
  await store.create(ClusterCAIssuerKind, { metadata: { name: 'main' }, spec: { backend, ...issuer } });
  await store.create(CertificateRequestPolicyKind, { metadata: { name: 'open' }, spec: OPEN_POLICY });
}

/** The URLs are those of the first replica, whichever is asked. */
export function routed(transport: Transport, origins: readonly string[], route: () => number): Transport {
  const [canonical = ''] = origins;
  return {
    ...transport,
    request: (method, url, options) =>
      transport.request(method, url.replace(canonical, origins[route()] ?? canonical), options),
  };
}

interface Gate {
  hold(only?: AnyKind): () => void;
  open(): void;
  /** Resolves while nothing of the kind is held. */
  passed(kind: AnyKind): Promise<void>;
}

type AnyKind = Parameters<Cluster['watch']>[0];

function createGate(): Gate {
  let held: { only: AnyKind | undefined; end: PromiseWithResolvers<void> } | undefined;
  const open = () => {
    held?.end.resolve();
    held = undefined;
  };
  return {
    hold: (only) => {
      held = { only, end: Promise.withResolvers<void>() };
      return open;
    },
    open,
    passed: async (kind) => (!held?.only || held.only.kind === kind.kind ? held?.end.promise : undefined),
  };
}

/** The cluster, its watches behind a gate. */
function lagging(cluster: Cluster, gate: Gate): Cluster {
  const watch: Cluster['watch'] = async function* (kind, options) {
    for await (const event of cluster.watch(kind, options)) {
      await gate.passed(kind);
      yield event;
    }
  };
  return {
    get: (kind, ref) => cluster.get(kind, ref),
    list: (kind, options) => cluster.list(kind, options),
    watch,
    create: (kind, object) => cluster.create(kind, object),
    replace: (kind, object) => cluster.replace(kind, object),
    replaceStatus: (kind, object) => cluster.replaceStatus(kind, object),
    delete: (kind, ref, precondition) => cluster.delete(kind, ref, precondition),
    apply: (kind, object, options) => cluster.apply(kind, object, options),
  };
}
