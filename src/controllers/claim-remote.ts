// What a claim does differently where the CA is elsewhere and takes its time: its key is staged in its Secret, and an answer that is a
// moment away costs no write.
import type { KeyObject } from 'node:crypto';
import type { Issuer } from '../api/issuer.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { Secret } from '../api/core.ts';
import { issuerTitle } from '../domain/issuer.ts';
import type { Backends, Cluster } from '../ports.ts';
import type { KeyStage, Obtained } from './claim-issuance.ts';
import { type Marks, readStagedKey, stageKey } from './claim-secret.ts';

/** A CA elsewhere that answers within this time costs no write of the status. */
const PENDING_SHOWN_MS = 10_000;

/** What the reconcile of a claim comes to while a CA has yet to answer. */
export function pending(issuer: Issuer, { retryAfterMs, waitedMs }: Obtained & { kind: 'pending' }) {
  const message = `${issuerTitle(issuer.metadata)} has the request and has yet to answer`;
  const quiet = waitedMs < PENDING_SHOWN_MS;
  return {
    obstacle: { reason: 'Pending', message },
    quiet,
    requeueAfterMs: quiet ? Math.min(retryAfterMs, PENDING_SHOWN_MS - waitedMs) : retryAfterMs,
  };
}

export interface Stage extends KeyStage {
  /** The Secret of the claim as it is now. */
  secret(): Secret | undefined;
}

export interface StageDeps {
  cluster: Pick<Cluster, 'create' | 'replace'>;
  backends: Backends;
  marks: Marks;
}

/** Where keys wait for a CA elsewhere: in the Secret of the claim. Undefined where the CA is at hand. */
export function stageOf(
  { backends, cluster, marks }: StageDeps,
  { claim, hash, secret }: { claim: CertificateClaim; hash: string; secret: Secret | undefined },
  issuer: Issuer,
): Stage | undefined {
  if (backends.of(issuer).local) return undefined;
  let current = secret;
  return {
    secret: () => current,
    read: (id) => current && readStagedKey(current, { id, hash }),
    write: async (id: string, key: KeyObject) => {
      current = await stageKey(cluster, { claim, before: current, marks }, { id, hash, key });
    },
  };
}
