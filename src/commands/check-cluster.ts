// What a cluster must have for the program to run on it: kinds, rights, Secrets.
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { SecretKind } from '../api/core.ts';
import { CAIssuerKind, type Issuer } from '../api/issuer.ts';
import type { Kind, KubeObject, NewObject } from '../api/kind.ts';
import type { Place, Right } from '../api/right.ts';
import type { AccessQuestion } from '../cluster/access-review.ts';
import type { KubernetesCluster } from '../cluster/kubernetes.ts';
import type { Config } from '../config.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { issuerTitle } from '../domain/issuer.ts';
import { missingKinds } from './connection.ts';
import type { Manifest } from './manifest-files.ts';
import { OPTIONAL_FEATURES } from './optional-features.ts';
import { FEATURES } from './rights.ts';

export interface ClusterToCheck extends Pick<KubernetesCluster, 'get' | 'list' | 'serves'> {
  /** Whether whoever asks may do this. */
  may(question: AccessQuestion): Promise<boolean>;
}

/** Mistakes, one line each. Rejects where the cluster does not answer. */
export async function checkCluster(
  cluster: ClusterToCheck,
  config: Config,
  manifests: readonly Manifest[],
): Promise<string[]> {
  const kinds = (await missingKinds(cluster)).map((kind) => `the CustomResourceDefinition ${kind} is not served`);
  const issuers = await allIssuers(cluster, config, manifests);
  return [
    ...kinds,
    ...(await missingRights(cluster, config, issuers)),
    ...closedBackends(config, issuers),
    ...(await missingSecrets(cluster, config, { issuers, manifests })),
  ];
}

/** What CAIssuers may not sign with, a line each. */
export function closedBackends({ tenantBackends }: Config, issuers: readonly NewObject<Issuer>[]): string[] {
  const open: readonly string[] = ['ca', ...tenantBackends];
  return issuers
    .filter(({ metadata }) => metadata.namespace !== undefined)
    .flatMap(({ metadata, spec }) =>
      Object.keys(spec.backend)
        .filter((name) => !open.includes(name))
        .map((name) => `${issuerTitle(metadata)}: the configuration does not offer the backend ${name} to CAIssuers`),
    );
}

export function issuersAmong(manifests: readonly Manifest[]): NewObject<Issuer>[] {
  return manifests
    .filter(({ kind }) => kind.kind === ClusterCAIssuerKind.kind || kind.kind === CAIssuerKind.kind)
    .map(({ object }) => object as NewObject<Issuer>);
}

async function missingRights(
  cluster: ClusterToCheck,
  config: Config,
  issuers: readonly NewObject<Issuer>[],
): Promise<string[]> {
  const wanted = OPTIONAL_FEATURES.filter(({ wants }) => issuers.some((issuer) => wants(issuer as Issuer)));
  const questions = [...FEATURES, ...wanted].flatMap(({ name, rights }) =>
    rights.flatMap((right) => questionsOf(right, config).map((question) => ({ feature: name, question }))),
  );
  const lines: string[] = [];
  for (const { feature, question } of questions) {
    if (!(await cluster.may(question))) lines.push(`the right to ${textOf(question)} is missing (${feature})`);
  }
  return lines;
}

type Question = Record<'verb' | 'group' | 'resource', string> & Record<string, string>;

function questionsOf(right: Right, config: Config): Question[] {
  const { kind, subresource, verbs, names, in: places } = right;
  const namespaces = new Set(places.flatMap((place) => namespacesOf(place, config)));
  return [...namespaces].flatMap((namespace) =>
    verbs.flatMap((verb) =>
      // RBAC cannot hold a create to names.
      (names && verb !== 'create' ? names : ['']).map((name) => ({
        verb,
        group: kind.group,
        resource: kind.plural,
        ...(subresource === undefined ? {} : { subresource }),
        ...(namespace === '' ? {} : { namespace }),
        ...(name === '' ? {} : { name }),
      })),
    ),
  );
}

/** '' is everywhere, and where there are no namespaces. */
function namespacesOf(place: Place, { namespace, watchNamespaces }: Config): readonly string[] {
  switch (place) {
    case 'cluster':
      return [''];
    case 'operator':
      return [namespace];
    case 'tenants':
      return watchNamespaces ?? [''];
    case 'default':
      return ['default'];
  }
}

