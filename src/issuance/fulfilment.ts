// Reservations worked off: a CA elsewhere is asked for the certificate that was approved, and what came of it is put on record. The
// promise is that of all certificates a CA may have signed for a reservation, across crashes and lost answers, exactly one is released.
import {
  type CertificateRecord,
  IssuedCertificateKind,
  isReserved,
  RecordAnnotation,
  RecordLabel,
} from '../api/issued-certificate.ts';
import type { Issuer } from '../api/issuer.ts';
import { parseCertificate } from '../domain/certificate.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { issuerFields, issuerLabels } from '../domain/issuer.ts';
import { Problem } from '../domain/problem.ts';
import type { Audit, Backend, Clock, Cluster, Counter, SigningRequest } from '../ports.ts';
import type { ChainStore } from './chains.ts';
import { reportIssuance } from './lines.ts';
import type { Mismatches } from './mismatches.ts';
import type { Orphans } from './orphans.ts';
import { finishRecord, refusalOf, signingRequestOf } from './record.ts';
import type { Records } from './records.ts';
import { judgeAnswer, type Verified } from './verify.ts';

export interface FulfilmentDeps {
  cluster: Cluster;
  /** The operator's namespace. */
  namespace: string;
  records: Records;
  chains: ChainStore;
  orphans: Orphans;
  mismatches: Mismatches;
  clock: Clock;
  audit: Audit;
  issued: Counter;
  refused: Counter;
  rejected: Counter;
}

/** What a reservation is worked off with. */
export interface Desk {
  issuer: Issuer;
  backend: Backend;
  /** Makes a call to the CA; its failures count towards the breaker. */
  ask: <T>(call: () => Promise<T>) => Promise<T>;
  signal: AbortSignal;
}

export interface Attempt extends Desk {
  /** The CA may have signed already: by a process that died, or in an attempt whose answer was lost. Then it is searched first. */
  mayHaveBeenSent: boolean;
  /** As of the attempt before. */
  handle: string | undefined;
  /** Told of each that is put on record meanwhile. */
  onKept?: (handle: string) => void;
}

export type Progress =
  /** The record is finished, or gone. */
  { kind: 'done' } | { kind: 'pending'; retryAfterMs: number; handle: string };

export interface Fulfilment {
  /** One attempt. Safe to repeat after any throw, with `mayHaveBeenSent`. */
  attempt(record: CertificateRecord, attempt: Attempt): Promise<Progress>;
  /** Ends a reservation that nobody waits for any longer; whether it did, or it was over already. */
  expire(record: CertificateRecord): Promise<boolean>;
  /** When nobody waits for the reservation any longer: its order, or the certificate itself, would have expired. */
  expiryOf(record: CertificateRecord): Date;
  /** Puts the handle on record, so that it outlives this process. */
  keepHandle(record: CertificateRecord, handle: string): Promise<void>;
}

const DONE = { kind: 'done' } as const;
const EXPIRED = new Problem('malformed', 'the CA did not answer before the request expired: make a new one');
const REJECTED = 'the CA answered with a certificate other than approved, which is not released: ask the operator';

export function createFulfilment(deps: FulfilmentDeps): Fulfilment {
  return {
    attempt: (record, context) => attempt(deps, record, context),
    expiryOf,
    expire: async (record) => {
      if (expiryOf(record) > deps.clock.now()) return false;
      await refuse(deps, record, EXPIRED);
      return true;
    },
    keepHandle: (record, handle) => keepHandle(deps, record, handle),
  };
}

const read = ({ cluster, namespace }: FulfilmentDeps, name: string) =>
  cluster.get(IssuedCertificateKind, { namespace, name });

async function attempt(deps: FulfilmentDeps, given: CertificateRecord, context: Attempt): Promise<Progress> {
  const { backend, mayHaveBeenSent } = context;
  // After a crash or a lost answer the copy at hand may be behind what came of it.
  const record = mayHaveBeenSent ? await read(deps, given.metadata.name) : given;
  if (!record || !isReserved(record)) return DONE;
  const request = signingRequestOf(record);
  const anchors = await backend.trustAnchors?.();
  const found = mayHaveBeenSent ? await deps.orphans.find(record, request, { ...context, anchors }) : undefined;
  if (found) return finish(deps, record, { verified: found, desk: context });
  const handle = context.handle ?? record.metadata.annotations?.[RecordAnnotation.handle];
  let kept = record;
  const keep: NonNullable<SigningRequest['keep']> = async (next, answers) => {
    kept = await keepProgress(deps, kept, { handle: next, answers });
    context.onKept?.(next);
  };
  const replaces = await replacedBy(deps, record);
  const asked: SigningRequest = {
    ...request,
    ...(replaces ? { replaces } : {}),
    ...(handle === undefined ? {} : { handle }),
    keep,
  };
  const outcome = await context.ask(() => backend.sign(asked, context.signal));
  if (outcome.kind === 'pending') return outcome;
  reportRepetition(deps, record, context);
  if (outcome.kind === 'refused') return refuse(deps, kept, outcome.problem);
  const verified = judgeAnswer(outcome.chain, request.model, { controls: backend.controls, anchors });
  return 'reasons' in verified
    ? reject(deps, kept, { ...verified, certificate: outcome.chain[0], desk: context })
    : finish(deps, kept, { verified, desk: context });
}

