// Certificates that a CA elsewhere signed for a reservation: the one to release after a crash, and those beyond the released one, which
// nobody must ever use. The latter are reported, counted, and revoked where the CA takes revocations.
import {
  type CertificateRecord,
  IssuedCertificateKind,
  isIssued,
  isReserved,
  RecordLabel,
} from '../api/issued-certificate.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { issuerFields, issuerLabels } from '../domain/issuer.ts';
import type { Audit, Clock, Cluster, Counter, Log, SigningRequest } from '../ports.ts';
import type { Desk } from './fulfilment.ts';
import { allNames } from './judge.ts';
import { authorityKeyID, signingRequestOf } from './record.ts';
import { BACKDATE_MS, judgeAnswer, type Verified } from './verify.ts';

export interface Orphans {
  /** The oldest certificate that the CA has for the reservation, is as approved, and is in no record. Undefined where there is none. */
  find(record: CertificateRecord, request: SigningRequest, search: Search): Promise<Verified | undefined>;
  /** Puts a certificate beyond the released one on record in audit log and metrics, and revokes it. Never fails for the CA's sake. */
  report(record: CertificateRecord, leaf: CertificateFacts, desk: Desk): Promise<void>;
  /** Compares what the CA has for a finished record with what was released; how many orphans it found. Throws where the CA cannot answer. */
  sweep(record: CertificateRecord, desk: Desk): Promise<number>;
}

interface Search extends Desk {
  /** DER of CA certificates, one of which the chain must lead to; absent = any. */
  anchors: readonly Buffer[] | undefined;
}

export interface OrphansDeps {
  cluster: Pick<Cluster, 'list'>;
  /** The operator's. */
  namespace: string;
  clock: Clock;
  audit: Audit;
  log: Log;
  orphaned: Counter;
}

/** CRLReason superseded, RFC 5280 section 5.3.1. */
const SUPERSEDED = 4;
/** Where a CA cannot revoke, what was reported is remembered, so that it is reported once; the oldest is forgotten first. */
const REMEMBERED = 4096;

export function createOrphans(deps: OrphansDeps): Orphans {
  const reported = new Set<string>();
  const report: Orphans['report'] = async (record, leaf, desk) => {
    const known = `${record.metadata.name} ${leaf.serial}`;
    if (reported.has(known) && !desk.backend.revoke) return;
    remember(reported, known);
    await reportOrphan(deps, record, { leaf, desk });
  };
  return {
    report,
    async find(record, request, context) {
      const { controls } = context.backend;
      for (const { leaf, chain } of await search(record, request, context)) {
        const sameNames = allNames(leaf.names).join('\n') === record.spec.names.join('\n');
        if (!sameNames || (await isOnRecord(deps, leaf))) continue;
        const verified = judgeAnswer(chain, request.model, { controls, anchors: context.anchors });
        if (!('reasons' in verified)) return verified;
      }
      return undefined;
    },
    async sweep(record, desk) {
      if (!desk.backend.search || isReserved(record)) return 0;
      const released = isIssued(record) ? record.status.serial : undefined;
      let count = 0;
      for (const { leaf } of await search(record, signingRequestOf(record), desk)) {
        if (leaf.serial === released || (await isOnRecord(deps, leaf))) continue;
        await report(record, leaf, desk);
        count++;
      }
      return count;
    },
  };
}

/** Live: a cache that is behind must not make a certificate in use an orphan. */
async function isOnRecord({ cluster, namespace }: OrphansDeps, leaf: CertificateFacts): Promise<boolean> {
  const labels = { [RecordLabel.serial]: leaf.serial, [RecordLabel.authorityKeyID]: authorityKeyID(leaf) };
  const { items } = await cluster.list(IssuedCertificateKind, { namespace, labels, limit: 1 });
  return items.length > 0;
}

/** What the CA has of the request's key that is not too old to be of this reservation, oldest first as the CA has it. */
async function search(record: CertificateRecord, request: SigningRequest, { backend, ask, signal }: Desk) {
  const since = new Date(new Date(record.metadata.creationTimestamp).getTime() - BACKDATE_MS);
  const chains = (await ask(async () => backend.search?.(request, since, signal))) ?? [];
  return chains.flatMap((chain) => {
    const leaf = readLeaf(chain);
    const fits = leaf?.spki.equals(request.model.publicKey.spki) && leaf.notBefore >= since;
    return leaf && fits ? [{ leaf, chain }] : [];
  });
}

async function reportOrphan(
  deps: OrphansDeps,
  record: CertificateRecord,
  { leaf, desk }: { leaf: CertificateFacts; desk: Desk },
): Promise<void> {
  const { backend, signal } = desk;
  const line = { record: record.metadata.name, ...issuerFields(desk.issuer), serial: leaf.serial };
  deps.audit.record('orphan', { ...line, notAfter: leaf.notAfter });
  deps.orphaned.inc(issuerLabels(desk.issuer));
  const revoke = backend.revoke?.bind(backend);
  if (!revoke) return;
  const entry = { serial: leaf.serial, revokedAt: deps.clock.now(), reason: SUPERSEDED };
  deps.audit.record('revocation', { ...line, reason: SUPERSEDED, by: 'orphan sweep' });
  try {
    const outcome = await desk.ask(() => revoke(line.record, leaf.der, entry, signal));
    if (outcome.kind !== 'revoked') deps.log.warn({ ...line, outcome }, 'an orphan could not be revoked');
  } catch (error) {
    if (signal.aborted) throw error;
    deps.log.warn({ ...line, error }, 'an orphan could not be revoked now');
  }
}

function readLeaf([der]: readonly Buffer[]): CertificateFacts | undefined {
  try {
    return der && parseCertificate(der);
  } catch {
    // Not a certificate that could be released.
    return undefined;
  }
}

function remember(set: Set<string>, value: string): void {
  set.add(value);
  const oldest = set.values().next().value;
  if (set.size > REMEMBERED && oldest !== undefined) set.delete(oldest);
}
