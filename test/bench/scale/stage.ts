// Where the scale bench runs: an etcd that syncs its log to a real disk, an API server, the operator's roles and an issuer, and the
// outside world of ACME servers in a network namespace.
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BUNDLE, bundle, ROOT } from '../../../scripts/image/bundle.ts';
import { type ApiClient, createApiClient } from '../../support/api-client.ts';
import { freePort, type RunningProgram } from '../../support/child-process.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane.ts';
import { createSigningKey, type SigningKey } from '../../support/jws.ts';
import { startNamespaceHost } from '../../support/namespaces.ts';
import { install, NAMESPACE, startServe } from '../../support/serve.ts';
import { installIssuer, secretsOf } from '../../support/serving-stage.ts';

/** Account keys that the world answers challenges for. */
export const ACCOUNTS = 48;

export interface Stage {
  plane: ControlPlane;
  /** The operator's own account, which alone may write records. */
  operator: ApiClient;
  /** Folder on the disk that etcd writes to. */
  folder: string;
  /** Of the namespace with name server and challenge listener: address, and our end. */
  world: { address: string; gateway: string; pid: number };
  keys: readonly SigningKey[];
  pids: { etcd: number; apiServer: number };
  /** Starts the operator; does not wait. `since`: of performance.now(). */
  serve(): Promise<Serving>;
  stop(): Promise<void>;
}

export interface Serving {
  program: RunningProgram;
  since: number;
  directory: string;
  /** `http://…` of health and metrics. */
  distribution: string;
}

export async function startStage(): Promise<Stage> {
  await using cleanup = new AsyncDisposableStack();
  const parent = join(process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign'), 'bench');
  mkdirSync(parent, { recursive: true });
  requireDisk(parent);
  // The log of every request is for tests that read it.
  const apiServerFlags = ['--audit-log-path=', '--audit-policy-file='];
  const plane = await startControlPlane({ fsync: true, parent, apiServerFlags });
  cleanup.defer(() => plane.stop());
  const pids = findPrograms(plane);
  requireSyncs(pids.etcd);
  await plane.installCrds();
  const kubeconfig = await install(plane);
  const token = await plane.serviceAccountToken(NAMESPACE, 'countersign', 4 * 3600);
  const operator = createApiClient(plane.url, plane.ca, { token });
  cleanup.defer(() => operator.close());
  const shipped = await asShipped(plane.folder);
  const keys = Array.from({ length: ACCOUNTS }, () => createSigningKey('ES256'));
  const script = join(import.meta.dirname, 'world.ts');
  const world = await startNamespaceHost(
    script,
    keys.map(({ thumbprint }) => thumbprint),
  );
  cleanup.defer(() => world.stop());
  await installIssuer(plane.api, `${world.address}:53`);
  const ports = { acme: await freePort(), distribution: await freePort(), peers: await freePort() };
  const running = cleanup.move();
  return {
    plane,
    operator,
    folder: plane.folder,
    world,
    keys,
    pids,
    serve: async () => {
      const since = performance.now();
      const listen = { address: '127.0.0.1', ...ports };
      const config = { externalURLs: [`https://127.0.0.1:${ports.acme}`], listen };
      return {
        since,
        program: await startServe({ plane, kubeconfig, config, ...shipped }),
        directory: `https://127.0.0.1:${ports.acme}/acme/main/directory`,
        distribution: `http://127.0.0.1:${ports.distribution}`,
      };
    },
    stop: () => running.disposeAsync(),
  };
}

/** The program as the image has it: one file, and the environment. */
async function asShipped(folder: string): Promise<{ main: string; env: Record<string, string> }> {
  const main = join(folder, BUNDLE);
  writeFileSync(main, (await bundle()).get(BUNDLE) ?? '');
  const [, settings = ''] = /^ENV (.+)$/m.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')) ?? [];
  return { main, env: Object.fromEntries(settings.split(' ').map((setting) => setting.split('='))) };
}

/** PEM of what signed the certificate that the operator makes itself. */
export async function servingCA({ plane }: Stage): Promise<string> {
  const path = `${secretsOf(NAMESPACE)}/countersign-serving-tls`;
  const { data } = await plane.api.expect<{ data: Record<string, string> }>('GET', path);
  return Buffer.from(data['ca.crt'] ?? '', 'base64').toString();
}

function requireDisk(folder: string): void {
  const type = execFileSync('stat', ['--file-system', '--format=%T', folder], { encoding: 'utf8' }).trim();
  if (type === 'tmpfs' || type === 'ramfs') throw new Error(`${folder} is on ${type}: set COUNTERSIGN_CACHE to a disk`);
}

function requireSyncs(etcd: number): void {
  if (argumentsOf(etcd).includes('--unsafe-no-fsync'))
    throw new Error('etcd does not sync its log: nothing to measure');
}

function argumentsOf(pid: number | string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The programs of the control plane, by the folder in their arguments. */
function findPrograms({ folder }: ControlPlane): { etcd: number; apiServer: number } {
  const find = (program: string, flag: string): number => {
    const pid = globSync('[0-9]*', { cwd: '/proc' }).find((each) => {
      const [command = '', ...args] = argumentsOf(each);
      return command.endsWith(`/${program}`) && args.some((arg) => arg.startsWith(`--${flag}=${folder}`));
    });
    if (pid === undefined) throw new Error(`no process of ${program}`);
    return Number(pid);
  };
  return { etcd: find('etcd', 'data-dir'), apiServer: find('kube-apiserver', 'cert-dir') };
}

/** etcd's histogram of syncs of its log so far: how many took at most so many seconds. */
export async function walSyncs({ pids }: Stage): Promise<readonly (readonly [number, number])[]> {
  const url = argumentsOf(pids.etcd)
    .find((arg) => arg.startsWith('--listen-client-urls='))
    ?.split('=')[1];
  const text = await (await fetch(`${url}/metrics`)).text();
  const buckets = text.matchAll(/^etcd_disk_wal_fsync_duration_seconds_bucket\{le="([^"]+)"\} (\S+)$/gm);
  return [...buckets].map(([, le = '', count = '']) => [le === '+Inf' ? Infinity : Number(le), Number(count)] as const);
}

/** The 99th percentile in milliseconds of what came between two looks, interpolated within its bucket. */
export function walP99(
  before: readonly (readonly [number, number])[],
  after: readonly (readonly [number, number])[],
): number {
  const counts = after.map(([le, count], i) => [le, count - (before[i]?.[1] ?? 0)] as const);
  const wanted = (counts.at(-1)?.[1] ?? 0) * 0.99;
  let [lower, below] = [0, 0];
  for (const [le, count] of counts) {
    if (count >= wanted && le !== Infinity) {
      const part = count === below ? 0 : (wanted - below) / (count - below);
      return 1000 * (lower + (le - lower) * part);
    }
    [lower, below] = [le, count];
  }
  return Infinity;
}
