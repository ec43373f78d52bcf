// The one way to a certificate, whatever the door: parse, match, judge, sign, verify, record (DESIGN section 4).
// For a local backend the create of the record is the commit: nothing is released before it, and of several attempts one wins. For a
// CA elsewhere the record is created first, as a reservation, and somebody else asks the CA (fulfilment.ts).
import { type CertificateRecord, isIssued, isRefused, IssuedCertificateKind } from '../api/issued-certificate.ts';
import type { NewObject } from '../api/kind.ts';
import type { CertificateModel, CertificateSigningRequest } from '../domain/certificate-model.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { createCsrWork, parseCsr } from '../domain/csr.ts';
import { hashKey } from '../domain/encoding.ts';
import { issuerFields, issuerLabels } from '../domain/issuer.ts';
import { Problem } from '../domain/problem.ts';
import type { Audit, Backend, Backends, Clock, Cluster, Counter } from '../ports.ts';
import type { ChainStore } from './chains.ts';
import type { RefuseKey } from './forbidden-keys.ts';
import type { Judge } from './judge.ts';
import { reportIssuance } from './lines.ts';
import { judgedRequest, matchRequest, requireAgreement } from './match.ts';
import { buildModel, requireHeeded, wantedValidity } from './model.ts';
import { buildRecord, buildReservation, problemOf } from './record.ts';
import { type Records, recordName } from './records.ts';
import type { IssuanceOutcome, IssuanceRequest, Issue, Requester } from './types.ts';
import { createVerifyIssued, type VerifyIssued } from './verify.ts';
import type { AwaitRecord } from './waiting.ts';

export interface IssuanceDeps {
  cluster: Cluster;
  /** The operator's namespace. */
  namespace: string;
  backends: Backends;
  judge: Judge;
  records: Records;
  chains: ChainStore;
  refuseKey: RefuseKey;
  awaitRecord: AwaitRecord;
  clock: Clock;
  audit: Audit;
  issued: Counter;
  refused: Counter;
}

interface Approved {
  csr: CertificateSigningRequest;
  model: CertificateModel;
  policy: string;
  decisionID: string;
}

export function createIssue(given: IssuanceDeps): Issue {
  const deps = { ...given, verifyIssued: createVerifyIssued() };
  return async (request, signal) => {
    try {
      const backend = deps.backends.of(request.issuer);
      if (!backend.local) return await reserve(deps, request, { backend, signal });
      const approved = await approve(deps, request, { backend, signal });
      return await sign(deps, request, { backend, approved, signal });
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error;
      deps.refused.inc({ ...issuerLabels(request.issuer), door: request.door, reason: error.type });
      deps.audit.record('refusal', {
        id: request.id,
        door: request.door,
        ...issuerFields(request.issuer),
        requester: request.requester,
        problem: error.type,
        detail: error.detail,
      });
      return { kind: 'refused', problem: error };
    }
  };
}

/** Parse, match, judge. Throws the problem of a refusal; writes nothing. */
async function approve(
  deps: IssuanceDeps,
  request: IssuanceRequest,
  { backend, signal }: { backend: Backend; signal: AbortSignal },
): Promise<Approved> {
  const csr = parseCsr(request.csr, createCsrWork(), orderedNames(request));
  const names = matchRequest(request, csr);
  const forbidden = deps.refuseKey(request.issuer.metadata.uid, csr);
  if (forbidden) throw forbidden;
  const now = deps.clock.now();
  requireHeeded(backend.controls, request.wanted);
  const validity = wantedValidity(request, now);
  const facts = { csr, names, validity, now, controls: backend.controls };
  const draft = buildModel(request, { ...facts, notAfterLimit: undefined, maxDurationMs: undefined });
  requireAgreement(csr, draft, backend.controls);
  const verdict = await deps.judge.atFinalize({
    issuer: request.issuer,
    id: request.id,
    judged: judgedRequest(request, { csr, model: draft, validity }),
    keyInUse: () => keyInUse(deps.records, request, { csr, now }),
    signal,
  });
  if (!verdict.allowed) throw verdict.problem;
  const notAfterLimit = await backend.notAfterLimit();
  const model = buildModel(request, { ...facts, notAfterLimit, maxDurationMs: verdict.maxDurationMs });
  const limit = await backend.limits(model);
  if (limit) throw limit;
  return { csr, model, policy: verdict.policy, decisionID: verdict.decisionID };
}

