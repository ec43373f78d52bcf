// The `acme` backend: has requests signed by an ACME CA elsewhere. What people must set up for it: docs/backends/acme.md.
import type { AcmeBackendSpec } from '../../api/acme-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { parseDuration } from '../../domain/duration.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { Issuer } from '../../api/issuer.ts';
import type {
  Backend,
  BackendDeps,
  BackendFactory,
  BackendHealth,
  ProofTools,
  RevocationOutcome,
} from '../../ports.ts';
import { createChallenges } from './challenges.ts';
import { createDns01Solver } from './dns-01.ts';
import { createEnrolment } from './enrolment.ts';
import { createHttp01Solver } from './http-01.ts';
import { refusalOf } from './meaning.ts';
import type { Upstream } from './opening.ts';
import { createOutage } from './outage.ts';
import { createRateLimits } from './rate-limits.ts';
import { type AcmeServer, createAcmeServer, ServerProblem } from './server.ts';
import type { Solvers } from './solver.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CONCURRENCY = 8;
const DEFAULT_OUTAGE_MS = 60_000;
const DEFAULT_PATIENCE_MS = 120_000;

export const acmeBackend: BackendFactory = {
  create(deps, issuer, { acme }) {
    if (!acme) throw new Error('the issuer has no ACME server');
    if (!deps.proof) throw new Error('the ACME backend needs a way to look at its own answers');
    return createAcmeBackend({ ...deps, proof: deps.proof }, issuer, acme);
  },
};

function createAcmeBackend(deps: BackendDeps & { proof: ProofTools }, issuer: Issuer, spec: AcmeBackendSpec): Backend {
  const concurrency = spec.concurrency ?? DEFAULT_CONCURRENCY;
  const timeoutMs = durationOf(spec.timeout, DEFAULT_TIMEOUT_MS);
  const upstreams = [spec, ...(spec.backup ? [spec.backup] : [])].map((each) => ({
    server: createAcmeServer(deps, each, { timeoutMs, concurrency }),
    outage: createOutage(deps.clock, durationOf(spec.backup?.after, DEFAULT_OUTAGE_MS)),
    profile: each.profile,
  }));
  const anchors = parsePemCertificates(spec.trustAnchors);
  const solvers: Solvers = {
    'http-01': createHttp01Solver(deps.proof),
    ...(spec.dns01 ? { 'dns-01': createDns01Solver(deps, spec.dns01) } : {}),
  };
  const enrol = createEnrolment({
    upstreams,
    challenges: createChallenges({
      solvers,
      preference: spec.challenges ?? (spec.dns01 ? ['http-01', 'dns-01'] : ['http-01']),
      looks: spec.preCheck?.enabled !== false,
      patienceMs: durationOf(spec.preCheck?.timeout, DEFAULT_PATIENCE_MS),
      clock: deps.clock,
    }),
    limits: createRateLimits(deps.clock),
    clock: deps.clock,
    preferredRoots: issuer.spec.chain?.preferred ?? [],
  });

  return {
    // The CSR travels; of validity an ACME CA decides all but what is asked for by a profile.
    controls: { subject: false, validity: 'length', extensions: false },
    local: false,
    concurrency,
    trustAnchors: () => Promise.resolve(anchors),
    sign: enrol,
    revoke: (_id, certificate, { reason }, signal) => revoke(upstreams, { certificate, reason }, signal),
    async renewalInfo(certificate, signal) {
      for (const { server } of upstreams) {
        const said = await server.renewalInfo(certificate, signal);
        if (said) return said;
      }
      return undefined;
    },
    limits: () => Promise.resolve(undefined),
    notAfterLimit: () => Promise.resolve(undefined),
    check: (signal) => check(upstreams, solvers, signal),
  };
}

function durationOf(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : parseDuration(text);
}

/** The backup counts where the first is away: then the issuer signs all the same. */
async function check(
  [first, backup]: readonly Upstream[],
  solvers: Solvers,
  signal: AbortSignal,
): Promise<BackendHealth> {
  signal.throwIfAborted();
  for (const solver of Object.values(solvers)) {
    const obstacle = await faultOf(() => solver.check(), signal);
    if (obstacle) return { ready: false, ...obstacle };
  }
  const fault = await faultAt(first, signal);
  if (!backup) return fault ? { ready: false, ...fault } : READY;
  const other = await faultAt(backup, signal);
  if (!fault)
    return other ? { ...READY, message: `${READY.message}; the backup cannot be used: ${other.message}` } : READY;
  if (other) return { ready: false, ...fault };
  return { ready: true, reason: 'OnBackup', message: `the backup answers; ${fault.message}` };
}

const READY: BackendHealth = {
  ready: true,
  reason: 'Ready',
  message: 'the ACME server answers, and has our account',
};

type Fault = Pick<BackendHealth, 'reason' | 'message'>;

async function faultAt(upstream: Upstream | undefined, signal: AbortSignal): Promise<Fault | undefined> {
  return upstream && faultOf(() => upstream.outage.watch(() => upstream.server.check(signal)), signal);
}

async function faultOf(look: () => Promise<void>, signal: AbortSignal): Promise<Fault | undefined> {
  try {
    await look();
    return undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof RemoteFault)) throw error;
    return { reason: error.reason, message: error.message };
  }
}

/** At the server that signed it, which is the one that knows it. */
async function revoke(
  upstreams: readonly Upstream[],
  certificate: Parameters<typeof revokeAt>[1],
  signal: AbortSignal,
): Promise<RevocationOutcome> {
  let outcome: RevocationOutcome = { kind: 'unsupported' };
  for (const { server } of upstreams) {
    outcome = await revokeAt(server, certificate, signal);
    if (outcome.kind === 'revoked') break;
  }
  return outcome;
}

async function revokeAt(
  server: AcmeServer,
  { certificate, reason }: { certificate: Buffer; reason: number },
  signal: AbortSignal,
): Promise<RevocationOutcome> {
  try {
    await server.revoke(certificate, reason, signal);
    return { kind: 'revoked' };
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    if (error.problem.type === 'alreadyRevoked') return { kind: 'revoked' };
    return { kind: 'refused', problem: refusalOf(error) };
  }
}
