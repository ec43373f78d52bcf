// What suites of issuers whose CA is elsewhere ask of the cluster.
import { X509Certificate } from 'node:crypto';
import { eventually } from '../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../support/helm.ts';
import type { Cluster } from './cluster.ts';
import { claim } from './objects.ts';

interface ConditionsObject {
  status?: { conditions?: { type: string; status: string; reason: string; message: string }[] };
}

interface RecordObject {
  metadata: { name: string; annotations?: Record<string, string> };
  spec: { names: string[] };
  status?: { certificate?: string };
}

interface Lease {
  spec: { holderIdentity?: string };
}

/** A ClusterCAIssuer and a policy of its name that allows these names. Certificates of the CAs of tests are good for a week. */
export function elsewhere(name: string, backend: object, dnsNames: readonly string[]): object[] {
  const apiVersion = 'countersign.dev/v1alpha1';
  return [
    { apiVersion, kind: 'ClusterCAIssuer', metadata: { name }, spec: { backend, defaults: { duration: '168h' } } },
    {
      apiVersion,
      kind: 'CertificateRequestPolicy',
      metadata: { name },
      spec: { selector: { issuerRef: { name } }, allowed: { dnsNames: { values: dnsNames, wildcards: true } } },
    },
  ];
}

export function watchElsewhere(cluster: Cluster) {
  const records = async (name: string): Promise<RecordObject[]> => {
    const all = await cluster.kubectl('get', 'issuedcertificates', '--namespace', NAMESPACE, '--output', 'json');
    return (JSON.parse(all) as { items: RecordObject[] }).items.filter(({ spec }) =>
      spec.names.includes(`dns:${name}`),
    );
  };
  const condition = async (issuer: string, type: string): Promise<string> => {
    const found = await cluster.get<ConditionsObject>('clustercaissuer', issuer);
    const { status = 'Unknown', reason = '' } = found?.status?.conditions?.find((each) => each.type === type) ?? {};
    return `${status} ${reason}`;
  };
  /** The sum over replicas of a metric with these labels. */
  const metric = async (name: string, labels: Readonly<Record<string, string>>): Promise<number> => {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const lines = [...(await cluster.metrics()).values()].flatMap((text) => text.split('\n'));
    return lines
      .filter((line) => line.startsWith(`${name}{`) && wanted.every((part) => line.includes(part)))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };
  const failed = (issuer: string) => metric('countersign_backend_calls_total', { issuer, outcome: 'failed' });
  return {
    records,
    metric,
    /** Resolves once calls to the CA of the issuer have failed more often than `before`. */
    failsMore: (issuer: string, before: number) =>
      eventually(`calls to the CA of ${issuer} fail`, async () => ((await failed(issuer)) > before ? true : undefined)),
    failed,
    /** Claims of one name each in `namespace`, by the name of the claim; `<claim>-tls` is to have the certificate. */
    async claim(namespace: string, issuer: string, names: Readonly<Record<string, string>>): Promise<void> {
      const made = Object.entries(names).map(([name, dnsName]) => claim(name, { issuer, names: [dnsName] }));
      await cluster.apply(made, namespace);
    },
    async leafOf(namespace: string, name: string): Promise<X509Certificate> {
      const secret = await cluster.get<{ data: Record<string, string> }>('secret', `${name}-tls`, namespace);
      return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64'));
    },
    /** DER in base64 of what is on record for each name; exactly one each. */
    async released(names: readonly string[]): Promise<string[]> {
      const found = await Promise.all(names.map(async (name) => ({ name, of: await records(name) })));
      return found.map(({ name, of: [only, ...others] }) => {
        if (!only?.status?.certificate || others.length > 0)
          throw new Error(`${name} has ${others.length + 1} records`);
        return only.status.certificate;
      });
    },
    becomes: (issuer: string, type: string, wanted: RegExp) =>
      eventually(
        `${type} of ${issuer} becomes ${wanted.source}`,
        async () => (wanted.test(await condition(issuer, type)) ? true : undefined),
        180,
      ),
    /** The Pod that leads is gone at once, as on a node that fails; resolves once all replicas are ready again. */
    async killLeader(): Promise<void> {
      const where = ['--namespace', NAMESPACE];
      const lease = await cluster.get<Lease>('lease', `${RELEASE}-leader`, NAMESPACE);
      const holder = lease?.spec.holderIdentity?.split('_')[0] ?? '';
      await cluster.kubectl('delete', 'pod', holder, ...where, '--force', '--grace-period=0');
      await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...where, '--timeout=300s');
    },
  };
}
