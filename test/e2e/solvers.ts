// What solvers of cert-manager need: an ingress controller in front of its solver Pods, and a name server that takes updates.
import { randomBytes } from 'node:crypto';
import type { Cluster } from './cluster.ts';
import { PEERS } from './signer.ts';

interface ServiceObject {
  spec: { clusterIP: string };
}

async function addressOf(cluster: Cluster, name: string, namespace: string): Promise<string> {
  const found = await cluster.get<ServiceObject>('service', name, namespace);
  return found?.spec.clusterIP ?? '';
}

/** Serves Ingresses of the class `name`, which is also its own; resolves with its address. */
export async function startIngress(cluster: Cluster, name: string, namespace: string): Promise<string> {
  const group = 'rbac.authorization.k8s.io';
  await cluster.apply(
    [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
      {
        apiVersion: `${group}/v1`,
        kind: 'ClusterRole',
        metadata: { name },
        rules: [{ apiGroups: ['networking.k8s.io'], resources: ['ingresses'], verbs: ['get', 'list', 'watch'] }],
      },
      {
        apiVersion: `${group}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name },
        roleRef: { apiGroup: group, kind: 'ClusterRole', name },
        subjects: [{ kind: 'ServiceAccount', name, namespace }],
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name },
        spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] },
      },
    ],
    namespace,
  );
  const command = ['/ingress', `--class=${name}`];
  const image = await cluster.image('ingress');
  await cluster.start(name, namespace, { image, command, port: 8080, spec: { serviceAccountName: name } });
  return addressOf(cluster, name, namespace);
}

export interface NameServer {
  address: string;
  /** Of the key that may change the zone: base64, hmac-sha256. */
  secret: string;
}

export const TSIG_KEY = 'cert-manager';

/** BIND with one zone that cert-manager may change; `records` are in it from the start. */
export async function startBind(cluster: Cluster, zone: string, namespace: string, records = ''): Promise<NameServer> {
  const secret = randomBytes(32).toString('base64');
  const options = [
    'directory "/work"',
    'pid-file none',
    'session-keyfile none',
    'recursion no',
    'notify no',
    'allow-query { any; }',
    'listen-on { any; }',
    'listen-on-v6 { none; }',
  ];
  const configuration = [
    `options { ${options.join('; ')}; };`,
    'controls { };',
    `key "${TSIG_KEY}" { algorithm hmac-sha256; secret "${secret}"; };`,
    `zone "${zone}" { type primary; file "zone"; update-policy { grant ${TSIG_KEY} zonesub TXT; }; };`,
  ];
  const data = {
    'named.conf': `${configuration.join('\n')}\n`,
    zone: `$TTL 5\n@ SOA ns root 1 60 60 60 5\n@ NS ns\nns A 127.0.0.1\n${records}`,
  };
  const ports = ['UDP', 'TCP'].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: 53 }));
  await cluster.apply(
    [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bind' }, data },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'bind' }, spec: { selector: { app: 'bind' }, ports } },
    ],
    namespace,
  );
  await cluster.start('bind', namespace, {
    image: await cluster.image(PEERS.image, PEERS.packages),
    command: ['sh', '-c', 'mkdir -p /work && cp /config/* /work && exec named -g -c /work/named.conf'],
    mounts: { '/config': { configMap: 'bind' } },
    port: 53,
  });
  return { address: await addressOf(cluster, 'bind', namespace), secret };
}
