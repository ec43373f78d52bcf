// A real Kubernetes of one node from programs, in a machine of namespaces: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, containerd, kubelet, kube-proxy, a bridge for Pods, CoreDNS in a Pod. Its images come from this machine alone.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { createApiClient } from '../../support/api-client.ts';
import { AUDIT_POLICY } from '../../support/audit-log.ts';
import { type ControlPlanePki, createControlPlanePki, type Credentials } from '../../support/control-plane-pki.ts';
import { eventually } from '../../support/eventually.ts';
import { writeKubeconfig } from '../../support/kubeconfig.ts';
import { cacheFolder, isExecutable } from '../../support/kubernetes-programs.ts';
import { programImage } from '../images.ts';
import type { Session } from '../session.ts';
import { type Daemon, type Machine, startMachine, stopMachine } from './machine.ts';
import {
  ADDONS,
  CLUSTER_DNS,
  containerdConfig,
  kubeletConfig,
  NODE,
  POD_NETWORK,
  podNetwork,
  proxyConfig,
  SERVICE_NETWORK,
} from './node.ts';

const execute = promisify(execFile);

const BUILT = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kubectl',
  'coredns',
  'pause',
  'helm',
];
/** Where Debian and Ubuntu have them. */
const INSTALLED: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  buildah: 'buildah',
  mmdebstrap: 'mmdebstrap',
  nft: 'nftables',
  iptables: 'iptables',
  conntrack: 'conntrack',
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
};
const CNI_PLUGINS = '/usr/lib/cni';

/** Why there can be none here; undefined where there can. */
export function missingForLocal(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a local cluster needs Linux and root';
  const absent = BUILT.filter((program) => !isExecutable(join(cacheFolder(), program)));
  if (absent.length > 0) return `${absent.join(', ')} missing (node scripts/build-tools.ts)`;
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  const packages = new Set(
    Object.entries(INSTALLED)
      .filter(([program]) => !folders.some((folder) => isExecutable(join(folder, program))))
      .map(([, name]) => name),
  );
  if (!existsSync(join(CNI_PLUGINS, 'bridge'))) packages.add('containernetworking-plugins');
  return packages.size > 0 ? `packages missing: ${[...packages].join(' ')}` : undefined;
}

interface Place {
  folder: string;
  machine: Machine;
  pki: ControlPlanePki;
  url: string;
  started: (text: string) => void;
}

/** All state is in `folder`, an empty one. */
export async function startLocal(
  folder: string,
  options: { outlives: boolean; log: (text: string) => void },
): Promise<Session> {
  for (const name of ['log', 'pki', 'kubelet', 'cni', 'containerd']) mkdirSync(join(folder, name), { recursive: true });
  const machine = await startMachine(folder, options);
  const pki = createControlPlanePki([machine.address, '10.96.0.1']);
  const place: Place = { folder, machine, pki, url: `https://${machine.address}:6443`, started: options.log };
  writeCredentials(place);
  await startControlPlane(place);
  const load = ['ctr', '--address', join(folder, 'containerd/c.sock'), '--namespace', 'k8s.io', 'images', 'import'];
  const kubeconfig = join(folder, 'admin.kubeconfig');
  await startNode(place, load);
  await execute(join(cacheFolder(), 'kubectl'), [
    '--kubeconfig',
    kubeconfig,
    '--namespace',
    'kube-system',
    'rollout',
    'status',
    'deployment/coredns',
    '--timeout=180s',
  ]);
  return { kind: 'local', kubeconfig, folder, load, auditLog: join(folder, 'audit.log') };
}

/** From any process; also what a run that died has left in its folder. */
export async function stopLocal(folder: string): Promise<void> {
  await stopMachine(folder);
  // Files that a process of the cluster had open the moment before.
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 500 });
}

const USERS: Readonly<Record<string, [name: string, group?: string]>> = {
  admin: ['admin', 'system:masters'],
  'controller-manager': ['system:kube-controller-manager'],
  scheduler: ['system:kube-scheduler'],
  kubelet: [`system:node:${NODE}`, 'system:nodes'],
  proxy: ['system:kube-proxy'],
};

function writeCredentials({ folder, pki, machine, url }: Place): void {
  const write = (name: string, content: string) => writeFileSync(join(folder, 'pki', name), content, { mode: 0o600 });
  const pair = (name: string, { cert, key }: Credentials) => {
    write(`${name}.crt`, cert);
    write(`${name}.key`, key);
  };
  write('ca.crt', pki.ca);
  write('tokens.key', pki.serviceAccounts.privateKey);
  write('tokens.pub', pki.serviceAccounts.publicKey);
  write('audit-policy.yaml', AUDIT_POLICY);
  pair('server', pki.server);
  pair('kubelet', pki.host(NODE, machine.address));
  pair('kubelet-client', pki.user('kube-apiserver-kubelet-client'));
  for (const [file, [name, group]] of Object.entries(USERS))
    void writeKubeconfig(join(folder, `${file}.kubeconfig`), { url, ca: pki.ca, user: pki.user(name, group) });
}

