// What the program needs of the world: interfaces with their contracts, no code.
// Every method that waits takes an AbortSignal or is bound in time by its adapter, and rejects promptly once aborted.
import type { CAIssuerSpec } from './api/ca-issuer.ts';
import type { Door } from './api/certificate-request-policy.ts';
import type { Issuer } from './api/issuer.ts';
import type { Kind, KubeObject, NewObject } from './api/kind.ts';
import type { CertificateModel } from './domain/certificate-model.ts';
import type { ChallengeType } from './domain/challenge.ts';
import type { Identifier } from './domain/identifier.ts';
import type { Problem } from './domain/problem.ts';

export interface Clock {
  now(): Date;
  /** Milliseconds that only ever grow, whatever the wall clock does. */
  monotonic(): number;
  /** Resolves after `ms`, which may exceed 24.8 days; rejects with the signal's reason once aborted. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  bytes(length: number): Buffer;
}

// ---- Cluster ------------------------------------------------------------------------------------------------------

export interface ObjectRef {
  namespace?: string;
  name: string;
}

export interface ListOptions {
  namespace?: string;
  /** Equality terms, all of which must hold. */
  labels?: Readonly<Record<string, string>>;
  limit?: number;
  /** Token of the page before; Expired when it has grown too old. */
  continue?: string;
}

export interface ObjectList<T> {
  items: T[];
  /** Where a watch may start to see all that happened after this list. */
  resourceVersion: string;
  continue?: string;
}

export interface WatchOptions {
  namespace?: string;
  /** As of a list or a bookmark; Expired when it has grown too old. */
  resourceVersion: string;
  signal: AbortSignal;
}

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  /** Nothing happened up to this version: resume here. */
  | { type: 'BOOKMARK'; resourceVersion: string };

/**
 * The Kubernetes API as this program uses it. Errors are ClusterError with the API's own reasons. Objects handed out are the
 * caller's to keep and must not be changed in place (adapters freeze them); objects taken in are copied. A kind of `metadataOf`
 * reads metadata alone. A write that ends in Unavailable with `outcomeUnknown` may have been done: look before doing it again.
 */
export interface Cluster {
  /** The object, or undefined. Always a live read. */
  get<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef): Promise<T | undefined>;
  /** All objects of the kind in one namespace or everywhere, sorted by namespace and name. Always a live read. */
  list<T extends KubeObject>(kind: Kind<T>, options?: ListOptions): Promise<ObjectList<T>>;
  /**
   * All objects there are, as events: each ADDED, what changes meanwhile, and at the end a BOOKMARK from which a watch may start. For
   * kinds of which there may be very many; absent where a list is as cheap. Throws Invalid where this API cannot do it.
   */
  stream?: <T extends KubeObject>(
    kind: Kind<T>,
    options: { namespace?: string },
  ) => AsyncIterable<readonly WatchEvent<T>[]>;
  /** Events after `resourceVersion`, in order, until the signal aborts (then it returns). Ends by throwing; resume from the last version seen. */
  watch<T extends KubeObject>(kind: Kind<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** Atomic: of two creates of one name, one gets AlreadyExists. Fills uid, resourceVersion, generation, creationTimestamp. */
  create<T extends KubeObject>(kind: Kind<T>, object: NewObject<T>): Promise<T>;
  /** Replaces all but status (for kinds with a status subresource). Conflict unless metadata.resourceVersion is the current one. */
  replace<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  /** Replaces status alone. Conflict as above. */
  replaceStatus<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  /** True if the object existed. Conflict if it is not the one of the precondition. */
  delete(kind: Kind, ref: ObjectRef, precondition?: { uid?: string; resourceVersion?: string }): Promise<boolean>;
  /**
   * Creates the object or makes the given fields so, owned by `fieldManager`: fields it owned before and leaves out now are
   * removed, fields of others stay. Maps merge by key; lists are replaced whole.
   */
  apply<T extends KubeObject>(kind: Kind<T>, object: NewObject<T>, options: { fieldManager: string }): Promise<T>;
}

/** What the containers of Pods have written. */
export interface PodLogs {
  /** The first `limitBytes` of it, one text line after the other. Undefined where there is none, or none left. Errors as of Cluster. */
  read(pod: ObjectRef, options: { container: string; limitBytes: number }): Promise<string | undefined>;
}

