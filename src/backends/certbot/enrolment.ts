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
import { createPauses, type Pauses } from './pauses.ts';
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
/** Of a request that waits for its next run: by then its issuer may be another. */
const PAUSE_POLL_MS = 30_000;
const MAX_CERTIFICATES = 10;
/** Handles: of a run under way whose answers are not laid out, and where there is none. */
const BEGUN = 'begun';
const NOTHING = '';

export function createEnrolment(deps: Deps, options: EnrolmentOptions) {
  const pauses = createPauses(deps.clock);
  return async (request: SigningRequest, signal: AbortSignal): Promise<SigningOutcome> => {
    signal.throwIfAborted();
    const { uris, emailAddresses } = request.model.names;
    if (uris.length > 0 || emailAddresses.length > 0)
      return refused(
        new Problem('unsupportedIdentifier', 'the CA of this issuer signs DNS names and IP addresses only'),
      );
    try {
      return await advance(deps, request, { ...options, signal, pauses });
    } catch (error) {
      if (!(error instanceof ServerProblem)) throw error;
      throw faultOf(error);
    }
  };
}

const refused = (problem: Problem): SigningOutcome => ({ kind: 'refused', problem });
const pending = (handle: string, retryAfterMs = POLL_MS): SigningOutcome => ({ kind: 'pending', retryAfterMs, handle });

type Context = EnrolmentOptions & { signal: AbortSignal; pauses: Pauses };

async function advance(deps: Deps, request: SigningRequest, context: Context): Promise<SigningOutcome> {
  const { certbot } = deps;
  const state = await certbot.state(request.id);
  switch (state.kind) {
    case 'absent': {
      const leftMs = context.pauses.leftOf(request.id);
      if (leftMs > 0) return pending(NOTHING, Math.min(PAUSE_POLL_MS, leftMs));
      const opened = await context.client.opened();
      const { url: accountURL } = await opened.server.account(context.signal);
      await certbot.start(await runOf(deps, request, { ...context, opened, accountURL }));
      return pending(BEGUN);
    }
    case 'waiting':
      if (!state.obstacle) return pending(request.handle || BEGUN);
      if (state.obstacle.anew) await startAnew(certbot, request, context);
      throw new RemoteFault(state.obstacle.reason, state.obstacle.message);
    case 'running':
      return layOut(readTranscript(state.log, state.marker), request, context);
    case 'ended':
      return conclude(certbot, request, { state, pauses: context.pauses });
  }
}

/** The run came to nothing: the next attempt begins another, after a pause. */
async function startAnew(
  certbot: CertbotRunner,
  { id }: SigningRequest,
  { pauses, fault }: { pauses: Pauses; fault?: RemoteFault },
): Promise<void> {
  await certbot.remove(id);
  pauses.failed(id, fault?.retryAfterMs);
}

/** Every replica answers what is on record. That the answers are our account's keeps whoever is in the Pod from proving names to a CA as another. */
async function layOut(
  { answers }: Transcript,
  request: SigningRequest,
  { client, signal }: Context,
): Promise<SigningOutcome> {
  if (answers.length === 0) return pending(request.handle || BEGUN);
  const { thumbprint } = await (await client.opened()).server.account(signal);
  const own = answers.filter((answer) => answer.endsWith(`.${thumbprint}`));
  const handle = sha256(own.join(' ')).toString('base64url');
  if (handle !== request.handle) await request.keep?.(handle, own);
  return pending(handle);
}

async function conclude(
  certbot: CertbotRunner,
  request: SigningRequest,
  { state: { marker, log, cut }, pauses }: { state: CertbotState & { kind: 'ended' }; pauses: Pauses },
): Promise<SigningOutcome> {
  const transcript = readTranscript(log ?? '', marker);
  try {
    if (transcript.exit === undefined)
      throw new RemoteFault(cut?.reason ?? 'CertbotLost', cut?.message ?? 'certbot ended, and what it said is lost');
    const outcome: SigningOutcome =
      transcript.exit === 0
        ? { kind: 'issued', chain: readChain(transcript.chain) }
        : refused(refusalOf(transcript, namesOf(request)));
    pauses.forget(request.id);
    return outcome;
  } catch (error) {
    if (error instanceof RemoteFault) await startAnew(certbot, request, { pauses, fault: error });
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