const program = (name: string) => join(cacheFolder(), name);

/** Resolves once it is true; rejects when the program has ended. */
async function until(what: string, daemon: Daemon, ask: () => Promise<unknown>): Promise<void> {
  await eventually(
    what,
    async () => {
      daemon.check();
      return (await ask().catch(() => false)) ? true : undefined;
    },
    180,
  );
}

async function startControlPlane(place: Place): Promise<void> {
  const { folder, machine, pki, url, started } = place;
  const file = (name: string) => join(folder, 'pki', name);
  machine.start(
    'etcd',
    program('etcd'),
    `--data-dir=${join(folder, 'etcd')}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
    '--quota-backend-bytes=4294967296',
  );
  const apiServer = machine.start(
    'apiserver',
    program('kube-apiserver'),
    '--etcd-servers=http://127.0.0.1:2379',
    `--advertise-address=${machine.address}`,
    `--cert-dir=${join(folder, 'pki')}`,
    `--tls-cert-file=${file('server.crt')}`,
    `--tls-private-key-file=${file('server.key')}`,
    `--client-ca-file=${file('ca.crt')}`,
    '--anonymous-auth=false',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${file('tokens.pub')}`,
    `--service-account-signing-key-file=${file('tokens.key')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    '--allow-privileged=true',
    `--kubelet-client-certificate=${file('kubelet-client.crt')}`,
    `--kubelet-client-key=${file('kubelet-client.key')}`,
    `--kubelet-certificate-authority=${file('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--runtime-config=certificates.k8s.io/v1beta1=true',
    '--feature-gates=PodCertificateRequest=true,ClusterTrustBundle=true,ClusterTrustBundleProjection=true',
    `--audit-policy-file=${file('audit-policy.yaml')}`,
    `--audit-log-path=${join(folder, 'audit.log')}`,
    '--audit-log-maxsize=100000',
    '--shutdown-delay-duration=0s',
    '--profiling=false',
  );
  const api = createApiClient(url, pki.ca, pki.admin);
  try {
    await until('kube-apiserver is ready', apiServer, async () => (await api.request('GET', '/readyz')).status === 200);
  } finally {
    api.close();
  }
  started('control plane');
  machine.start(
    'controller-manager',
    program('kube-controller-manager'),
    `--kubeconfig=${join(folder, 'controller-manager.kubeconfig')}`,
    `--service-account-private-key-file=${file('tokens.key')}`,
    `--root-ca-file=${file('ca.crt')}`,
    '--use-service-account-credentials=true',
    '--allocate-node-cidrs=true',
    `--cluster-cidr=${POD_NETWORK}`,
    `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    '--leader-elect=false',
  );
  machine.start(
    'scheduler',
    program('kube-scheduler'),
    `--kubeconfig=${join(folder, 'scheduler.kubeconfig')}`,
    '--leader-elect=false',
  );
}

/** Layers of an overlay cannot lie upon another overlay, as in a container. */
function snapshotter(folder: string): string {
  const OVERLAY = 0x794c7630;
  return statfsSync(folder).type === OVERLAY ? 'native' : 'overlayfs';
}

async function startNode({ folder, machine, started }: Place, load: readonly string[]): Promise<void> {
  const write = (name: string, content: object | string) => {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : stringify(content));
    return join(folder, name);
  };
  const [pause, coredns] = [await programImage('pause'), await programImage('coredns')];
  write('cni/10-pods.conflist', JSON.stringify(podNetwork(folder)));
  const config = write('containerd.toml', containerdConfig(folder, pause.reference, snapshotter(folder)));
  const containerd = machine.start('containerd', 'containerd', '--config', config, '--log-level', 'warn');
  const [ctr = '', ...words] = load;
  await until('containerd answers', containerd, () => execute(ctr, [...words.slice(0, 2), 'version']));
  for (const image of [pause, coredns]) await execute(ctr, [...words, image.archive]);
  started('containerd');

  write('resolv.conf', 'nameserver 127.0.0.1\n');
  const kubelet = machine.start(
    'kubelet',
    program('kubelet'),
    `--config=${write('kubelet.yaml', kubeletConfig(folder))}`,
    `--kubeconfig=${join(folder, 'kubelet.kubeconfig')}`,
    `--hostname-override=${NODE}`,
    `--node-ip=${machine.address}`,
    `--root-dir=${join(folder, 'kubelet')}`,
  );
  const kubectl = (...args: string[]) =>
    execute(program('kubectl'), ['--kubeconfig', join(folder, 'admin.kubeconfig'), ...args]);
  await kubectl('apply', '--filename', write('addons.yaml', ADDONS(coredns.reference)));
  machine.start('proxy', program('kube-proxy'), `--config=${write('proxy.yaml', proxyConfig(folder))}`);
  await until('the node is ready', kubelet, async () => {
    const { stdout } = await kubectl('get', 'nodes', '--no-headers');
    return / Ready /.test(stdout);
  });
  started(`node, with Services at ${SERVICE_NETWORK} and DNS at ${CLUSTER_DNS}`);
}
