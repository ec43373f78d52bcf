// Where etcd and kube-apiserver are: KUBEBUILDER_ASSETS, else the folder that scripts/build-tools.ts and scripts/kubernetes.ts
// fill. Tests never build or fetch them.
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

export const KUBERNETES_PROGRAMS = ['etcd', 'kube-apiserver'] as const;

/** The folder of the programs, or why there is none. A folder that is named and lacks one is not replaced by another. */
export function kubernetesPrograms(): { folder: string } | { missing: string } {
  const named = process.env['KUBEBUILDER_ASSETS'];
  const folder = named ?? cacheFolder();
  const absent = KUBERNETES_PROGRAMS.filter((program) => !isExecutable(join(folder, program)));
  if (absent.length === 0) return { folder };
  const where = named === undefined ? '(npm run kubernetes)' : 'in the folder that KUBEBUILDER_ASSETS names';
  return { missing: `${absent.join(' and ')} missing ${where}` };
}

/** Folder of built and fetched programs. */
export function cacheFolder(): string {
  return join(process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign'), 'bin');
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
