// Pebble in the cluster, as a Service of its name.
import { buildServerCertificate } from '../support/certificate-builder.ts';
import { generalName } from '../support/der-writer.ts';
import { eventually } from '../support/eventually.ts';
import type { Cluster } from './cluster.ts';

/** What Pebble wants to have been agreed to. */
export const PEBBLE_TERMS = 'data:text/plain,Do%20what%20thou%20wilt';

export interface PebbleInCluster {
  directory: string;
  /** PEM: what its server certificate chains to, and the root of what it issues. */
  caBundle: string;
  root: string;
  /** Nobody reaches it by its Service from now on. Connections that there are stay. */
  cutOff(): Promise<void>;
  /** It is reached again. */
  restore(): Promise<void>;
  /** How many orders it has, and how many certificates it has issued. */
  orders(): Promise<number>;
  issued(): Promise<number>;
}

/** `nameserver`, an address, is asked for names in place of the cluster's. */
export async function startPebble(
  cluster: Cluster,
  {
    name,
    namespace,
    nameserver,
    env = {},
  }: {
    name: string;
    namespace: string;
    nameserver?: string;
    env?: Readonly<Record<string, string>>;
  },
): Promise<PebbleInCluster> {
  const host = `${name}.${namespace}.svc`;
  const tls = buildServerCertificate([generalName.dns(host)]);
  const config = {
    pebble: {
      listenAddress: '0.0.0.0:14000',
      managementListenAddress: '0.0.0.0:15000',
      certificate: '/pebble-files/cert.pem',
      privateKey: '/pebble-files/key.pem',
      httpPort: 80,
      tlsPort: 1,
      keyAlgorithm: 'ecdsa',
      retryAfter: { authz: 1, order: 1 },
      profiles: { default: { description: 'A week.', validityPeriod: 604_800 } },
    },
  };
  const data = { 'config.json': JSON.stringify(config), 'cert.pem': tls.certificate, 'key.pem': tls.key };
  const ports = [14_000, 15_000].map((port) => ({ name: `p${port}`, port }));
  const serve = (app: string) =>
    cluster.apply(
      { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app }, ports } },
      namespace,
    );
  await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `${name}-files` }, data }, namespace);
  await serve(name);
  await cluster.start(name, namespace, {
    image: await cluster.image('pebble'),
    command: [
      '/pebble',
      '-config',
      '/pebble-files/config.json',
      ...(nameserver === undefined ? [] : ['-dnsserver', `${nameserver}:53`]),
    ],
    env: { PEBBLE_WFE_NONCEREJECT: '5', PEBBLE_AUTHZREUSE: '0', ...env },
    mounts: { '/pebble-files': { configMap: `${name}-files` } },
    port: 14_000,
  });
  const path = `/api/v1/namespaces/${namespace}/services/https:${name}:15000/proxy/roots/0`;
  const said = async (line: RegExp) => [...(await cluster.logs(`pod/${name}`, namespace)).matchAll(line)].length;
  return {
    directory: `https://${host}:14000/dir`,
    caBundle: tls.ca,
    root: await eventually('pebble shows its root', () => cluster.kubectl('get', '--raw', path).catch(() => undefined)),
    cutOff: async () => void (await serve('nobody')),
    restore: async () => void (await serve(name)),
    orders: () => said(/Added order/g),
    issued: () => said(/Issued certificate serial/g),
  };
}
