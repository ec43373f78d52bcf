// Accounts: new-account, the account resource and its orders list (RFC 8555 sections 7.1.2, 7.3).
import type { Account, AccountSpec } from '../api/acme.ts';
import { partyOf } from '../domain/address.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { parseJson } from '../domain/json.ts';
import { Problem } from '../domain/problem.ts';
import type { Records } from '../issuance/records.ts';
import { type Authenticated, readPayload, type Reply, type Signed } from './exchange.ts';
import type { ExternalAccountBindings } from './external-account-binding.ts';
import type { AcmeObjects } from './objects.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Sealed } from './sealed.ts';
import type { Urls } from './urls.ts';

const MAX_CONTACTS = 10;
const ORDERS_PER_PAGE = 50;

export function renderAccount(account: Account, urls: Urls): object {
  const { contact, termsOfServiceAgreed, externalAccountBinding, deactivated } = account.spec;
  return {
    status: deactivated ? 'deactivated' : 'valid',
    ...(contact ? { contact } : {}),
    ...(termsOfServiceAgreed === undefined ? {} : { termsOfServiceAgreed: true }),
    ...(externalAccountBinding ? { externalAccountBinding: parseJson(Buffer.from(externalAccountBinding.jws)) } : {}),
    orders: urls.orders(account.metadata.name),
  };
}

