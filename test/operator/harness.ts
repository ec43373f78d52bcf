// The whole program in this process, on a memory store and loopback, for tests that look inside.
import { createServer } from 'node:net';
import type { CAIssuerSpec } from '../../src/api/ca-issuer.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateRequestPolicyKind, type PolicySpec } from '../../src/api/certificate-request-policy.ts';
import { FOREIGN_KINDS } from '../../src/api/foreign.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { memoryStorage, type Storage } from '../../src/cluster/storage.ts';
import { listenerOptions } from '../../src/commands/listener.ts';
import { createOperator, type OperatorDeps } from '../../src/commands/operator.ts';
import { loadKeyring } from '../../src/commands/sealing-keys.ts';
import { servingCertificate } from '../../src/commands/serving-certificate.ts';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import type { Cluster } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createAudit } from '../../src/telemetry/audit.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createValidators } from '../../src/validators/index.ts';
import { createResolver } from '../../src/validators/resolver.ts';

export const NAMESPACE = 'countersign-system';

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface HarnessOptions {
  issuer?: Partial<CAIssuerSpec>;
  policy?: PolicySpec;
  nameserver?: string;
  http01Port?: number;
  tlsAlpn01Port?: number;
  /** Of the plain HTTP listener; a free one when absent. */
  httpPort?: number;
  storage?: Storage;
  /** Use these instead of an embedded store: what the operator goes through, and somebody who may do anything. */
  clusters?: { operator: Cluster; admin: Cluster };
  /** Wraps the cluster, for counting and for faults. */
  wrap?: (cluster: Cluster) => Cluster;
  overrides?: Partial<OperatorDeps>;
}

export const OPEN_POLICY: PolicySpec = {
  selector: {},
  allowed: { dnsNames: { values: ['**.test'], wildcards: true }, ipAddresses: { cidrs: ['127.0.0.0/8', '::1'] } },
};

/** Starts it; `directory` and `ca` are what a client needs. */
export async function startOperator(options: HarnessOptions = {}) {
  const clock = createClock();
  const random = createRandom();
  const lines: string[] = [];
  const audit: Record<string, unknown>[] = [];
  const log = createLog({ clock, sink: { write: (line) => void lines.push(line) } });
  const embedded = createEmbeddedCluster({
    storage: options.storage ?? memoryStorage(),
    clock,
    random,
    kinds: [...ALL_KINDS, ...FOREIGN_KINDS],
    namespaces: ['default', NAMESPACE],
  });
  const { operator: store, admin } = options.clusters ?? { operator: embedded, admin: embedded };
  const cluster = options.wrap ? options.wrap(store) : store;
  const secrets = createSecretReader(cluster, NAMESPACE);
  const serving = await servingCertificate(
    { secrets, clock, random },
    { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] },
  );
  const [port, httpPort] = [await freePort(), options.httpPort ?? (await freePort())];
  const spec: CAIssuerSpec = {
    backend: { ca: { secretRef: { name: 'main-ca' }, selfSigned: { commonName: 'Test CA' } } },
    ...options.issuer,
  };
  const operator = createOperator({
    cluster,
    namespace: NAMESPACE,
    secrets,
    keyring: await loadKeyring({ cluster, namespace: NAMESPACE, clock, random }),
    validators: createValidators({
      denyList: createLoopbackDenyList([]),
      clock,
      http01Port: options.http01Port ?? 80,
      tlsAlpn01Port: options.tlsAlpn01Port ?? 443,
    }),
    resolver: (nameservers) =>
      createResolver({ clock, random, nameservers: nameservers ?? [options.nameserver ?? '127.0.0.1:53'] }),
    clock,
    random,
    log,
    audit: createAudit({
      clock,
      sink: { write: (line) => void audit.push(JSON.parse(line) as Record<string, unknown>) },
    }),
    metrics: createMetrics(),
    externalURLs: [`https://127.0.0.1:${port}`],
    distributionURL: `http://127.0.0.1:${httpPort}`,
    servingCA: async () => serving.ca,
    server: listenerOptions({ cert: serving.cert, key: serving.key }),
    ...options.overrides,
  });
  const stopping = new AbortController();
  const running = operator.run(stopping.signal);
  await operator.synced(stopping.signal);
  await admin.create(ClusterCAIssuerKind, { metadata: { name: 'main' }, spec }).catch(ignoreExisting);
  await admin
    .create(CertificateRequestPolicyKind, { metadata: { name: 'open' }, spec: options.policy ?? OPEN_POLICY })
    .catch(ignoreExisting);
  await operator.acme.listen({ host: '127.0.0.1', port });
  await operator.distribution.listen({ host: '127.0.0.1', port: httpPort });
  return {
    cluster: admin,
    operator,
    audit,
    lines,
    origin: `https://127.0.0.1:${port}`,
    directory: `https://127.0.0.1:${port}/acme/main/directory`,
    distribution: `http://127.0.0.1:${httpPort}`,
    ca: serving.ca,
    stop: async () => {
      stopping.abort();
      await operator.close();
      await running;
      await embedded.close();
    },
  };
}

function ignoreExisting(error: unknown): void {
  if ((error as { reason?: string }).reason !== 'AlreadyExists') throw error;
}
