// What CAs elsewhere say about when their certificates are to be renewed (ARI, RFC 9773), asked now and then for each that is alive. Where
// a CA wants it earlier than we would, as before it revokes many, that is put on record: claims and our own ARI follow from there.
import {
  type CertificateRecord,
  type IssuedCertificate,
  IssuedCertificateKind,
  isIssued,
  RecordAnnotation,
} from '../api/issued-certificate.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { suggestedWindow } from '../domain/renewal.ts';
import type { Desk } from '../issuance/fulfilment.ts';
import type { Backend, Clock, Cluster, Log, Random } from '../ports.ts';
import { fraction } from '../runtime/back-off.ts';

export interface UpstreamRenewals {
  /** Whether the CA is to be asked about the certificate of the record now. */
  isDue(record: CertificateRecord, backend: Backend): boolean;
  /** Never fails for the CA's sake. */
  ask(record: CertificateRecord, desk: Desk): Promise<void>;
  forget(name: string): void;
}

export interface UpstreamRenewalsDeps {
  cluster: Pick<Cluster, 'replace'>;
  clock: Clock;
  random: Random;
  log: Log;
}

/** Often enough for a CA that is about to revoke, and as often as CAs wish (RFC 9773 section 4.3.2). */
const ASK_MS = 6 * 3_600_000;

export function createUpstreamRenewals(deps: UpstreamRenewalsDeps): UpstreamRenewals {
  const { clock, random } = deps;
  /** By name of the record, as Clock.monotonic. */
  const next = new Map<string, number>();

  return {
    isDue(record, backend) {
      if (!backend.renewalInfo || !isIssued(record) || record.spec.revocation) return false;
      if (new Date(record.status.notAfter) <= clock.now()) return false;
      if (record.metadata.annotations?.[RecordAnnotation.renewal] !== undefined) return false;
      const { name } = record.metadata;
      // One process after the other begins with all of them: spread over the time between two questions.
      const due = next.get(name) ?? clock.monotonic() + fraction(random) * ASK_MS;
      next.set(name, due);
      return due <= clock.monotonic();
    },
    async ask(record, { backend, signal }) {
      if (!isIssued(record)) return;
      const { name } = record.metadata;
      try {
        const certificate = Buffer.from(record.status.certificate, 'base64');
        next.set(name, clock.monotonic() + ASK_MS);
        const start = await backend.renewalInfo?.(certificate, signal);
        if (start) await keep(deps, record, start);
      } catch (error) {
        if (signal.aborted) throw error;
        deps.log.debug({ record: name, error }, 'a CA did not say when its certificate is to be renewed');
      }
    },
    forget: (name) => void next.delete(name),
  };
}

async function keep({ cluster, clock }: UpstreamRenewalsDeps, record: IssuedCertificate, start: Date): Promise<void> {
  const { status, metadata } = record;
  const issuedAt = new Date(status.issuedAt);
  const lifetime = { notBefore: new Date(status.notBefore), notAfter: new Date(status.notAfter), issuedAt };
  const own = suggestedWindow(lifetime, { revoked: false, now: clock.now(), name: metadata.name });
  if (start >= own.start) return;
  // A certificate that is newer than what the CA says is due now, and no sooner.
  const instant = start > issuedAt ? start : new Date(issuedAt.getTime() + 1_000);
  const annotations = { ...metadata.annotations, [RecordAnnotation.renewal]: instant.toISOString() };
  try {
    await cluster.replace(IssuedCertificateKind, { ...record, metadata: { ...metadata, annotations } });
  } catch (error) {
    // It changed meanwhile: the next answer finds it as it is then.
    if (!isClusterError(error, 'Conflict', 'NotFound')) throw error;
  }
}
