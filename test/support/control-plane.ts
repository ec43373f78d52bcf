// A real etcd and kube-apiserver for tests, ready in some four seconds. There are no controllers: nothing changes but what a test
// writes, no garbage is collected, namespaces stay Terminating, and aggregated ClusterRoles (view, edit, admin) grant nothing.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiClient, createApiClient } from './api-client.ts';
import { type AuditEntry, AUDIT_POLICY, readAudit } from './audit-log.ts';
import { freePort, type RunningProgram, startProgram } from './child-process.ts';
import { type Credentials, createControlPlanePki, type ControlPlanePki } from './control-plane-pki.ts';
import { installCrds } from './crd-files.ts';
import { compactEtcd } from './etcd-compaction.ts';
import { eventually } from './eventually.ts';
import { kubernetesPrograms } from './kubernetes-programs.ts';
import { type KubeconfigUser, writeKubeconfig } from './kubeconfig.ts';

export interface ControlPlaneOptions {
  /** Where the API server listens, and the host of its URL; 127.0.0.1 when absent. For network namespaces: an address they reach. */
  address?: string;
  /** Whether etcd syncs its log to disk as in earnest; false when absent. */
  fsync?: boolean;
  /** Where state and logs go, in a folder of their own; the system's temporary folder when absent. */
  parent?: string;
  /** Further flags of kube-apiserver. */
  apiServerFlags?: readonly string[];
}

export interface ControlPlane {
  /** `https://address:port`; the same after a restart. */
  readonly url: string;
  readonly port: number;
  /** PEM of what clients of the API server must trust. */
  readonly ca: string;
  /** Path of a kubeconfig of a cluster administrator. */
  readonly adminKubeconfig: string;
  /** PEM of the administrator's client certificate and key. */
  readonly admin: Credentials;
  /** Requests as that administrator. */
  readonly api: ApiClient;
  /** A folder that goes with the control plane, for what a test keeps. */
  readonly folder: string;
  /**
   * Every request so far, in the order of its end, one entry a stage: ResponseComplete, and ResponseStarted before it for a watch.
   * An entry appears a moment after the client has its answer.
   */
  readonly audit: () => Promise<AuditEntry[]>;
  /** Ends the API server with SIGTERM, or as told; connections break. etcd goes on. */
  readonly stopApiServer: (signal?: 'SIGTERM' | 'SIGKILL') => Promise<void>;
  /** Starts it again on its port and waits until it is ready. */
  readonly startApiServer: () => Promise<void>;
  /**
   * Has etcd forget all revisions but the last. The API server still serves watches from what it remembers itself: restart it for
   * a 410 to every older resourceVersion.
   */
  readonly compact: () => Promise<void>;
  /** A bound token (TokenRequest) of a ServiceAccount that exists; an hour when `seconds` is absent, 600 at least. */
  readonly serviceAccountToken: (namespace: string, name: string, seconds?: number) => Promise<string>;
  /** Path of a new kubeconfig with this token. */
  readonly kubeconfigFor: (token: string) => Promise<string>;
  /** Applies crds/ and waits until each kind is served. */
  readonly installCrds: () => Promise<void>;
  /** Ends both programs and removes the folder. */
  readonly stop: () => Promise<void>;
}

interface Place {
  folder: string;
  programs: string;
  address: string;
  pki: ControlPlanePki;
}

interface Ports {
  etcd: number;
  peer: number;
  api: number;
}

const ATTEMPTS = 5;
/** Starting takes four seconds on an idle machine. */
const START_SECONDS = 120;

/** Throws where the programs are missing; describeOnApiServer names that. The programs end with this process at the latest. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const found = kubernetesPrograms();
  if ('missing' in found) throw new Error(found.missing);
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(options.parent ?? tmpdir(), 'control-plane-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const address = options.address ?? '127.0.0.1';
  const place: Place = { folder, programs: found.folder, address, pki: createControlPlanePki([address]) };
  await writeFiles(place);

  const { etcd, ports } = await startEtcd(place, options.fsync ?? false);
  cleanup.defer(() => etcd.kill());
  const flags = options.apiServerFlags ?? [];
  const first = await onFreePorts(async ({ api: port }) => ({
    port,
    server: await runApiServer(place, { ...ports, api: port }, flags),
  }));
  const url = urlAt(place.address, first.port);
  let server: RunningProgram | undefined = first.server;
  cleanup.defer(() => server?.kill());
  const api = createApiClient(url, place.pki.ca, place.pki.admin);
  cleanup.defer(() => api.close());
  const kubeconfig = (name: string, user: KubeconfigUser): Promise<string> =>
    writeKubeconfig(join(folder, `${name}.kubeconfig`), { url, ca: place.pki.ca, user });
  const adminKubeconfig = await kubeconfig('admin', place.pki.admin);

  const running = cleanup.move();
  let users = 0;
  return {
    url,
    port: first.port,
    ca: place.pki.ca,
    admin: place.pki.admin,
    adminKubeconfig,
    api,
    folder,
    audit: () => readAudit(auditFile(folder)),
    stopApiServer: async (signal = 'SIGTERM') => {
      await (signal === 'SIGKILL' ? server?.kill() : server?.stop());
      server = undefined;
    },
    startApiServer: async () => {
      if (server) throw new Error('the API server runs');
      server = await runApiServer(place, { ...ports, api: first.port }, flags);
    },
    compact: () => compactEtcd(etcdUrl(ports)),
    serviceAccountToken: async (namespace, name, seconds = 3600) => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
      const request = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: seconds },
      };
      return (await api.expect<{ status: { token: string } }>('POST', path, request)).status.token;
    },
    kubeconfigFor: (token) => kubeconfig(`user-${++users}`, { token }),
    installCrds: () => installCrds(api),
    stop: () => running.disposeAsync(),
  };
}

const auditFile = (folder: string): string => join(folder, 'audit.log');
const etcdUrl = (ports: Ports): string => `http://127.0.0.1:${ports.etcd}`;

async function writeFiles({ folder, pki }: Place): Promise<void> {
  const files = {
    'ca.crt': pki.ca,
    'server.crt': pki.server.cert,
    'server.key': pki.server.key,
    'tokens.key': pki.serviceAccounts.privateKey,
    'tokens.pub': pki.serviceAccounts.publicKey,
    'audit-policy.yaml': AUDIT_POLICY,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode: 0o600 });
}

async function freePorts(): Promise<Ports> {
  const [etcd, peer, api] = await Promise.all([freePort(), freePort(), freePort()]);
  return { etcd, peer, api };
}

/** Between asking for a free port and using it another program may take it: then again with others. */
async function onFreePorts<T>(attempt: (ports: Ports) => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS; ; left--) {
    try {
      return await attempt(await freePorts());
    } catch (error) {
      if (left === 1 || !String(error).includes('address already in use')) throw error;
    }
  }
}

