// Applies manifests to an API server as `kubectl apply` would, and makes users for it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type ApiClient, APPLY_PATCH, createApiClient } from './api-client.ts';
import type { ControlPlane } from './control-plane.ts';

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
}

const PLURALS: Readonly<Record<string, string>> = {
  Namespace: 'namespaces',
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
};

/** `namespace`: for manifests that name none, as `kubectl -n` has it. */
export function pathOf({ apiVersion, kind, metadata }: Manifest, namespace?: string): string {
  const plural = PLURALS[kind];
  if (plural === undefined) throw new Error(`no plural known of ${kind}`);
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const lives = ['ServiceAccount', 'Role', 'RoleBinding'].includes(kind)
    ? (metadata.namespace ?? namespace)
    : undefined;
  return `${root}${lives === undefined ? '' : `/namespaces/${lives}`}/${plural}/${metadata.name}`;
}

export async function apply(api: ApiClient, manifests: readonly Manifest[], namespace?: string): Promise<void> {
  for (const manifest of manifests)
    await api.expect('PATCH', `${pathOf(manifest, namespace)}?fieldManager=test&force=true`, manifest, APPLY_PATCH);
}

/** Those of a file of deploy/, as they are committed. */
export function deployed(name: string): Manifest[] {
  const text = readFileSync(join(import.meta.dirname, '../../deploy', `${name}.yaml`), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

export interface Rule {
  apiGroups: readonly string[];
  resources: readonly string[];
  verbs: readonly string[];
}

/** A ServiceAccount `name` in `default`, that may do this everywhere: in a role of its own, or in one there is. */
export async function createUser(plane: ControlPlane, name: string, may: readonly Rule[] | string): Promise<ApiClient> {
  const rbac = 'rbac.authorization.k8s.io';
  const role = typeof may === 'string' ? may : `user-${name}`;
  const user = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'default' } };
  const roles =
    typeof may === 'string'
      ? []
      : [{ apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: role }, rules: may }];
  await apply(plane.api, [user, ...roles]);
  await grant(plane.api, role, user.metadata);
  return clientOf(plane, 'default', name);
}

/** Gives a ServiceAccount a ClusterRole, everywhere. */
export async function grant(api: ApiClient, role: string, { namespace, name }: { namespace: string; name: string }) {
  const rbac = 'rbac.authorization.k8s.io';
  const binding = {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: `${name}-${role}` },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  };
  await apply(api, [binding]);
}

/** A client as a ServiceAccount that exists. */
export async function clientOf(plane: ControlPlane, namespace: string, name: string): Promise<ApiClient> {
  return createApiClient(plane.url, plane.ca, { token: await plane.serviceAccountToken(namespace, name) });
}
