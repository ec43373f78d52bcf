// The Secret of a claim: whose it is, what is in it, and how it is written. A Secret is ours only by our own marker, a MAC over its
// namespace, its name and the uid of the claim that owns it; what somebody else made is never overwritten.
import type { KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import type { NewObject } from '../api/kind.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { renderPem } from '../domain/encoding.ts';
import { parsePrivateKey, renderPrivateKey, spkiOf } from '../domain/private-key.ts';
import type { Cluster } from '../ports.ts';
import { type SecretParts, type Wish, withOutputs } from './claim-outputs.ts';

export const SecretAnnotation = {
  /** The MAC. */
  marker: 'countersign.dev/marker',
  /** uid of the claim. */
  owner: 'countersign.dev/owner',
  /** Name of the claim, for people. */
  claim: 'countersign.dev/claim',
  /** Name of the IssuedCertificate. */
  record: 'countersign.dev/record',
  revision: 'countersign.dev/revision',
  /** Hash of the spec the certificate was made for. */
  request: 'countersign.dev/request',
  /** What the staged key was made for: the request's id and the hash of the spec. */
  staged: 'countersign.dev/staged',
  /** Set to "true" by people to hand an existing Secret over. */
  adopt: 'countersign.dev/adopt',
} as const;

/** The operator's MAC keys: a mark made with one of them is known by all replicas, and for as long as that key is kept. */
export interface Marks {
  mac(purpose: string, parts: readonly string[]): string;
  verifyMac(purpose: string, parts: readonly string[], mac: string): boolean;
}

const PURPOSE = 'claim-secret';

/** Types of Secret that may be handed over; all others (tokens, Helm releases) mean something to somebody. */
const ADOPTABLE = ['Opaque', 'kubernetes.io/tls'];
const MAX_REVISION = 2 ** 31;
/** Annotations are tenants' to change: nothing else is looked up. */
const RECORD_NAME = /^ic-[a-z2-7]{52}$/;

/** What the Secret gives to its readers. */
export interface Released {
  key: KeyObject;
  leaf: CertificateFacts;
  record: string | undefined;
  revision: number;
  request: string | undefined;
}

function markedParts({ metadata }: CertificateClaim, secretName: string, owner: string): readonly string[] {
  return [metadata.namespace ?? '', secretName, owner];
}

/** uid of the claim that owns the Secret, if the marker says so. */
function ownerOf(marks: Marks, claim: CertificateClaim, secret: Secret): string | undefined {
  const annotations = secret.metadata.annotations ?? {};
  const { [SecretAnnotation.owner]: owner, [SecretAnnotation.marker]: marker } = annotations;
  if (owner === undefined || marker === undefined) return undefined;
  return marks.verifyMac(PURPOSE, markedParts(claim, secret.metadata.name, owner), marker) ? owner : undefined;
}

export type Ownership =
  | { kind: 'ours' }
  /** We made it for a claim that is gone: what is in it may still serve. */
  | { kind: 'orphaned' }
  /** There is none, or somebody handed theirs over. */
  | { kind: 'free' }
  | { kind: 'refused'; reason: 'SecretInUse' | 'SecretNotOurs' | 'SecretImmutable'; message: string };

/**
 * Whether the claim may write the Secret. Of several claims for one Secret the one that owns it keeps it, else the oldest gets it
 * (then by uid); `rivals` are the other living claims for it.
 */
export function judgeOwnership(
  claim: CertificateClaim,
  secret: Secret | undefined,
  rivals: readonly CertificateClaim[],
  marks: Marks,
): Ownership {
  const owner = secret && ownerOf(marks, claim, secret);
  const all = [claim, ...rivals];
  const holder = all.find(({ metadata }) => metadata.uid === owner) ?? all.sort(byAge)[0];
  const name = claim.spec.secretName;
  if (holder && holder !== claim) {
    const message = `Secret ${name} is kept by CertificateClaim ${holder.metadata.name}`;
    return { kind: 'refused', reason: 'SecretInUse', message };
  }
  if (!secret) return { kind: 'free' };
  if (owner === undefined && !isHandedOver(secret)) {
    return { kind: 'refused', reason: 'SecretNotOurs', message: strangeness(secret) };
  }
  if (secret.immutable) {
    return { kind: 'refused', reason: 'SecretImmutable', message: `Secret ${name} is immutable: delete it` };
  }
  if (owner === undefined) return { kind: 'free' };
  return { kind: owner === claim.metadata.uid ? 'ours' : 'orphaned' };
}

const isAdopted = (secret: Secret) => secret.metadata.annotations?.[SecretAnnotation.adopt] === 'true';
const isHandedOver = (secret: Secret) => isAdopted(secret) && ADOPTABLE.includes(secret.type ?? '');

function strangeness(secret: Secret): string {
  const { name } = secret.metadata;
  return isAdopted(secret)
    ? `Secret ${name} is of type ${secret.type}, which is never taken over`
    : `Secret ${name} was made by somebody else: name another, or hand it over with the annotation ${SecretAnnotation.adopt}: "true"`;
}

function byAge(a: CertificateClaim, b: CertificateClaim): number {
  const [first, second] = [new Date(a.metadata.creationTimestamp), new Date(b.metadata.creationTimestamp)];
  return first.getTime() - second.getTime() || (a.metadata.uid < b.metadata.uid ? -1 : 1);
}

/** Key and certificate of the Secret; or, as text, why they are of no use. */
export function readReleased(secret: Secret): Released | string {
  const key = readKey(secret);
  if (!key) return 'the Secret has no readable tls.key';
  const leaf = readLeaf(secret);
  if (!leaf) return 'the Secret has no readable tls.crt';
  if (!leaf.spki.equals(spkiOf(key))) return 'tls.key and tls.crt of the Secret do not belong together';
  const annotations = secret.metadata.annotations ?? {};
  const record = annotations[SecretAnnotation.record] ?? '';
  const revision = Number(annotations[SecretAnnotation.revision] ?? '0');
  return {
    key,
    leaf,
    record: RECORD_NAME.test(record) ? record : undefined,
    revision: Number.isInteger(revision) && revision > 0 && revision < MAX_REVISION ? revision : 0,
    request: annotations[SecretAnnotation.request],
  };
}

export function readKey(secret: Secret): KeyObject | undefined {
  const text = secret.data?.['tls.key'];
  return text === undefined ? undefined : parsePrivateKey(Buffer.from(text, 'base64'));
}

function readLeaf(secret: Secret): CertificateFacts | undefined {
  try {
    const [leaf] = parsePemCertificates(Buffer.from(secret.data?.['tls.crt'] ?? '', 'base64').toString('latin1'));
    return leaf && parseCertificate(leaf);
  } catch {
    // Whatever is in it, it is not a certificate we made.
    return undefined;
  }
}

/** Where a key waits in the Secret for its certificate, beside the pair that serves. */
const STAGED_KEY = 'next-tls.key';

/** What a key is made for. */
export interface KeyPurpose {
  /** Of the request. */
  id: string;
  /** Hash of the spec. */
  hash: string;
}

const purposeText = ({ id, hash }: KeyPurpose) => `${id}/${hash}`;

/** The key staged in a Secret of ours for exactly this, if it is there. */
export function readStagedKey(secret: Secret, purpose: KeyPurpose): KeyObject | undefined {
  const { [SecretAnnotation.staged]: text } = secret.metadata.annotations ?? {};
  const key = secret.data?.[STAGED_KEY];
  return text === purposeText(purpose) && key !== undefined ? parsePrivateKey(Buffer.from(key, 'base64')) : undefined;
}

/**
 * Puts a key into the Secret before its certificate is asked for, so that it outlives this process; the pair that serves stays. A new
 * Secret gets an empty pair, which the type of Secret demands. Returns the Secret as it is now. Conflict if it changed since it was read.
 */
export async function stageKey(
  cluster: Pick<Cluster, 'create' | 'replace'>,
  { claim, before, marks }: { claim: CertificateClaim; before: Secret | undefined; marks: Marks },
  { key, ...purpose }: KeyPurpose & { key: KeyObject },
): Promise<Secret> {
  const staged = { [STAGED_KEY]: Buffer.from(renderPrivateKey(key)).toString('base64') };
  const own = { ...ownAnnotations(claim, marks), [SecretAnnotation.staged]: purposeText(purpose) };
  if (before) {
    const annotations = { ...before.metadata.annotations, ...own };
    const data = { ...before.data, ...staged };
    return cluster.replace(SecretKind, { ...before, metadata: { ...before.metadata, annotations }, data });
  }
  const { namespace = '' } = claim.metadata;
  const metadata = { namespace, name: claim.spec.secretName, annotations: own };
  const data = { 'tls.crt': '', 'tls.key': '', ...staged };
  return cluster.create(SecretKind, { metadata, type: 'kubernetes.io/tls', data });
}

export interface Delivery {
  key: KeyObject;
  /** DER, leaf first. */
  chain: readonly Buffer[];
  root: Buffer | undefined;
  record: string;
  revision: number;
  request: string;
}

/** Writes all of it at once, so that key and certificate never stand apart; a staged key goes. Keeps what others put into the Secret. Conflict if it changed since it was read. */
export async function writeSecret(
  cluster: Pick<Cluster, 'create' | 'replace'>,
  { before, ...wish }: Wish & { before: Secret | undefined },
  delivery: Delivery,
): Promise<Secret> {
  const { claim, marks } = wish;
  const { 'ca.crt': _oldRoot, [STAGED_KEY]: _staged, ...others } = before?.data ?? {};
  const { [SecretAnnotation.staged]: _purpose, ...kept } = before?.metadata.annotations ?? {};
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const pem = (certificates: readonly Buffer[]) => certificates.map((der) => renderPem('CERTIFICATE', der)).join('');
  const data = {
    ...others,
    'tls.crt': base64(pem(delivery.chain)),
    'tls.key': base64(renderPrivateKey(delivery.key)),
    ...(delivery.root ? { 'ca.crt': base64(pem([delivery.root])) } : {}),
  };
  const annotations = { ...kept, ...ownAnnotations(claim, marks), ...ownFacts(delivery) };
  const parts = await withOutputs({ ...partsOf(before), annotations, data }, wish);
  if (before) return cluster.replace(SecretKind, made(before, parts));
  const { namespace = '' } = claim.metadata;
  const unmade = { metadata: { namespace, name: claim.spec.secretName }, type: 'kubernetes.io/tls' };
  return cluster.create(SecretKind, made(unmade, parts));
}

function partsOf(secret: Pick<Secret, 'metadata' | 'data'> | undefined): SecretParts {
  const { metadata: { labels = {}, annotations = {} } = {}, data = {} } = secret ?? {};
  return { labels, annotations, data };
}

function made<S extends Pick<NewObject<Secret>, 'metadata'>>(secret: S, { labels, annotations, data }: SecretParts): S {
  const metadata = { ...secret.metadata, annotations: { ...annotations } };
  const labelled = Object.keys(labels).length > 0 || metadata.labels !== undefined;
  return { ...secret, metadata: labelled ? { ...metadata, labels: { ...labels } } : metadata, data: { ...data } };
}

/**
 * Brings what a Secret with a good pair has beside it to what the claim wants, and marks it as this claim's where its owner is gone.
 * Writes nothing when all is so.
 */
export async function tidySecret(
  cluster: Pick<Cluster, 'replace'>,
  { before, orphaned, ...wish }: Wish & { before: Secret; orphaned: boolean },
): Promise<void> {
  const present = partsOf(before);
  const own = orphaned ? ownAnnotations(wish.claim, wish.marks) : {};
  const wanted = await withOutputs({ ...present, annotations: { ...present.annotations, ...own } }, wish);
  if (!isDeepStrictEqual(wanted, present)) await cluster.replace(SecretKind, made(before, wanted));
}

function ownAnnotations(claim: CertificateClaim, marks: Marks): Record<string, string> {
  return {
    [SecretAnnotation.marker]: marks.mac(PURPOSE, markedParts(claim, claim.spec.secretName, claim.metadata.uid)),
    [SecretAnnotation.owner]: claim.metadata.uid,
    [SecretAnnotation.claim]: claim.metadata.name,
  };
}

function ownFacts({ record, revision, request }: Delivery): Record<string, string> {
  return {
    [SecretAnnotation.record]: record,
    [SecretAnnotation.revision]: String(revision),
    [SecretAnnotation.request]: request,
  };
}
