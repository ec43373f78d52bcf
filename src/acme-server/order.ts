// Orders: what they look like, and finalize (RFC 8555 sections 7.1.3, 7.4).
import type { Authorization } from '../api/acme.ts';
import { type CertificateRecord, isIssued, isRefused } from '../api/issued-certificate.ts';
import {
  authorizationRef,
  authorizationStatus,
  type AuthorizationStatus,
  type Order,
  type OrderStatus,
  orderStatus,
} from '../domain/order.ts';
import { type Identifier, identifierKey } from '../domain/identifier.ts';
import { parseProblem, Problem, type Subproblem } from '../domain/problem.ts';
import { problemOf } from '../issuance/record.ts';
import { type Records, recordName } from '../issuance/records.ts';
import type { Clock } from '../ports.ts';
import type { Birth, Births } from './birth.ts';
import { type Authenticated, isCertManager, orderUrl, type Reply, requireEmptyPayload } from './exchange.ts';
import type { Finalizations } from './finalize.ts';
import type { AcmeObjects } from './objects.ts';
import type { Sealed } from './sealed.ts';

export const RETRY_AFTER_SECONDS = 3;

export interface OrderFacts {
  /** In any state. */
  record: CertificateRecord | undefined;
  /** By position; undefined = nothing stored. */
  found: readonly (Authorization | undefined)[];
  authorizations: readonly AuthorizationStatus[];
  status: OrderStatus;
  /** Who asks, and what needs no challenge, where that is not for challenges alone to tell. */
  birth?: Birth | undefined;
  /** Of an attempt to finalize it that went on when its client was answered. */
  failure?: Problem | undefined;
}

export interface OrderView {
  /** With what only the cluster may know yet: what a refusal must rest on. */
  facts(exchange: Authenticated, order: Order): Promise<OrderFacts>;
  /** As facts, but of the record what this process knows: enough for an order that is ready, because one request has one record. */
  knownFacts(exchange: Authenticated, order: Order): Promise<OrderFacts>;
  /** 200 with the order object and its URL as Location. */
  render(exchange: Authenticated, order: Order, known: { facts: OrderFacts; sealed?: string | undefined }): Reply;
}

export interface OrderViewDeps {
  objects: Pick<AcmeObjects, 'authorization'>;
  records: Records;
  finalizations: Pick<Finalizations, 'running' | 'failure'>;
  sealed: Sealed;
  births: Pick<Births, 'of'>;
  clock: Clock;
}

export function createOrderView(deps: OrderViewDeps): OrderView {
  async function factsWith(
    exchange: Authenticated,
    order: Order,
    record: CertificateRecord | undefined,
  ): Promise<OrderFacts> {
    const refs = order.identifiers.map((_, index) => authorizationRef(order, index));
    const found = await Promise.all(refs.map((ref) => deps.objects.authorization(ref)));
    const now = deps.clock.now();
    const stored = refs.map((ref, i) => authorizationStatus(ref, found[i], now));
    const undecided = record ? [] : order.identifiers.filter((_, i) => stored[i] === 'pending');
    const birth = await birthOf(deps, exchange, { order, undecided });
    const isBorn = (i: number) => birth?.valid.has(identifierKey(order.identifiers[i] as Identifier));
    const authorizations = stored.map((status, i) => (status === 'pending' && isBorn(i) ? 'valid' : status));
    const signing = deps.finalizations.running(order.id);
    const status = orderStatus(order, { authorizations, record, signing }, now);
    return { record, found, authorizations, status, birth, failure: deps.finalizations.failure(order.id) };
  }

  function render(exchange: Authenticated, order: Order, known: Parameters<OrderView['render']>[2]): Reply {
    const { record, failure } = known.facts;
    const status = shownStatus(exchange, known.facts.status);
    const sealed = known.sealed ?? deps.sealed.sealOrder(order);
    const { urls } = exchange;
    const body = {
      status,
      expires: order.expires.toISOString(),
      identifiers: order.identifiers,
      ...(order.notBefore ? { notBefore: order.notBefore.toISOString() } : {}),
      ...(order.notAfter ? { notAfter: order.notAfter.toISOString() } : {}),
      ...(order.profile === undefined ? {} : { profile: order.profile }),
      ...(order.replaces ? { replaces: order.replaces.certID } : {}),
      authorizations: order.identifiers.map((_, index) =>
        urls.authorization(deps.sealed.sealAuthorization(authorizationRef(order, index))),
      ),
      finalize: urls.finalize(sealed),
      ...(record && isIssued(record) ? { certificate: urls.certificate(record.metadata.name) } : {}),
      ...(status === 'invalid' ? { error: orderError(order, known.facts, deps.clock.now()).toJSON() } : {}),
      // RFC 8555 section 7.1.3: what went wrong, though the order lives.
      ...(known.facts.status === 'ready' && failure ? { error: failure.toJSON() } : {}),
    };
    const waiting = status === 'processing' ? { 'Retry-After': String(RETRY_AFTER_SECONDS) } : {};
    return { status: 200, headers: { Location: urls.order(sealed), ...waiting }, body };
  }

  return {
    facts: async (exchange, order) => factsWith(exchange, order, await deps.records.get(recordOf(order))),
    knownFacts: (exchange, order) => factsWith(exchange, order, deps.records.known(recordOf(order))),
    render,
  };
}

