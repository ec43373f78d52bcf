// One GET over a socket that is already connected. Reads no more than it must, decodes nothing, keeps no connection.
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';

/** Key authorizations have about ninety bytes. */
export const MAX_BODY_BYTES = 1_024;
const MAX_HEADER_BYTES = 8_192;
/** Interim (1xx) responses before the real one. */
const MAX_INTERIM = 4;

export interface HttpTarget {
  /** Host header. */
  authority: string;
  path: string;
}

export type HttpOutcome =
  | { kind: 'response'; status: number; location: string | undefined; body: Buffer }
  /** The peer did not speak HTTP, or TLS where that was asked, or stopped. */
  | { kind: 'broken'; type: 'connection' | 'tls'; reason: string }
  /** A whole response we refuse to read. */
  | { kind: 'refused'; reason: string };

/**
 * The body is read only where the status is 200. Rejects with the signal's reason. The socket is of no use afterwards, and the
 * caller's to destroy.
 */
export function httpGet(socket: Duplex, target: HttpTarget, signal: AbortSignal): Promise<HttpOutcome> {
  return new Promise((resolve, reject) => {
    const ask = request({
      createConnection: () => socket,
      method: 'GET',
      path: target.path,
      setHost: false,
      headers: {
        Host: target.authority,
        'User-Agent': 'countersign (ACME validation, RFC 8555)',
        Accept: '*/*',
        'Accept-Encoding': 'identity',
        Connection: 'close',
      },
      maxHeaderSize: MAX_HEADER_BYTES,
      insecureHTTPParser: false,
    });
    const end = (settle: () => void) => {
      signal.removeEventListener('abort', onAbort);
      ask.destroy();
      settle();
    };
    const onAbort = () => end(() => reject(signal.reason as Error));
    signal.addEventListener('abort', onAbort, { once: true });
    readResponse(ask, (outcome) => end(() => resolve(outcome)));
    ask.end();
  });
}

/** `done` may be called more than once; only the first call counts. */
function readResponse(ask: ClientRequest, done: (outcome: HttpOutcome) => void): void {
  const broken = (reason: string) => done({ kind: 'broken', type: 'connection', reason });
  const onError = (error: NodeJS.ErrnoException) => done({ kind: 'broken', ...describeError(error) });
  let interim = 0;
  ask.on('information', () => {
    if (++interim > MAX_INTERIM) broken('too many interim responses');
  });
  // Never removed: what is destroyed may still report an error.
  ask.on('error', onError);
  ask.on('close', () => broken('connection closed early'));
  ask.on('response', (response) => {
    response.on('error', onError);
    const { statusCode: status = 0, headers } = response;
    const location = headers.location;
    if (status !== 200) done({ kind: 'response', status, location, body: Buffer.alloc(0) });
    else if (headers['content-encoding'] !== undefined)
      done({ kind: 'refused', reason: 'the response has a Content-Encoding' });
    else readBody(response, done);
  });
}

function readBody(response: IncomingMessage, done: (outcome: HttpOutcome) => void): void {
  const tooLong = () => done({ kind: 'refused', reason: `the response is longer than ${MAX_BODY_BYTES} bytes` });
  if (Number(response.headers['content-length'] ?? 0) > MAX_BODY_BYTES) {
    tooLong();
    return;
  }
  const chunks: Buffer[] = [];
  let length = 0;
  response.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) tooLong();
    else chunks.push(chunk);
  });
  response.on('end', () => done({ kind: 'response', status: 200, location: undefined, body: Buffer.concat(chunks) }));
}

/** By code alone: those are Node's and the system's, while messages may repeat what the peer sent. */
function describeError({ code = '' }: NodeJS.ErrnoException): { type: 'connection' | 'tls'; reason: string } {
  if (/^(ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code)) return { type: 'tls', reason: 'TLS failed' };
  if (code === 'HPE_HEADER_OVERFLOW')
    return { type: 'connection', reason: `headers longer than ${MAX_HEADER_BYTES} bytes` };
  if (code.startsWith('HPE_')) return { type: 'connection', reason: 'not HTTP/1.1' };
  return { type: 'connection', reason: code === 'ECONNRESET' ? 'connection closed early' : 'connection lost' };
}
