// One request carried through a run of certbot. The run has the request's name and what came of it stays with the run, so that whoever
// comes next, after whatever end of this process, goes on with the same one.
import type { CertbotBackendSpec } from '../../api/certbot-backend.ts';
import { sha256 } from '../../domain/encoding.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { Problem } from '../../domain/problem.ts';
import type { BackendDeps, CertbotRunner, CertbotState, SigningOutcome, SigningRequest } from '../../ports.ts';
import { ServerProblem } from '../acme/server.ts';
import { faultOf } from '../acme/meaning.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { Client } from './client.ts';
import { refusalOf } from './meaning.ts';
import { runOf } from './run.ts';
import { readTranscript, type Transcript } from './transcript.ts';

type Deps = BackendDeps & { certbot: CertbotRunner };

export interface EnrolmentOptions {
  /** Name of the issuer. */
  issuer: string;
  spec: CertbotBackendSpec;
  client: Client;
}

const POLL_MS = 1_000;
const MAX_CERTIFICATES = 10;
/** Of a run under way whose answers are not laid out. */
const NOTHING = '';

export function createEnrolment(deps: Deps, options: EnrolmentOptions) {
  return async (request: SigningRequest, signal: AbortSignal): Promise<SigningOutcome> => {
    signal.throwIfAborted();
    const { uris, emailAddresses } = request.model.names;
    if (uris.length > 0 || emailAddresses.length > 0)
      return refused(
        new Problem('unsupportedIdentifier', 'the CA of this issuer signs DNS names and IP addresses only'),
      );
    try {
      return await advance(deps, request, { ...options, signal });
    } catch (error) {
      if (!(error instanceof ServerProblem)) throw error;
      throw faultOf(error);
    }
  };
}

const refused = (problem: Problem): SigningOutcome => ({ kind: 'refused', problem });
const pending = (handle: string): SigningOutcome => ({ kind: 'pending', retryAfterMs: POLL_MS, handle });

type Context = EnrolmentOptions & { signal: AbortSignal };

async function advance(deps: Deps, request: SigningRequest, context: Context): Promise<SigningOutcome> {
  const { certbot } = deps;
  const state = await certbot.state(request.id);
  switch (state.kind) {
    case 'absent': {
      const opened = await context.client.opened();
      const { url: accountURL } = await opened.server.account(context.signal);
      await certbot.start(await runOf(deps, request, { ...context, opened, accountURL }));
      return pending(NOTHING);
    }
    case 'waiting':
      if (!state.obstacle) return pending(request.handle ?? NOTHING);
      if (state.obstacle.anew) await certbot.remove(request.id);
      throw new RemoteFault(state.obstacle.reason, state.obstacle.message);
    case 'running':
      return layOut(readTranscript(state.log, state.marker), request, context);
    case 'ended':
      return conclude(certbot, request, state);
  }
}

/** Every replica answers what is on record. That the answers are our account's keeps whoever is in the Pod from proving names to a CA as another. */
async function layOut(
  { answers }: Transcript,
  request: SigningRequest,
  { client, signal }: Context,
): Promise<SigningOutcome> {
  if (answers.length === 0) return pending(request.handle ?? NOTHING);
  const { thumbprint } = await (await client.opened()).server.account(signal);
  const own = answers.filter((answer) => answer.endsWith(`.${thumbprint}`));
  const handle = sha256(own.join(' ')).toString('base64url');
  if (handle !== request.handle) await request.keep?.(handle, own);
  return pending(handle);
}

async function conclude(
  certbot: CertbotRunner,
  request: SigningRequest,
  { marker, log, cut }: CertbotState & { kind: 'ended' },
): Promise<SigningOutcome> {
  const transcript = readTranscript(log ?? '', marker);
  try {
    if (transcript.exit === 0) return { kind: 'issued', chain: readChain(transcript.chain) };
    if (transcript.exit !== undefined) return refused(refusalOf(transcript, namesOf(request)));
    throw new RemoteFault(cut?.reason ?? 'CertbotLost', cut?.message ?? 'certbot ended, and what it said is lost');
  } catch (error) {
    // The next attempt begins anew.
    if (error instanceof RemoteFault) await certbot.remove(request.id);
    throw error;
  }
}

function namesOf({ model: { names } }: SigningRequest): ReadonlySet<string> {
  return new Set([...names.dnsNames.map((name) => name.replace(/^\*\./, '')), ...names.ipAddresses]);
}

function readChain(pem = ''): readonly Buffer[] {
  try {
    const chain = parsePemCertificates(pem);
    if (chain.length > 0 && chain.length <= MAX_CERTIFICATES) return chain;
  } catch (error) {
    throw new RemoteFault('BadAnswer', 'certbot gave a broken PEM text', { cause: error });
  }
  throw new RemoteFault('BadAnswer', `certbot gave no PEM text of 1 to ${MAX_CERTIFICATES} certificates`);
}