/** A watched copy of all objects of a kind. Reads are synchronous and may lag the API; a negative answer proves nothing. */
export interface Cache<T extends KubeObject> {
  get(ref: ObjectRef): T | undefined;
  list(): readonly T[];
  /** As list, one after the other: for kinds of which there may be very many. What changes meanwhile may or may not be seen. */
  each(): Iterable<T>;
  /** Objects whose index function gave `value`, all or a part of them. Throws for an index that was not declared. */
  byIndex(index: string, value: string, part?: { from: number; count: number }): readonly T[];
  /** Whether byIndex gives any. */
  has(index: string, value: string): boolean;
  hasSynced(): boolean;
  /**
   * Called after each change with the object as it is now (or was, when deleted) and, for MODIFIED, as it was before. Returns an
   * unsubscribe function.
   */
  onChange(listener: (object: T, type: 'ADDED' | 'MODIFIED' | 'DELETED', before?: T) => void): () => void;
}

/** `off`: nobody wants it. `absent`: there is no such kind. `refused`: it may not be seen. `filling`: the first list is on its way. */
export type OptionalState = 'off' | 'absent' | 'refused' | 'filling' | 'watching';

/** A cache of a kind that not every cluster has, which is watched only while somebody wants it. Empty in any state but `watching`. */
export interface OptionalCache<T extends KubeObject> extends Cache<T> {
  state(): OptionalState;
}

// ---- Validation ---------------------------------------------------------------------------------------------------

/** An answer of the DNS. `incomplete`: there may be more records, which could not be asked for. `absent` is NXDOMAIN or no data; `failed` (SERVFAIL, time-out, refused, malformed) proves nothing. */
export type DnsAnswer<T> =
  | { state: 'found'; records: readonly T[]; incomplete?: true }
  | { state: 'absent' }
  | { state: 'failed'; reason: string };

export interface CaaRecord {
  critical: boolean;
  tag: string;
  value: string;
}

