// One HTTPS request to a CA elsewhere, bound in time and size. Redirects are not followed and no Content-Encoding is decoded.
import { type Agent, request, type RequestOptions } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Unavailable } from '../../domain/unavailable.ts';
import type { BackendDeps, JudgedAddresses } from '../../ports.ts';
import { RemoteFault } from './remote-fault.ts';

export interface Answer {
  status: number;
  /** Media type without parameters, lower case; '' where there is none. */
  contentType: string;
  /** Of Retry-After, within reason. */
  retryAfterMs: number | undefined;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Call {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  url: URL;
  headers: Readonly<Record<string, string>>;
  /** Absent where nothing is sent. */
  payload?: Buffer;
  agent: Agent;
  /** Longest answer that is read. */
  maxBytes: number;
}

/** Resolves with any complete answer, whatever its status. Throws RemoteFault otherwise, and the signal's reason once that aborts. */
export type Exchange = (call: Call, signal: AbortSignal) => Promise<Answer>;

const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 3_600_000;

export interface ExchangeDeps extends Pick<BackendDeps, 'clock' | 'addressesOf'> {
  timeoutMs: number;
  /** What messages call the CA. */
  peer: string;
}

export function createExchange({ clock, timeoutMs, peer, addressesOf }: ExchangeDeps): Exchange {
  return async ({ payload, maxBytes, headers, ...call }, signal) => {
    signal.throwIfAborted();
    const over = new AbortController();
    clock.sleep(timeoutMs, over.signal).then(
      () => over.abort(new RemoteFault('TimedOut', `${peer} did not answer in time`)),
      () => undefined,
    );
    try {
      const all = { 'Accept-Encoding': 'identity', 'User-Agent': 'countersign', ...headers };
      const length = payload && { 'Content-Length': String(payload.length) };
      const both = AbortSignal.any([signal, over.signal]);
      const pinned = addressesOf && { lookup: lookupOf(await judged(addressesOf, call.url, both)) };
      const response = await send({ ...call, headers: { ...all, ...length }, signal: both, ...pinned }, payload);
      return await readAnswer(response, { peer, maxBytes, now: clock.now() });
    } catch (error) {
      signal.throwIfAborted();
      throw faultOf(over.signal.aborted ? over.signal.reason : error, peer);
    } finally {
      over.abort();
    }
  };
}

/** Addresses are judged even where nothing is to be looked up. */
function judged(addressesOf: JudgedAddresses, { hostname }: URL, signal: AbortSignal): Promise<readonly string[]> {
  return addressesOf(hostname.replace(/^\[|\]$/g, ''), signal);
}

/** Gives these addresses, whatever is asked. */
function lookupOf(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all: wantsAll }, done) => {
    const [first] = all;
    if (wantsAll === true || !first) done(null, all);
    else done(null, first.address, first.family);
  };
}

function send({ url, ...options }: RequestOptions & { url: URL }, payload?: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, resolve);
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

async function readAnswer(
  response: IncomingMessage,
  { peer, maxBytes, now }: { peer: string; maxBytes: number; now: Date },
): Promise<Answer> {
  const { headers, statusCode: status = 0 } = response;
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    response.destroy();
    throw new RemoteFault('BadAnswer', `the answer of ${peer} is encoded`);
  }
  const chunks: Buffer[] = [];
  let length = Number(headers['content-length'] ?? 0) > maxBytes ? Infinity : 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the response and its connection.
    if (length > maxBytes) throw new RemoteFault('BadAnswer', `the answer of ${peer} is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const contentType = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  return { status, contentType, retryAfterMs: retryAfterOf(headers, now), headers, body: Buffer.concat(chunks) };
}

/** RFC 9110 section 10.2.3: seconds or a date. */
function retryAfterOf(headers: IncomingHttpHeaders, now: Date): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now.getTime();
  return Number.isNaN(ms) ? undefined : boundedRetry(ms);
}

export function boundedRetry(ms: number): number {
  return Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, ms));
}

function faultOf(error: unknown, peer: string): RemoteFault {
  if (error instanceof RemoteFault) return error;
  if (error instanceof Unavailable)
    return new RemoteFault('Unreachable', `${peer} cannot be reached: ${error.message}`);
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'no answer';
  return new RemoteFault('Unreachable', `${peer} cannot be reached (${code})`, { cause: error });
}
