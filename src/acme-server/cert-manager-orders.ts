// Whose an order is, as cert-manager keeps it: the one Order object whose URL is that of our order, under an issuer whose account is the one
// that asks. cert-manager writes the URL before it fetches the first authorization, and nobody else may write the status of its objects.
import type { CertManagerIssuer, CertManagerOrder } from '../api/foreign.ts';
import type { KubeObject } from '../api/kind.ts';
import { type Identifier, identifierKey, parseIdentifier } from '../domain/identifier.ts';
import type { Order } from '../domain/order.ts';
import { comeBack, Problem } from '../domain/problem.ts';
import { parseAddress } from '../domain/address.ts';
import type { Cache, Clock, OptionalCache } from '../ports.ts';
import type { Authenticated } from './exchange.ts';
import { doneWithin } from './hold.ts';
import type { Sealed } from './sealed.ts';

export const ORDER_URL_INDEX = 'url';
/** URLs under which requests for the order come. */
export const orderURLs = ({ status }: CertManagerOrder): string[] =>
  [status?.url, ...(status?.authorizations ?? []).map(({ url }) => url)].filter((url) => url !== undefined);

export const ACCOUNT_URI_INDEX = 'uri';
export const accountURIs = ({ status }: CertManagerIssuer): string[] =>
  status?.acme?.uri === undefined ? [] : [status.acme.uri];

/** What is kept of an Order. */
export function orderEssence({ apiVersion, kind, metadata, spec, status }: CertManagerOrder): CertManagerOrder {
  const { issuerRef, commonName, dnsNames, ipAddresses } = spec;
  return {
    apiVersion,
    kind,
    metadata: bare(metadata),
    spec: {
      issuerRef,
      ...(commonName === undefined ? {} : { commonName }),
      ...(dnsNames ? { dnsNames } : {}),
      ...(ipAddresses ? { ipAddresses } : {}),
    },
    ...(status?.url === undefined
      ? {}
      : {
          status: {
            url: status.url,
            authorizations: (status.authorizations ?? []).map(({ url }) => (url === undefined ? {} : { url })),
          },
        }),
  };
}

/** What is kept of an issuer of cert-manager: its account, and whether it has solvers at all. */
export function issuerEssence({ apiVersion, kind, metadata, spec, status }: CertManagerIssuer): CertManagerIssuer {
  const uri = status?.acme?.uri;
  return {
    apiVersion,
    kind,
    metadata: bare(metadata),
    spec: { acme: { solvers: (spec.acme?.solvers?.length ?? 0) > 0 ? [true] : [] } },
    ...(uri === undefined ? {} : { status: { acme: { uri } } }),
  };
}

function bare({ labels: _labels, annotations: _annotations, ...metadata }: KubeObject['metadata']) {
  return metadata;
}

export interface FoundOrder {
  namespace: string;
  /** Ours, whole. */
  order: Order;
  /** Whether cert-manager could answer challenges. */
  hasSolvers: boolean;
}

export interface CertManagerOrders {
  /** Whether the account is that of an issuer of cert-manager. Throws 503 while that cannot be told. */
  hasAccount(exchange: Authenticated): Promise<boolean>;
  /** `url`: of the order or of one of its authorizations. Throws 503 where there is no such Order (yet), 403 where there are several. */
  find(exchange: Authenticated, about: { url: string; orderID: string }): Promise<FoundOrder>;
}

export interface CertManagerOrdersDeps {
  /** With ORDER_URL_INDEX; whole or reduced to orderEssence. */
  orders: OptionalCache<CertManagerOrder>;
  /** With ACCOUNT_URI_INDEX. */
  clusterIssuers: OptionalCache<CertManagerIssuer>;
  namespacedIssuers: OptionalCache<CertManagerIssuer>;
  /** As stored now; reads are shared and bounded. */
  live: {
    orders: () => Promise<readonly CertManagerOrder[]>;
    issuers: () => Promise<readonly CertManagerIssuer[]>;
  };
  sealed: Pick<Sealed, 'readOrder'>;
  clock: Clock;
}

/** The watch was late by 21 ms at most in 91 cases, so that this is plenty (DESIGN section 5). */
const WAIT_MS = 300;
/** So long an account that was not found is not looked for again but in what is watched. */
const STRANGE_MS = 60_000;
const MAX_STRANGERS = 1024;

