// One certificate for one revision of a claim, whatever crashes in between.
//
// The request's id is the claim's uid and the revision, so the engine makes one record for it. The key lives in this process until it
// stands in the Secret together with its certificate; where a CA elsewhere is to sign, which may take its time, the key is staged in the
// Secret first. A process that dies after the record was made and before the Secret was
// written takes the key with it: the record then holds a certificate that nobody can use. Whoever comes next finds the record, sees
// that its key is not at hand, revokes it as superseded, and goes on to the next revision. So a revision is released at most
// once, key and certificate always match, and of the live records of a claim all are in use or were.
import type { KeyObject } from 'node:crypto';
import type { Issuer } from '../api/issuer.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import {
  type CertificateRecord,
  type IssuedCertificate,
  isIssued,
  isRefused,
  RecordLabel,
  type Refusal,
} from '../api/issued-certificate.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { ClusterError, isClusterError } from '../domain/cluster-error.ts';
import { hashKey } from '../domain/encoding.ts';
import { Problem } from '../domain/problem.ts';
import { generatePrivateKey, spkiOf } from '../domain/private-key.ts';
import { allNames } from '../issuance/judge.ts';
import { problemOf } from '../issuance/record.ts';
import { type Records, recordName } from '../issuance/records.ts';
import type { IssuanceOutcome, Issue } from '../issuance/types.ts';
import type { Audit, Clock, Log } from '../ports.ts';
import { type ClaimRequest, hashLabel, issuanceRequest, keyParameters } from './claim-request.ts';
import { supersede } from './claim-withdrawal.ts';

export interface ClaimIssuanceDeps {
  issue: Issue;
  records: Records;
  clock: Clock;
  audit: Audit;
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
  /** Where keys are kept until a CA elsewhere has signed; undefined where the CA is at hand. */
  stage: KeyStage | undefined;
  log: Log;
}

export interface KeyStage {
  /** The key kept for this request, if there is one. */
  read(id: string): KeyObject | undefined;
  write(id: string, key: KeyObject): Promise<void>;
}

export type Obtained =
  | { kind: 'issued'; outcome: IssuanceOutcome & { kind: 'issued' }; key: KeyObject; revision: number }
  /** `waitedMs`: since this process was told so first. */
  | { kind: 'pending'; retryAfterMs: number; waitedMs: number }
  /** `revision` is spent where a record says so. */
  | { kind: 'refused'; problem: Problem; revision: number | undefined };

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
  /** When a CA elsewhere was asked, as Clock.monotonic. */
  askedAt: number;
}

export function createClaimIssuance(deps: ClaimIssuanceDeps): ClaimIssuance {
  const { issue, records } = deps;
  /** By uid of the claim: the key of the attempt under way, so that a retry in this process needs no other certificate. */
  const atHand = new Map<string, KeyAtHand>();

  function keep(uid: string, { id, hash, key }: Omit<KeyAtHand, 'askedAt'>): KeyAtHand {
    const before = atHand.get(uid);
    const askedAt = before?.id === id ? before.askedAt : deps.clock.monotonic();
    const kept = { id, hash, key, askedAt };
    atHand.set(uid, kept);
    return kept;
  }

  function keyAtHand({ claim, hash, reuse, stage }: Attempt, id: string): KeyObject | undefined {
    const known = atHand.get(claim.metadata.uid);
    return known?.id === id && known.hash === hash ? known.key : (stage?.read(id) ?? reuse);
  }

  /** What one revision comes to; undefined where it is spent. */
  async function tryRevision(attempt: Attempt, revision: number, signal: AbortSignal): Promise<Obtained | undefined> {
    const { claim, request, hash, issuer, stage } = attempt;
    const id = requestID(claim, revision);
    const known = keyAtHand(attempt, id);
    const name = recordName('CertificateClaim', id);
    // Where the CA is at hand, the create of the record tells of one that is not known here.
    const existing = stage ? await records.get(name) : records.known(name);
    const refusal = existing && refusalByCa(existing);
    if (refusal) return { kind: 'refused', problem: problemOf(refusal), revision };
    if (existing && !(known && serves(existing, known, attempt))) {
      await supersede({ ...deps, log: attempt.log }, existing, WITHDRAWN);
      return undefined;
    }
    const key = known ?? (await generatePrivateKey(keyParameters(claim.spec, issuer)));
    const { askedAt } = keep(claim.metadata.uid, { id, hash, key });
    if (key !== attempt.reuse && stage && !stage.read(id)) await stage.write(id, key);
    const asked = await issuanceRequest(claim, request, { ...attempt, id, key });
    const outcome = await issue(asked, signal).catch(spentWhereTaken);
    if (!outcome) return undefined;
    if (outcome.kind === 'pending') return { ...outcome, waitedMs: deps.clock.monotonic() - askedAt };
    if (outcome.kind === 'refused') {
      await requireFree(records, name);
      return { ...outcome, revision: outcome.record && revision };
    }
    return released(deps, attempt, { outcome, key, revision });
  }

  return {
    async obtain(attempt, signal) {
      for (let revision = attempt.revision + 1; ; revision++) {
        const obtained = await tryRevision(attempt, revision, signal);
        if (obtained) return obtained;
      }
    },
    forget: (uid) => void atHand.delete(uid),
  };
}

