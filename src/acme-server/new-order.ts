// new-order, RFC 8555 section 7.4. Nothing is written: an abandoned order costs nothing.
import type { Authorization } from '../api/acme.ts';
import type { Issuer } from '../api/issuer.ts';
import { challengeTypesFor } from '../domain/challenge.ts';
import { parseDuration } from '../domain/duration.ts';
import { baseIdentifier, isWildcard } from '../domain/identifier.ts';
import { encodeOrder, MAX_SEALED, type Order, parseOrderIdentifiers, type Reuse } from '../domain/order.ts';
import { comeBack, Problem } from '../domain/problem.ts';
import type { Judge } from '../issuance/judge.ts';
import { requireHeeded, requireRecent } from '../issuance/model.ts';
import type { Backends, Clock, Random } from '../ports.ts';
import { termsNotAgreed } from './account.ts';
import type { Attribution } from './attribution.ts';
import type { Births } from './birth.ts';
import { type Authenticated, readPayload, readTime, type Reply } from './exchange.ts';
import type { AcmeObjects } from './objects.ts';
import type { FirstLooks } from './first-looks.ts';
import type { Keyring } from './keyring.ts';
import { factsOfNew, type OrderView } from './order.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Replacements } from './renewal-info.ts';
import { failureKey } from './validation-runs.ts';

/** Most names an order may have. */
const MAX_IDENTIFIERS = 100;
const ORDER_MS = 24 * 3600_000;
/** A valid authorization is reused only while it has this much of the order's life left, at most an hour. */
const REUSE_MARGIN_MS = 3600_000;

export interface NewOrderDeps {
  objects: AcmeObjects;
  judge: Judge;
  attribution: Pick<Attribution, 'atNewOrder'>;
  births: Pick<Births, 'ofKnown'>;
  backends: Backends;
  limits: RateLimits;
  view: OrderView;
  replacements: Replacements;
  firstLooks: Pick<FirstLooks, 'made'>;
  keyring: Pick<Keyring, 'currentKey'>;
  clock: Clock;
  random: Random;
}

export function createNewOrderHandler(deps: NewOrderDeps) {
  return async function newOrder(exchange: Authenticated): Promise<Reply> {
    deps.limits.take('newOrder', exchange.account.metadata.name);
    requireTerms(exchange);
    requireOpen(exchange.issuer);
    const order = await parseOrder(deps, exchange);
    for (const identifier of order.identifiers)
      deps.limits.check('failedValidation', failureKey({ ...order, identifier: baseIdentifier(identifier) }));
    const { requester, later } = await deps.attribution.atNewOrder(exchange);
    const refusal = await deps.judge.atNewOrder({
      issuer: exchange.issuer,
      requester,
      identifiers: order.identifiers,
      profile: order.profile,
      duration: wantedDuration(order),
    });
    if (refusal) throw refusal;
    // Whose it is, is not known yet: nothing that was validated for somebody serves it.
    const made = later ? order : withReuse(deps, exchange.issuer, { order, namespace: requester.namespace });
    const known = requester.namespace !== undefined && !later;
    const birth = known ? await deps.births.ofKnown(exchange, { requester }, order.identifiers) : undefined;
    if (birth?.refusal) throw birth.refusal;
    deps.firstLooks.made(made);
    const reply = deps.view.render(exchange, made, { facts: factsOfNew(made, birth) });
    return { ...reply, status: 201 };
  };
}

/** RFC 8555 section 7.3.3: terms that changed since must be agreed to again. */
function requireTerms({ issuer, account }: Authenticated): void {
  const terms = issuer.spec.acme?.termsOfService;
  if (terms !== undefined && account.spec.termsOfServiceAgreed !== terms) throw termsNotAgreed(terms);
}

/** A suspended issuer takes up nothing new. */
export function requireOpen(issuer: Issuer): void {
  if (!issuer.spec.suspend) return;
  throw comeBack('this issuer is suspended by its operator: try again later', 300);
}

async function parseOrder(deps: NewOrderDeps, exchange: Authenticated): Promise<Order> {
  const payload = readPayload(exchange);
  const identifiers = parseOrderIdentifiers(payload.identifiers, MAX_IDENTIFIERS);
  for (const identifier of identifiers) requireChallenge(exchange.issuer, identifier);
  // Whole seconds, as the URL keeps them.
  const now = new Date(Math.floor(deps.clock.now().getTime() / 1000) * 1000);
  const validity = parseValidity(payload, now);
  if (validity.notBefore ?? validity.notAfter) requireHeeded(deps.backends.of(exchange.issuer).controls, validity);
  const profile = parseProfile(exchange.issuer, payload.profile);
  const replaces = await deps.replacements.parse(exchange, payload.replaces, identifiers);
  const life = exchange.issuer.spec.acme?.orderDuration;
  return {
    id: deps.random.bytes(16).toString('base64url'),
    account: exchange.account.metadata.name,
    issuerUID: exchange.issuer.metadata.uid,
    created: now,
    expires: new Date(now.getTime() + (life === undefined ? ORDER_MS : parseDuration(life))),
    identifiers,
    ...validity,
    ...(profile === undefined ? {} : { profile }),
    ...(replaces ? { replaces } : {}),
    reused: new Map(),
    tokenKey: deps.keyring.currentKey(),
  };
}

