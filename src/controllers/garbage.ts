// Deletes what has served its time: records, authorizations, accounts that never came to a certificate, Events where nobody else
// lets them expire. Candidates come from the caches; before each deletion the object is read again, live, and judged again, and the
// deletion holds only for the version that was judged.
import { setImmediate as otherWork } from 'node:timers/promises';
import { type Account, AccountKind, type Authorization, AuthorizationKind } from '../api/acme.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { Issuer } from '../api/issuer.ts';
import { type CertificateRecord, IssuedCertificateKind, RecordLabel } from '../api/issued-certificate.ts';
import type { Kind, KubeObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { parseDuration } from '../domain/duration.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import type { Cache, Clock, Cluster, Counter, Log, Random } from '../ports.ts';
import { fraction } from '../runtime/back-off.ts';
import { requestID } from './claim-issuance.ts';

export const GARBAGE_RIGHTS: readonly Right[] = [
  {
    kind: IssuedCertificateKind,
    verbs: ['get', 'list', 'delete'],
    in: ['operator'],
    why: 'delete records of certificates that expired long ago; keep accounts that have one',
  },
  {
    kind: AuthorizationKind,
    verbs: ['get', 'delete'],
    in: ['operator'],
    why: 'delete authorizations that have expired',
  },
  {
    kind: AccountKind,
    verbs: ['get', 'delete'],
    in: ['operator'],
    why: 'delete accounts that never came to a certificate',
  },
];

export interface GarbageDeps {
  cluster: Cluster;
  /** The operator's. */
  namespace: string;
  issuers: Cache<Issuer>;
  claims: Cache<CertificateClaim>;
  /** With RECORD_INDEXES. */
  records: Cache<CertificateRecord>;
  accounts: Cache<Account>;
  authorizations: Cache<Authorization>;
  clock: Clock;
  random: Random;
  log: Log;
  collected: Counter;
}

/** Deletes all that is due now; returns how many objects. Stops early once the signal aborts. */
export type Sweep = (signal: AbortSignal) => Promise<number>;

const SWEEP_MS = 600_000;
/** Objects judged in one turn of the event loop. */
const AT_ONCE = 100;
const HOUR_MS = 3_600_000;
const RECORD_GRACE_MS = 168 * HOUR_MS;
const ORDER_MS = 24 * HOUR_MS;
const IDLE_ACCOUNT_MS = 30 * 24 * HOUR_MS;

export function createGarbage(deps: GarbageDeps): Sweep {
  return async (signal) => {
    const issuerOf = issuersByUID(deps.issuers);
    const now = deps.clock.now().getTime();
    const dueRecord = (record: CertificateRecord) =>
      recordEnd(record, issuerOf(record.spec.issuerUID)) < now && !isCounted(record, deps.claims);
    const dueAuthorization = (it: Authorization) => authorizationEnd(it, issuerOf(it.spec.issuerUID)) < now;
    const isHeld = heldAccounts(deps);
    const dueAccount = (account: Account) => accountEnd(account) < now && !isHeld(account);
    const each = { signal, collect: createCollector(deps) };
    return (
      (await sweepKind(IssuedCertificateKind, deps.records, { ...each, due: async (record) => dueRecord(record) })) +
      (await sweepKind(AuthorizationKind, deps.authorizations, { ...each, due: async (it) => dueAuthorization(it) })) +
      (await sweepKind(AccountKind, deps.accounts, {
        ...each,
        // Looked up only for accounts that are old enough and of no use as far as the caches know.
        due: async (account, live) => dueAccount(account) && (!live || (await isUnused(deps, account))),
      }))
    );
  };
}

/** Sweeps every ten minutes or so until the signal aborts. Never rejects. */
export async function sweepRegularly(
  { clock, random, log }: Pick<GarbageDeps, 'clock' | 'random' | 'log'>,
  sweep: Sweep,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(SWEEP_MS * (0.9 + fraction(random) / 5), signal);
      const count = await sweep(signal);
      if (count > 0) log.info({ count }, 'expired objects deleted');
    } catch (error) {
      if (!signal.aborted) log.warn({ error }, 'a sweep of expired objects failed');
    }
  }
}

type Collect = <T extends KubeObject>(kind: Kind<T>, object: T, due: (live: T) => Promise<boolean>) => Promise<boolean>;

