// What a door hands to the engine and what it gets back.
import type { Issuer } from '../api/issuer.ts';
import type { Door } from '../api/certificate-request-policy.ts';
import type { CertificateRecord, IssuedCertificate } from '../api/issued-certificate.ts';
import type { Usage } from '../api/kind.ts';
import type { Identifier } from '../domain/identifier.ts';
import type { Problem } from '../domain/problem.ts';

/** Evidence about who asks, gathered by the door for this request. Absent = unknown. */
export interface Requester {
  /** Name of the Account. */
  account?: string;
  eabKeyID?: string;
  namespace?: string;
  namespaceLabels?: Readonly<Record<string, string>>;
  /** NAMESPACE/NAME of the ServiceAccount of the Pod that asks. */
  serviceAccount?: string;
  /** Name of the CertificateClaim. */
  claim?: string;
  /** metadata.uid of that claim. */
  claimUID?: string;
  /** Address of the peer. */
  source?: string;
}

export interface IssuanceRequest {
  /** Unique within the door; the record's name derives from both, so one id yields one certificate. */
  id: string;
  door: Door;
  issuer: Issuer;
  requester: Requester;
  /** Exactly the DNS names and addresses the certificate must have. */
  identifiers: readonly Identifier[];
  /** Those of them that nobody validated and nothing proves: a policy must be content with the namespace of the requester. */
  unproven?: readonly Identifier[];
  uris?: readonly string[];
  emailAddresses?: readonly string[];
  /** PKCS#10, DER. */
  csr: Buffer;
  wanted: {
    notBefore?: Date;
    /** Explicit end: honoured exactly or refused. */
    notAfter?: Date;
    /** Length asked for: clamped to what is allowed. */
    durationMs?: number;
    usages?: readonly Usage[];
    profile?: string;
  };
  /** Hash, as labels have them, of what the door was asked for in its own terms: one id may be used again for something else. */
  asked?: string;
  /** Name of the record this certificate replaces. */
  replaces?: string;
  /** How long `issue` may wait for a CA elsewhere before it answers `pending`, milliseconds; 0 when absent. */
  patienceMs?: number;
  /** ACME: the order in the form that its URL seals, and its expiry. */
  order?: { encoded: string; expires: Date };
}

export type IssuanceOutcome =
  /** The certificate is recorded. `chain` is DER, leaf first, as handed out; `root` the trust anchor where known. */
  | { kind: 'issued'; record: IssuedCertificate; chain: readonly Buffer[]; root?: Buffer }
  /** The record is reserved: it will be finished whether or not anybody asks again. */
  | { kind: 'pending'; retryAfterMs: number }
  /** Nothing was written, or, where there is a record, that says so for good. */
  | { kind: 'refused'; problem: Problem; record?: CertificateRecord };

/** The only path to a backend. Rejects when cluster or backend cannot answer now: try again later with the same id. */
export type Issue = (request: IssuanceRequest, signal: AbortSignal) => Promise<IssuanceOutcome>;
