// The program with issuers of the same name everywhere: `main` of the cluster, and a CAIssuer `main` in each of two namespaces.
import { type CAIssuer, CAIssuerKind } from '../../src/api/issuer.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Transport } from '../support/acme-wire.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';
import { type HarnessOptions, OPEN_POLICY, startOperator } from './harness.ts';

export type Operator = Awaited<ReturnType<typeof startOperator>>;

export interface Tenants extends Responders {
  operator: Operator;
  transport: Transport;
  /** A client without an account; of a ClusterCAIssuer where there is no namespace. */
  connect(issuer: string, namespace?: string): Promise<AcmeWire>;
  /** A client with an account of its own. */
  client(issuer: string, namespace?: string): Promise<AcmeWire>;
  stop(): Promise<void>;
}

/** Path of an issuer's directory and the rest, without `/acme`. */
export const prefixOf = (namespace?: string): string => (namespace === undefined ? '' : `/ns/${namespace}`);

export async function startTenants(options: HarnessOptions = {}): Promise<Tenants> {
  const [dns, http01, tlsAlpn] = await Promise.all([startDnsServer(), startHttp01Responder(), startTlsAlpnResponder()]);
  const operator = await startOperator({
    nameserver: dns.address,
    http01Port: http01.port,
    tlsAlpn01Port: tlsAlpn.port,
    ...options,
  });
  const transport = createTransport(operator.ca);
  for (const name of ['team-a', 'team-b', 'team-c'])
    await operator.cluster.create(NamespaceKind, { metadata: { name } });
  await operator.cluster.create(CertificateRequestPolicyKind, {
    metadata: { name: 'tenants' },
    spec: { ...OPEN_POLICY, selector: { issuerRef: { kind: 'CAIssuer', namespace: 'team-*' } } },
  });
  for (const namespace of ['team-a', 'team-b']) await aTenantIssuer(operator, namespace);
  const connectTo = (issuer: string, namespace?: string) =>
    connect(transport, `${operator.origin}${prefixOf(namespace)}/acme/${issuer}/directory`);
  return {
    dns,
    http01,
    tlsAlpn,
    operator,
    transport,
    connect: connectTo,
    client: async (issuer, namespace) => {
      const acme = await connectTo(issuer, namespace);
      await register(acme);
      return acme;
    },
    stop: async () => {
      transport.close();
      await operator.stop();
      await Promise.all([dns.stop(), http01.stop(), tlsAlpn.stop()]);
    },
  };
}

/** Makes the issuer, with a self-signed CA unless the spec says otherwise, and waits until it is judged. */
export async function aTenantIssuer(
  { cluster }: Operator,
  namespace: string,
  { name = 'main', ...spec }: Partial<CAIssuer['spec']> & { name?: string } = {},
): Promise<CAIssuer> {
  const ca = { secretRef: { name: `${name}-ca` }, selfSigned: { commonName: `CA ${name} of ${namespace}` } };
  await cluster.create(CAIssuerKind, { metadata: { namespace, name }, spec: { backend: { ca }, ...spec } });
  return eventually(`the issuer ${namespace}/${name} is judged`, async () => {
    const issuer = await cluster.get(CAIssuerKind, { namespace, name });
    return issuer?.status?.conditions?.some(({ type }) => type === 'Ready') ? issuer : undefined;
  });
}

export async function secretNames({ cluster }: Operator, namespace: string): Promise<string[]> {
  const { items } = await cluster.list(SecretKind, { namespace });
  return items.map(({ metadata }) => metadata.name).sort();
}
