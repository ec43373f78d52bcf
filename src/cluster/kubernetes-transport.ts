// HTTP towards the Kubernetes API server: two small sets of kept-alive connections, one for requests and one for watches, so that
// neither starves the other and their sum stays under twenty. Nothing is retried here, and no content encoding is decoded.
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../ports.ts';
import type { ApiConfig, TlsMaterial } from './kubernetes-access.ts';

export interface SocketLimits {
  requests: number;
  watches: number;
}

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

export interface Transport {
  /** Rejects with TransportFailure. `fresh`: with credentials read anew. */
  exchange(outgoing: Outgoing, fresh: boolean): Promise<Reply>;
  /**
   * With status 200 the message once its head is here: the caller reads the body or destroys it. With any other the whole answer.
   * Rejects with TransportFailure.
   */
  open(outgoing: Outgoing, fresh: boolean): Promise<IncomingMessage | Reply>;
  openSockets(): number;
  /** Cuts every connection; what was under way fails. */
  close(): void;
}

/** Longer than a handshake over a bad line takes, shorter than a caller's patience. */
const CONNECT_MS = 5_000;
/** Below the 90 s after which the API server lets go of an idle connection, so that no request meets one just being closed. */
const IDLE_MS = 30_000;
const KEEP_ALIVE_PROBE_MS = 15_000;

interface Lanes {
  tls: TlsMaterial;
  requests: Agent;
  watches: Agent;
}

export function createTransport({
  config,
  clock,
  sockets,
}: {
  config: ApiConfig;
  clock: Clock;
  sockets: SocketLimits;
}): Transport {
  /** The newest first; those before it, of credentials since replaced, serve out what they carry. */
  let lanes: Lanes[] = [];

  function lanesFor(tls: TlsMaterial): Lanes {
    const [current] = lanes;
    if (current?.tls === tls) return current;
    const made = { tls, requests: agent(tls, sockets.requests), watches: agent(tls, sockets.watches) };
    lanes = [made, ...lanes.filter((each) => socketsOf(each) > 0)];
    return made;
  }

  async function begin(lane: 'requests' | 'watches', outgoing: Outgoing, fresh: boolean): Promise<Running> {
    const access = await config.access(fresh).catch((error: unknown) => {
      throw new TransportFailure(`no credentials: ${messageOf(error)}`, { sent: false, reused: false });
    });
    const { hostname, port } = config.server;
    const request = httpsRequest({
      agent: lanesFor(access.tls)[lane],
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 443 : Number(port),
      method: outgoing.method,
      path: `${config.server.pathname.replace(/\/$/, '')}${outgoing.path}`,
      headers: {
        ...access.headers,
        ...outgoing.headers,
        host: config.server.host,
        // CVE-2026-111497: nothing of the network is ever decompressed.
        'accept-encoding': 'identity',
        ...(outgoing.body === undefined ? {} : { 'content-length': Buffer.byteLength(outgoing.body) }),
      },
    });
    return running(request, clock, outgoing);
  }

  return {
    async exchange(outgoing, fresh) {
      const run = await begin('requests', outgoing, fresh);
      try {
        return await replyOf(await run.head, outgoing);
      } catch (error) {
        throw run.failure(error);
      } finally {
        run.finish();
      }
    },
    async open(outgoing, fresh) {
      const run = await begin('watches', outgoing, fresh);
      try {
        const response = await run.head;
        return response.statusCode === 200 ? response : await replyOf(response, outgoing);
      } catch (error) {
        throw run.failure(error);
      } finally {
        run.finish();
      }
    },
    openSockets: () => lanes.reduce((sum, each) => sum + socketsOf(each), 0),
    close() {
      for (const { requests, watches } of lanes) {
        requests.destroy();
        watches.destroy();
      }
    },
  };
}

function agent(tls: TlsMaterial, maxSockets: number): Agent {
  return new Agent({
    ...tls,
    keepAlive: true,
    keepAliveMsecs: KEEP_ALIVE_PROBE_MS,
    maxSockets,
    maxTotalSockets: maxSockets,
    scheduling: 'lifo',
    timeout: IDLE_MS,
    minVersion: 'TLSv1.2',
  });
}

function socketsOf({ requests, watches }: Lanes): number {
  let sum = 0;
  for (const { sockets, freeSockets } of [requests, watches]) {
    for (const pool of [sockets, freeSockets]) for (const list of Object.values(pool)) sum += list?.length ?? 0;
  }
  return sum;
}

interface Running {
  head: Promise<IncomingMessage>;
  /** Ends the time limit. */
  finish(): void;
  failure(error: unknown): TransportFailure;
}

class TooLarge extends Error {}
class TimedOut extends Error {}

/** Sends the request under its time limit and notes how far it got. */
function running(request: ClientRequest, clock: Clock, { timeoutMs, body, signal }: Outgoing): Running {
  const over = new AbortController();
  const { promise: head, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  let sent = false;
  let response: IncomingMessage | undefined;
  const cut = (reason: Error) => void (response ?? request).destroy(reason);
  const after = (ms: number, unless: AbortSignal, reason: string) =>
    clock.sleep(ms, unless).then(
      () => cut(new TimedOut(reason)),
      () => undefined,
    );

  request.on('socket', (socket: TLSSocket) => {
    if (request.reusedSocket) {
      sent = true;
      return;
    }
    const connected = new AbortController();
    void after(CONNECT_MS, AbortSignal.any([connected.signal, over.signal]), 'no connection in time');
    socket.once('secureConnect', () => {
      sent = true;
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
  void after(timeoutMs, over.signal, 'no answer in time');
  const abort = () => cut(new Error('aborted'));
  if (signal?.aborted === true) abort();
  else signal?.addEventListener('abort', abort, { once: true, signal: over.signal });
  request.end(body);

  return {
    head,
    finish: () => over.abort(),
    failure: (error) =>
      new TransportFailure(messageOf(error), {
        sent,
        reused: request.reusedSocket,
        tooLarge: error instanceof TooLarge,
        timedOut: error instanceof TimedOut,
      }),
  };
}

async function replyOf(response: IncomingMessage, { maxBytes }: Outgoing): Promise<Reply> {
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

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
