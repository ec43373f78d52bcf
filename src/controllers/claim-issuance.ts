// One certificate for one revision of a claim, whatever crashes in between.
//
// The request's id is the claim's uid and the revision, so the engine makes one record for it. The key lives in this process until it
// stands in the Secret together with its certificate. A process that dies after the record was made and before the Secret was
// written takes the key with it: the record then holds a certificate that nobody can use. Whoever comes next finds the record, sees
// that its key is not at hand, revokes it as superseded, and goes on to the next revision. So a revision is released at most
// once, key and certificate always match, and of the live records of a claim all are in use or were.
import type { KeyObject } from 'node:crypto';
import type { Issuer } from '../api/issuer.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import { type IssuedCertificate, RecordLabel } from '../api/issued-certificate.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { generatePrivateKey, spkiOf } from '../domain/private-key.ts';
import { allNames } from '../issuance/judge.ts';
import { type Records, recordName } from '../issuance/records.ts';
import type { IssuanceOutcome, Issue } from '../issuance/types.ts';
import type { Audit, Clock, Log } from '../ports.ts';
import { type ClaimRequest, hashLabel, issuanceRequest, keyParameters } from './claim-request.ts';

/** CRLReason superseded, RFC 5280 section 5.3.1. */
const SUPERSEDED = 4;

export interface ClaimIssuanceDeps {
  issue: Issue;
  records: Records;
  clock: Clock;
  audit: Audit;
  log: Log;
}

export interface Attempt {
  claim: CertificateClaim;
  issuer: Issuer;
  request: ClaimRequest;
  /** Says whether a key at hand was made for this spec. */
  hash: string;
  /** The last revision released. */
  revision: number;
  /** A key to be used again instead of a new one. */
  reuse: KeyObject | undefined;
  namespaceLabels: Readonly<Record<string, string>> | undefined;
  replaces: string | undefined;
}

export type Obtained =
  | { kind: 'issued'; outcome: IssuanceOutcome & { kind: 'issued' }; key: KeyObject; revision: number }
  | Exclude<IssuanceOutcome, { kind: 'issued' }>;

export interface ClaimIssuance {
  /** Safe to call again after any failure; gives the same certificate until `forget`. */
  obtain(attempt: Attempt, signal: AbortSignal): Promise<Obtained>;
  /** The certificate is in the Secret, or the claim is gone: the key need not be kept at hand. */
  forget(uid: string): void;
}

interface KeyAtHand {
  id: string;
  hash: string;
  key: KeyObject;
}

export function createClaimIssuance(deps: ClaimIssuanceDeps): ClaimIssuance {
  const { issue, records } = deps;
  /** By uid of the claim: the key of the attempt under way, so that a retry in this process needs no other certificate. */
  const atHand = new Map<string, KeyAtHand>();

  function keyAtHand({ claim, hash, reuse }: Attempt, id: string): KeyObject | undefined {
    const known = atHand.get(claim.metadata.uid);
    return known?.id === id && known.hash === hash ? known.key : reuse;
  }

  /** Revokes a record whose certificate was never released and never can be. */
  async function supersede(record: IssuedCertificate): Promise<void> {
    if (record.spec.revocation) return;
    const { name } = record.metadata;
    // First the line, then the write: a process that dies in between writes it again, and no revocation is without one.
    deps.audit.record('revocation', {
      record: name,
      serial: record.status.serial,
      reason: SUPERSEDED,
      by: 'certificate-claim',
    });
    const revokedAt = deps.clock.now().toISOString();
    const revoked = await records.revoke(record, { reason: SUPERSEDED, revokedAt, by: 'certificate-claim' });
    if (revoked) deps.log.info({ record: name }, 'a certificate whose key was lost is superseded');
  }

  async function obtain(attempt: Attempt, signal: AbortSignal): Promise<Obtained> {
    const { claim, request, hash, issuer } = attempt;
    for (let revision = attempt.revision + 1; ; revision++) {
      const id = requestID(claim, revision);
      const known = keyAtHand(attempt, id);
      const existing = await records.get(recordName('CertificateClaim', id));
      if (existing && !(known && serves(existing, known, attempt))) {
        await supersede(existing);
        continue;
      }
      const key = known ?? (await generatePrivateKey(keyParameters(claim.spec, issuer)));
      atHand.set(claim.metadata.uid, { id, hash, key });
      const outcome = await issue(await issuanceRequest(claim, request, { ...attempt, id, key }), signal);
      if (outcome.kind !== 'issued') return outcome;
      if (serves(outcome.record, key, attempt)) return { kind: 'issued', outcome, key, revision };
      // Another process was faster by a moment and may be about to deliver: look again before anything is given up for lost.
      if (!leafOf(outcome.record).spki.equals(spkiOf(key)))
        throw new ClusterError('Conflict', 'the revision was taken');
      await supersede(outcome.record);
      throw new Error('the certificate issued is not what the claim asks for');
    }
  }

  return { obtain, forget: (uid) => void atHand.delete(uid) };
}

const requestID = ({ metadata }: CertificateClaim, revision: number) => `${metadata.uid}/${revision}`;

/** The revision that the status tells of, if it is on record: the status is not ours alone to write. */
export async function revisionOnRecord(records: Pick<Records, 'get'>, claim: CertificateClaim): Promise<number> {
  const { revision = 0 } = claim.status ?? {};
  if (!Number.isSafeInteger(revision) || revision < 1) return 0;
  return (await records.get(recordName('CertificateClaim', requestID(claim, revision)))) ? revision : 0;
}

/** Whether the record's certificate may be released for this key, these names, and all else the claim asks for now. */
function serves(record: IssuedCertificate, key: KeyObject, { request, hash }: Attempt): boolean {
  if (record.spec.revocation || record.metadata.labels?.[RecordLabel.request] !== hashLabel(hash)) return false;
  const leaf = leafOf(record);
  return leaf.spki.equals(spkiOf(key)) && sameNames(leaf.names, request.names);
}

export function leafOf({ status }: IssuedCertificate): CertificateFacts {
  return parseCertificate(Buffer.from(status.certificate, 'base64'));
}

export function sameNames(a: ClaimRequest['names'], b: ClaimRequest['names']): boolean {
  return allNames(a).join('\n') === allNames(b).join('\n');
}
