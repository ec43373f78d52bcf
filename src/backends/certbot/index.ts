// The `certbot` backend: has requests signed by an ACME CA through certbot, one run of it for each. What people must set up for it:
// docs/backends/certbot.md.
import type { CertbotBackendSpec } from '../../api/certbot-backend.ts';
import type { Issuer } from '../../api/issuer.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import type {
  Backend,
  BackendDeps,
  BackendFactory,
  BackendHealth,
  CertbotRunner,
  RevocationOutcome,
  SigningOutcome,
} from '../../ports.ts';
import { refusalOf } from '../acme/meaning.ts';
import { ServerProblem } from '../acme/server.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { createEnrolment } from './enrolment.ts';
import { type Client, createClient } from './client.ts';
import { requireCredentials } from './credentials.ts';
import { podOf } from './run.ts';

const DEFAULT_CONCURRENCY = 4;

export const certbotBackend: BackendFactory = {
  create(deps, issuer, { certbot }) {
    if (!certbot) throw new Error('the issuer has no certbot');
    if (!deps.certbot) throw new Error('certbot cannot run here');
    return createCertbotBackend({ ...deps, certbot: deps.certbot }, issuer, certbot);
  },
};

type Deps = BackendDeps & { certbot: CertbotRunner };

function createCertbotBackend(deps: Deps, issuer: Issuer, spec: CertbotBackendSpec): Backend {
  const client = createClient(deps, spec);
  const anchors = parsePemCertificates(spec.trustAnchors);
  const trouble: Trouble = { last: undefined };
  const enrol = createEnrolment(deps, { issuer: issuer.metadata.name, spec, client });
  return {
    // The CSR travels; of validity an ACME CA decides all.
    controls: { subject: false, validity: 'length', extensions: false },
    local: false,
    concurrency: spec.concurrency ?? DEFAULT_CONCURRENCY,
    trustAnchors: () => Promise.resolve(anchors),
    sign: (request, signal) => watch(trouble, () => enrol(request, signal)),
    revoke: (_id, certificate, { reason }, signal) => revoke(client, { certificate, reason }, signal),
    limits: () => Promise.resolve(undefined),
    notAfterLimit: () => Promise.resolve(undefined),
    check: (signal) => check(deps, { spec, client, trouble }, signal),
  };
}

/** What kept the last run from an outcome. */
interface Trouble {
  last: RemoteFault | undefined;
}

async function watch(trouble: Trouble, sign: () => Promise<SigningOutcome>): Promise<SigningOutcome> {
  try {
    const outcome = await sign();
    if (outcome.kind !== 'pending') trouble.last = undefined;
    return outcome;
  } catch (error) {
    if (error instanceof RemoteFault) trouble.last = error;
    throw error;
  }
}

async function check(
  deps: Deps,
  { spec, client, trouble }: { spec: CertbotBackendSpec; client: Client; trouble: Trouble },
  signal: AbortSignal,
): Promise<BackendHealth> {
  signal.throwIfAborted();
  const lack = deps.certbot.lacks({ pod: podOf(spec) });
  if (lack) return { ready: false, ...lack };
  try {
    client.refresh();
    if (spec.dns01) await requireCredentials(deps, spec.dns01.credentialsSecretRef);
    const { server } = await client.opened();
    await server.check(signal);
    const message = 'the ACME server answers, and has our account';
    const { last } = trouble;
    // Requests are what shows whether it is mended: they go on.
    if (last)
      return { ready: true, reason: last.reason, message: `${message}; yet the last run failed: ${last.message}` };
    return { ready: true, reason: 'Ready', message };
  } catch (error) {
    if (signal.aborted || !(error instanceof RemoteFault)) throw error;
    return { ready: false, reason: error.reason, message: error.message };
  }
}

/** By our own client, which has the account's key as certbot has it. */
async function revoke(
  client: Client,
  { certificate, reason }: { certificate: Buffer; reason: number },
  signal: AbortSignal,
): Promise<RevocationOutcome> {
  const { server } = await client.opened();
  try {
    await server.revoke(certificate, reason, signal);
    return { kind: 'revoked' };
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    if (error.problem.type === 'alreadyRevoked') return { kind: 'revoked' };
    return { kind: 'refused', problem: refusalOf(error) };
  }
}
