// A cluster of kind, in Docker: for people who have that. It differs from a local one only in how it is made and given images.
// Not run where this was written: there was no Docker.
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, isExecutable } from '../../support/kubernetes-programs.ts';
import type { Session } from '../session.ts';

const execute = promisify(execFile);

const CONFIG = {
  kind: 'Cluster',
  apiVersion: 'kind.x-k8s.io/v1alpha4',
  featureGates: { PodCertificateRequest: true, ClusterTrustBundle: true, ClusterTrustBundleProjection: true },
  runtimeConfig: { 'certificates.k8s.io/v1beta1': 'true' },
};

/** Why there can be none here; undefined where there can. */
export async function missingForKind(): Promise<string | undefined> {
  const runs = (command: string, ...args: string[]) =>
    execute(command, args).then(
      () => true,
      () => false,
    );
  if (!(await runs('docker', 'info'))) return 'kind needs Docker, and `docker info` fails';
  if (!(await runs('kind', 'version'))) return 'kind missing';
  const absent = ['kubectl', 'helm'].filter((program) => !isExecutable(join(cacheFolder(), program)));
  return absent.length > 0 ? `${absent.join(', ')} missing (node scripts/build-tools.ts)` : undefined;
}

const nameOf = (folder: string) => folder.split('/').at(-1)?.toLowerCase() ?? 'countersign-e2e';

export async function startKind(folder: string): Promise<Session> {
  const kubeconfig = join(folder, 'admin.kubeconfig');
  const name = nameOf(folder);
  const running = execute('kind', [
    'create',
    'cluster',
    '--name',
    name,
    '--kubeconfig',
    kubeconfig,
    '--wait',
    '180s',
    '--config',
    '-',
  ]);
  running.child.stdin?.end(JSON.stringify(CONFIG));
  await running;
  return { kind: 'kind', kubeconfig, folder, load: ['kind', 'load', 'image-archive', '--name', name] };
}

export async function stopKind(folder: string): Promise<void> {
  await execute('kind', ['delete', 'cluster', '--name', nameOf(folder)]);
  rmSync(folder, { recursive: true, force: true });
}