/** RFC 8555 section 7.3: mailto with one plain address each. */
export function parseContacts(value: unknown): string[] {
  if (!Array.isArray(value)) throw new Problem('malformed', 'contact must be a list of URLs');
  if (value.length > MAX_CONTACTS) throw new Problem('invalidContact', `at most ${MAX_CONTACTS} contacts`);
  return value.map((item) => {
    if (typeof item !== 'string') throw new Problem('malformed', 'a contact must be text');
    if (!/^mailto:/i.test(item)) throw new Problem('unsupportedContact', 'contacts must use the scheme "mailto:"');
    if (
      item.length > 254 ||
      !/^mailto:[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$/i.test(item) ||
      item.includes('%')
    ) {
      throw new Problem('invalidContact', 'a mailto contact has one address of plain characters and no header fields');
    }
    return item;
  });
}

/** What a spec may keep when it is written again. */
export function unsigned<S extends { mac: string }>(spec: S): Omit<S, 'mac'> {
  const { mac: _mac, ...rest } = spec;
  return rest;
}

export interface AccountDeps {
  objects: AcmeObjects;
  bindings: ExternalAccountBindings;
  limits: RateLimits;
  records: Records;
  sealed: Pick<Sealed, 'sealEncoded'>;
}

export function createAccountHandlers(deps: AccountDeps) {
  return {
    newAccount: (exchange: Signed) => newAccount(deps, exchange),
    readOrUpdate: async (exchange: Authenticated): Promise<Reply> => {
      requireOwn(exchange);
      const account =
        exchange.payload.length === 0 ? exchange.account : await update(deps, exchange, readPayload(exchange));
      return accountReply(exchange, account, 200);
    },
    orders: (exchange: Authenticated): Reply => {
      requireOwn(exchange);
      return orders(deps, exchange);
    },
  };
}

function accountReply({ urls }: Signed, account: Account, status: number): Reply {
  return { status, headers: { Location: urls.account(account.metadata.name) }, body: renderAccount(account, urls) };
}

async function newAccount(deps: AccountDeps, exchange: Signed): Promise<Reply> {
  const party = partyOf(exchange.source);
  deps.limits.check('newAccount', party);
  const payload = readPayload(exchange);
  const existing = await deps.objects.accountOfKey(exchange.issuer.metadata.uid, exchange.key.thumbprint);
  if (existing) return found(exchange, existing);
  if (payload.onlyReturnExisting === true)
    throw new Problem('accountDoesNotExist', 'no account of this issuer has this key');
  deps.limits.take('newAccount', party);
  const { account, created } = await deps.objects.createAccount(await accountSpec(deps, exchange, payload));
  // An alias here is of a key that led to an account and does no more.
  if (!created && (account.spec.aliasOf !== undefined || account.spec.thumbprint !== exchange.key.thumbprint)) {
    throw new Problem('unauthorized', 'this key was replaced by a key change and cannot be used again');
  }
  return created ? accountReply(exchange, account, 201) : found(exchange, account);
}

/** RFC 8555 section 7.3.1. */
function found(exchange: Signed, account: Account): Reply {
  if (account.spec.deactivated)
    throw new Problem('unauthorized', 'the account of this key is deactivated', { status: 401 });
  return accountReply(exchange, account, 200);
}

async function accountSpec(
  deps: AccountDeps,
  exchange: Signed,
  payload: Readonly<Record<string, unknown>>,
): Promise<Omit<AccountSpec, 'mac'>> {
  const terms = exchange.issuer.spec.acme?.termsOfService;
  const contact = payload.contact === undefined ? [] : parseContacts(payload.contact);
  const binding = await deps.bindings.verify(exchange, payload.externalAccountBinding);
  if (terms !== undefined && payload.termsOfServiceAgreed !== true) throw termsNotAgreed(terms);
  if (binding) await deps.bindings.reserve(exchange, binding);
  return {
    issuerUID: exchange.issuer.metadata.uid,
    thumbprint: exchange.key.thumbprint,
    spkiHash: exchange.key.spkiHash.toString('base64url'),
    jwk: { ...exchange.key.jwk },
    ...(contact.length > 0 ? { contact } : {}),
    ...(terms === undefined ? {} : { termsOfServiceAgreed: terms }),
    ...(binding ? { externalAccountBinding: binding } : {}),
  };
}

/** RFC 8555 sections 7.3.2, 7.3.6: contact and deactivation; every other member is ignored. */
async function update(
  deps: AccountDeps,
  exchange: Authenticated,
  payload: Readonly<Record<string, unknown>>,
): Promise<Account> {
  const { account } = exchange;
  try {
    return await replace(deps, exchange, payload);
  } catch (error) {
    // Changed by way of another replica, whose write the watch has not brought yet.
    const live = isClusterError(error, 'Conflict') && (await deps.objects.liveAccount(account.metadata.name));
    if (!live || live.spec.thumbprint !== account.spec.thumbprint || live.spec.deactivated) throw error;
    return replace(deps, { ...exchange, account: live }, payload);
  }
}

async function replace(
  { objects }: AccountDeps,
  { issuer, account }: Authenticated,
  payload: Readonly<Record<string, unknown>>,
): Promise<Account> {
  const { contact, ...rest } = unsigned(account.spec);
  const next = payload.contact === undefined ? contact : parseContacts(payload.contact);
  const terms = issuer.spec.acme?.termsOfService;
  return objects.replaceAccount(account, {
    ...rest,
    ...(next && next.length > 0 ? { contact: next } : {}),
    ...(terms !== undefined && payload.termsOfServiceAgreed === true ? { termsOfServiceAgreed: terms } : {}),
    ...(payload.status === 'deactivated' ? { deactivated: true } : {}),
  });
}

/** RFC 8555 section 7.1.2.1; shows the orders that have a certificate (docs/rfc8555.md). */
function orders({ records, sealed }: AccountDeps, { account, urls, params }: Authenticated): Reply {
  const name = account.metadata.name;
  const from = Number(params.cursor ?? 0);
  // One more than are shown says whether there are more.
  const found = records.ofAccount(name, from, ORDERS_PER_PAGE + 1);
  const page = found
    .slice(0, ORDERS_PER_PAGE)
    .flatMap(({ spec }) => spec.order ?? [])
    .map((encoded) => urls.order(sealed.sealEncoded(encoded)));
  const next = from + ORDERS_PER_PAGE;
  const more = found.length > ORDERS_PER_PAGE;
  const headers = more ? { Link: [`<${urls.orders(name)}?cursor=${next}>;rel="next"`] } : undefined;
  return { status: 200, ...(headers ? { headers } : {}), body: { orders: page } };
}

/** Every URL under an account is its owner's alone. */
function requireOwn(exchange: Authenticated): void {
  if (exchange.params.account !== exchange.account.metadata.name)
    throw new Problem('unauthorized', 'this resource belongs to another account');
}

/** RFC 8555 section 7.3.3. */
export function termsNotAgreed(terms: string): Problem {
  return new Problem('userActionRequired', 'the terms of service must be agreed to', {
    headers: { Link: `<${terms}>;rel="terms-of-service"` },
    members: { instance: terms },
  });
}