/** A record that only the cluster knew of comes before a refusal that did without one. */
async function requireFree(records: Records, name: string): Promise<void> {
  if (!records.known(name) && (await records.get(name))) throw taken();
}

/** The name of a record is taken by one that is not ours. */
function spentWhereTaken(error: unknown): undefined {
  if (!isClusterError(error, 'AlreadyExists')) throw error;
}

/** What is on record, if it is what the claim asked for. */
async function released(
  deps: ClaimIssuanceDeps,
  attempt: Attempt,
  issued: Omit<Obtained & { kind: 'issued' }, 'kind'>,
): Promise<Obtained> {
  const { outcome, key } = issued;
  if (serves(outcome.record, key, attempt)) return { kind: 'issued', ...issued };
  // Another process was faster by a moment and may be about to deliver: look again before anything is given up for lost.
  if (!leafOf(outcome.record).spki.equals(spkiOf(key))) throw taken();
  await supersede({ ...deps, log: attempt.log }, outcome.record, WITHDRAWN);
  throw new Error('the certificate issued is not what the claim asks for');
}

const taken = () => new ClusterError('Conflict', 'the revision was taken');

export const requestID = ({ metadata }: CertificateClaim, revision: number) => `${metadata.uid}/${revision}`;

/** The last revision that the status tells of, released or refused, as far as it is on record: the status is not ours alone to write. */
export async function revisionOnRecord(records: Pick<Records, 'get'>, claim: CertificateClaim): Promise<number> {
  const { revision = 0, refusedRevision = 0 } = claim.status ?? {};
  const told = [revision, refusedRevision].filter((each) => Number.isSafeInteger(each) && each > 0);
  for (const each of told.sort((a, b) => b - a)) {
    if (await records.get(recordName('CertificateClaim', requestID(claim, each)))) return each;
  }
  return 0;
}

const WITHDRAWN = new Problem('malformed', 'withdrawn: the claim has changed, or its key was lost');

/** What was not withdrawn by us. */
function refusalByCa(record: CertificateRecord): Refusal | undefined {
  const { refusal } = record.status ?? {};
  return refusal?.detail === WITHDRAWN.detail ? undefined : refusal;
}

/**
 * Whether the record's certificate may be released for this key, these names, and all else the claim asks for now; or may once there
 * is one.
 */
function serves(record: CertificateRecord, key: KeyObject, { request, hash }: Attempt): boolean {
  if (record.spec.revocation || isRefused(record) || record.metadata.labels?.[RecordLabel.request] !== hashLabel(hash))
    return false;
  if (!isIssued(record)) {
    const sameKey = record.metadata.labels?.[RecordLabel.publicKey] === hashKey(spkiOf(key));
    return sameKey && record.spec.names.join('\n') === allNames(request.names).join('\n');
  }
  const leaf = leafOf(record);
  return leaf.spki.equals(spkiOf(key)) && sameNames(leaf.names, request.names);
}

export function leafOf({ status }: IssuedCertificate): CertificateFacts {
  return parseCertificate(Buffer.from(status.certificate, 'base64'));
}

export function sameNames(a: ClaimRequest['names'], b: ClaimRequest['names']): boolean {
  return allNames(a).join('\n') === allNames(b).join('\n');
}