/** For whoever runs the CA: there may be a certificate of this key beside what comes of the request now. */
function reportRepetition(
  { audit, clock }: FulfilmentDeps,
  record: CertificateRecord,
  { issuer, backend, mayHaveBeenSent }: Attempt,
): void {
  if (!mayHaveBeenSent || !backend.signsAgain) return;
  const { metadata, spec } = record;
  const { name, creationTimestamp } = metadata;
  const publicKey = metadata.labels?.[RecordLabel.publicKey];
  const signed = { notBefore: creationTimestamp, notAfter: clock.now() };
  audit.record('repetition', { record: name, ...issuerFields(issuer), names: spec.names, publicKey, signed });
}

async function replacedBy(
  { records }: FulfilmentDeps,
  { spec: { replaces } }: CertificateRecord,
): Promise<SigningRequest['replaces']> {
  const labels = replaces === undefined ? undefined : (await records.get(replaces))?.metadata.labels;
  const { [RecordLabel.authorityKeyID]: authorityKeyID, [RecordLabel.serial]: serial } = labels ?? {};
  return authorityKeyID === undefined || authorityKeyID === 'none' || serial === undefined
    ? undefined
    : { authorityKeyID, serial };
}

/** The record as it is then. Throws where it is finished or gone. */
async function keepProgress(
  deps: FulfilmentDeps,
  record: CertificateRecord,
  { handle, answers = [] }: { handle: string; answers: readonly string[] | undefined },
): Promise<CertificateRecord> {
  const { [RecordAnnotation.keyAuthorizations]: _before, ...annotations } = record.metadata.annotations ?? {};
  annotations[RecordAnnotation.handle] = handle;
  if (answers.length > 0) annotations[RecordAnnotation.keyAuthorizations] = answers.join(' ');
  try {
    const next = { ...record, metadata: { ...record.metadata, annotations } };
    return await deps.cluster.replace(IssuedCertificateKind, next);
  } catch (error) {
    if (!isClusterError(error, 'Conflict')) throw error;
    const current = await read(deps, record.metadata.name);
    if (!current || !isReserved(current) || current.metadata.resourceVersion === record.metadata.resourceVersion)
      throw error;
    return keepProgress(deps, current, { handle, answers });
  }
}

async function finish(
  deps: FulfilmentDeps,
  record: CertificateRecord,
  { verified: { leaf, above }, desk }: { verified: Verified; desk: Desk },
): Promise<Progress> {
  const chain = await deps.chains.keep(desk.issuer, above);
  const facts = { leaf, chain, now: deps.clock.now() };
  reportIssuance(deps.audit, finishRecord(record, facts), record.spec.requester);
  for (let current: CertificateRecord | undefined = record; current && isReserved(current); ) {
    try {
      deps.records.saw(await deps.cluster.replace(IssuedCertificateKind, finishRecord(current, facts)));
      deps.mismatches.right(desk.issuer);
      deps.issued.inc({ ...issuerLabels(desk.issuer), door: record.spec.door });
      return DONE;
    } catch (error) {
      if (!isClusterError(error, 'Conflict', 'NotFound')) throw error;
      current = await read(deps, record.metadata.name);
      if (current?.status?.serial === leaf.serial) return DONE;
    }
  }
  // It was withdrawn, or is gone: nobody will use this certificate.
  await deps.orphans.report(record, leaf, desk);
  return DONE;
}

async function refuse(deps: FulfilmentDeps, record: CertificateRecord, problem: Problem): Promise<Progress> {
  const { requestID, door, issuerRef, requester } = record.spec;
  deps.refused.inc({ ...issuerLabels({ metadata: issuerRef }), door, reason: problem.type });
  deps.audit.record('refusal', {
    record: record.metadata.name,
    id: requestID,
    door,
    ...issuerFields({ metadata: issuerRef }),
    requester,
    problem: problem.type,
    detail: problem.detail,
  });
  await deps.records.refuse(record, refusalOf(problem, deps.clock.now()));
  return DONE;
}

interface Rejection {
  reasons: string[];
  serial: string | undefined;
  /** DER. */
  certificate: Buffer | undefined;
  desk: Desk;
}

/** What must not be released is revoked where that can be, and its request ends. */
async function reject(deps: FulfilmentDeps, record: CertificateRecord, rejection: Rejection): Promise<Progress> {
  const { reasons, serial, certificate, desk } = rejection;
  const { name } = record.metadata;
  deps.mismatches.wrong(desk.issuer, record);
  deps.rejected.inc(issuerLabels(desk.issuer));
  deps.audit.record('rejection', { record: name, ...issuerFields(desk.issuer), serial, reasons });
  const detail = serial === undefined ? REJECTED : `${REJECTED} (serial ${serial})`;
  await refuse(deps, record, new Problem('unauthorized', detail));
  if (certificate && serial !== undefined) await deps.orphans.report(record, parseCertificate(certificate), desk);
  return DONE;
}

function expiryOf({ spec }: CertificateRecord): Date {
  return new Date(spec.orderExpires ?? spec.approved?.notAfter ?? 0);
}

async function keepHandle({ cluster }: FulfilmentDeps, record: CertificateRecord, handle: string): Promise<void> {
  const annotations = { ...record.metadata.annotations, [RecordAnnotation.handle]: handle };
  try {
    await cluster.replace(IssuedCertificateKind, { ...record, metadata: { ...record.metadata, annotations } });
  } catch (error) {
    // It is finished or withdrawn: nothing to keep. Or it changed otherwise: the next attempt tries again.
    if (!isClusterError(error, 'Conflict', 'NotFound')) throw error;
  }
}
