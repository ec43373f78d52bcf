// Requests to the API server with what must surround them: credentials read again after a refusal, Retry-After obeyed, another try
// where that is safe, errors in the words of the Cluster port.
import type { IncomingMessage } from 'node:http';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Random } from '../ports.ts';
import { createGate, type Gate, type Pass } from './kubernetes-gate.ts';
import { errorOf, type Refusal, retryAfterOf, type Status } from './kubernetes-errors.ts';
import { type Outgoing, type Reply, TransportFailure } from './kubernetes-exchange.ts';
import type { Transport } from './kubernetes-transport.ts';

export interface ApiRequest extends Outgoing {
  /** Whether it changes nothing. */
  safe: boolean;
}

export interface Requests {
  /** The parsed answer, or what the server refused with. Throws Unavailable where there is none. */
  send(request: ApiRequest): Promise<{ value: unknown } | { refusal: Refusal }>;
  /** As send, where the answer is no JSON. */
  text(request: ApiRequest): Promise<{ value: string } | { refusal: Refusal }>;
  /** The body of an answer as a stream; throws what the server refused with. */
  stream(request: ApiRequest): Promise<IncomingMessage>;
}

/** How long a caller waits in all between tries, besides the time of the tries themselves. */
const PATIENCE_MS = 5_000;
const BUSY_PAUSE_MS = 1_000;
/** Times that a connection may turn out stale in a row. */
const STALE_TRIES = 3;

export interface RequestsDeps {
  transport: Transport;
  clock: Clock;
  random: Random;
  /** Told of each answer of a server. */
  heard: (date: string | undefined) => void;
}

interface Attempt<R> {
  answer: R;
  status: number;
  refusal: Refusal | undefined;
}

export function createRequests(deps: RequestsDeps): Requests {
  const { transport } = deps;
  const gate = createGate(deps);
  const judged = <R extends Reply | IncomingMessage>(answer: R): Attempt<R> => {
    deps.heard(answer.headers.date);
    if (!('body' in answer)) return { answer, status: 200, refusal: undefined };
    return { answer, status: answer.status, refusal: refusalOf(answer) };
  };
  const exchange = (request: ApiRequest) =>
    persist(deps, gate, request, async (fresh) => judged(await transport.exchange(request, fresh)));
  return {
    async send(request) {
      const { answer, refusal } = await exchange(request);
      return refusal ? { refusal } : { value: parsed(answer, request) };
    },
    async text(request) {
      const { answer, refusal } = await exchange(request);
      if (refusal) return { refusal };
      if (isEncoded(answer.headers['content-encoding']))
        throw new ClusterError('Unavailable', 'the answer is compressed, though that was ruled out');
      return { value: answer.body.toString('utf8') };
    },
    async stream(request) {
      const { answer, refusal } = await persist(deps, gate, request, async (fresh) =>
        judged(await transport.open(request, fresh)),
      );
      if (refusal) throw errorOf(refusal, false);
      if ('body' in answer)
        throw new ClusterError('Unavailable', 'the API server answered a watch with something else');
      return answer;
    },
  };
}

/** Tries until there is an answer worth handing on, or trying again is unsafe or not worth it. */
async function persist<R>(
  { clock, random }: RequestsDeps,
  gate: Gate,
  request: ApiRequest,
  attempt: (fresh: boolean) => Promise<Attempt<R>>,
): Promise<Attempt<R>> {
  const until = clock.monotonic() + PATIENCE_MS;
  let [fresh, stale] = [false, 0];
  let last: Attempt<R> | ClusterError | undefined;
  for (;;) {
    const pass = await gate.enter(until).catch((closed: ClusterError) => closed);
    if (pass instanceof ClusterError) return handedOn(last ?? pass);
    const result = await attempt(fresh).catch((error: unknown) => asFailure(error, pass));
    if (result instanceof TransportFailure) {
      last = unavailable(result, request);
      if (isStale(result)) stale++;
      if (!mayGoAgain(result, request, pass) || stale >= STALE_TRIES) throw last;
      continue;
    }
    last = result;
    const pause = afterAnswer(result, { request, pass, fresh });
    if (pause === undefined) return result;
    fresh ||= result.status === 401;
    const wait = pause * (1 + random.bytes(1).readUInt8() / 1024);
    if (clock.monotonic() + wait > until) return result;
    if (wait > 0) await clock.sleep(wait);
  }
}

