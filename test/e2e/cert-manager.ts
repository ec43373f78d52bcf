// cert-manager in the cluster, as its own chart installs it: its controllers, its admission webhook, its roles; and what suites do with it.
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { NAMESPACE } from '../support/helm.ts';
import { cacheFolder } from '../support/kubernetes-programs.ts';
import { directoryOf } from './certbot.ts';
import type { Cluster } from './cluster.ts';

export const CERT_MANAGER = 'cert-manager';
const CHART = join(cacheFolder(), '../cert-manager-chart');
const WEBHOOK = `${CERT_MANAGER}-webhook`;

/** What Countersign may see of a cluster with cert-manager in it. */
export const RIGHTS = {
  rbac: { optional: ['cert-manager', 'services', 'trust', 'trust-bundles', 'minted-keys', 'pods'] },
} as const;

async function imageOf(cluster: Cluster, program: string): Promise<object> {
  const [, repository, tag] = /^(.*):([^:]+)$/.exec(await cluster.image(`${CERT_MANAGER}-${program}`)) ?? [];
  return { image: { registry: '', repository, tag } };
}

/**
 * Resolves once an object of its kinds is admitted. Its cainjector is not run: it would put the webhook's CA, which the webhook makes, into the
 * configuration of admission, and is not concerned with issuers.
 */
export async function certManagerInstalled(cluster: Cluster, extraArgs: readonly string[] = []): Promise<void> {
  const values = {
    crds: { enabled: true },
    cainjector: { enabled: false },
    startupapicheck: { enabled: false },
    extraArgs,
    ...(await imageOf(cluster, 'controller')),
    webhook: await imageOf(cluster, 'webhook'),
    acmesolver: await imageOf(cluster, 'acmesolver'),
  };
  const where = ['--namespace', CERT_MANAGER];
  const args = ['upgrade', '--install', CERT_MANAGER, CHART, ...where, '--create-namespace', '--values', '-'];
  const { status, stderr } = await cluster.command('helm', args, JSON.stringify(values));
  if (status !== 0) throw new Error(stderr);
  for (const name of [CERT_MANAGER, WEBHOOK])
    await cluster.kubectl('rollout', 'status', `deployment/${name}`, ...where, '--timeout=300s');
  const ca = await eventually('the webhook has its CA', async () => {
    const secret = await cluster.get<{ data?: Record<string, string> }>('secret', `${WEBHOOK}-ca`, CERT_MANAGER);
    return secret?.data?.['ca.crt'];
  });
  const patch = JSON.stringify([{ op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: ca }]);
  for (const kind of ['validatingwebhookconfiguration', 'mutatingwebhookconfiguration'])
    await cluster.kubectl('patch', kind, WEBHOOK, '--type=json', '--patch', patch);
  await eventually('objects are admitted', async () => {
    const object = certificate('admitted', { issuer: 'none', names: ['admitted.example'] });
    const input = JSON.stringify(object);
    const dry = ['apply', '--dry-run=server', '--namespace', CERT_MANAGER, '--filename', '-'];
    return (await cluster.command('kubectl', dry, input)).status === 0 ? true : undefined;
  });
}

const apiVersion = 'cert-manager.io/v1';

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
}

/** A ClusterIssuer for an issuer of ours, under another name or its own; `acme` adds members. Without solvers where that adds none. */
export function clusterIssuer(name: string, caBundle: string, acme: object = {}, issuer = name): object {
  return {
    apiVersion,
    kind: 'ClusterIssuer',
    metadata: { name },
    spec: {
      acme: {
        server: directoryOf(issuer),
        caBundle,
        privateKeySecretRef: { name: `${name}-account` },
        ...acme,
      },
    },
  };
}

/** The bundle that the issuer publishes for clients of the ACME server, as base64: what `caBundle` wants. */
export async function publishedBundle(cluster: Cluster, configMap: string): Promise<string> {
  const pem = await eventually(`${configMap} is published`, async () => {
    const found = await cluster.get<{ data: Record<string, string> }>('configmap', configMap, NAMESPACE);
    return found?.data['acme-ca.crt'];
  });
  return Buffer.from(pem).toString('base64');
}

export interface CertificateOptions {
  issuer: string;
  names: readonly string[];
  kind?: 'ClusterIssuer' | 'Issuer';
  spec?: object;
}

/** Its Secret is `<name>-tls`. */
export function certificate(
  name: string,
  { issuer, names, kind = 'ClusterIssuer', spec = {} }: CertificateOptions,
): object {
  return {
    apiVersion,
    kind: 'Certificate',
    metadata: { name },
    spec: {
      secretName: `${name}-tls`,
      dnsNames: names,
      issuerRef: { name: issuer, kind, group: 'cert-manager.io' },
      ...spec,
    },
  };
}

export interface Order {
  metadata: {
    name: string;
    namespace: string;
    creationTimestamp: string;
    annotations?: Record<string, string>;
  };
  spec: object;
  status?: { state?: string; reason?: string; url?: string };
}

export const certificateOf = ({ metadata }: Order) => metadata.annotations?.['cert-manager.io/certificate-name'];

export async function ordersOf(cluster: Cluster, namespace: string, certificateName?: string): Promise<Order[]> {
  const text = await cluster.kubectl('get', 'orders', '--namespace', namespace, '--output', 'json');
  const { items } = JSON.parse(text) as { items: Order[] };
  return items.filter((order) => certificateName === undefined || certificateOf(order) === certificateName);
}

/** The Order of that Certificate, once it says why it was refused. */
export async function refusalOf(cluster: Cluster, namespace: string, certificateName: string): Promise<Order> {
  return eventually(
    `the Order of ${certificateName} has failed`,
    async () => (await ordersOf(cluster, namespace, certificateName)).find(({ status }) => status?.state === 'errored'),
    240,
  );
}

/** What `cmctl renew` writes. */
export async function renew(cluster: Cluster, namespace: string, name: string): Promise<void> {
  const found = await cluster.get<{ status: { conditions: Condition[] } }>('certificate', name, namespace);
  const kept = (found?.status.conditions ?? []).filter(({ type }) => type !== 'Issuing');
  const issuing = {
    type: 'Issuing',
    status: 'True',
    reason: 'ManuallyTriggered',
    message: 'asked for by hand',
    lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ''),
  };
  const patch = JSON.stringify({ status: { conditions: [...kept, issuing] } });
  const args = ['certificate', name, '--namespace', namespace, '--subresource=status', '--type=merge'];
  await cluster.kubectl('patch', ...args, '--patch', patch);
}

/** A Service without Pods: what proves its name. */
export function service(name: string): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port: 443 }] } };
}

interface IssuanceRecord {
  spec: { requestID: string; names: string[]; issuerRef: { name: string }; requester: { namespace?: string } };
  status?: { serial?: string };
}

/** What we have on record of an issuer, for a namespace where one is named. */
export async function recordsOf(cluster: Cluster, issuer: string, namespace?: string): Promise<IssuanceRecord[]> {
  const args = ['get', 'issuedcertificates', '--namespace', NAMESPACE, '--output', 'json'];
  const { items } = JSON.parse(await cluster.kubectl(...args)) as { items: IssuanceRecord[] };
  return items.filter(
    ({ spec: { issuerRef, requester } }) =>
      issuerRef.name === issuer && (namespace === undefined || requester.namespace === namespace),
  );
}