/** What of the order is born valid; not asked where that changes nothing. */
async function birthOf(
  { births }: Pick<OrderViewDeps, 'births'>,
  exchange: Authenticated,
  { order, undecided }: { order: Order; undecided: readonly Identifier[] },
) {
  if (undecided.length === 0) return undefined;
  const about = { url: orderUrl(exchange), orderID: order.id };
  return births.of(exchange, { about, identifiers: undecided });
}

const recordOf = ({ id }: Order): string => recordName('ACME', id);

function shownStatus(exchange: Authenticated, status: OrderStatus): OrderStatus {
  return status === 'processing' && isCertManager(exchange) ? 'ready' : status;
}

/** Facts of an order that was made this moment: there is nothing to look up. */
export function factsOfNew(order: Order, birth?: Birth): OrderFacts {
  const authorizations = order.identifiers.map((identifier, index) =>
    order.reused.has(index) || birth?.valid.has(identifierKey(identifier)) ? 'valid' : 'pending',
  );
  const status = authorizations.every((one) => one === 'valid') ? 'ready' : 'pending';
  return { record: undefined, found: [], authorizations, status };
}

/** Why the order is invalid: the CA's refusal, its expiry, or every authorization that failed. */
function orderError(order: Order, { record, found }: Pick<OrderFacts, 'record' | 'found'>, now: Date): Problem {
  if (record && isRefused(record)) return problemOf(record.status.refusal);
  if (order.expires <= now) return new Problem('malformed', 'the order has expired: make a new one');
  const subproblems = order.identifiers.flatMap((identifier, index): Subproblem[] => {
    const authorization = found[index];
    if (!authorization || authorization.spec.outcome === 'valid') return [];
    const problem = authorization.spec.problem === undefined ? undefined : parseProblem(authorization.spec.problem);
    return [
      {
        type: problem?.type ?? 'unauthorized',
        detail: problem?.detail ?? 'the authorization was deactivated',
        identifier,
      },
    ];
  });
  const [first] = subproblems;
  if (!first) return new Problem('unauthorized', 'an authorization of the order has expired: make a new order');
  return new Problem(first.type, `${first.identifier.value}: ${first.detail}`, {
    subproblems: subproblems.length > 1 ? subproblems : [],
  });
}

export interface OrderHandlersDeps {
  view: OrderView;
  records: Pick<Records, 'get'>;
  sealed: Sealed;
  finalizations: Finalizations;
}

export function createOrderHandlers(deps: OrderHandlersDeps) {
  async function read(exchange: Authenticated): Promise<Reply> {
    requireEmptyPayload(exchange);
    const order = await deps.sealed.openOrder(exchange);
    return deps.view.render(exchange, order, {
      facts: await deps.view.facts(exchange, order),
      sealed: exchange.params.sealed,
    });
  }

  async function finalize(exchange: Authenticated): Promise<Reply> {
    const order = await deps.sealed.openOrder(exchange);
    const { facts, record } = await finalized(exchange, order);
    const after: OrderFacts = record ? { ...facts, record, status: 'valid' } : { ...facts, status: 'processing' };
    return deps.view.render(exchange, order, { facts: after, sealed: exchange.params.sealed });
  }

  /** What another replica has on record is looked for before a refusal; otherwise the create of the record tells. */
  async function finalized(exchange: Authenticated, order: Order) {
    let known: OrderFacts | undefined;
    try {
      known = await deps.view.knownFacts(exchange, order);
      return { facts: known, record: await deps.finalizations.finalize(exchange, order, known) };
    } catch (error) {
      if (known?.record || !(await deps.records.get(recordOf(order)))) throw error;
      const facts = await deps.view.facts(exchange, order);
      return { facts, record: await deps.finalizations.finalize(exchange, order, facts) };
    }
  }

  return { read, finalize };
}
