// Who asks, as evidence for policy: gathered anew for each request, never stored on the account. The namespace of a requester is known
// by the external account binding of its account, by the Order that cert-manager keeps, or by the Pod that sent the request; where two of
// these differ, nobody is believed.
import type { Namespace } from '../api/core.ts';
import type { Issuer } from '../api/issuer.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import { namespaceOfKey } from '../domain/minted-key.ts';
import { selectsNamespace } from '../domain/namespace-selector.ts';
import { Problem } from '../domain/problem.ts';
import type { Requester } from '../issuance/types.ts';
import type { Counter } from '../ports.ts';
import type { CertManagerOrders, FoundOrder } from './cert-manager-orders.ts';
import { type Authenticated, isCertManager } from './exchange.ts';
import type { PodAddresses } from './pod-addresses.ts';

/** The order that a request is about: its URL, or that of one of its authorizations, as the client has it. */
export interface About {
  url: string;
  orderID: string;
}

export interface Attributed {
  requester: Requester;
  /** By which the namespace is known, where it is. */
  order?: FoundOrder;
}

export interface Attribution {
  /** Before there is an order. `later`: cert-manager will keep an Order, which then tells the namespace. */
  atNewOrder(exchange: Authenticated): Promise<{ requester: Requester; later: boolean }>;
  /** Throws 403 where the evidence differs, 503 where it is not there yet. */
  of(exchange: Authenticated, about: About): Promise<Attributed>;
}

export interface AttributionDeps {
  /** Namespaces as they are; absent ones are asked for live. */
  namespace: (name: string) => Promise<Namespace | undefined>;
  orders: CertManagerOrders;
  pods: PodAddresses;
  attributions: Counter;
}

/** What the account's binding says, for as long as the issuer lists or mints the key: what was taken back speaks for nobody. */
interface Held {
  keyID: string;
  namespace?: string;
  byOrder: boolean;
}

interface BindingKey {
  keyID: string;
  scope?: 'Namespace' | 'ByOrder';
  namespace?: string;
}

/** Whether anything but challenges can speak for a requester of this issuer. */
export function attributes(issuer: Issuer): boolean {
  const { proof, externalAccountBinding: binding } = clusterIssuer(issuer)?.spec.acme ?? {};
  if (binding?.mint || binding?.keys?.some(({ scope }) => scope !== undefined)) return true;
  return proof?.certManagerOrders === true || proof?.podAddress?.enabled === true;
}

export function createAttribution(deps: AttributionDeps): Attribution {
  async function expectsOrder(exchange: Authenticated, held: Held | undefined): Promise<boolean> {
    if (held?.byOrder) return true;
    const { proof } = clusterIssuer(exchange.issuer)?.spec.acme ?? {};
    return proof?.certManagerOrders === true && isCertManager(exchange) && deps.orders.hasAccount(exchange);
  }

  async function requester(
    exchange: Authenticated,
    held: Held | undefined,
    order: FoundOrder | undefined,
  ): Promise<Requester> {
    const pod = await deps.pods.find(exchange);
    const namespace = agreed(
      [
        { is: 'binding', what: 'its external account binding', namespace: held?.namespace },
        { is: 'order', what: 'the Order of cert-manager', namespace: order?.namespace },
        { is: 'pod', what: 'the Pod that has the address of the client', namespace: pod?.namespace },
      ],
      (evidence) => attributes(exchange.issuer) && deps.attributions.inc({ evidence }),
    );
    const labels = namespace === undefined ? undefined : (await deps.namespace(namespace))?.metadata.labels;
    return {
      account: exchange.account.metadata.name,
      ...(held === undefined ? {} : { eabKeyID: held.keyID }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { namespaceLabels: labels }),
      ...(pod === undefined ? {} : { serviceAccount: `${pod.namespace}/${pod.serviceAccount}` }),
      source: exchange.source,
    };
  }

  return {
    atNewOrder: async (exchange) => {
      const held = await heldKey(deps, exchange);
      return { requester: await requester(exchange, held, undefined), later: await expectsOrder(exchange, held) };
    },
    of: async (exchange, about) => {
      const held = await heldKey(deps, exchange);
      const order = (await expectsOrder(exchange, held)) ? await deps.orders.find(exchange, about) : undefined;
      return { requester: await requester(exchange, held, order), ...(order ? { order } : {}) };
    },
  };
}

async function heldKey(
  deps: Pick<AttributionDeps, 'namespace'>,
  { account, issuer }: Authenticated,
): Promise<Held | undefined> {
  const keyID = account.spec.externalAccountBinding?.keyID;
  if (keyID === undefined) return undefined;
  const listed = listedKey(issuer, keyID);
  if (listed) return { keyID, ...scopeOf(listed) };
  const { mint } = clusterIssuer(issuer)?.spec.acme?.externalAccountBinding ?? {};
  const name = namespaceOfKey(keyID);
  const namespace = mint && name !== undefined ? await deps.namespace(name) : undefined;
  if (!mint || !namespace || !selectsNamespace(mint.namespaceSelector, namespace.metadata)) return undefined;
  // A namespace that was made anew is another: who was bound before is not of it.
  const isOlder = Date.parse(account.metadata.creationTimestamp) < Date.parse(namespace.metadata.creationTimestamp);
  return isOlder ? undefined : { keyID, namespace: namespace.metadata.name, byOrder: false };
}

function listedKey({ spec }: Issuer, keyID: string): BindingKey | undefined {
  const keys: readonly BindingKey[] = spec.acme?.externalAccountBinding?.keys ?? [];
  return keys.find((key) => key.keyID === keyID);
}

function scopeOf(key: BindingKey): Omit<Held, 'keyID'> {
  const byOrder = key.scope === 'ByOrder';
  return key.scope === undefined || key.namespace === undefined ? { byOrder } : { namespace: key.namespace, byOrder };
}

interface Evidence {
  is: string;
  what: string;
  /** Undefined where it says nothing. */
  namespace: string | undefined;
}

/** The one namespace that all evidence is for. */
function agreed(evidence: readonly Evidence[], count: (evidence: string) => unknown): string | undefined {
  const told = evidence.filter(({ namespace }) => namespace !== undefined);
  const [first, ...others] = told;
  if (others.every(({ namespace }) => namespace === first?.namespace)) {
    count(others.length > 0 ? 'several' : (first?.is ?? 'none'));
    return first?.namespace;
  }
  count('differing');
  const said = told.map(({ what, namespace }) => `${what} is for ${namespace}`).join(', ');
  throw new Problem('unauthorized', `it cannot be told who asks: ${said}`);
}