/** A name that no offered challenge fits could never be authorised. */
function requireChallenge(issuer: Issuer, identifier: Order['identifiers'][number]): void {
  const offered = issuer.spec.acme?.challenges;
  const fitting = challengeTypesFor(baseIdentifier(identifier), isWildcard(identifier));
  if (!offered || fitting.some((type) => offered.includes(type))) return;
  throw new Problem(
    'rejectedIdentifier',
    `${identifier.value} needs one of ${fitting.join(', ')}, which this issuer does not offer`,
    {
      subproblems: [
        { type: 'rejectedIdentifier', detail: 'no challenge type offered fits this identifier', identifier },
      ],
    },
  );
}

function parseValidity(payload: Readonly<Record<string, unknown>>, now: Date): Pick<Order, 'notBefore' | 'notAfter'> {
  const notBefore = readTime(payload, 'notBefore');
  const notAfter = readTime(payload, 'notAfter');
  if (notAfter && notAfter <= (notBefore ?? now))
    throw new Problem('malformed', 'notAfter must be later than notBefore and than now');
  // Asked again at finalize; but an order that could never be finalized is not made.
  requireRecent(notBefore, now);
  return { ...(notBefore ? { notBefore } : {}), ...(notAfter ? { notAfter } : {}) };
}

/** The profile asked for, or the default one; undefined where the issuer has none. */
function parseProfile(issuer: Issuer, asked: unknown): string | undefined {
  const profiles = issuer.spec.profiles ?? [];
  if (asked === undefined) return profiles.find((profile) => profile.default)?.name;
  if (typeof asked !== 'string') throw new Problem('malformed', 'profile must be text');
  if (!profiles.some((profile) => profile.name === asked)) {
    throw new Problem(
      'invalidProfile',
      `this issuer offers ${profiles.length === 0 ? 'no profiles' : profiles.map(({ name }) => name).join(', ')}`,
    );
  }
  return asked;
}

/** Judged from now, so that a start in the future does not stretch it. */
function wantedDuration({ created, notBefore, notAfter }: Order): { ms: number; explicit: true } | undefined {
  if (!notAfter) return undefined;
  const from = notBefore && notBefore < created ? notBefore : created;
  return { ms: notAfter.getTime() - from.getTime(), explicit: true };
}

interface Reusing {
  order: Order;
  /** Of the requester. */
  namespace: string | undefined;
}

function withReuse(deps: NewOrderDeps, issuer: Issuer, reusing: Reusing): Order {
  const { order } = reusing;
  const margin = Math.min(REUSE_MARGIN_MS, (order.expires.getTime() - order.created.getTime()) / 2);
  const reused = new Map<number, Reuse>();
  for (const index of order.identifiers.keys()) {
    const found = reusable(deps, issuer, { ...reusing, index, lastsUntil: order.created.getTime() + margin });
    if (found) reused.set(index, { orderID: found.spec.orderID, index: found.spec.index });
  }
  const next = { ...order, reused };
  // Reuse is a convenience: where naming the reused authorizations does not fit into the URL, all are validated anew.
  return Math.ceil((encodeOrder(next).length + 29) / 3) * 4 > MAX_SEALED ? order : next;
}

function reusable(
  deps: NewOrderDeps,
  issuer: Issuer,
  want: Reusing & { index: number; lastsUntil: number },
): Authorization | undefined {
  const { order, namespace, index, lastsUntil } = want;
  const identifier = order.identifiers[index] as Order['identifiers'][number];
  const offered = issuer.spec.acme?.challenges;
  return deps.objects
    .reusable({
      issuerUID: order.issuerUID,
      account: order.account,
      ...(namespace === undefined ? {} : { namespace }),
      identifier: baseIdentifier(identifier),
      wildcard: isWildcard(identifier),
    })
    .filter(
      ({ spec }) =>
        Date.parse(spec.expires) > lastsUntil && (!offered || (spec.challenge && offered.includes(spec.challenge))),
    )
    .reduce<Authorization | undefined>(
      (best, one) => (best && best.spec.expires >= one.spec.expires ? best : one),
      undefined,
    );
}
