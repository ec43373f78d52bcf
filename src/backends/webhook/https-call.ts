// One HTTPS request to a webhook, bound in time and size. Redirects are not followed and no Content-Encoding is decoded.
import { request, type RequestOptions } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Unavailable } from '../../domain/unavailable.ts';
import type { Clock, JudgedAddresses } from '../../ports.ts';
import type { CredentialStore } from './credentials.ts';
import { WebhookFault } from './webhook-fault.ts';

export interface Answer {
  status: number;
  /** Media type without parameters, lower case; '' where there is none. */
  contentType: string;
  /** Of Retry-After, within reason. */
  retryAfterMs: number | undefined;
  body: Buffer;
}

export interface Call {
  method: 'GET' | 'POST';
  url: URL;
  /** Sent as JSON. */
  body?: object;
}

/** Resolves with any complete answer, whatever its status. Throws WebhookFault otherwise, and the signal's reason once that aborts. */
export type HttpsCall = (call: Call, signal: AbortSignal) => Promise<Answer>;

/** A chain of ten certificates with a hundred names each fits. */
const MAX_BODY = 256 * 1024;
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 3_600_000;

export interface HttpsCallDeps {
  credentials: CredentialStore;
  clock: Clock;
  timeoutMs: number;
  /** As of BackendDeps. */
  addressesOf?: JudgedAddresses;
}

export function createHttpsCall({ credentials, clock, timeoutMs, addressesOf }: HttpsCallDeps): HttpsCall {
  return async ({ method, url, body }, signal) => {
    signal.throwIfAborted();
    const known = await credentials.get();
    const { agent } = known;
    const payload = Buffer.from(body ? JSON.stringify(body) : '');
    const headers = {
      Accept: 'application/json, application/problem+json',
      'Accept-Encoding': 'identity',
      'User-Agent': 'countersign',
      ...(body ? { 'Content-Type': 'application/json', 'Content-Length': String(payload.length) } : {}),
      ...known.sign({ method, path: url.pathname + url.search, body: payload }),
    };
    const over = new AbortController();
    clock.sleep(timeoutMs, over.signal).then(
      () => over.abort(TIMED_OUT),
      () => undefined,
    );
    try {
      const both = AbortSignal.any([signal, over.signal]);
      const pinned = addressesOf && { lookup: lookupOf(await judged(addressesOf, url, both)) };
      const response = await send({ method, url, headers, agent, signal: both, ...pinned }, payload);
      const answer = await readAnswer(response, clock.now());
      if (answer.status === 401 || answer.status === 403) credentials.refresh();
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      // A new certificate or key may be the cure.
      credentials.refresh();
      throw error instanceof WebhookFault ? error : faultOf(over.signal.aborted ? TIMED_OUT : error);
    } finally {
      over.abort();
    }
  };
}

/** Addresses are judged even where nothing is to be looked up. */
async function judged(addressesOf: JudgedAddresses, url: URL, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await addressesOf(url.hostname.replace(/^\[|\]$/g, ''), signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof Unavailable)) throw error;
    throw new WebhookFault('Unreachable', `the webhook cannot be reached: ${error.message}`);
  }
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

const TIMED_OUT = new WebhookFault('TimedOut', 'the webhook did not answer in time');

function send({ url, ...options }: RequestOptions & { url: URL }, payload: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, resolve);
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

async function readAnswer(response: IncomingMessage, now: Date): Promise<Answer> {
  const { headers, statusCode: status = 0 } = response;
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity' || Number(headers['content-length'] ?? 0) > MAX_BODY) {
    response.destroy();
    throw new WebhookFault('BadAnswer', `the answer of the webhook is encoded or longer than ${MAX_BODY} bytes`);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the response and its connection.
    if (length > MAX_BODY)
      throw new WebhookFault('BadAnswer', `the answer of the webhook is longer than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  const contentType = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  return { status, contentType, retryAfterMs: retryAfterOf(headers, now), body: Buffer.concat(chunks) };
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

function faultOf(error: unknown): WebhookFault {
  if (error instanceof WebhookFault) return error;
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'no answer';
  return new WebhookFault('Unreachable', `the webhook cannot be reached (${code})`, { cause: error });
}