/** Deletes one object if it is still there, still due, and unchanged in between. Returns whether it did. */
function createCollector({ cluster, collected }: Pick<GarbageDeps, 'cluster' | 'collected'>): Collect {
  return async (kind, object, due) => {
    const live = await cluster.get(kind, object.metadata);
    if (!live || live.metadata.uid !== object.metadata.uid || !(await due(live))) return false;
    const { uid, resourceVersion } = live.metadata;
    try {
      const deleted = await cluster.delete(kind, live.metadata, { uid, resourceVersion });
      if (deleted) collected.inc({ kind: kind.kind });
      return deleted;
    } catch (error) {
      // Somebody uses it: the next sweep judges it anew.
      if (isClusterError(error, 'Conflict', 'NotFound')) return false;
      throw error;
    }
  };
}

/** `due` is asked twice: of the cached object, cheaply, and of the live one, thoroughly. */
async function sweepKind<T extends KubeObject>(
  kind: Kind<T>,
  cache: Cache<T>,
  {
    signal,
    collect,
    due,
  }: { signal: AbortSignal; collect: Collect; due: (object: T, live: boolean) => Promise<boolean> },
): Promise<number> {
  let [count, seen] = [0, 0];
  for (const object of cache.each()) {
    // There may be very many: whoever waits for an answer meanwhile gets it.
    if (++seen % AT_ONCE === 0) await otherWork();
    if (signal.aborted) break;
    if ((await due(object, false)) && (await collect(kind, object, (live) => due(live, true)))) count++;
  }
  return count;
}

function issuersByUID(issuers: Cache<Issuer>): (uid: string) => Issuer | undefined {
  const byUID = new Map(issuers.list().map((issuer) => [issuer.metadata.uid, issuer]));
  return (uid) => byUID.get(uid);
}

const duration = (text: string | undefined, otherwise: number) =>
  text === undefined ? otherwise : parseDuration(text);

/** Until then a record may be asked for: by its certificate, its order, a CRL. Epoch milliseconds. */
function recordEnd({ spec, status }: CertificateRecord, issuer: Issuer | undefined): number {
  const certificateEnd = status?.refusal?.refusedAt ?? status?.notAfter ?? spec.approved?.notAfter;
  const ends = [certificateEnd, spec.orderExpires].filter((end) => end !== undefined);
  const grace = duration(issuer && clusterIssuer(issuer)?.spec.recordGrace, RECORD_GRACE_MS);
  return Math.max(...ends.map((end) => new Date(end).getTime())) + grace;
}

/** Whether a claim counts its revisions from this record: without it, a request made long ago would be made again. */
function isCounted({ spec }: CertificateRecord, claims: Cache<CertificateClaim>): boolean {
  const { namespace, claim: name } = spec.requester;
  const claim = namespace === undefined || name === undefined ? undefined : claims.get({ namespace, name });
  if (!claim) return false;
  const { revision = 0, refusedRevision = 0 } = claim.status ?? {};
  return [revision, refusedRevision].some((each) => spec.requestID === requestID(claim, each));
}

/** An order that counts on an authorization may be as old as an order can get. */
function authorizationEnd({ spec }: Authorization, issuer: Issuer | undefined): number {
  return new Date(spec.expires).getTime() + duration(issuer?.spec.acme?.orderDuration, ORDER_MS);
}

/**
 * Accounts bound to an external account stay: their number is limited by those keys, and a key that binds once must not bind
 * again because its account is gone. Deactivated ones stay, because RFC 8555 section 7.3.6 knows no way back: were the object gone, the
 * key, perhaps lost to somebody, would get an account of the same name, which policies may trust.
 */
function accountEnd({ metadata, spec }: Account): number {
  if (spec.externalAccountBinding || spec.deactivated) return Infinity;
  return new Date(metadata.creationTimestamp).getTime() + IDLE_ACCOUNT_MS;
}

/** Whether the caches have anything that keeps an account, which is how it mostly is: then the cluster need not be asked. */
function heldAccounts({ records, authorizations, accounts }: GarbageDeps): (account: Account) => boolean {
  const holders = new Set(authorizations.list().map(({ spec }) => spec.account));
  const names = new Set(accounts.list().map(({ metadata }) => metadata.name));
  const isHeld = (name: string) => holders.has(name) || records.has('account', name);
  return ({ metadata, spec }) => (spec.aliasOf === undefined ? isHeld(metadata.name) : names.has(spec.aliasOf));
}

/** No certificate and no authorization of the account; for an alias, no account that it leads to. */
async function isUnused({ cluster, namespace, authorizations }: GarbageDeps, account: Account): Promise<boolean> {
  const { name } = account.metadata;
  if (account.spec.aliasOf !== undefined)
    return !(await cluster.get(AccountKind, { namespace, name: account.spec.aliasOf }));
  if (authorizations.list().some(({ spec }) => spec.account === name)) return false;
  const { items } = await cluster.list(IssuedCertificateKind, {
    namespace,
    labels: { [RecordLabel.account]: name },
    limit: 1,
  });
  return items.length === 0;
}
