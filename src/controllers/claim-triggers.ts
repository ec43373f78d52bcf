// What makes a claim due: itself, its Secret, the one with the password of its stores, its issuer, a rival for its Secret, the
// revocation of its certificate; and, where it was denied, a change of policies or of its namespace.
import type { Issuer } from '../api/issuer.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { CertificateRequestPolicy } from '../api/certificate-request-policy.ts';
import type { Namespace } from '../api/core.ts';
import { type CertificateRecord, RecordLabel } from '../api/issued-certificate.ts';
import type { KubeObject } from '../api/kind.ts';
import { findCondition } from '../domain/conditions.ts';
import { issuerKey } from '../domain/issuer.ts';
import type { Cache } from '../ports.ts';
import { type Enqueue, enqueueEach } from '../runtime/controller.ts';
import { onEach } from '../runtime/reflector.ts';
import { CLAIM_INDEXES, type ClaimReconciler } from './certificate-claim.ts';

export interface ClaimSources {
  /** With CLAIM_INDEXES. */
  claims: Cache<CertificateClaim>;
  issuers: Cache<Issuer>;
  /** Metadata is enough. */
  secrets: Cache<KubeObject>;
  namespaces: Cache<Namespace>;
  policies: Cache<CertificateRequestPolicy>;
  records: Cache<CertificateRecord>;
}

type Targets = Pick<ClaimReconciler, 'nudge' | 'disturb' | 'forget'> & { enqueue: Enqueue };

export function watchClaims(sources: ClaimSources, targets: Targets): () => void {
  const stops = [
    watchThemselves(sources, targets),
    watchSecrets(sources, targets),
    watchIssuers(sources, targets),
    watchRules(sources, targets),
    watchRecords(sources, targets),
  ];
  return () => stops.forEach((stop) => stop());
}

function watchThemselves({ claims }: ClaimSources, { enqueue, forget }: Targets): () => void {
  /** Which Secret a claim (uid) named last: whoever waits for that may have it once it names another. */
  const named = new Map<string, string>();
  const stopEnqueueing = enqueueEach(claims, enqueue);
  const stopWatching = onEach(claims, (claim, type) => {
    const { uid, deletionTimestamp } = claim.metadata;
    const [secret = ''] = CLAIM_INDEXES.secret(claim);
    const before = named.get(uid);
    const leaves = type === 'DELETED' || deletionTimestamp !== undefined;
    if (type === 'DELETED') {
      named.delete(uid);
      forget(uid);
    } else {
      named.set(uid, secret);
    }
    const freed = leaves ? secret : before !== secret ? before : undefined;
    if (freed === undefined) return;
    for (const rival of claims.byIndex('secret', freed)) if (rival.metadata.uid !== uid) enqueue(rival.metadata);
  });
  return () => {
    stopEnqueueing();
    stopWatching();
  };
}

function watchSecrets({ claims, secrets }: ClaimSources, { enqueue, disturb }: Targets): () => void {
  return secrets.onChange(({ metadata }) => {
    const name = `${metadata.namespace}/${metadata.name}`;
    for (const claim of claims.byIndex('secret', name)) enqueue(claim.metadata);
    for (const claim of claims.byIndex('password', name)) {
      disturb(claim.metadata.uid);
      enqueue(claim.metadata);
    }
  });
}

function watchIssuers({ claims, issuers }: ClaimSources, { enqueue, nudge, disturb }: Targets): () => void {
  return onNews(issuers, issuerState, ({ metadata }) => {
    for (const claim of claims.byIndex('issuer', issuerKey(metadata))) {
      const waits = isHindered(claim);
      if (waits) nudge(claim.metadata.uid);
      disturb(claim.metadata.uid);
      enqueue(claim.metadata, { priority: waits ? 'normal' : 'low' });
    }
  });
}

function issuerState({ metadata: { uid, generation }, status }: Issuer): string {
  return `${uid} ${generation} ${findCondition(status?.conditions, 'Ready')?.status ?? 'Unknown'}`;
}

/** Policies as a whole, and the labels of namespaces, decide who may have what. */
function watchRules({ claims, policies, namespaces }: ClaimSources, { enqueue, nudge }: Targets): () => void {
  const retry = (candidates: readonly CertificateClaim[]) => {
    for (const claim of candidates.filter(isDenied)) {
      nudge(claim.metadata.uid);
      enqueue(claim.metadata, { priority: 'low' });
    }
  };
  const policyState = ({ metadata: { uid, generation } }: KubeObject) => `${uid} ${generation}`;
  const labels = ({ metadata }: KubeObject) => JSON.stringify(metadata.labels ?? {});
  const inNamespace = (name: string) => claims.list().filter(({ metadata }) => metadata.namespace === name);
  const stopPolicies = onNews(policies, policyState, () => retry(claims.list()));
  const stopNamespaces = onNews(namespaces, labels, ({ metadata }) => retry(inNamespace(metadata.name)));
  return () => {
    stopPolicies();
    stopNamespaces();
  };
}

/** Calls the listener when the state of an object changes, but not for what is there from the start: that has been judged before. */
function onNews<T extends KubeObject>(
  cache: Cache<T>,
  stateOf: (object: T) => string,
  listener: (object: T) => void,
): () => void {
  const nameOf = ({ metadata: { namespace = '', name } }: T) => `${namespace}/${name}`;
  const seen = new Map(cache.list().map((object) => [nameOf(object), stateOf(object)]));
  return cache.onChange((object, type) => {
    const name = nameOf(object);
    const state = type === 'DELETED' ? undefined : stateOf(object);
    if (seen.get(name) === state) return;
    if (state === undefined) seen.delete(name);
    else seen.set(name, state);
    listener(object);
  });
}

function watchRecords({ records }: ClaimSources, { enqueue, disturb }: Targets): () => void {
  return records.onChange(({ metadata, spec }, type) => {
    const { namespace, claim } = spec.requester;
    // Revoked, or finished by a CA elsewhere.
    if (type !== 'MODIFIED' || namespace === undefined || claim === undefined) return;
    disturb(metadata.labels?.[RecordLabel.claim] ?? '');
    enqueue({ namespace, name: claim });
  });
}

/** The condition that says why there is no (further) certificate, if something stands in its way. */
function hindrance({ status }: CertificateClaim) {
  return ['Issuing', 'Ready']
    .map((type) => findCondition(status?.conditions, type))
    .find((it) => it?.status === 'False');
}

const isHindered = (claim: CertificateClaim) => !claim.status?.conditions || hindrance(claim) !== undefined;
const isDenied = (claim: CertificateClaim) => hindrance(claim)?.reason === 'Denied';
