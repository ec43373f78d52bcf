// Accounts and authorizations as stored: named by hashes, guarded by a MAC, read from the cache where it has them and live else.
import type { KeyObject } from 'node:crypto';
import {
  type Account,
  AccountKind,
  type AccountSpec,
  type Authorization,
  AuthorizationKind,
  type AuthorizationSpec,
} from '../api/acme.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { hashName } from '../domain/encoding.ts';
import { thumbprintOf } from '../domain/jwk.ts';
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
  /** The account, or the alias itself where that is what has the name; undefined for unknown names and objects without a good MAC. */
  account(name: string): Promise<Account | undefined>;
  /** A read that the cache cannot answer stale. */
  liveAccount(name: string): Promise<Account | undefined>;
  accountOfKey(issuerUID: string, thumbprint: string): Promise<Account | undefined>;
  /** Whether an account of any issuer has this key, or had it before a key change, as the cache knows. */
  isAccountKey(key: KeyObject): boolean;
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

/** Index of the account cache by the thumbprints of its key and of those it had before. */
export const KEY_INDEX = 'key';
export const keyIndex = ({ spec }: Account) => [spec.thumbprint, ...(spec.retired ?? [])];

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

/** Makes and checks the MACs of objects, each object once. */
function createSigner(keyring: Keyring) {
  const genuine = new WeakSet<object>();
  return {
    signed: <S extends object>(purpose: string, name: string, spec: S): S & { mac: string } => ({
      ...spec,
      mac: keyring.mac(purpose, [name, canonical(spec)]),
    }),
    /** Objects we did not write grant nothing. */
    checked: <T extends Account | Authorization>(purpose: string, object: T | undefined): T | undefined => {
      if (!object || genuine.has(object)) return object;
      const { mac, ...spec } = object.spec;
      if (!keyring.verifyMac(purpose, [object.metadata.name, canonical(spec)], mac)) return undefined;
      genuine.add(object);
      return object;
    },
  };
}

type Signer = ReturnType<typeof createSigner>;

export function createAcmeObjects(deps: ObjectsDeps): AcmeObjects {
  const signer = createSigner(deps.keyring);
  return { ...accountObjects(deps, signer), ...authorizationObjects(deps, signer) };
}

type AccountObjects = Pick<
  AcmeObjects,
  'account' | 'liveAccount' | 'accountOfKey' | 'isAccountKey' | 'createAccount' | 'replaceAccount'
>;

function accountObjects({ cluster, namespace, accounts }: ObjectsDeps, { signed, checked }: Signer): AccountObjects {
  const cached = newestAccounts(accounts, namespace);
  const liveAccount = async (name: string) => checked('account', await cluster.get(AccountKind, { namespace, name }));
  const account = async (name: string) => checked('account', cached.get(name)) ?? liveAccount(name);
  return {
    account,
    liveAccount,
    accountOfKey: async (issuerUID, thumbprint) => {
      const found = await account(accountName(issuerUID, thumbprint));
      const target = found?.spec.aliasOf === undefined ? found : await liveAccount(found.spec.aliasOf);
      // A key that was rolled away from names nobody any more.
      return target?.spec.thumbprint === thumbprint ? target : undefined;
    },
    isAccountKey: (key) => accounts.byIndex(KEY_INDEX, thumbprintOf(key)).length > 0,
    createAccount: async (spec) => {
      const name = accountName(spec.issuerUID, spec.thumbprint);
      try {
        const made = await cluster.create(AccountKind, {
          metadata: { name, namespace },
          spec: signed('account', name, spec),
        });
        return { account: made, created: true };
      } catch (error) {
        const found = isClusterError(error, 'AlreadyExists') ? await liveAccount(name) : undefined;
        if (!found) throw error;
        return { account: found, created: false };
      }
    },
    replaceAccount: async (current, spec) => {
      const next = await cluster.replace(AccountKind, {
        ...current,
        spec: signed('account', current.metadata.name, spec),
      });
      cached.wrote(next);
      return next;
    },
  };
}

/**
 * The newest version of an account this process has seen, its own writes included: a rolled-over key is refused from the next request
 * on. A write of our own is kept until the cache has it, or knows that the account is gone.
 */
function newestAccounts(accounts: Cache<Account>, namespace: string) {
  const written = new Map<string, Account>();
  const cachedOf = (name: string) => accounts.get({ namespace, name });
  accounts.onChange(({ metadata }, type) => {
    const own = metadata.namespace === namespace ? written.get(metadata.name) : undefined;
    if (own && (type === 'DELETED' || metadata.generation >= own.metadata.generation)) written.delete(metadata.name);
  });
  return {
    wrote: (account: Account): void => {
      const { name, generation } = account.metadata;
      if ((cachedOf(name)?.metadata.generation ?? 0) < generation) written.set(name, account);
    },
    get: (name: string): Account | undefined => written.get(name) ?? cachedOf(name),
  };
}

type AuthorizationObjects = Pick<
  AcmeObjects,
  'authorization' | 'createAuthorization' | 'replaceAuthorization' | 'reusable'
>;

function authorizationObjects(
  { cluster, namespace, authorizations }: ObjectsDeps,
  { signed, checked }: Signer,
): AuthorizationObjects {
  async function authorization(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): Promise<Authorization | undefined> {
    const at = { namespace, name: authorizationName(ref) };
    return (
      checked('authorization', authorizations.get(at)) ??
      checked('authorization', await cluster.get(AuthorizationKind, at))
    );
  }

  return {
    authorization,
    createAuthorization: async (spec) => {
      const name = authorizationName(spec);
      try {
        return await cluster.create(AuthorizationKind, {
          metadata: { name, namespace },
          spec: signed('authorization', name, spec),
        });
      } catch (error) {
        const found = isClusterError(error, 'AlreadyExists') ? await authorization(spec) : undefined;
        if (!found) throw error;
        return found;
      }
    },
    replaceAuthorization: (current, spec) =>
      cluster.replace(AuthorizationKind, { ...current, spec: signed('authorization', current.metadata.name, spec) }),
    reusable: (key) =>
      authorizations
        .byIndex(REUSE_INDEX, reuseKey(key))
        .filter((found) => found.spec.outcome === 'valid' && checked('authorization', found)),
  };
}
