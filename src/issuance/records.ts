// Finding records: by name live, by everything else through the labels that all replicas index.
import {
  type CertificateRecord,
  isIssued,
  isRefused,
  isReserved,
  type IssuedCertificate,
  IssuedCertificateKind,
  RecordAnnotation,
  RecordLabel,
  type Refusal,
  type Revocation,
} from '../api/issued-certificate.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { hashName } from '../domain/encoding.ts';
import type { Cache, Cluster } from '../ports.ts';
import { createNewest, type Newest } from './newest.ts';

export const RECORD_RIGHTS: readonly Right[] = [
  {
    kind: IssuedCertificateKind,
    verbs: ['get', 'list', 'watch', 'create'],
    in: ['operator'],
    why: 'record each issuance once, and find it again: for renewal, revocation, CRLs and repeated requests',
  },
  {
    kind: IssuedCertificateKind,
    verbs: ['update'],
    in: ['operator'],
    why: 'mark a certificate as revoked; finish what was reserved for a CA elsewhere',
  },
];

export interface Records {
  /** In any state; from the cache if it is there, else as `saw` has it. Undefined says nothing about the cluster. */
  known(name: string): CertificateRecord | undefined;
  /** In any state; from the cache if it is there, else as `saw` has it, else live. */
  get(name: string): Promise<CertificateRecord | undefined>;
  /** The record once it has a certificate: from the cache if that shows one, else as `saw` has it, else live. */
  issued(name: string): Promise<IssuedCertificate | undefined>;
  /** A record read live, or answered to a write: once finished it is remembered until the cache has it. */
  saw<R extends CertificateRecord>(record: R): R;
  bySerial(authorityKeyID: string, serial: string): readonly IssuedCertificate[];
  /** As bySerial; where the cache has none, a live read, which `beforeReading` may forbid by a throw. */
  findBySerial(
    authorityKeyID: string,
    serial: string,
    beforeReading: () => void,
  ): Promise<readonly IssuedCertificate[]>;
  /** At most so many, from that one on. */
  ofAccount(account: string, from: number, count: number): readonly CertificateRecord[];
  /** Read live: all of the CertificateClaim with this metadata.uid. */
  ofClaim(uid: string): Promise<readonly CertificateRecord[]>;
  /** Records that hold this key (SHA-256 of the SubjectPublicKeyInfo as base32), or are to. */
  ofPublicKey(spkiHash: string): readonly CertificateRecord[];
  /** Whether a record with this key (as above) was revoked because the key was compromised. */
  isCompromised(spkiHash: string): boolean;
  /** Records made to replace this one, those that were refused apart. */
  replacing(record: string): readonly CertificateRecord[];
  /** Marks the record revoked, once: the first revocation stands. Returns whether this call was the one. */
  revoke(record: CertificateRecord, revocation: Revocation): Promise<boolean>;
  /** Gives a record the label that goes with a revocation which somebody else has set. */
  markRevoked(record: CertificateRecord): Promise<void>;
  /** Puts on record, once, what became of a revocation at a CA elsewhere. */
  noteRevocation(record: CertificateRecord, said: string): Promise<void>;
  /** Ends a reservation without a certificate. Returns the record as it is then: where a certificate was faster, that stands. */
  refuse(record: CertificateRecord, refusal: Refusal): Promise<CertificateRecord | undefined>;
}

/** CRLReason keyCompromise, RFC 5280 section 5.3.1. */
const KEY_COMPROMISE = 1;

const byLabel = (index: 'serial' | 'account' | 'publicKey' | 'replaces') => (record: CertificateRecord) => {
  const value = record.metadata.labels?.[RecordLabel[index]];
  return value === undefined ? [] : [value];
};

/** Whether it was revoked without the label that the operator's own revocations have from the start. */
export function isUnmarked(record: CertificateRecord): boolean {
  const isRevoked = record.spec.revocation !== undefined && isIssued(record);
  return isRevoked && record.metadata.labels?.[RecordLabel.revoked] === undefined;
}

/** Indexes the record cache must have. */
export const RECORD_INDEXES = {
  /** Of CAs elsewhere: `all` of them, and those that may want something of their CA still. */
  remote: (record: CertificateRecord) => {
    if (!record.spec.approved) return [];
    return isReserved(record) || record.spec.revocation ? ['all', 'open'] : ['all'];
  },
  serial: byLabel('serial'),
  account: byLabel('account'),
  publicKey: byLabel('publicKey'),
  replaces: byLabel('replaces'),
  /** Revoked by somebody else, and not seen to yet. */
  unmarked: (record: CertificateRecord) => (isUnmarked(record) ? ['all'] : []),
  /** Reservations, by the tokens that a CA elsewhere may ask for. */
  token: (record: CertificateRecord) =>
    isReserved(record) ? keyAuthorizationsOf(record).map((each) => each.slice(0, each.indexOf('.'))) : [],
  compromisedKey: (record: CertificateRecord) =>
    record.spec.revocation?.reason === KEY_COMPROMISE ? byLabel('publicKey')(record) : [],
};

/** Of a reservation whose CA validates names over HTTP. */
function keyAuthorizationsOf({ metadata }: CertificateRecord): readonly string[] {
  return metadata.annotations?.[RecordAnnotation.keyAuthorizations]?.split(' ') ?? [];
}

/** By token, in a cache with RECORD_INDEXES. */
export function keyAuthorizationIn(cache: Cache<CertificateRecord>): (token: string) => string | undefined {
  return (token) =>
    cache
      .byIndex('token', token)
      .flatMap(keyAuthorizationsOf)
      .find((each) => each.startsWith(`${token}.`));
}

