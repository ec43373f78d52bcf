// `countersign serve` as its users start it, with a ServiceAccount under the roles of deploy/ and nothing else.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ControlPlane } from './control-plane.ts';
import { type RunningProgram, startProgram } from './child-process.ts';
import { apply, deployed } from './manifests.ts';

export const NAMESPACE = 'countersign-system';
const MAIN = join(import.meta.dirname, '../../src/main.ts');

/** Namespace, ServiceAccount, roles, admission policy. Resolves with the path of a kubeconfig of that account. */
export async function install(plane: ControlPlane): Promise<string> {
  for (const name of ['namespace', 'roles', 'everywhere', 'admission', 'users']) await apply(plane.api, deployed(name));
  return plane.kubeconfigFor(await plane.serviceAccountToken(NAMESPACE, 'countersign'));
}

export interface ServeOptions {
  plane: ControlPlane;
  kubeconfig: string;
  /** Of the file, besides the namespace. */
  config: Readonly<Record<string, unknown>>;
  /** Of this process among several. */
  name?: string;
  env?: Readonly<Record<string, string>>;
  /** Path of the program; that of the sources when absent. */
  main?: string;
}

/** Does not wait for it to be ready. */
export async function startServe({
  plane,
  kubeconfig,
  config,
  name = 'serve',
  env = {},
  main = MAIN,
}: ServeOptions): Promise<RunningProgram> {
  const file = join(plane.folder, `${name}.yaml`);
  await writeFile(file, stringify({ namespace: NAMESPACE, ...config }));
  return startProgram(process.execPath, [main, 'serve', '--config', file, '--kubeconfig', kubeconfig], { env });
}
