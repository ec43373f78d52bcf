// ClusterCAIssuer and CAIssuer: whether its backend answers and its CA certificate is good, where its ACME directory is, and the chains of its
// certificates. Writes the status when that changes, and an Event when people should know.
import type { AcmeBackendSpec, AcmeServerSpec } from '../api/acme-backend.ts';
import { type CAIssuerSpec, type CAIssuerStatus, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CAIssuerKind, type Issuer, issuerKind } from '../api/issuer.ts';
import type { Condition, KubeObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { specFault } from '../api/validate.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { chainFingerprint, preferredChain } from '../domain/chain.ts';
import { findCondition, type NewCondition, setCondition } from '../domain/conditions.ts';
import { renderName } from '../domain/distinguished-name.ts';
import { renderPem } from '../domain/encoding.ts';
import { issuerFields } from '../domain/issuer.ts';
import { type ChainsInUse, fitChains } from '../issuance/chains.ts';
import type { Mismatches } from '../issuance/mismatches.ts';
import type {
  Backend,
  BackendHealth,
  Backends,
  Cache,
  Clock,
  Cluster,
  EventRecorder,
  Log,
  ObjectRef,
} from '../ports.ts';
import { enqueueEach, type Reconciler, type Requeue } from '../runtime/controller.ts';
import { instant, writeStatus } from './status.ts';

export const TENANT_ISSUER_RIGHTS: readonly Right[] = [
  { kind: CAIssuerKind, verbs: ['list', 'watch'], in: ['tenants'], why: 'know the issuers of tenants' },
  {
    kind: CAIssuerKind,
    subresource: 'status',
    verbs: ['update'],
    in: ['tenants'],
    why: 'say whether an issuer is ready, and where its directory is',
  },
];

export const CA_ISSUER_RIGHTS: readonly Right[] = [
  { kind: ClusterCAIssuerKind, verbs: ['list', 'watch'], in: ['cluster'], why: 'know the issuers' },
  {
    kind: ClusterCAIssuerKind,
    subresource: 'status',
    verbs: ['update'],
    in: ['cluster'],
    why: 'say whether an issuer is ready, and where its directory is',
  },
];

export interface CaIssuerDeps {
  cluster: Pick<Cluster, 'replaceStatus'>;
  issuers: Cache<Issuer>;
  /** Those of the operator's namespace and of CAIssuers at least; metadata is enough. */
  secrets: Cache<KubeObject>;
  /** The operator's. */
  namespace: string;
  backends: Backends;
  chainsInUse: ChainsInUse;
  mismatches: Mismatches;
  directoryURL: (issuer: Issuer) => string;
  clock: Clock;
  events: EventRecorder;
}

/** How often a backend is asked how it is: while it works, and while it does not. */
const CHECK_MS = 600_000;
const RETRY_MS = 15_000;
/** CA certificates take people time to replace. */
const WARN_MS = 30 * 24 * 3_600_000;

export function createCaIssuerReconciler(deps: CaIssuerDeps): Reconciler {
  async function reconcile(key: ObjectRef, signal: AbortSignal, log: Log): Promise<Requeue | undefined> {
    const issuer = deps.issuers.get(key);
    if (!issuer) return undefined;
    const health = await check(deps, issuer, { signal, log });
    const now = deps.clock.now();
    const judged = { issuer, health, validity: judgeValidity(health.ca, now), now };
    const conditions = judgeConditions(judged);
    const written = await writeStatus(deps.cluster, issuerKind(issuer), issuer, {
      conditions: [...conditions],
      acme: { directoryURL: deps.directoryURL(issuer) },
      ...certificateStatus(deps, issuer, health.ca),
    });
    if (written) announce(deps, issuer, conditions);
    const ready = findCondition(conditions, 'Ready')?.status === 'True';
    return { requeueAfterMs: ready ? nextLook(judged.validity, now) : RETRY_MS };
  }

  return {
    reconcile,
    watch(enqueue) {
      const stopIssuers = enqueueEach(deps.issuers, enqueue);
      const stopSecrets = deps.secrets.onChange(({ metadata }) => {
        for (const issuer of deps.issuers.list()) {
          const { namespace = deps.namespace } = issuer.metadata;
          if (metadata.namespace === namespace && secretsOf(issuer).includes(metadata.name)) enqueue(issuer.metadata);
        }
      });
      return () => {
        stopIssuers();
        stopSecrets();
      };
    },
  };
}

function secretsOf({ spec }: Issuer): string[] {
  const { acme, ca, ejbca, webhook }: CAIssuerSpec['backend'] = spec.backend;
  const { clientCertificateRef, hmac } = webhook?.authentication ?? {};
  const refs = [
    ...(acme ? upstreamRefs(acme) : []),
    ca?.secretRef,
    ca?.passphraseSecretRef,
    ...(ca?.alternateChains ?? []),
    ejbca?.clientCertificateRef,
    ejbca?.caBundleRef,
    webhook?.caBundleRef,
    clientCertificateRef,
    hmac?.secretRef,
  ];
  return refs.flatMap((ref) => (ref ? [ref.name] : []));
}

function upstreamRefs({ backup, dns01, ...server }: AcmeBackendSpec) {
  return [
    ...acmeServerRefs(server),
    ...(backup ? acmeServerRefs(backup) : []),
    dns01?.rfc2136?.tsig.secretRef,
    dns01?.acmeDNS?.accountsSecretRef,
    dns01?.webhook?.hmac.secretRef,
  ];
}

function acmeServerRefs({ caBundleRef, account }: AcmeServerSpec) {
  const { keySecretRef, previousKeySecretRef, externalAccountBinding } = account;
  return [caBundleRef, keySecretRef, previousKeySecretRef, externalAccountBinding?.secretRef];
}

async function check(
  deps: CaIssuerDeps,
  issuer: Issuer,
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<BackendHealth> {
  try {
    const backend = deps.backends.of(issuer);
    return settingsFault(issuer, backend) ?? deps.mismatches.judge(issuer) ?? (await backend.check(signal));
  } catch (error) {
    if (signal.aborted) throw error;
    log.warn({ ...issuerFields(issuer), error }, 'a backend could not be checked');
    // What it threw is for the log: it may name hosts or paths.
    return {
      ready: false,
      reason: 'CheckFailed',
      message: 'the backend did not answer; the log of the operator says more',
    };
  }
}

/** A setting that the CA would not follow makes nothing but certificates that are refused. */
function settingsFault({ spec }: Issuer, backend: Backend): BackendHealth | undefined {
  if (!spec.subject || backend.controls.subject) return undefined;
  const message = 'spec.subject cannot be had from this backend: its CA takes the subject from the request';
  return { ready: false, reason: 'SubjectNotControlled', message };
}

interface Validity extends Pick<NewCondition, 'status' | 'reason' | 'message'> {
  /** The first expiry among the CA certificate and those above it. */
  notAfter?: Date;
}

function judgeValidity(ca: BackendHealth['ca'], now: Date): Validity {
  if (!ca) return { status: 'Unknown', reason: 'NotKnown', message: 'the backend has not shown its CA certificate' };
  const chain = [ca.certificate, ...(ca.chains[0] ?? [])].map(parseCertificate);
  const notAfter = new Date(Math.min(...chain.map((certificate) => certificate.notAfter.getTime())));
  const early = chain.find((certificate) => certificate.notBefore > now);
  if (early)
    return {
      status: 'False',
      reason: 'NotYetValid',
      message: `${about(early)} is not valid before ${instant(early.notBefore)}`,
    };
  const late = chain.find((certificate) => certificate.notAfter <= now);
  if (late)
    return {
      status: 'False',
      reason: 'Expired',
      message: `${about(late)} expired at ${instant(late.notAfter)}`,
      notAfter,
    };
  const soon = notAfter.getTime() - now.getTime() <= WARN_MS;
  const message = `the CA certificate and those above it are valid until ${instant(notAfter)}`;
  return { status: 'True', reason: soon ? 'ExpiringSoon' : 'Valid', message, notAfter };
}

const about = ({ subject }: CertificateFacts) => `the certificate of ${renderName(subject)}`;

function judgeConditions(judged: {
  issuer: Issuer;
  health: BackendHealth;
  validity: Validity;
  now: Date;
}): readonly Condition[] {
  const { issuer, health, validity, now } = judged;
  const observedGeneration = issuer.metadata.generation;
  const { status, reason, message } = validity;
  const reachable = {
    status: health.ready ? ('True' as const) : ('False' as const),
    reason: health.reason,
    message: health.message,
  };
  const fault = specFault(issuerKind(issuer), issuer);
  const faults = [
    ...(fault === undefined ? [] : [{ reason: 'InvalidSpec', message: fault }]),
    ...(issuer.spec.suspend ? [{ reason: 'Suspended', message: 'the issuer is suspended: its spec says so' }] : []),
    ...(health.ready ? [] : [reachable]),
    ...(status === 'False' ? [{ reason: `CA${reason}`, message }] : []),
  ];
  const ready = faults[0]
    ? { status: 'False' as const, reason: faults[0].reason, message: faults[0].message }
    : { status: 'True' as const, reason: 'Ready', message: 'the issuer signs' };
  return [
    { type: 'Ready', ...ready, observedGeneration },
    { type: 'BackendReachable', ...reachable, observedGeneration },
    { type: 'CAValid', status, reason, message, observedGeneration },
  ].reduce<readonly Condition[]>(
    (all, condition) => setCondition(all, condition, now),
    issuer.status?.conditions ?? [],
  );
}

/**
 * The CA and its chains, the preferred one first. Earlier chains stay behind them, because live certificates were handed out with them;
 * what the backend cannot tell just now stays as it was.
 */
function certificateStatus(
  { chainsInUse }: CaIssuerDeps,
  issuer: Issuer,
  ca: BackendHealth['ca'],
): Pick<CAIssuerStatus, 'ca' | 'chains'> {
  const { ca: knownCA, chains: known = [] } = issuer.status ?? {};
  if (!ca) return { ...(knownCA ? { ca: knownCA } : {}), ...(known.length > 0 ? { chains: known } : {}) };
  const facts = parseCertificate(ca.certificate);
  const first = preferredChain(
    ca.chains.map((chain) => chain.map(parseCertificate)),
    issuer.spec.chain?.preferred ?? [],
  );
  const ordered = [...ca.chains.slice(first, first + 1), ...ca.chains.filter((_, i) => i !== first)];
  const current = ordered.map((chain) => ({
    fingerprint: chainFingerprint(chain),
    pem: chain.map((der) => renderPem('CERTIFICATE', der)).join(''),
  }));
  const earlier = known.filter(({ fingerprint }) => !current.some((chain) => chain.fingerprint === fingerprint));
  return {
    ca: { subject: renderName(facts.subject), notAfter: instant(facts.notAfter), fingerprint: facts.fingerprint },
    // Without room for the new ones nothing is signed with them either: the chain store refuses.
    chains: fitChains({ current, earlier }, () => chainsInUse(issuer.metadata.uid)) ?? [...known],
  };
}

/** Events for what people must know: readiness that came or went, a CA certificate that runs out. */
function announce({ events }: CaIssuerDeps, issuer: Issuer, conditions: readonly Condition[]): void {
  const before = (type: string) => findCondition(issuer.status?.conditions, type);
  const ready = findCondition(conditions, 'Ready');
  if (ready && (before('Ready')?.status !== ready.status || before('Ready')?.reason !== ready.reason))
    events.event(issuer, ready.status === 'True' ? 'Normal' : 'Warning', ready.reason, ready.message);
  const valid = findCondition(conditions, 'CAValid');
  if (valid?.reason === 'ExpiringSoon' && before('CAValid')?.reason !== 'ExpiringSoon')
    events.event(issuer, 'Warning', 'CAExpiringSoon', valid.message);
}

/** The next check, or earlier: when the CA certificate starts to run out or has run out. */
function nextLook({ notAfter }: Validity, now: Date): number {
  const turns = notAfter ? [notAfter.getTime() - WARN_MS, notAfter.getTime()] : [];
  const waits = turns.map((turn) => turn - now.getTime()).filter((ms) => ms > 0);
  return Math.min(CHECK_MS, ...waits);
}
