// Orders, authorizations and their statuses (RFC 8555 section 7.1.6). An order is sealed into its URL and never stored;
// every status is derived from facts.
import type { Authorization } from '../api/acme.ts';
import { type CertificateRecord, isIssued, isRefused } from '../api/issued-certificate.ts';
import { hashName } from './encoding.ts';
import { baseIdentifier, type Identifier, isWildcard, parseIdentifier } from './identifier.ts';
import { Problem } from './problem.ts';

export type OrderStatus = 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
export type AuthorizationStatus = 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired';

/** The authorization of another order that serves one name of this one. */
export interface Reuse {
  orderID: string;
  index: number;
}

export interface Order {
  /** 128 random bits, base64url. */
  id: string;
  account: string;
  issuerUID: string;
  created: Date;
  expires: Date;
  identifiers: readonly Identifier[];
  notBefore?: Date;
  notAfter?: Date;
  profile?: string;
  /** Name of the record to be replaced, and the certID by which the client named it (RFC 9773 section 5). */
  replaces?: { record: string; certID: string };
  /** By position in `identifiers`; absent = an authorization of its own. */
  reused: ReadonlyMap<number, Reuse>;
  /** Id of the key from which the tokens of its challenges derive. */
  tokenKey: number;
}

/** What an authorization or challenge URL seals. */
export interface AuthorizationRef {
  account: string;
  issuerUID: string;
  /** Order and position under which the result is (or will be) kept. */
  orderID: string;
  index: number;
  /** Without the wildcard label. */
  identifier: Identifier;
  wildcard: boolean;
  expires: Date;
  /** As the order has it. */
  tokenKey: number;
}

/** Most characters of an order's names together, so that its URL stays under MAX_SEALED. */
export const MAX_NAMES_LENGTH = 4000;
/** Most characters of a sealed order. */
export const MAX_SEALED = 6144;

const seconds = (date: Date) => Math.floor(date.getTime() / 1000).toString(36);
const date = (text: string) => new Date(Number.parseInt(text, 36) * 1000);

/** Compact text for sealing. Times have whole seconds. */
export function encodeOrder(order: Order): string {
  return [
    order.id,
    order.account,
    order.issuerUID,
    seconds(order.created),
    seconds(order.expires),
    order.notBefore ? order.notBefore.toISOString() : '',
    order.notAfter ? order.notAfter.toISOString() : '',
    encodeURIComponent(order.profile ?? ''),
    order.replaces ? `${order.replaces.record}~${order.replaces.certID}` : '',
    encodeReuse(order.reused),
    order.identifiers.map(({ type, value }) => (type === 'ip' ? `=${value}` : value)).join(' '),
    order.tokenKey,
  ].join('|');
}

/** The order of `encodeOrder`. Only ever called on authenticated text. */
export function decodeOrder(text: string): Order {
  const fields = text.split('|');
  const field = (index: number): string => fields[index] ?? '';
  const [record = '', certID = ''] = field(8).split('~');
  return {
    id: field(0),
    account: field(1),
    issuerUID: field(2),
    created: date(field(3)),
    expires: date(field(4)),
    ...(field(5) ? { notBefore: new Date(field(5)) } : {}),
    ...(field(6) ? { notAfter: new Date(field(6)) } : {}),
    ...(field(7) ? { profile: decodeURIComponent(field(7)) } : {}),
    ...(field(8) ? { replaces: { record, certID } } : {}),
    reused: decodeReuse(field(9)),
    identifiers: field(10)
      .split(' ')
      .map((name) => (name.startsWith('=') ? { type: 'ip', value: name.slice(1) } : { type: 'dns', value: name })),
    tokenKey: Number(field(11)),
  };
}

/** Runs of consecutive positions served by consecutive positions of one order: `orderID:first:theirs:count,…`. */
function encodeReuse(reused: ReadonlyMap<number, Reuse>): string {
  const runs: { orderID: string; first: number; theirs: number; count: number }[] = [];
  for (const [index, reuse] of [...reused].sort(([a], [b]) => a - b)) {
    const last = runs.at(-1);
    const follows =
      last?.orderID === reuse.orderID && last.first + last.count === index && last.theirs + last.count === reuse.index;
    if (last && follows) last.count++;
    else runs.push({ orderID: reuse.orderID, first: index, theirs: reuse.index, count: 1 });
  }
  return runs.map((run) => `${run.orderID}:${run.first}:${run.theirs}:${run.count}`).join(',');
}

function decodeReuse(text: string): Map<number, Reuse> {
  const reused = new Map<number, Reuse>();
  for (const run of text === '' ? [] : text.split(',')) {
    const [orderID = '', first, theirs, count] = run.split(':');
    for (let i = 0; i < Number(count); i++) reused.set(Number(first) + i, { orderID, index: Number(theirs) + i });
  }
  return reused;
}

