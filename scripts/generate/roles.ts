// RBAC of the operator, from the rights its features declare, and of its users, from the kinds.
import { GROUP, type Kind } from '../../src/api/kind.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import type { Place, Right, Verb } from '../../src/api/right.ts';
import type { Feature } from '../../src/commands/rights.ts';
import { type Installation, labelled, type Manifest } from './manifest.ts';

interface PolicyRule {
  apiGroups: string[];
  resources: string[];
  resourceNames?: string[];
  verbs: string[];
}

const VERBS: readonly Verb[] = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'attest'];

/** Rights that hold whichever namespaces are served. */
export function operatorRoles(installation: Installation, features: readonly Feature[]): Manifest[] {
  return features.flatMap((feature) => [
    ...clusterWide(installation, feature, rulesAt(feature.rights, 'cluster')),
    ...inNamespace(installation, feature, { at: installation.namespace, rules: rulesAt(feature.rights, 'operator') }),
    ...inNamespace(installation, feature, { at: 'default', rules: rulesAt(feature.rights, 'default') }),
  ]);
}

/** Rights in the namespaces that are served: in every one there is and will be. */
export function tenantClusterRoles(installation: Installation, features: readonly Feature[]): Manifest[] {
  return features.flatMap((feature) =>
    clusterWide(installation, { ...feature, name: `${feature.name}-everywhere` }, rulesAt(feature.rights, 'tenants')),
  );
}

/** The same in one namespace; in whichever the manifest is applied to where `at` is absent. */
export function tenantRoles(installation: Installation, features: readonly Feature[], at?: string): Manifest[] {
  return features.flatMap((feature) =>
    inNamespace(
      installation,
      { ...feature, name: `${feature.name}-tenant` },
      { at, rules: rulesAt(feature.rights, 'tenants') },
    ),
  );
}

/** One rule for each resource and set of names. */
export function rulesAt(rights: readonly Right[], place: Place): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  for (const { kind, subresource, verbs, in: places, names } of rights) {
    if (!places.includes(place)) continue;
    const resource = subresource ? `${kind.plural}/${subresource}` : kind.plural;
    for (const verb of verbs) {
      const resourceNames = names && verb !== 'create' ? { resourceNames: [...names] } : {};
      const rule = { apiGroups: [kind.group], resources: [resource], ...resourceNames, verbs: [] };
      const key = JSON.stringify(rule);
      const known: PolicyRule = rules.get(key) ?? rule;
      known.verbs = VERBS.filter((each) => each === verb || known.verbs.includes(each));
      rules.set(key, known);
    }
  }
  return [...rules.values()];
}

const RBAC = 'rbac.authorization.k8s.io';

function clusterWide(installation: Installation, feature: Feature, rules: readonly PolicyRule[]): Manifest[] {
  if (rules.length === 0) return [];
  const metadata = labelled({ name: `${installation.name}-${feature.name}` });
  return [
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata, rules },
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRoleBinding', metadata, ...bound(installation, 'ClusterRole', metadata) },
  ];
}

function inNamespace(
  installation: Installation,
  feature: Feature,
  { at, rules }: { at: string | undefined; rules: readonly PolicyRule[] },
): Manifest[] {
  if (rules.length === 0) return [];
  const metadata = labelled({
    name: `${installation.name}-${feature.name}`,
    ...(at === undefined ? {} : { namespace: at }),
  });
  return [
    { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata, rules },
    { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', metadata, ...bound(installation, 'Role', metadata) },
  ];
}

function bound({ namespace, name }: Installation, kind: 'Role' | 'ClusterRole', role: { name: string }): object {
  return {
    roleRef: { apiGroup: RBAC, kind, name: role.name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  };
}

// ---- People -------------------------------------------------------------------------------------------------------

const READ: readonly Verb[] = ['get', 'list', 'watch'];
const WRITE = ['create', 'update', 'patch', 'delete', 'deletecollection'];

export interface UserRole {
  name: string;
  /** Built-in roles that it becomes a part of. */
  joins: readonly string[];
  /** For whom it is. */
  audience: string;
  rules: readonly PolicyRule[];
}

/** Accounts and Authorizations are in none of them, and neither is writing a status. */
export function userRoles(kinds: readonly Kind[]): UserRole[] {
  const ours = kinds.filter(({ group }) => group === GROUP);
  const inputs = ours.filter(({ namespaced, kind }) => namespaced && kind !== IssuedCertificateKind.kind);
  const rule = (of: readonly Pick<Kind, 'plural'>[], verbs: readonly string[]): PolicyRule => ({
    apiGroups: [GROUP],
    resources: of.map(({ plural }) => plural),
    verbs: [...verbs],
  });
  const shared = ours.filter(({ namespaced }) => !namespaced);
  return [
    {
      name: 'view',
      joins: ['view', 'edit', 'admin'],
      audience: 'whoever may see a namespace; in the namespace of the operator that is the inventory',
      rules: [rule([...inputs, IssuedCertificateKind], READ)],
    },
    {
      name: 'edit',
      joins: ['edit', 'admin'],
      audience: 'whoever may change a namespace',
      rules: [rule(inputs, WRITE)],
    },
    {
      name: 'cluster-view',
      joins: ['cluster-reader'],
      audience: 'whoever should see which issuers and policies there are; bind it to `system:authenticated` for all',
      rules: [rule(shared, READ)],
    },
    {
      name: 'platform',
      joins: [],
      audience: 'the platform team: issuers and policies',
      rules: [rule(shared, [...READ, ...WRITE])],
    },
    {
      name: 'revoke',
      joins: [],
      audience:
        'the security team, bound in the namespace of the operator: `spec.revocation`, and by the admission policy nothing else',
      rules: [rule([IssuedCertificateKind], [...READ, 'patch'])],
    },
  ];
}

export function userManifests({ name }: Installation, kinds: readonly Kind[]): Manifest[] {
  return userRoles(kinds).map((role) => ({
    apiVersion: `${RBAC}/v1`,
    kind: 'ClusterRole',
    metadata: labelled(
      { name: `${name}-${role.name}` },
      Object.fromEntries(role.joins.map((builtIn) => [`${RBAC}/aggregate-to-${builtIn}`, 'true'])),
    ),
    rules: role.rules,
  }));
}