/** A record's name derives from door and request, so that one request has one record. */
export function recordName(door: string, id: string): string {
  return `ic-${hashName(door, id)}`;
}

/** Hex, or `none`, that no label holds is on no record. */
const isLabelValue = (text: string) => /^([0-9a-f]{1,63}|none)$/.test(text);

/** A watch is silent for a minute and a half at most before it is made anew; a record takes some kilobytes. */
const MAX_REMEMBERED = 10_000;

/** Records beyond the watch: one memory for all that write or read them in this process. */
export function createNewestRecords(cache: Cache<CertificateRecord>, namespace: string): Newest<CertificateRecord> {
  return createNewest(cache, namespace, MAX_REMEMBERED);
}

export interface RecordsDeps {
  cluster: Cluster;
  cache: Cache<CertificateRecord>;
  newest: Newest<CertificateRecord>;
  namespace: string;
}

export function createRecords(deps: RecordsDeps): Records {
  const { cluster, cache, newest, namespace } = deps;
  /** A reservation is not remembered: who asks for it wants to know whether it is finished now. */
  function saw<R extends CertificateRecord>(record: R): R {
    if (!isReserved(record)) newest.saw(record);
    return record;
  }
  async function live(name: string): Promise<CertificateRecord | undefined> {
    const record = await cluster.get(IssuedCertificateKind, { namespace, name });
    return record && saw(record);
  }

  const bySerial = (authorityKeyID: string, serial: string) =>
    cache
      .byIndex('serial', serial)
      .filter(isIssued)
      .filter((record) => record.metadata.labels?.[RecordLabel.authorityKeyID] === authorityKeyID);

  async function findBySerial(
    authorityKeyID: string,
    serial: string,
    beforeReading: () => void,
  ): Promise<readonly IssuedCertificate[]> {
    const cached = bySerial(authorityKeyID, serial);
    if (cached.length > 0 || !isLabelValue(serial) || !isLabelValue(authorityKeyID)) return cached;
    beforeReading();
    const labels = { [RecordLabel.serial]: serial, [RecordLabel.authorityKeyID]: authorityKeyID };
    return (await cluster.list(IssuedCertificateKind, { namespace, labels })).items.filter(isIssued);
  }

  return {
    known: (name) => newest.get(name),
    get: async (name) => newest.get(name) ?? live(name),
    issued: async (name) => {
      const known = newest.get(name);
      const record = known && isIssued(known) ? known : await live(name);
      return record && isIssued(record) ? record : undefined;
    },
    saw,
    bySerial,
    findBySerial,
    ofClaim: async (uid) =>
      (await cluster.list(IssuedCertificateKind, { namespace, labels: { [RecordLabel.claim]: uid } })).items,
    ofAccount: (account, from, count) => cache.byIndex('account', account, { from, count }),
    ofPublicKey: (spkiHash) => cache.byIndex('publicKey', spkiHash),
    isCompromised: (spkiHash) => cache.has('compromisedKey', spkiHash),
    replacing: (record) => cache.byIndex('replaces', record).filter((each) => !isRefused(each)),
    ...createChanges(deps, saw),
  };
}

/** What becomes of a record after it was made. */
function createChanges(
  deps: RecordsDeps,
  saw: Records['saw'],
): Pick<Records, 'revoke' | 'markRevoked' | 'noteRevocation' | 'refuse'> {
  const update = createUpdate(deps, saw);
  return {
    revoke: async (record, revocation) =>
      (await update(record, (current) => (current.spec.revocation ? undefined : revoked(current, revocation)))).written,
    markRevoked: async (record) => {
      await update(record, (current) => {
        const { revocation } = current.spec;
        return revocation && isUnmarked(current) ? revoked(current, revocation) : undefined;
      });
    },
    noteRevocation: async (record, said) => {
      await update(record, (current) => {
        const { annotations } = current.metadata;
        if (annotations?.[RecordAnnotation.revocation] !== undefined) return undefined;
        const noted = { ...annotations, [RecordAnnotation.revocation]: said };
        return { ...current, metadata: { ...current.metadata, annotations: noted } };
      });
    },
    refuse: async (record, refusal) =>
      (await update(record, (current) => (isReserved(current) ? refused(current, refusal) : undefined))).record,
  };
}

/** Writes what `change` makes of the record, read again after each conflict; undefined, writing nothing, once it makes nothing of it. */
type Update = (
  record: CertificateRecord,
  change: (current: CertificateRecord) => CertificateRecord | undefined,
) => Promise<{ written: boolean; record: CertificateRecord | undefined }>;

function createUpdate({ cluster, namespace }: RecordsDeps, saw: Records['saw']): Update {
  return async (record, change) => {
    for (let current: CertificateRecord | undefined = record; current; ) {
      const changed = change(current);
      if (!changed) return { written: false, record: current };
      try {
        return { written: true, record: saw(await cluster.replace(IssuedCertificateKind, changed)) };
      } catch (error) {
        if (!isClusterError(error, 'Conflict')) throw error;
        current = await cluster.get(IssuedCertificateKind, { namespace, name: record.metadata.name });
      }
    }
    return { written: false, record: undefined };
  };
}

function revoked(record: CertificateRecord, revocation: Revocation): CertificateRecord {
  const labels = { ...record.metadata.labels, [RecordLabel.revoked]: 'true' };
  return { ...record, metadata: { ...record.metadata, labels }, spec: { ...record.spec, revocation } };
}

function refused(record: CertificateRecord, refusal: Refusal): CertificateRecord {
  const labels = { ...record.metadata.labels, [RecordLabel.state]: 'refused' };
  return { ...record, metadata: { ...record.metadata, labels }, status: { refusal } };
}
