// `countersign serve` as its users start it, with a ServiceAccount that may do what src/commands/rights.ts says and no more.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Right, RIGHTS } from '../../src/commands/rights.ts';
import type { ControlPlane } from './control-plane.ts';
import { type RunningProgram, startProgram } from './child-process.ts';

export const NAMESPACE = 'countersign-system';
const ACCOUNT = 'countersign';
const MAIN = join(import.meta.dirname, '../../src/main.ts');

/** The namespace, the ServiceAccount and its rights. Resolves with the path of a kubeconfig of that account. */
export async function installServiceAccount(plane: ControlPlane): Promise<string> {
  const { api } = plane;
  await api.expect('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } });
  await api.expect('POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, { metadata: { name: ACCOUNT } });
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const subjects = [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: NAMESPACE }];
  const grant = async (path: string, kind: 'ClusterRole' | 'Role', rights: readonly Right[]): Promise<void> => {
    await api.expect('POST', `${path}/${kind.toLowerCase()}s`, { metadata: { name: ACCOUNT }, rules: rulesOf(rights) });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind, name: ACCOUNT };
    const binding = { metadata: { name: ACCOUNT }, subjects, roleRef };
    await api.expect('POST', `${path}/${kind.toLowerCase()}bindings`, binding);
  };
  const at = (where: Right['where']) => RIGHTS.filter((right) => right.where === where);
  await grant(rbac, 'ClusterRole', at('cluster'));
  await grant(`${rbac}/namespaces/${NAMESPACE}`, 'Role', at('operator'));
  await grant(`${rbac}/namespaces/default`, 'Role', at('default'));
  return plane.kubeconfigFor(await plane.serviceAccountToken(NAMESPACE, ACCOUNT));
}

function rulesOf(rights: readonly Right[]): object[] {
  return rights.map(({ kind, subresource, verbs }) => ({
    apiGroups: [kind.group],
    resources: [subresource === undefined ? kind.plural : `${kind.plural}/${subresource}`],
    verbs,
  }));
}

export interface ServeOptions {
  plane: ControlPlane;
  kubeconfig: string;
  /** Of the file, besides the namespace. */
  config: Readonly<Record<string, unknown>>;
  /** Of this process among several. */
  name?: string;
}

/** Does not wait for it to be ready. */
export async function startServe({ plane, kubeconfig, config, name = 'serve' }: ServeOptions): Promise<RunningProgram> {
  const file = join(plane.folder, `${name}.yaml`);
  await writeFile(file, stringify({ namespace: NAMESPACE, ...config }));
  return startProgram(process.execPath, [MAIN, 'serve', '--config', file, '--kubeconfig', kubeconfig]);
}
