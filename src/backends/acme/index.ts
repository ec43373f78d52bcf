// The `acme` backend: has requests signed by an ACME CA elsewhere. What people must set up for it: docs/backends/acme.md.
import type { AcmeBackendSpec } from '../../api/acme-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { parseDuration } from '../../domain/duration.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { Issuer } from '../../api/issuer.ts';
import type { Backend, BackendDeps, BackendFactory, ProofTools, RevocationOutcome } from '../../ports.ts';
import { createChallenges } from './challenges.ts';
import { createDns01Solver } from './dns-01.ts';
import { createEnrolment } from './enrolment.ts';
import { createHttp01Solver } from './http-01.ts';
import { refusalOf } from './meaning.ts';
import { createRateLimits } from './rate-limits.ts';
import { type AcmeServer, createAcmeServer, ServerProblem } from './server.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CONCURRENCY = 8;
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
  const server = createAcmeServer(deps, spec, { timeoutMs, concurrency });
  const anchors = parsePemCertificates(spec.trustAnchors);
  const enrol = createEnrolment({
    server,
    challenges: createChallenges({
      solvers: {
        'http-01': createHttp01Solver(deps.proof),
        ...(spec.dns01 ? { 'dns-01': createDns01Solver(deps, spec.dns01) } : {}),
      },
      preference: spec.challenges ?? (spec.dns01 ? ['http-01', 'dns-01'] : ['http-01']),
      looks: spec.preCheck?.enabled !== false,
      patienceMs: durationOf(spec.preCheck?.timeout, DEFAULT_PATIENCE_MS),
      clock: deps.clock,
    }),
    limits: createRateLimits(deps.clock),
    clock: deps.clock,
    profile: spec.profile,
    preferredRoots: issuer.spec.chain?.preferred ?? [],
  });

  return {
    // The CSR travels; of validity an ACME CA decides all but what is asked for by a profile.
    controls: { subject: false, validity: 'length', extensions: false },
    local: false,
    concurrency,
    trustAnchors: () => Promise.resolve(anchors),
    sign: enrol,
    revoke: (_id, certificate, { reason }, signal) => revoke(server, { certificate, reason }, signal),
    limits: () => Promise.resolve(undefined),
    notAfterLimit: () => Promise.resolve(undefined),
    async check(signal) {
      signal.throwIfAborted();
      try {
        await server.check(signal);
        return { ready: true, reason: 'Ready', message: 'the ACME server answers, and has our account' };
      } catch (error) {
        if (signal.aborted || !(error instanceof RemoteFault)) throw error;
        return { ready: false, reason: error.reason, message: error.message };
      }
    },
  };
}

function durationOf(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : parseDuration(text);
}

async function revoke(
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