/** Compact text of an authorization's URL. */
export function encodeAuthorizationRef(ref: AuthorizationRef): string {
  const name = ref.identifier.type === 'ip' ? `=${ref.identifier.value}` : ref.identifier.value;
  const { account, issuerUID, orderID, index, wildcard, expires, tokenKey } = ref;
  return [account, issuerUID, orderID, index, wildcard ? 'w' : '', seconds(expires), name, tokenKey].join('|');
}

export function decodeAuthorizationRef(text: string): AuthorizationRef {
  const [account = '', issuerUID = '', orderID = '', index = '', wildcard, expires = '', name = '', tokenKey = ''] =
    text.split('|');
  return {
    account,
    issuerUID,
    orderID,
    index: Number(index),
    wildcard: wildcard === 'w',
    expires: date(expires),
    identifier: name.startsWith('=') ? { type: 'ip', value: name.slice(1) } : { type: 'dns', value: name },
    tokenKey: Number(tokenKey),
  };
}

/** The authorization at a position of the order: its own, or the one reused. */
export function authorizationRef(order: Order, index: number): AuthorizationRef {
  const identifier = order.identifiers[index] as Identifier;
  const reuse = order.reused.get(index);
  return {
    account: order.account,
    issuerUID: order.issuerUID,
    orderID: reuse?.orderID ?? order.id,
    index: reuse?.index ?? index,
    identifier: baseIdentifier(identifier),
    wildcard: isWildcard(identifier),
    expires: order.expires,
    tokenKey: order.tokenKey,
  };
}

/** The identifier as the order has it: policy judges `*.x`, not `x`. */
export function orderedIdentifier({
  identifier,
  wildcard,
}: Pick<AuthorizationRef, 'identifier' | 'wildcard'>): Identifier {
  return wildcard ? { type: 'dns', value: `*.${identifier.value}` } : identifier;
}

/** What a stored result says of the authorization it is the result of. */
export function authorizationFacts(ref: AuthorizationRef) {
  const { orderID, index, account, issuerUID, identifier, wildcard } = ref;
  return {
    orderID,
    index,
    account,
    issuerUID,
    identifier: { type: identifier.type, value: identifier.value },
    wildcard,
  };
}

export function authorizationName(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): string {
  return `az-${hashName(ref.orderID, String(ref.index))}`;
}

/** `found` is the stored result, if any. */
export function authorizationStatus(
  ref: AuthorizationRef,
  found: Authorization | undefined,
  now: Date,
): AuthorizationStatus {
  if (!found) return ref.expires <= now ? 'expired' : 'pending';
  if (found.spec.outcome === 'valid' && new Date(found.spec.expires) <= now) return 'expired';
  return found.spec.outcome;
}

/**
 * RFC 8555 section 7.1.6: every authorization valid makes it ready; any that failed makes it invalid. Where the certificate is for a CA
 * elsewhere to sign, the record tells how that went.
 */
export function orderStatus(
  order: Order,
  facts: { authorizations: readonly AuthorizationStatus[]; record: CertificateRecord | undefined; signing: boolean },
  now: Date,
): OrderStatus {
  if (facts.record) return isIssued(facts.record) ? 'valid' : isRefused(facts.record) ? 'invalid' : 'processing';
  if (facts.signing) return 'processing';
  if (order.expires <= now) return 'invalid';
  if (facts.authorizations.every((status) => status === 'valid')) return 'ready';
  return facts.authorizations.every((status) => status === 'valid' || status === 'pending') ? 'pending' : 'invalid';
}

/** The identifiers of a newOrder request, unique, in the client's order. Throws malformed and what parseIdentifier throws. */
export function parseOrderIdentifiers(input: unknown, limit: number): Identifier[] {
  if (!Array.isArray(input) || input.length === 0)
    throw new Problem('malformed', 'identifiers must be a list of at least one');
  if (input.length > limit) throw new Problem('malformed', `at most ${limit} identifiers an order`);
  requireShort(input);
  const seen = new Map<string, Identifier>();
  for (const item of input) {
    const identifier = parseIdentifier(item);
    seen.set(`${identifier.type}:${identifier.value}`, identifier);
  }
  return [...seen.values()];
}

/** Before any name is parsed: internationalised labels take some ten microseconds each. */
function requireShort(input: readonly unknown[]): void {
  const texts = input.map((item) => (item as { value?: unknown } | null)?.value);
  const names = new Set(texts.map((text) => (typeof text === 'string' ? text.toLowerCase() : '')));
  const length = [...names].reduce((sum, name) => sum + name.length, 0);
  if (length <= MAX_NAMES_LENGTH) return;
  throw new Problem(
    'malformed',
    `the names of an order have at most ${MAX_NAMES_LENGTH} characters together; these have ${length}`,
  );
}
