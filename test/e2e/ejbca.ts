// The double of EJBCA (test/support/ejbca) in the cluster, as a Service `ejbca`.
import { buildCaCertificate, buildServerCertificate, createKeyPair, pemOf } from '../support/certificate-builder.ts';
import { generalName } from '../support/der-writer.ts';
import {
  clientOf,
  type EjbcaBehaviour,
  type EjbcaState,
  propertiesOf,
  readState,
  specOf,
} from '../support/ejbca-peer.ts';
import { eventually } from '../support/eventually.ts';
import type { Cluster } from './cluster.ts';

const [PORT, CONTROL] = [8443, 9000];

export interface EjbcaInCluster {
  /** By SOAP and by REST; the client certificate is in the Secret `clientSecret`. */
  spec(protocol: 'SOAP' | 'REST', clientSecret: string): object;
  /** A client certificate as a Secret has it: `operator` is in the role, others are not. */
  client(name: string): Record<string, string>;
  behave(behaviour: EjbcaBehaviour): Promise<void>;
  state(): Promise<EjbcaState>;
  /** Nobody reaches it by its Service, and who is connected already is cut off. */
  cutOff(): Promise<void>;
  restore(): Promise<void>;
}

export async function startEjbca(cluster: Cluster, namespace: string): Promise<EjbcaInCluster> {
  const host = `ejbca.${namespace}.svc`;
  const server = buildServerCertificate([generalName.dns(host)]);
  const clientCA = createKeyPair();
  const settings = propertiesOf({
    certificate: server.certificate,
    key: server.key,
    clientCA: pemOf('CERTIFICATE', buildCaCertificate('Management CA', clientCA)),
    host: '0.0.0.0',
    port: String(PORT),
    controlPort: String(CONTROL),
  });
  const serve = (app: string) =>
    cluster.apply(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'ejbca' },
        spec: { selector: { app }, ports: [{ port: PORT }] },
      },
      namespace,
    );
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'ejbca' }, stringData: { settings } };
  await cluster.apply(secret, namespace);
  await serve('ejbca');
  await cluster.start('ejbca', namespace, {
    image: await cluster.image('ejbca'),
    command: [
      '/java/bin/java',
      '-Xmx256m',
      '-XX:TieredStopAtLevel=1',
      '-XX:+UseSerialGC',
      '-jar',
      '/ejbca/ejbca-double.jar',
      '/settings/settings',
    ],
    mounts: { '/settings': { secret: 'ejbca' } },
    port: PORT,
  });
  const told = (path: string) =>
    cluster.kubectl('get', '--raw', `/api/v1/namespaces/${namespace}/pods/ejbca:${CONTROL}/proxy/${path}`);
  const root = await eventually('the double tells its root', () => told('root').catch(() => undefined));
  const behave: EjbcaInCluster['behave'] = async (behaviour) => {
    const query = Object.entries(behaviour).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    await told(`behave?${query.join('&')}`);
  };
  return {
    spec: (protocol, name) => ({
      ...specOf({ origin: `https://${host}:${PORT}`, root, ca: server.ca }, protocol),
      clientCertificateRef: { name },
    }),
    client: (name) => clientOf(name, clientCA),
    behave,
    state: async () => readState(await told('state')),
    cutOff: async () => {
      await serve('nobody');
      await behave({ kind: 'away' });
    },
    restore: async () => {
      await behave({ kind: 'sign' });
      await serve('ejbca');
    },
  };
}
