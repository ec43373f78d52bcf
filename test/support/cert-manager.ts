// cert-manager as an ACME server and the Kubernetes API see it: its objects, written by its own hand, and its requests.
import { CertManagerClusterIssuerKind, type CertManagerOrder, CertManagerOrderKind } from '../../src/api/foreign.ts';
import type { Cluster } from '../../src/ports.ts';
import { newOrder, type Order, register } from './acme-flow.ts';
import { type AcmeWire, connect, type Transport } from './acme-wire.ts';
import type { SigningKey } from './jws.ts';
import { createSigningKey } from './jws.ts';
import { freshName } from './names.ts';

const USER_AGENT = 'cert-manager-orders/v1.21.2 (linux/amd64) cert-manager/0123456789abcdef';

/** The transport, as its HTTP client presents itself. */
export function asCertManager(transport: Transport): Transport {
  return {
    ...transport,
    request: (method, url, options = {}) =>
      transport.request(method, url, { ...options, headers: { 'user-agent': USER_AGENT, ...options.headers } }),
  };
}

export interface CertManager {
  acme: AcmeWire;
  /** Name of its ClusterIssuer. */
  issuer: string;
}

export interface CertManagerOptions {
  /** Further members of newAccount, such as the binding. */
  payload?: (acme: AcmeWire, key: SigningKey) => object;
  solvers?: readonly object[];
}

/** A ClusterIssuer with an account of its own. */
export async function certManager(
  cluster: Cluster,
  at: { transport: Transport; directory: string },
  { payload, solvers = [] }: CertManagerOptions = {},
): Promise<CertManager> {
  const acme = await connect(asCertManager(at.transport), at.directory);
  const key = createSigningKey();
  await register(acme, key, payload?.(acme, key) ?? {});
  const issuer = freshName('cluster-issuer').split('.')[0] ?? '';
  const made = await cluster.create(CertManagerClusterIssuerKind, {
    metadata: { name: issuer },
    spec: { acme: { solvers } },
  });
  await cluster.replaceStatus(CertManagerClusterIssuerKind, { ...made, status: { acme: { uri: acme.account.url } } });
  return { acme, issuer };
}

export interface Kept {
  order: Order;
  object: CertManagerOrder;
}

/** What it writes after newOrder, before it fetches an authorization. */
export async function keepOrder(
  cluster: Cluster,
  { issuer }: Pick<CertManager, 'issuer'>,
  { namespace, names, order }: { namespace: string; names: readonly string[]; order: Order },
): Promise<CertManagerOrder> {
  const made = await cluster.create(CertManagerOrderKind, {
    metadata: { namespace, name: freshName('order').split('.')[0] ?? '' },
    spec: {
      issuerRef: { name: issuer, kind: 'ClusterIssuer', group: 'cert-manager.io' },
      dnsNames: [...names],
    },
  });
  const authorizations = order.object.authorizations.map((url) => ({ url }));
  return cluster.replaceStatus(CertManagerOrderKind, { ...made, status: { url: order.url, authorizations } });
}

/** A Certificate of the namespace, as far as its Order. */
export async function orderFrom(
  cluster: Cluster,
  manager: CertManager,
  { namespace, names }: { namespace: string; names: readonly string[] },
): Promise<Kept> {
  const order = await newOrder(manager.acme, names);
  return { order, object: await keepOrder(cluster, manager, { namespace, names, order }) };
}