/** The only DNS in the program. Names are A-labels without trailing dot. Never throws but for abort. */
export interface Resolver {
  /** IPv4 and IPv6 addresses; `incomplete` where one family did not answer, `failed` only where that leaves no address at all. */
  addresses(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  /** Character-strings of a record joined; CNAMEs followed. */
  txt(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  /** The name that the aliases of this one lead to, be there records or not; itself where it has none. */
  canonical(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  /** The records at exactly this name; climbing is the caller's (RFC 8659 section 3). */
  caa(name: string, signal: AbortSignal): Promise<DnsAnswer<CaaRecord>>;
  /** Names an address points to, lower case. */
  pointers(address: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
}

/** A TXT record at a name server that takes dynamic updates (RFC 2136), signed (TSIG, RFC 8945). */
export interface DnsUpdate {
  /** `address`, `address:port` or `[address]:port`. */
  nameserver: string;
  key: { name: string; algorithm: 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512'; secret: Buffer };
  /** A-labels without trailing dot. The zone is the innermost one that the server has above it. */
  name: string;
  /** At most 255 characters. */
  text: string;
}

/** Writes to the DNS. Throws Unavailable where the server did not do it, or cannot be believed; doing either twice does no harm. */
export interface DnsUpdater {
  add(update: DnsUpdate, signal: AbortSignal): Promise<void>;
  remove(update: DnsUpdate, signal: AbortSignal): Promise<void>;
}

export interface ValidationTarget {
  /** Without the wildcard label. */
  identifier: Identifier;
  token: string;
  keyAuthorization: string;
}

export interface ValidationOptions {
  resolver: Resolver;
  /** HTTP redirects followed by http-01. */
  redirects: number;
  /**
   * Asked once the addresses of a host are known and before any is dialled, again for each redirect hop, and by dns-01 with the
   * addresses of the name (none where it has none); `incomplete` says that there may be others, unknown. A problem ends the attempt: for good, unless it is of type `dns`, which says
   * that the DNS did not tell what policy had to know.
   */
  judge: (host: string, addresses: readonly string[], incomplete?: boolean) => Promise<Problem | undefined>;
}

/** `retryable` marks what another attempt may mend: DNS failure, refused or timed-out connection, an HTTP status other than 200. */
export type ValidationResult =
  | { valid: true; addresses: readonly string[] }
  | { valid: false; problem: Problem; retryable: boolean; addresses: readonly string[] };

/** One attempt at one challenge, bound to 10 s. Never throws for anything the client's side did; throws only when aborted. */
export interface Validator {
  validate(target: ValidationTarget, options: ValidationOptions, signal: AbortSignal): Promise<ValidationResult>;
}

export type Validators = Readonly<Record<ChallengeType, Validator>>;

// ---- Signing ------------------------------------------------------------------------------------------------------

/** Who asks, for CAs that judge or log it. Absent = unknown. */
export interface SigningRequester {
  door: Door;
  account?: string;
  eabKeyID?: string;
  namespace?: string;
  claim?: string;
  source?: string;
}

export interface SigningRequest {
  /** Idempotency key: the record's name. */
  id: string;
  csr: Buffer;
  model: CertificateModel;
  requester?: SigningRequester;
  /** The certificate that this one is to replace (ARI): hex, as records are labelled. */
  replaces?: { authorityKeyID: string; serial: string };
  /** As of the last `pending`, where that is still known. */
  handle?: string;
  /**
   * Puts a handle on record before the backend goes on, so that it outlives this process; with it the key authorizations that every
   * replica answers at /.well-known/acme-challenge/<token> from then on, none when absent. Throws where nobody waits for the request any
   * longer. Absent where nothing is kept.
   */
  keep?(handle: string, keyAuthorizations?: readonly string[]): Promise<void>;
}

export type SigningOutcome =
  /** DER, leaf first, each certificate issued by the next, up to and including the root where known. */
  | { kind: 'issued'; chain: readonly Buffer[] }
  /**
   * Ask again, with the handle; without it (a restart may forget it) the CA must still know the request by its id or search. An empty one:
   * nothing is under way at the CA, and nothing is lost where nobody asks again.
   */
  | { kind: 'pending'; retryAfterMs: number; handle: string }
  /** For good: the CA will not sign this. `problem` is safe to show. */
  | { kind: 'refused'; problem: Problem };

export interface BackendHealth {
  ready: boolean;
  /** CamelCase, for the Ready condition. */
  reason: string;
  message: string;
  /** The issuing certificate and every chain above a leaf (DER, issuing CA first, root last), the default first. */
  ca?: { certificate: Buffer; chains: readonly (readonly Buffer[])[] };
}

export interface RevokedEntry {
  serial: string;
  revokedAt: Date;
  /** CRLReason; 0 = left out. */
  reason: number;
}

/** What became of a revocation at the CA. `refused`, like `unsupported`, is for good. */
export type RevocationOutcome = { kind: 'revoked' } | { kind: 'unsupported' } | { kind: 'refused'; problem: Problem };

/** Reaches a CA. A throw is transient (Unavailable says when to come back): the caller backs off and asks again with the same id. */
export interface Backend {
  /** What the CA takes from the model rather than from the CSR. Where false, CSR and model must agree. */
  readonly controls: {
    subject: boolean;
    /** `length`: the CA decides when validity begins and ends, and the length approved is one that it must not exceed. */
    validity: boolean | 'length';
    extensions: boolean;
  };
  /**
   * Whether signing is local and cheap: then any replica signs, and the record is created after. Else the record is created before, as
   * a reservation, and only the holder of the lease asks the CA.
   */
  readonly local: boolean;
  /** Remote only: requests under way at a time; 4 when absent. */
  readonly concurrency?: number;
  /** Remote only: requests of one lane are made one after the other. */
  lane?(request: SigningRequest): string;
  /** Remote only: DER of CA certificates, one of which every chain must lead to. */
  trustAnchors?(): Promise<readonly Buffer[]>;
  sign(request: SigningRequest, signal: AbortSignal): Promise<SigningOutcome>;
  /**
   * Chains (DER, leaf first) of the certificates that the CA may have signed for this request since then and that are not revoked, the
   * oldest first; those of other requests do no harm. Absent where the CA cannot be searched.
   */
  search?(request: SigningRequest, since: Date, signal: AbortSignal): Promise<readonly (readonly Buffer[])[]>;
  /**
   * That a request made again is signed again, and that nobody can search for what came of it before: of two certificates one is released, and
   * the audit log says that the other may exist.
   */
  readonly signsAgain?: true;
  /** Revokes a certificate (DER) of the request. Doing so twice is one revocation. Absent where the CA takes no revocations from us. */
  revoke?(id: string, certificate: Buffer, entry: RevokedEntry, signal: AbortSignal): Promise<RevocationOutcome>;
  /** From when on the CA suggests that its certificate (DER) be renewed; undefined where it says nothing. */
  renewalInfo?(certificate: Buffer, signal: AbortSignal): Promise<Date | undefined>;
  /** Limits of the CA itself (name constraints, own notAfter, key types): the reason it could not sign the model, if any. */
  limits(model: CertificateModel): Promise<Problem | undefined>;
  /** Latest notAfter the CA can give, undefined where unknown. */
  notAfterLimit(): Promise<Date | undefined>;
  check(signal: AbortSignal): Promise<BackendHealth>;
  /** Signs a CRL (DER) with this number over the given entries; undefined where the CA keeps its own. */
  signCrl?(entries: readonly RevokedEntry[], number: bigint, thisUpdate: Date): Promise<Buffer>;
}

/** Secrets of one namespace as backends read them: live; the operator's for a ClusterCAIssuer, its own for a CAIssuer. Values are bytes by key. */
export interface SecretReader {
  read(name: string): Promise<Readonly<Record<string, Buffer>> | undefined>;
  /** Creates it; false, writing nothing, where it exists already. */
  create(name: string, type: string, data: Readonly<Record<string, Buffer>>): Promise<boolean>;
}

/** The addresses of a host, judged: each may be dialled. Rejects with Unavailable where one may not be, or none is known. */
export type JudgedAddresses = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

/** ConfigMaps of one namespace as backends read them: live. Values by key. */
export interface ConfigMapReader {
  read(name: string): Promise<Readonly<Record<string, string>> | undefined>;
}

/** With what a backend proves to its CA that it controls names. */
export interface ProofTools {
  /** How the CA will look, asked before the CA is. */
  validators: Pick<Validators, 'http-01' | 'dns-01'>;
  /** Asks these servers, or the system's. */
  resolver: (nameservers?: readonly string[]) => Resolver;
  dnsUpdater: DnsUpdater;
}

/** One run of certbot, of its own kind in each place: a Job in a cluster, a child process elsewhere. */
export interface CertbotRun {
  /** A record's. A run of this name that is there is left alone. */
  name: string;
  /** Name of the issuer. */
  issuer: string;
  /** Arguments of certbot, which runs in a folder of its own with nothing in it but `files` and `secrets`. */
  arguments: readonly string[];
  /** Text by path, seen by whoever may see the run; `caBundle` is one of them. */
  files: Readonly<Record<string, string>>;
  caBundle?: string;
  /** By path, each a value of a Secret in the operator's namespace. */
  secrets: Readonly<Record<string, { name: string; key: string }>>;
  deadlineMs: number;
  pod: {
    image: string | undefined;
    imagePullSecrets: readonly string[];
    resources: Readonly<Record<'requests' | 'limits', Readonly<Record<string, string>>>>;
    nodeSelector: Readonly<Record<string, string>>;
  };
}

/** How a run stands. `log`: what it has written so far, lines for us beginning with `marker`. */
export type CertbotState =
  | { kind: 'absent' }
  /** Not begun. `obstacle`: why it may never, and whether it is to be begun anew, as its issuer is by then; `reason` is CamelCase. */
  | { kind: 'waiting'; obstacle?: { reason: string; message: string; anew: boolean } }
  | { kind: 'running'; marker: string; log: string }
  /** `cut`: what ended it, other than itself. Without a log that is all that is known of it. */
  | { kind: 'ended'; marker: string; log: string | undefined; cut?: { reason: string; message: string } };

/** Where certbot runs. Every method throws Unavailable where that cannot be told or done now. */
export interface CertbotRunner {
  /** What it lacks to run this, for the owner of the issuer. */
  lacks(run: Pick<CertbotRun, 'pod'>): { reason: string; message: string } | undefined;
  start(run: CertbotRun): Promise<void>;
  state(name: string): Promise<CertbotState>;
  /** Ends it, if need be, and forgets it: `start` begins anew. */
  remove(name: string): Promise<void>;
}

export interface BackendDeps {
  /** Needed by the backend of that name; absent where it cannot run. */
  certbot?: CertbotRunner;
  /** Needed by backends whose CA validates names. */
  proof?: ProofTools;
  secrets: SecretReader;
  /** Of the same namespace; absent where none may be read. */
  configMaps?: ConfigMapReader;
  clock: Clock;
  random: Random;
  /** Where the CRL and issuer certificate of this issuer are served over plain HTTP; undefined where they are not. */
  urls: { crl: string; issuerCertificate: string } | undefined;
  /** Of issuers that tenants write: a backend dials what this gives for a host, and nothing else. */
  addressesOf?: JudgedAddresses;
}

export interface BackendFactory {
  create(deps: BackendDeps, issuer: Issuer, spec: NonNullable<CAIssuerSpec['backend']>): Backend;
}

/** The live backend of an issuer, remade when its spec changes. */
export interface Backends {
  of(issuer: Issuer): Backend;
}

// ---- Telemetry ----------------------------------------------------------------------------------------------------

export type Fields = Readonly<Record<string, unknown>>;

/** Structured log: a constant message, variable parts as fields. */
export interface Log {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
}

/** One line per decision and per issuance, revocation and validation, before that takes effect; `id` ties them together. */
export interface Audit {
  record(event: string, fields: Fields): void;
}

export interface Counter {
  inc(labels?: Readonly<Record<string, string>>, by?: number): void;
}

export interface Histogram {
  observe(labels: Readonly<Record<string, string>>, value: number): void;
}

/** Records Events about objects, aggregated; never fails the caller. */
export interface EventRecorder {
  event(regarding: KubeObject, type: 'Normal' | 'Warning', reason: string, note: string): void;
}