function startEtcd({ folder, programs }: Place, fsync: boolean): Promise<{ etcd: RunningProgram; ports: Ports }> {
  return onFreePorts(async (ports) => {
    const peers = `http://127.0.0.1:${ports.peer}`;
    const etcd = startProgram(
      join(programs, 'etcd'),
      [
        `--name=test`,
        `--data-dir=${join(folder, `etcd-${ports.etcd}`)}`,
        `--listen-client-urls=${etcdUrl(ports)}`,
        `--advertise-client-urls=${etcdUrl(ports)}`,
        `--listen-peer-urls=${peers}`,
        `--initial-advertise-peer-urls=${peers}`,
        `--initial-cluster=test=${peers}`,
        '--quota-backend-bytes=8589934592',
        '--log-level=warn',
        ...(fsync ? [] : ['--unsafe-no-fsync']),
      ],
      { bound: true },
    );
    await untilReady(etcd, 'etcd', async () => {
      const reply = await fetch(`${etcdUrl(ports)}/health`).catch(() => undefined);
      return reply?.ok;
    });
    return { etcd, ports };
  });
}

function urlAt(address: string, port: number): string {
  return `https://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** Resolves once it is ready. */
async function runApiServer(place: Place, ports: Ports, flags: readonly string[]): Promise<RunningProgram> {
  const command = join(place.programs, 'kube-apiserver');
  const server = startProgram(command, apiServerFlags(place, ports, flags), { bound: true });
  const api = createApiClient(urlAt(place.address, ports.api), place.pki.ca, place.pki.admin);
  try {
    await untilReady(server, 'kube-apiserver', async () => {
      const reply = await api.request('GET', '/readyz').catch(() => undefined);
      return reply?.status === 200;
    });
    return server;
  } finally {
    api.close();
  }
}

function apiServerFlags({ folder, address }: Place, ports: Ports, more: readonly string[]): string[] {
  const file = (name: string): string => join(folder, name);
  return [
    `--etcd-servers=${etcdUrl(ports)}`,
    `--bind-address=${address}`,
    `--advertise-address=${address}`,
    `--secure-port=${ports.api}`,
    `--cert-dir=${folder}`,
    `--tls-cert-file=${file('server.crt')}`,
    `--tls-private-key-file=${file('server.key')}`,
    `--client-ca-file=${file('ca.crt')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${file('tokens.pub')}`,
    `--service-account-signing-key-file=${file('tokens.key')}`,
    '--authorization-mode=RBAC',
    '--allow-privileged=true',
    '--service-cluster-ip-range=10.96.0.0/16',
    // Nobody serves behind the Service `kubernetes`, and loopback addresses are none of its endpoints.
    '--endpoint-reconciler-type=none',
    `--audit-policy-file=${file('audit-policy.yaml')}`,
    `--audit-log-path=${auditFile(folder)}`,
    // Megabytes: never rotated.
    '--audit-log-maxsize=100000',
    '--shutdown-delay-duration=0s',
    '--profiling=false',
    ...more,
  ];
}

/** Waits; a program that ends, or never gets ready, is an error with what it printed, and is gone. */
async function untilReady(
  program: RunningProgram,
  name: string,
  isReady: () => Promise<boolean | undefined>,
): Promise<void> {
  let ended: number | string | undefined;
  void program.ended.then((exit) => (ended = exit));
  try {
    await eventually(
      `${name} is ready`,
      async () => {
        if (ended !== undefined) throw new Error(`${name} ended (${ended})`);
        return (await isReady()) ? true : undefined;
      },
      START_SECONDS,
    );
  } catch (error) {
    await program.kill();
    throw new Error(`${String(error)}\n${program.output().slice(-8000)}`, { cause: error });
  }
}