function textOf({ verb, group, resource, subresource, namespace, name }: Question): string {
  const what = `${resource}${group === '' ? '' : `.${group}`}${subresource === undefined ? '' : `/${subresource}`}`;
  return `${verb} ${what}${name === undefined ? '' : ` ${name}`}${namespace === undefined ? '' : ` in ${namespace}`}`;
}

interface Reference {
  /** What names the Secret. */
  by: string;
  namespace: string;
  name: string;
  key?: string;
}

async function missingSecrets(
  cluster: ClusterToCheck,
  config: Config,
  { issuers, manifests }: { issuers: readonly NewObject<Issuer>[]; manifests: readonly Manifest[] },
): Promise<string[]> {
  const own: Reference[] = config.tlsSecretName
    ? [{ by: 'the configuration: tls.secretName', namespace: config.namespace, name: config.tlsSecretName }]
    : [];
  const references: Reference[] = [...own, ...issuers.flatMap((issuer) => referencesOf(issuer, config.namespace))];
  const given = new Map(
    manifests.filter(({ kind }) => kind.kind === SecretKind.kind).map(({ object }) => [at(object.metadata), object]),
  );
  const lines: string[] = [];
  for (const reference of references) {
    const secret = given.get(at(reference)) ?? (await cluster.get(SecretKind, reference));
    const line = faultOf(reference, secret);
    if (line !== undefined) lines.push(line);
  }
  return lines;
}

const at = ({ namespace = '', name }: { namespace?: string; name: string }) => `${namespace}/${name}`;

function faultOf({ by, namespace, name, key }: Reference, secret: object | undefined): string | undefined {
  if (!secret) return `${by}: there is no Secret ${name} in ${namespace}`;
  const { data, stringData } = secret as { data?: object; stringData?: object };
  if (key === undefined || key in { ...data, ...stringData }) return undefined;
  return `${by}: the Secret ${name} in ${namespace} has no ${key}`;
}

/** Those of the manifests, and those of the cluster that no manifest replaces. */
async function allIssuers(
  cluster: ClusterToCheck,
  { watchNamespaces }: Config,
  manifests: readonly Manifest[],
): Promise<NewObject<Issuer>[]> {
  const given = issuersAmong(manifests);
  const names = new Set(given.map(({ metadata }) => at(metadata)));
  const stored: Issuer[] = [
    ...(await listed(cluster, ClusterCAIssuerKind)),
    ...(watchNamespaces
      ? (await Promise.all(watchNamespaces.map((namespace) => listed(cluster, CAIssuerKind, namespace)))).flat()
      : await listed(cluster, CAIssuerKind)),
  ];
  return [...given, ...stored.filter(({ metadata }) => !names.has(at(metadata)))];
}

/** None where the kind is not served or may not be listed: that is told elsewhere. */
async function listed<T extends KubeObject>(
  cluster: ClusterToCheck,
  kind: Kind<T>,
  namespace?: string,
): Promise<readonly T[]> {
  try {
    return (await cluster.list(kind, namespace === undefined ? {} : { namespace })).items;
  } catch (error) {
    if (isClusterError(error, 'NotFound', 'Forbidden')) return [];
    throw error;
  }
}

/** Every Secret an issuer names. A CA that signs itself makes its own. */
function referencesOf({ metadata, spec }: NewObject<Issuer>, operator: string): Reference[] {
  const place = metadata.namespace ?? operator;
  const by = issuerTitle({ ...metadata, name: metadata.name });
  const selfSigned = spec.backend && 'ca' in spec.backend && spec.backend.ca?.selfSigned !== undefined;
  return secretRefs(spec, 'spec')
    .filter(({ path }) => !(selfSigned && path === 'spec.backend.ca.secretRef'))
    .map(({ path, ref }) => ({ ...ref, by: `${by}: ${path}`, namespace: place }));
}

/** A ConfigMap is looked for by the operator, which says so in the condition of the issuer. */
const isConfigMap = (member: object) => 'kind' in member && member.kind === 'ConfigMap';

/** Members called `secretRef`, `…SecretRef` and what else names a Secret, wherever they stand. */
function secretRefs(value: unknown, path: string): { path: string; ref: { name: string; key?: string } }[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => secretRefs(item, `${path}[${i}]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) =>
    /^secretRef$|SecretRef$|^clientCertificateRef$|^caBundleRef$/.test(name) && !isConfigMap(member)
      ? [{ path: `${path}.${name}`, ref: member as { name: string; key?: string } }]
      : secretRefs(member, `${path}.${name}`),
  );
}