function orderedNames({ identifiers }: IssuanceRequest): ReadonlySet<string> {
  return new Set(identifiers.flatMap(({ type, value }) => (type === 'dns' ? [value] : [])));
}

/** Whether another live certificate of the issuer has this key; those of the same claim do not count, which may keep its key. */
function keyInUse(
  records: Records,
  request: IssuanceRequest,
  { csr, now }: { csr: CertificateSigningRequest; now: Date },
): boolean {
  const own = recordName(request.door, request.id);
  return records
    .ofPublicKey(hashKey(csr.publicKey.spki))
    .some(
      ({ metadata, spec, status }) =>
        metadata.name !== own &&
        !ofSameClaim(spec.requester, request.requester) &&
        spec.issuerUID === request.issuer.metadata.uid &&
        !spec.revocation &&
        !status?.refusal &&
        new Date(status?.notAfter ?? spec.approved?.notAfter ?? 0) > now,
    );
}

function ofSameClaim(holder: CertificateRecord['spec']['requester'], requester: Requester): boolean {
  return requester.claim !== undefined && holder.claim === requester.claim && holder.namespace === requester.namespace;
}

/** The reservation of the request, made now or before, and what has become of it. A request is judged once. */
async function reserve(
  deps: IssuanceDeps,
  request: IssuanceRequest,
  { backend, signal }: { backend: Backend; signal: AbortSignal },
): Promise<IssuanceOutcome> {
  const name = recordName(request.door, request.id);
  const existing = await deps.records.get(name);
  const record = existing ?? (await makeReservation(deps, request, { backend, signal }));
  const wait = { ms: request.patienceMs ?? 0, fresh: existing === undefined, signal };
  return outcomeOf(deps, request, deps.records.saw(await deps.awaitRecord(record, wait)));
}

async function makeReservation(
  deps: IssuanceDeps,
  request: IssuanceRequest,
  context: { backend: Backend; signal: AbortSignal },
): Promise<CertificateRecord> {
  const approved = await approve(deps, request, context);
  const name = recordName(request.door, request.id);
  return create(deps, buildReservation(request, { ...approved, name, namespace: deps.namespace }));
}

function outcomeOf(deps: IssuanceDeps, request: IssuanceRequest, record: CertificateRecord): IssuanceOutcome {
  if (isRefused(record)) return { kind: 'refused', problem: problemOf(record.status.refusal), record };
  if (!isIssued(record)) return { kind: 'pending', retryAfterMs: RETRY_MS };
  return { kind: 'issued', record, ...deps.chains.handedOut(request.issuer, record) };
}

/** For callers that are not told when a reservation is finished, or miss it. */
const RETRY_MS = 30_000;

async function sign(
  deps: IssuanceDeps & { verifyIssued: VerifyIssued },
  request: IssuanceRequest,
  { backend, approved, signal }: { backend: Backend; approved: Approved; signal: AbortSignal },
): Promise<IssuanceOutcome> {
  const name = recordName(request.door, request.id);
  const outcome = await backend.sign({ id: name, csr: request.csr, model: approved.model }, signal);
  if (outcome.kind === 'pending') return { kind: 'pending', retryAfterMs: outcome.retryAfterMs };
  if (outcome.kind === 'refused') throw outcome.problem;
  const leaf = deps.verifyIssued(outcome.chain, approved.model, backend.controls);
  const chain = await deps.chains.keep(request.issuer, outcome.chain.slice(1));
  const record = buildRecord(request, {
    ...approved,
    name,
    namespace: deps.namespace,
    leaf,
    chain,
    now: deps.clock.now(),
  });
  reportIssuance(deps.audit, record, request.requester);
  // The commit.
  const stored = deps.records.saw(await create(deps, record));
  const kept = stored.status?.serial;
  if (kept === leaf.serial) deps.issued.inc({ ...issuerLabels(request.issuer), door: request.door });
  else deps.audit.record('discard', { record: name, id: request.id, serial: leaf.serial, kept });
  return outcomeOf(deps, request, stored);
}

/** Another attempt that was faster wins, and ours is discarded unseen. */
async function create(deps: IssuanceDeps, record: NewObject<CertificateRecord>): Promise<CertificateRecord> {
  try {
    return await deps.cluster.create(IssuedCertificateKind, record);
  } catch (error) {
    if (!isClusterError(error, 'AlreadyExists')) throw error;
    const stored = await deps.cluster.get(IssuedCertificateKind, {
      namespace: deps.namespace,
      name: record.metadata.name,
    });
    if (!stored) throw error;
    return stored;
  }
}
