// One request to the API server and its answer, under time limits and bounds, with a note of how far it got.
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../ports.ts';

export interface Outgoing {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  path: string;
  headers: Readonly<Record<string, string>>;
  body?: string;
  /** From the call, waiting for a connection included, until the whole answer is here; of a watch, until its head is. */
  timeoutMs: number;
  /** Largest body of an answer. */
  maxBytes: number;
  signal?: AbortSignal;
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** No whole answer came. `sent` false: the server has certainly not seen the request. */
export class TransportFailure extends Error {
  readonly sent: boolean;
  /** The connection had served before, so that the server may just have let go of it. */
  readonly reused: boolean;
  /** The answer was refused for being larger than the bound. */
  readonly tooLarge: boolean;
  readonly timedOut: boolean;

  constructor(message: string, facts: { sent: boolean; reused: boolean; tooLarge?: boolean; timedOut?: boolean }) {
    super(message);
    this.name = 'TransportFailure';
    this.sent = facts.sent;
    this.reused = facts.reused;
    this.tooLarge = facts.tooLarge ?? false;
    this.timedOut = facts.timedOut ?? false;
  }
}

/** Longer than a handshake over a bad line takes, shorter than a caller's patience. */
const CONNECT_MS = 5_000;

export interface Running {
  head: Promise<IncomingMessage>;
  /** Ends the time limit. */
  finish(): void;
  failure(error: unknown): TransportFailure;
}

class TooLarge extends Error {}
class TimedOut extends Error {}

/** Sends the request under its time limits and notes how far it got. `secured`: connections whose handshake is over. */
export function running(
  request: ClientRequest,
  { clock, secured }: { clock: Clock; secured: WeakSet<TLSSocket> },
  { timeoutMs, body, signal }: Outgoing,
): Running {
  const over = new AbortController();
  const { promise: head, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const facts = { sent: false, reused: false };
  let response: IncomingMessage | undefined;
  const cut = (reason: Error) => void (response ?? request).destroy(reason);
  const limit = (ms: number, unless: AbortSignal, reason: string) =>
    void clock.sleep(ms, unless).then(
      () => cut(new TimedOut(reason)),
      () => undefined,
    );

  request.on('socket', (socket: TLSSocket) => {
    facts.reused = secured.has(socket);
    facts.sent = facts.reused;
    if (facts.reused) return;
    const connected = new AbortController();
    limit(CONNECT_MS, AbortSignal.any([connected.signal, over.signal]), 'no connection in time');
    socket.once('secureConnect', () => {
      facts.sent = true;
      secured.add(socket);
      connected.abort();
    });
  });
  request.on('response', (message: IncomingMessage) => {
    response = message;
    resolve(message);
  });
  // Also after the head, when there is nobody left to reject to: an error without a listener would end the process.
  request.on('error', reject);
  request.on('close', () => reject(new Error('the connection was closed')));
  limit(timeoutMs, over.signal, 'no answer in time');
  const abort = () => cut(new Error('aborted'));
  if (signal?.aborted === true) abort();
  else signal?.addEventListener('abort', abort, { once: true, signal: over.signal });
  request.end(body);

  return { head, finish: () => over.abort(), failure: (error) => failureOf(error, facts) };
}

function failureOf(error: unknown, facts: { sent: boolean; reused: boolean }): TransportFailure {
  return new TransportFailure(messageOf(error), {
    ...facts,
    tooLarge: error instanceof TooLarge,
    timedOut: error instanceof TimedOut,
  });
}

/** The whole answer, bounded. */
export async function replyOf(response: IncomingMessage, { maxBytes }: Outgoing): Promise<Reply> {
  const body = await bodyOf(response, maxBytes);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}

function bodyOf(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const tooLarge = () => response.destroy(new TooLarge(`the answer is larger than ${maxBytes} bytes`));
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) tooLarge();
    else chunks.push(chunk);
  });
  response.on('end', () => resolve(Buffer.concat(chunks, size)));
  response.on('error', reject);
  response.on('close', () => reject(new Error('the connection was closed within the answer')));
  if (Number(response.headers['content-length'] ?? 0) > maxBytes) tooLarge();
  return promise;
}

export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
