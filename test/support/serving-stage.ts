// What a `serve` process needs around it on a real API server: roles, an issuer, a policy, challenge hosts, DNS, addresses.
import { afterAll, beforeAll, test } from 'vitest';
import { routed } from '../operator/replicas.ts';
import { type Responders } from './acme-flow.ts';
import { type AcmeWire, connect, createTransport } from './acme-wire.ts';
import type { ApiClient } from './api-client.ts';
import { describeOnApiServer } from './api-server-suite.ts';
import { type RunningProgram } from './child-process.ts';
import type { ControlPlane, ControlPlaneOptions } from './control-plane.ts';
import { type ChallengeHost, missingNamespaces, startChallengeHost } from './namespaces.ts';
import { install, NAMESPACE, startServe } from './serve.ts';
import { startResponders } from './responders.ts';

export const GROUP = '/apis/countersign.dev/v1alpha1';
export const RECORDS = `${GROUP}/namespaces/${NAMESPACE}/issuedcertificates`;
export const secretsOf = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`;

export interface RecordObject {
  metadata: { name: string; labels: Record<string, string> };
  spec: { names: string[]; requester: { account?: string } };
  status?: { certificate?: string };
}

export interface Stage {
  plane: ControlPlane;
  responders: Responders;
  /** Addresses of this machine, one for each replica. */
  addresses: readonly string[];
  /** Of the ServiceAccount under the roles of deploy/. */
  kubeconfig: string;
  /** The name is where the challenge listeners are. */
  place(name: string): void;
  records(): Promise<RecordObject[]>;
  /** PEM of what signed the certificate that the operator makes for itself. */
  servingCA(): Promise<string>;
  stop(): Promise<void>;
}

/** A stage for all tests of a block, or a named skip, or a failure under COUNTERSIGN_REQUIRE=all. */
export function describeOnStage(
  title: string,
  addresses: number,
  tests: (stage: () => Stage) => void,
  options: ControlPlaneOptions = {},
): void {
  describeOnApiServer(
    title,
    (plane) => {
      const missing = missingNamespaces();
      if (missing !== undefined) {
        test.skipIf(process.env['COUNTERSIGN_REQUIRE'] !== 'all')(missing, () => {
          throw new Error(missing);
        });
        return;
      }
      let stage: Stage | undefined;
      beforeAll(async () => {
        stage = await startStage(plane(), addresses);
      });
      afterAll(() => stage?.stop());
      tests(() => {
        if (!stage) throw new Error('the stage did not start');
        return stage;
      });
    },
    options,
  );
}

/** The issuer `main`, which asks this name server, and a policy that allows names below `test`. */
export async function installIssuer(api: ApiClient, nameserver: string): Promise<void> {
  const apiVersion = 'countersign.dev/v1alpha1';
  await api.expect('POST', `${GROUP}/clustercaissuers`, {
    apiVersion,
    kind: 'ClusterCAIssuer',
    metadata: { name: 'main' },
    spec: {
      backend: { ca: { secretRef: { name: 'main-ca' }, selfSigned: { commonName: 'Test CA' } } },
      acme: { validation: { nameservers: [nameserver] } },
    },
  });
  await api.expect('POST', `${GROUP}/certificaterequestpolicies`, {
    apiVersion,
    kind: 'CertificateRequestPolicy',
    metadata: { name: 'open' },
    spec: { selector: {}, allowed: { dnsNames: { values: ['**.test'] } } },
  });
}

async function startStage(plane: ControlPlane, count: number): Promise<Stage> {
  await using cleanup = new AsyncDisposableStack();
  const responders = await startResponders();
  for (const responder of Object.values(responders)) cleanup.defer(() => responder.stop());
  const ports = { 80: responders.http01.port, 443: responders.tlsAlpn.port };
  const hosts: ChallengeHost[] = [];
  for (let i = 0; i < count; i++) {
    const host = await startChallengeHost(ports);
    cleanup.defer(() => host.stop());
    hosts.push(host);
  }
  const kubeconfig = await install(plane);
  const { api } = plane;
  await installIssuer(api, responders.dns.address);
  const addresses = hosts.map(({ gateway }) => gateway);
  // An EndpointSlice has no addresses of loopback; these are ours all the same.
  await api.expect('POST', `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`, {
    metadata: { name: 'countersign-1', labels: { 'kubernetes.io/service-name': 'countersign' } },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  });
  const running = cleanup.move();
  return {
    plane,
    responders,
    addresses,
    kubeconfig,
    place: (name) => responders.dns.set(name, 'A', [hosts[0]?.address ?? '']),
    records: async () => (await api.expect<{ items: RecordObject[] }>('GET', RECORDS)).items,
    servingCA: async () => {
      const { data } = await api.expect<{ data: Record<string, string> }>(
        'GET',
        `${secretsOf(NAMESPACE)}/countersign-serving-tls`,
      );
      return Buffer.from(data['ca.crt'] ?? '', 'base64').toString();
    },
    stop: () => running.disposeAsync(),
  };
}

export interface ServingReplicas {
  programs: readonly RunningProgram[];
  /** Of each replica. */
  origins: readonly string[];
  /** A client whose requests go to the replica of that position, or to where `route` says then. */
  client(route: number | (() => number)): Promise<AcmeWire>;
  stop(): Promise<void>;
}

export interface ReplicaOptions {
  /** Origins besides those of the replicas, the first of them canonical. */
  externalURLs?: readonly string[];
  /** One for all, or one for each by position. */
  kubeconfig?: string | readonly string[];
  /** Environment of each replica, by position. */
  env?: (position: number) => Readonly<Record<string, string>>;
}

let numbered = 0;

/** A replica on every address of the stage, all ready. Ports differ by call, so that one call's follow another's. */
export async function startReplicas(stage: Stage, options: ReplicaOptions = {}): Promise<ServingReplicas> {
  await using cleanup = new AsyncDisposableStack();
  const first = 20_000 + (process.pid % 400) * 30 + (numbered++ % 10) * 3;
  const listen = { acme: first, distribution: first + 1, peers: first + 2 };
  const origins = stage.addresses.map((address) => `https://${address}:${listen.acme}`);
  const externalURLs = [...(options.externalURLs ?? []), ...origins];
  const programs: RunningProgram[] = [];
  for (const [i, address] of stage.addresses.entries()) {
    const program = await startServe({
      plane: stage.plane,
      kubeconfig:
        typeof options.kubeconfig === 'object'
          ? (options.kubeconfig[i] ?? '')
          : (options.kubeconfig ?? stage.kubeconfig),
      config: { externalURLs, listen: { address, ...listen } },
      name: `replica-${i}`,
      ...(options.env ? { env: options.env(i) } : {}),
    });
    cleanup.defer(() => program.stop());
    programs.push(program);
  }
  for (const program of programs) await program.waitFor(/^ready/m);
  const running = cleanup.move();
  return {
    programs,
    origins,
    client: async (route) => {
      const at = typeof route === 'number' ? () => route : route;
      const made = createTransport(await stage.servingCA());
      const transport = routed(made, [externalURLs[0] ?? '', ...origins].slice(options.externalURLs ? 0 : 1), at);
      running.defer(() => transport.close());
      return connect(transport, `${externalURLs[0]}/acme/main/directory`);
    },
    stop: () => running.disposeAsync(),
  };
}
