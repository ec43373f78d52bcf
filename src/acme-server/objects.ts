// Accounts and authorizations as stored: named by hashes, guarded by a MAC, read from the watched copy where it has them and live else.
import type { KeyObject } from 'node:crypto';
import {
  type Account,
  AccountKind,
  type AccountSpec,
  type Authorization,
  AuthorizationKind,
  type AuthorizationSpec,
} from '../api/acme.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { hashName } from '../domain/encoding.ts';
import { thumbprintOf } from '../domain/jwk.ts';
import { type AuthorizationRef, authorizationName } from '../domain/order.ts';
import { createNewest, type Newest } from '../issuance/newest.ts';
import type { Cache, Cluster } from '../ports.ts';
import type { Keyring } from './keyring.ts';

/** What other replicas must not answer from their watched copies any more. */
export interface Change {
  kind: 'Account' | 'Authorization';
  name: string;
  generation: number;
}

export const ACME_RIGHTS: readonly Right[] = [
  {
    kind: AccountKind,
    verbs: ['get', 'list', 'watch', 'create', 'update'],
    in: ['operator'],
    why: 'know ACME accounts, register new ones, and change their contacts, keys and state',
  },
  {
    kind: AuthorizationKind,
    verbs: ['get', 'list', 'watch', 'create', 'update'],
    in: ['operator'],
    why: 'keep the outcome of each validation, reuse it, and deactivate it when asked to',
  },
];

export interface ObjectsDeps {
  cluster: Cluster;
  keyring: Keyring;
  /** The operator's namespace. */
  namespace: string;
  accounts: Cache<Account>;
  authorizations: Cache<Authorization>;
  /** Tells the other replicas, if any; resolves when they know or cannot be reached, never rejects. */
  announce?: (change: Change) => Promise<void>;
}

type Unsigned<S> = Omit<S, 'mac'>;

export interface AcmeObjects {
  /** As far as is known here, without asking the cluster. */
  knownAccount(name: string): Account | undefined;
  /** The account, or the alias itself where that is what has the name; undefined for unknown names and objects without a good MAC. */
  account(name: string): Promise<Account | undefined>;
  /** A read that the cache cannot answer stale. */
  liveAccount(name: string): Promise<Account | undefined>;
  accountOfKey(issuerUID: string, thumbprint: string): Promise<Account | undefined>;
  /** Whether an account of any issuer has this key, or had it before a key change, as the cache knows. */
  isAccountKey(key: KeyObject): boolean;
  /** The stored account, whether made now or there before (`created` tells). */
  createAccount(spec: Unsigned<AccountSpec>): Promise<{ account: Account; created: boolean }>;
  /** Compare-and-swap on the version given. Conflict if it has changed. Once it resolves, no replica uses the version before. */
  replaceAccount(account: Account, spec: Unsigned<AccountSpec>): Promise<Account>;
  /** As far as is known here, without asking the cluster. */
  knownAuthorization(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): Authorization | undefined;
  /** From the cache if it is there, else live. */
  authorization(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): Promise<Authorization | undefined>;
  /** Atomic: where a result is stored already, that one is returned. */
  createAuthorization(spec: Unsigned<AuthorizationSpec>): Promise<Authorization>;
  /** As replaceAccount. */
  replaceAuthorization(authorization: Authorization, spec: Unsigned<AuthorizationSpec>): Promise<Authorization>;
  /** Valid authorizations of the account for the identifier, from the cache. */
  reusable(key: ReuseKey): readonly Authorization[];
  /** All valid authorizations of the account, live. */
  liveReusable(account: string): Promise<readonly Authorization[]>;
  /** Another replica wrote this. */
  outdate(change: Change): void;
}

/** Index of the authorization cache: what a valid result may be reused for. */
export const REUSE_INDEX = 'reuse';

/** On authorizations: the account, by which they are listed. */
const ACCOUNT_LABEL = 'acme.countersign.dev/account';

/** Index of the account cache by the thumbprints of its key and of those it had before. */
export const KEY_INDEX = 'key';
export const keyIndex = ({ spec }: Account) => [spec.thumbprint, ...(spec.retired ?? [])];

export type ReuseKey = Pick<AuthorizationSpec, 'issuerUID' | 'account' | 'namespace' | 'identifier' | 'wildcard'>;

export function reuseKey(spec: ReuseKey): string {
  return [
    spec.issuerUID,
    spec.account,
    spec.namespace ?? '',
    spec.identifier.type,
    spec.identifier.value,
    spec.wildcard,
  ].join('|');
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

  /** Objects we did not write grant nothing. */
  function checked<T extends Account | Authorization>(purpose: string, object: T | undefined): T | undefined {
    if (!object || genuine.has(object)) return object;
    const { mac, ...spec } = object.spec;
    if (!keyring.verifyMac(purpose, [object.metadata.name, canonical(spec)], mac)) return undefined;
    genuine.add(object);
    return object;
  }

  return {
    checked,
    /** As checked; asks for the keys anew before it takes a key for unknown. */
    checkedLive: async <T extends Account | Authorization>(purpose: string, object: T | undefined) => {
      if (object && !keyring.knowsKeyOf(object.spec.mac)) await keyring.reload();
      return checked(purpose, object);
    },
    signed: <S extends object>(purpose: string, name: string, spec: S): S & { mac: string } => ({
      ...spec,
      mac: keyring.mac(purpose, [name, canonical(spec)]),
    }),
  };
}