function handedOn<R>(last: Attempt<R> | ClusterError): Attempt<R> {
  if (last instanceof ClusterError) throw last;
  return last;
}

function asFailure(error: unknown, pass: Pass): TransportFailure {
  if (error instanceof TransportFailure) return error;
  pass('unsure');
  throw error;
}

/** The server let go of a kept connection between two requests, which says nothing of its health. */
const isStale = ({ reused, sent, timedOut }: TransportFailure) => reused && sent && !timedOut;

function mayGoAgain(failure: TransportFailure, { safe, signal }: ApiRequest, pass: Pass): boolean {
  const ours = failure.tooLarge || signal?.aborted === true;
  pass(ours || isStale(failure) ? 'unsure' : 'down');
  return !ours && (safe || !failure.sent);
}

/** Milliseconds after which the request goes again; undefined where the answer stands. Closes or opens the gate. */
function afterAnswer<R>(
  { status, refusal }: Attempt<R>,
  { request, pass, fresh }: { request: ApiRequest; pass: Pass; fresh: boolean },
): number | undefined {
  const retryAfterMs = refusal?.retryAfterMs;
  if (status === 503 || status === 502) {
    pass('down', retryAfterMs);
    // With Retry-After the API server says that it did nothing; the gate keeps the pause.
    const undone = request.safe || (status === 503 && retryAfterMs !== undefined);
    return undone ? 0 : undefined;
  }
  pass(status >= 500 ? 'unsure' : 'up');
  if (status === 401) return fresh ? undefined : 0;
  return status === 429 ? Math.max(retryAfterMs ?? 0, BUSY_PAUSE_MS) : undefined;
}

/** The answer would not fit the bound: a smaller page may. */
export class AnswerTooLarge extends ClusterError {}

function unavailable(failure: TransportFailure, { safe, method, path }: ApiRequest): ClusterError {
  const made = failure.tooLarge ? AnswerTooLarge : ClusterError;
  return new made('Unavailable', `${method} ${path.split('?')[0]}: ${failure.message}`, {
    outcomeUnknown: !safe && failure.sent,
  });
}

function refusalOf(reply: Reply): Refusal | undefined {
  const { status: code, headers } = reply;
  if (code >= 200 && code < 300) return undefined;
  let status: Status | undefined;
  try {
    if (isJson(headers['content-type']) && !isEncoded(headers['content-encoding']))
      status = JSON.parse(reply.body.toString('utf8')) as Status;
  } catch {
    // Something before the API server answered: its HTTP status says enough.
  }
  return { code, status, retryAfterMs: retryAfterOf(headers, status) };
}

function parsed({ headers, body }: Reply, { method, path, safe }: ApiRequest): unknown {
  try {
    readable(headers);
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClusterError('Unavailable', `${method} ${path.split('?')[0]}: ${reason}`, { outcomeUnknown: !safe });
  }
}

/** Throws for what is not plain JSON. */
export function readable(headers: IncomingMessage['headers']): void {
  if (isEncoded(headers['content-encoding'])) throw new Error('the answer is compressed, though that was ruled out');
  if (!isJson(headers['content-type'])) throw new Error('the answer is no JSON');
}

const isJson = (type: string | undefined) => /^application\/json\b/i.test(type ?? '');
const isEncoded = (encoding: string | undefined) => encoding !== undefined && encoding.toLowerCase() !== 'identity';
