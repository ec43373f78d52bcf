// Finding records: by name live, by everything else through the labels that all replicas index.
import {
  type IssuedCertificate,
  IssuedCertificateKind,
  RecordLabel,
  type Revocation,
} from '../api/issued-certificate.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { hashName } from '../domain/encoding.ts';
import type { Cache, Cluster } from '../ports.ts';

export const RECORD_RIGHTS: readonly Right[] = [
  {
    kind: IssuedCertificateKind,
    verbs: ['get', 'list', 'watch', 'create'],
    in: ['operator'],
    why: 'record each issuance once, and find it again: for renewal, revocation, CRLs and repeated requests',
  },
  { kind: IssuedCertificateKind, verbs: ['update'], in: ['operator'], why: 'mark a certificate as revoked' },
];

export interface Records {
  /** From the cache if it is there, else live. */
  get(name: string): Promise<IssuedCertificate | undefined>;
  bySerial(authorityKeyID: string, serial: string): readonly IssuedCertificate[];
  /** As bySerial; where the cache has none, a live read, which `beforeReading` may forbid by a throw. */
  findBySerial(
    authorityKeyID: string,
    serial: string,
    beforeReading: () => void,
  ): Promise<readonly IssuedCertificate[]>;
  ofAccount(account: string): readonly IssuedCertificate[];
  /** Read live: all of the CertificateClaim with this metadata.uid. */
  ofClaim(uid: string): Promise<readonly IssuedCertificate[]>;
  /** Records that hold this key (SHA-256 of the SubjectPublicKeyInfo as base32). */
  ofPublicKey(spkiHash: string): readonly IssuedCertificate[];
  /** Whether a record with this key (as above) was revoked because the key was compromised. */
  isCompromised(spkiHash: string): boolean;
  /** Records made to replace this one. */
  replacing(record: string): readonly IssuedCertificate[];
  /** Marks the record revoked, once: the first revocation stands. Returns whether this call was the one. */
  revoke(record: IssuedCertificate, revocation: Revocation): Promise<boolean>;
}

/** CRLReason keyCompromise, RFC 5280 section 5.3.1. */
const KEY_COMPROMISE = 1;

const byLabel = (index: 'serial' | 'account' | 'publicKey' | 'replaces') => (record: IssuedCertificate) => {
  const value = record.metadata.labels?.[RecordLabel[index]];
  return value === undefined ? [] : [value];
};

/** Indexes the record cache must have. */
export const RECORD_INDEXES = {
  serial: byLabel('serial'),
  account: byLabel('account'),
  publicKey: byLabel('publicKey'),
  replaces: byLabel('replaces'),
  compromisedKey: (record: IssuedCertificate) =>
    record.spec.revocation?.reason === KEY_COMPROMISE ? byLabel('publicKey')(record) : [],
};

/** A record's name derives from door and request, so that one request has one record. */
export function recordName(door: string, id: string): string {
  return `ic-${hashName(door, id)}`;
}

/** Hex that no label holds is on no record. */
const isLabelValue = (hex: string) => /^[0-9a-f]{1,63}$/.test(hex);

export function createRecords(deps: { cluster: Cluster; cache: Cache<IssuedCertificate>; namespace: string }): Records {
  const { cluster, cache, namespace } = deps;

  async function revoke(record: IssuedCertificate, revocation: Revocation): Promise<boolean> {
    for (let current: IssuedCertificate | undefined = record; current; ) {
      if (current.spec.revocation) return false;
      const labels = { ...current.metadata.labels, [RecordLabel.revoked]: 'true' };
      try {
        await cluster.replace(IssuedCertificateKind, {
          ...current,
          metadata: { ...current.metadata, labels },
          spec: { ...current.spec, revocation },
        });
        return true;
      } catch (error) {
        if (!isClusterError(error, 'Conflict')) throw error;
        current = await cluster.get(IssuedCertificateKind, { namespace, name: record.metadata.name });
      }
    }
    return false;
  }

  const bySerial = (authorityKeyID: string, serial: string) =>
    cache
      .byIndex('serial', serial)
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
    return (await cluster.list(IssuedCertificateKind, { namespace, labels })).items;
  }

  return {
    get: async (name) => cache.get({ namespace, name }) ?? cluster.get(IssuedCertificateKind, { namespace, name }),
    bySerial,
    findBySerial,
    ofClaim: async (uid) =>
      (await cluster.list(IssuedCertificateKind, { namespace, labels: { [RecordLabel.claim]: uid } })).items,
    ofAccount: (account) => cache.byIndex('account', account),
    ofPublicKey: (spkiHash) => cache.byIndex('publicKey', spkiHash),
    isCompromised: (spkiHash) => cache.byIndex('compromisedKey', spkiHash).length > 0,
    replacing: (record) => cache.byIndex('replaces', record),
    revoke,
  };
}
