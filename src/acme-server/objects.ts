// Accounts and authorizations as stored: named by hashes, guarded by a MAC, read from the cache where it has them and live else.
import { type Account, AccountKind, type AccountSpec, type Authorization, AuthorizationKind, type AuthorizationSpec } from '../api/acme.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { hashName } from '../domain/encoding.ts';
import { type AuthorizationRef, authorizationName } from '../domain/order.ts';
import type { Cache, Cluster } from '../ports.ts';
import type { Keyring } from './keyring.ts';

export interface ObjectsDeps {
  cluster: Cluster;
  keyring: Keyring;
  /** The operator's namespace. */
  namespace: string;
  accounts: Cache<Account>;
  authorizations: Cache<Authorization>;
}

type Unsigned<S> = Omit<S, 'mac'>;

export interface AcmeObjects {
  /** The account, or the account an alias leads to; undefined for unknown names and objects without a good MAC. */
  account(name: string): Promise<Account | undefined>;
  /** A read that the cache cannot answer stale. */
  liveAccount(name: string): Promise<Account | undefined>;
  accountOfKey(issuerUID: string, thumbprint: string): Promise<Account | undefined>;
  /** Whether an account of the issuer has this key (SHA-256 of its SubjectPublicKeyInfo), as the cache knows. */
  isAccountKey(issuerUID: string, spkiHash: Buffer): boolean;
  /** The stored account, whether made now or there before (`created` tells). */
  createAccount(spec: Unsigned<AccountSpec>): Promise<{ account: Account; created: boolean }>;
  /** Compare-and-swap on the version given. Conflict if it has changed. */
  replaceAccount(account: Account, spec: Unsigned<AccountSpec>): Promise<Account>;
  /** From the cache if it is there, else live. */
  authorization(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): Promise<Authorization | undefined>;
  /** Atomic: where a result is stored already, that one is returned. */
  createAuthorization(spec: Unsigned<AuthorizationSpec>): Promise<Authorization>;
  replaceAuthorization(authorization: Authorization, spec: Unsigned<AuthorizationSpec>): Promise<Authorization>;
  /** Valid authorizations of the account for the identifier, from the cache. */
  reusable(key: ReuseKey): readonly Authorization[];
}

/** Index of the authorization cache: what a valid result may be reused for. */
export const REUSE_INDEX = 'reuse';

/** Index of the account cache by key. */
export const KEY_INDEX = 'key';
export const keyIndex = (issuerUID: string, spkiHash: string) => `${issuerUID}|${spkiHash}`;

export type ReuseKey = Pick<AuthorizationSpec, 'issuerUID' | 'account' | 'identifier' | 'wildcard'>;

export function reuseKey(spec: ReuseKey): string {
  return [spec.issuerUID, spec.account, spec.identifier.type, spec.identifier.value, spec.wildcard].join('|');
}

/** Account names derive from issuer and key, so that creating one twice is impossible. */
export function accountName(issuerUID: string, thumbprint: string): string {
  return `ac-${hashName(issuerUID, thumbprint)}`;
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

export function createAcmeObjects(deps: ObjectsDeps): AcmeObjects {
  const { cluster, keyring, namespace } = deps;
  const genuine = new WeakSet<object>();
  /** Accounts as replaced here, until the cache has caught up: a rolled-over key is refused from the next request on. */
  const written = new Map<string, Account>();

  function signed<S extends object>(purpose: string, name: string, spec: S): S & { mac: string } {
    return { ...spec, mac: keyring.mac(purpose, [name, canonical(spec)]) };
  }

  /** Objects we did not write grant nothing. Each object is checked once. */
  function checked<T extends Account | Authorization>(purpose: string, object: T | undefined): T | undefined {
    if (!object || genuine.has(object)) return object;
    const { mac, ...spec } = object.spec;
    if (!keyring.verifyMac(purpose, [object.metadata.name, canonical(spec)], mac)) return undefined;
    genuine.add(object);
    return object;
  }

  const liveAccount = async (name: string) => checked('account', await cluster.get(AccountKind, { namespace, name }));

  /** The newest version this process has seen, its own writes included. */
  function cachedAccount(name: string): Account | undefined {
    const cached = deps.accounts.get({ namespace, name });
    const own = written.get(name);
    if (own && cached && cached.metadata.generation >= own.metadata.generation) written.delete(name);
    return checked('account', written.get(name) ?? cached);
  }

  async function account(name: string): Promise<Account | undefined> {
    return cachedAccount(name) ?? (await liveAccount(name));
  }

  async function accountOfKey(issuerUID: string, thumbprint: string): Promise<Account | undefined> {
    const found = await account(accountName(issuerUID, thumbprint));
    const target = found?.spec.aliasOf === undefined ? found : await liveAccount(found.spec.aliasOf);
    // A key that was rolled away from names nobody any more.
    return target?.spec.thumbprint === thumbprint ? target : undefined;
  }

  async function createAccount(spec: Unsigned<AccountSpec>): Promise<{ account: Account; created: boolean }> {
    const name = accountName(spec.issuerUID, spec.thumbprint);
    try {
      const made = await cluster.create(AccountKind, { metadata: { name, namespace }, spec: signed('account', name, spec) });
      return { account: made, created: true };
    } catch (error) {
      if (!isClusterError(error, 'AlreadyExists')) throw error;
      const found = await liveAccount(name);
      if (!found) throw error;
      return { account: found, created: false };
    }
  }

  async function authorization(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): Promise<Authorization | undefined> {
    const at = { namespace, name: authorizationName(ref) };
    return checked('authorization', deps.authorizations.get(at)) ?? checked('authorization', await cluster.get(AuthorizationKind, at));
  }

  async function createAuthorization(spec: Unsigned<AuthorizationSpec>): Promise<Authorization> {
    const name = authorizationName(spec);
    try {
      return await cluster.create(AuthorizationKind, { metadata: { name, namespace }, spec: signed('authorization', name, spec) });
    } catch (error) {
      const found = isClusterError(error, 'AlreadyExists') ? await authorization(spec) : undefined;
      if (!found) throw error;
      return found;
    }
  }

  return {
    account,
    liveAccount,
    accountOfKey,
    isAccountKey: (issuerUID, spkiHash) => deps.accounts.byIndex(KEY_INDEX, keyIndex(issuerUID, spkiHash.toString('base64url'))).length > 0,
    createAccount,
    replaceAccount: async (current, spec) => {
      const next = await cluster.replace(AccountKind, { ...current, spec: signed('account', current.metadata.name, spec) });
      written.set(next.metadata.name, next);
      return next;
    },
    authorization,
    createAuthorization,
    replaceAuthorization: (current, spec) =>
      cluster.replace(AuthorizationKind, { ...current, spec: signed('authorization', current.metadata.name, spec) }),
    reusable: (key) =>
      deps.authorizations
        .byIndex(REUSE_INDEX, reuseKey(key))
        .filter((found) => found.spec.outcome === 'valid' && checked('authorization', found)),
  };
}
