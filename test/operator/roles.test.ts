// What the manifests of deploy/ give to whom: never more than is declared.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { installationManifests } from '../../scripts/generate/deploy.ts';
import { INSTALLATION, type Manifest } from '../../scripts/generate/manifest.ts';
import { rulesAt } from '../../scripts/generate/roles.ts';
import { AccountKind, AuthorizationKind } from '../../src/api/acme.ts';
import { LeaseKind, SecretKind } from '../../src/api/core.ts';
import type { Rule } from '../support/manifests.ts';

const TENANTS = ['payments', 'web'];
const everywhere = installationManifests(INSTALLATION);
const perNamespace = installationManifests(INSTALLATION, TENANTS);

const isRole = ({ kind }: Manifest) => kind === 'Role' || kind === 'ClusterRole';
const rulesOf = (manifest: Manifest) => (manifest['rules'] ?? []) as (Rule & { resourceNames?: string[] })[];
const bindings = (manifests: readonly Manifest[]) => manifests.filter(({ kind }) => kind.endsWith('RoleBinding'));
/** Roles that nobody binds: those for people. */
const forPeople = everywhere.filter(
  (role) => isRole(role) && !bindings(everywhere).some(({ metadata }) => metadata.name === role.metadata.name),
);

test('no role has a wildcard, or a verb that makes rights', () => {
  const rules = [...everywhere, ...perNamespace].filter(isRole).flatMap(rulesOf);
  expect(rules.length).toBeGreaterThan(20);
  const verbs = new Set(rules.flatMap((rule) => rule.verbs));
  for (const verb of ['*', 'escalate', 'bind', 'impersonate']) expect([...verbs]).not.toContain(verb);
  expect(rules.flatMap(({ resources, apiGroups }) => [...resources, ...apiGroups])).not.toContain('*');
  expect(rules.filter((rule) => 'nonResourceURLs' in rule)).toEqual([]);
});

test('roles for people have nothing of Account and Authorization, write no status, and of a record at most patch', () => {
  expect(forPeople.map(({ metadata }) => metadata.name)).toEqual([
    'countersign-view',
    'countersign-edit',
    'countersign-cluster-view',
    'countersign-platform',
    'countersign-revoke',
  ]);
  const rules = forPeople.flatMap(rulesOf);
  const resources = rules.flatMap((rule) => rule.resources);
  for (const { plural } of [AccountKind, AuthorizationKind]) expect(resources).not.toContain(plural);
  expect(resources.filter((resource) => resource.includes('/'))).toEqual([]);
  const ofRecords = forPeople.flatMap((role) =>
    rulesOf(role)
      .filter((rule) => rule.resources.includes('issuedcertificates'))
      .map((rule) => [role.metadata.name, rule.verbs.filter((verb) => !['get', 'list', 'watch'].includes(verb))]),
  );
  expect(ofRecords).toEqual([
    ['countersign-view', []],
    ['countersign-revoke', ['patch']],
  ]);
  const revoke = forPeople.find(({ metadata }) => metadata.name === 'countersign-revoke');
  expect(Object.keys(revoke?.metadata.labels ?? {})).toEqual(['app.kubernetes.io/name']);
});

test('namespaces one by one: Secrets and claims are in no ClusterRole, and a Role stands in each', () => {
  const clusterWide = perNamespace.filter(({ kind }) => kind === 'ClusterRole');
  const bound = clusterWide.filter((role) => !forPeople.some(({ metadata }) => metadata.name === role.metadata.name));
  const resources = bound.flatMap(rulesOf).flatMap((rule) => rule.resources);
  expect(resources).toContain('clustercaissuers');
  expect(resources).not.toContain('secrets');
  expect(resources).not.toContain('certificateclaims');
  for (const namespace of TENANTS) {
    const roles = perNamespace.filter(({ kind, metadata }) => kind === 'Role' && metadata.namespace === namespace);
    expect(roles.flatMap(rulesOf).flatMap((rule) => rule.resources)).toEqual(
      expect.arrayContaining(['secrets', 'certificateclaims', 'events']),
    );
  }
});

test('every binding is of a role there is, to the ServiceAccount alone', () => {
  const subject = { kind: 'ServiceAccount', name: 'pki', namespace: 'pki-system' };
  for (const tenants of [undefined, TENANTS]) {
    const all = installationManifests({ name: 'pki', namespace: 'pki-system' }, tenants);
    for (const binding of bindings(all)) {
      const { roleRef, subjects } = binding as unknown as {
        roleRef: { kind: string; name: string };
        subjects: object[];
      };
      expect(subjects).toEqual([subject]);
      const { namespace } = binding.metadata;
      const roles = all.filter(({ kind, metadata }) => kind === roleRef.kind && metadata.name === roleRef.name);
      expect(roles.map(({ metadata }) => metadata.namespace)).toContain(namespace);
    }
    expect(stringify(all)).not.toContain('countersign-system');
    expect(stringify(all)).toContain('system:serviceaccount:pki-system:pki');
  }
});

test("the manifests of an installation of one's own are printed, or the mistake", () => {
  const script = join(import.meta.dirname, '../../scripts/deploy.ts');
  const print = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  const { stdout, status } = print('--namespace', 'pki-system', '--tenants', 'payments,web');
  const wanted = installationManifests({ name: 'countersign', namespace: 'pki-system' }, TENANTS);
  expect(status).toBe(0);
  expect(parseAllDocuments(stdout).map((document) => document.toJS() as unknown)).toEqual(
    JSON.parse(JSON.stringify(wanted)),
  );
  const wrong = print('--tenants', 'payments,Web');
  expect([wrong.status, wrong.stdout, wrong.stderr]).toEqual([1, '', 'no valid name: "Web"\n']);
});

test('rights become one rule for a resource and its names; only create goes without names', () => {
  const rules = rulesAt(
    [
      { kind: LeaseKind, verbs: ['update', 'create', 'get'], in: ['operator'], names: ['leader'], why: 'lead' },
      { kind: SecretKind, verbs: ['watch'], in: ['operator', 'tenants'], why: 'notice' },
      { kind: SecretKind, verbs: ['get', 'watch'], in: ['operator'], why: 'read' },
      { kind: SecretKind, verbs: ['delete'], in: ['tenants'], why: 'clean' },
    ],
    'operator',
  );
  expect(rules).toEqual([
    {
      apiGroups: ['coordination.k8s.io'],
      resources: ['leases'],
      resourceNames: ['leader'],
      verbs: ['get', 'update'],
    },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
    { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'watch'] },
  ]);
});