type Signer = ReturnType<typeof createSigner>;

export function createAcmeObjects(deps: ObjectsDeps): AcmeObjects {
  const signer = createSigner(deps.keyring);
  const accounts = createNewest(deps.accounts, deps.namespace);
  const authorizations = createNewest(deps.authorizations, deps.namespace);
  const known = { Account: accounts, Authorization: authorizations };
  return {
    ...accountObjects(deps, signer, accounts),
    ...authorizationObjects(deps, signer, authorizations),
    outdate: ({ kind, name, generation }) => known[kind].outdate(name, generation),
  };
}

type AccountObjects = Pick<
  AcmeObjects,
  'knownAccount' | 'account' | 'liveAccount' | 'accountOfKey' | 'isAccountKey' | 'createAccount' | 'replaceAccount'
>;

function accountObjects(
  { cluster, namespace, accounts, announce }: ObjectsDeps,
  { signed, checked, checkedLive }: Signer,
  newest: Newest<Account>,
): AccountObjects {
  const liveAccount = async (name: string) => {
    const live = await checkedLive('account', await cluster.get(AccountKind, { namespace, name }));
    if (live) newest.saw(live);
    return live;
  };
  const knownAccount = (name: string) => checked('account', newest.get(name));
  const account = async (name: string) => knownAccount(name) ?? liveAccount(name);
  return {
    knownAccount,
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
        newest.saw(made);
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
      newest.saw(next);
      await announce?.(changeOf('Account', next));
      return next;
    },
  };
}

function changeOf(kind: Change['kind'], { metadata: { name, generation } }: KubeObject): Change {
  return { kind, name, generation };
}

type AuthorizationObjects = Pick<
  AcmeObjects,
  'knownAuthorization' | 'authorization' | 'createAuthorization' | 'replaceAuthorization' | 'reusable' | 'liveReusable'
>;

function authorizationObjects(
  { cluster, namespace, authorizations, announce }: ObjectsDeps,
  { signed, checked, checkedLive }: Signer,
  newest: Newest<Authorization>,
): AuthorizationObjects {
  const knownAuthorization = (ref: Pick<AuthorizationRef, 'orderID' | 'index'>) =>
    checked('authorization', newest.get(authorizationName(ref)));

  async function authorization(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): Promise<Authorization | undefined> {
    const known = knownAuthorization(ref);
    if (known) return known;
    const name = authorizationName(ref);
    const live = await checkedLive('authorization', await cluster.get(AuthorizationKind, { namespace, name }));
    if (live) newest.saw(live);
    return live;
  }

  return {
    knownAuthorization,
    authorization,
    createAuthorization: async (spec) => {
      const name = authorizationName(spec);
      try {
        const made = await cluster.create(AuthorizationKind, {
          metadata: { name, namespace, labels: { [ACCOUNT_LABEL]: spec.account } },
          spec: signed('authorization', name, spec),
        });
        newest.saw(made);
        return made;
      } catch (error) {
        const found = isClusterError(error, 'AlreadyExists') ? await authorization(spec) : undefined;
        if (!found) throw error;
        return found;
      }
    },
    replaceAuthorization: async (current, spec) => {
      const next = await cluster.replace(AuthorizationKind, {
        ...current,
        spec: signed('authorization', current.metadata.name, spec),
      });
      newest.saw(next);
      await announce?.(changeOf('Authorization', next));
      return next;
    },
    reusable: (key) =>
      authorizations
        .byIndex(REUSE_INDEX, reuseKey(key))
        .flatMap(({ metadata }) => checked('authorization', newest.get(metadata.name)) ?? [])
        .filter(({ spec }) => spec.outcome === 'valid'),
    liveReusable: (account) => liveReusable({ cluster, namespace, checkedLive }, account),
  };
}

async function liveReusable(
  { cluster, namespace, checkedLive }: Pick<ObjectsDeps, 'cluster' | 'namespace'> & Pick<Signer, 'checkedLive'>,
  account: string,
): Promise<readonly Authorization[]> {
  const { items } = await cluster.list(AuthorizationKind, { namespace, labels: { [ACCOUNT_LABEL]: account } });
  const genuine = await Promise.all(items.map((item) => checkedLive('authorization', item)));
  return genuine.filter((item) => item !== undefined).filter(({ spec }) => spec.outcome === 'valid');
}