export function createCertManagerOrders(deps: CertManagerOrdersDeps): CertManagerOrders {
  const { orders, clusterIssuers, namespacedIssuers, live } = deps;
  const strangers = createStrangers(deps.clock);

  const known = (uri: string): readonly CertManagerIssuer[] => [
    ...clusterIssuers.byIndex(ACCOUNT_URI_INDEX, uri),
    ...namespacedIssuers.byIndex(ACCOUNT_URI_INDEX, uri),
  ];

  async function issuersOf({ urls, account }: Authenticated): Promise<readonly CertManagerIssuer[]> {
    const uri = urls.account(account.metadata.name);
    const look = () => nonEmpty(known(uri));
    // A cert-manager elsewhere: it is not waited for at each of its requests.
    if (strangers.has(uri)) return look() ?? [];
    const found = await seen(deps.clock, [clusterIssuers, namespacedIssuers], look);
    if (found) return found;
    const stored = (await live.issuers()).filter(({ status }) => status?.acme?.uri === uri);
    if (stored.length === 0) strangers.add(uri);
    return stored;
  }

  return {
    hasAccount: async (exchange) => {
      if ([clusterIssuers, namespacedIssuers].every((cache) => cache.state() === 'absent')) return false;
      for (const cache of [clusterIssuers, namespacedIssuers, orders]) requireWatched(cache);
      return (await issuersOf(exchange)).length > 0;
    },
    find: async (exchange, about) => {
      requireWatched(orders);
      const issuers = await issuersOf(exchange);
      const genuine = (from: readonly CertManagerOrder[]) => genuineOf(deps, exchange, { issuers, about, from });
      const inCache = () => nonEmpty(orders.byIndex(ORDER_URL_INDEX, about.url));
      const early = await genuine((await seen(deps.clock, [orders], inCache)) ?? []);
      const found = early.length > 0 ? early : await genuine(await liveOf(live, about.url));
      const [first, ...more] = found;
      if (!first) throw notThere();
      if (more.length > 0)
        throw new Problem(
          'unauthorized',
          `cert-manager keeps this order more than once, in the namespaces ${found.map(({ namespace }) => namespace).join(', ')}: it cannot be told who asks`,
        );
      return first;
    },
  };
}

/** Accounts that no issuer of this cluster has, for a while. */
function createStrangers(clock: Clock) {
  const since = new Map<string, number>();
  return {
    has(uri: string): boolean {
      const at = since.get(uri);
      return at !== undefined && clock.monotonic() - at < STRANGE_MS;
    },
    add(uri: string): void {
      since.delete(uri);
      since.set(uri, clock.monotonic());
      const [oldest] = since.keys();
      if (since.size > MAX_STRANGERS && oldest !== undefined) since.delete(oldest);
    },
  };
}

async function liveOf({ orders }: CertManagerOrdersDeps['live'], url: string): Promise<readonly CertManagerOrder[]> {
  return (await orders()).filter((order) => orderURLs(order).includes(url));
}

function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}

/** What is seen now, or within a moment. */
async function seen<R>(
  clock: Clock,
  caches: readonly Pick<Cache<KubeObject>, 'onChange'>[],
  look: () => R | undefined,
): Promise<R | undefined> {
  const now = look();
  if (now !== undefined) return now;
  const changed = Promise.withResolvers<R>();
  const stops = caches.map((cache) =>
    cache.onChange(() => {
      const found = look();
      if (found !== undefined) changed.resolve(found);
    }),
  );
  try {
    return (await doneWithin(changed.promise, WAIT_MS, clock)) ? await changed.promise : undefined;
  } finally {
    for (const stop of stops) stop();
  }
}

function requireWatched(cache: Pick<OptionalCache<KubeObject>, 'state'>): void {
  if (cache.state() === 'watching') return;
  throw comeBack('the objects of cert-manager cannot be seen now: try again', 5);
}

function notThere(): Problem {
  return comeBack('no Order of cert-manager has this URL so far: try again', 5);
}

interface Search {
  issuers: readonly CertManagerIssuer[];
  about: { orderID: string };
  from: readonly CertManagerOrder[];
}

/** Those that say the same as our order: its URL, its names, and an issuer with the account that asks. */
async function genuineOf(
  { sealed }: Pick<CertManagerOrdersDeps, 'sealed'>,
  exchange: Authenticated,
  { issuers, about, from }: Search,
): Promise<FoundOrder[]> {
  const found: FoundOrder[] = [];
  const prefix = exchange.urls.order('');
  for (const candidate of from) {
    const { url = '' } = candidate.status ?? {};
    const issuer = issuers.find((each) => refersTo(candidate, each));
    const order = url.startsWith(prefix) ? await sealed.readOrder(url.slice(prefix.length)) : undefined;
    const { namespace } = candidate.metadata;
    if (!issuer || namespace === undefined || order?.id !== about.orderID) continue;
    if (order.account !== exchange.account.metadata.name || !sameNames(candidate, order.identifiers)) continue;
    found.push({ namespace, order, hasSolvers: (issuer.spec.acme?.solvers?.length ?? 0) > 0 });
  }
  return found;
}

/** An Issuer serves its own namespace alone. */
function refersTo({ spec, metadata }: CertManagerOrder, issuer: CertManagerIssuer): boolean {
  const { name, kind = 'Issuer', group = 'cert-manager.io' } = spec.issuerRef;
  const home = issuer.metadata.namespace;
  if (name !== issuer.metadata.name || group !== 'cert-manager.io') return false;
  return home === undefined ? kind === 'ClusterIssuer' : kind === 'Issuer' && home === metadata.namespace;
}

function sameNames({ spec }: CertManagerOrder, identifiers: readonly Identifier[]): boolean {
  const { commonName, dnsNames = [], ipAddresses = [] } = spec;
  const names = [...dnsNames, ...ipAddresses, ...(commonName ? [commonName] : [])];
  const theirs = new Set(names.flatMap(keyOf));
  return identifiers.length === theirs.size && identifiers.every((one) => theirs.has(identifierKey(one)));
}

function keyOf(name: string): string[] {
  try {
    return [identifierKey(parseIdentifier({ type: parseAddress(name) ? 'ip' : 'dns', value: name }))];
  } catch {
    return [`none:${name}`];
  }
}
