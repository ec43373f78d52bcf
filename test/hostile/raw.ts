// Requests that no HTTP client would send: bytes over TLS, and what came back for them.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { Arena } from './arena.ts';

export interface RawReply {
  /** 0 where nothing came that is HTTP. */
  status: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
  body: string;
  /** Of the request, as the server's socket counted them. */
  bytesRead: number;
  /** Whether the server ended the connection. */
  closed: boolean;
}

/** Without the last empty line, so that more headers may follow. */
export const head = (line: string, ...headers: readonly string[]): string =>
  [line, 'Host: 127.0.0.1', ...headers, ''].join('\r\n');

export const request = (line: string, ...headers: readonly string[]): string => `${head(line, ...headers)}\r\n`;

export interface RawOptions {
  /** Sent for as long as the server takes it, after `first`. */
  endless?: () => Buffer;
  /** Milliseconds between pieces of `endless`; none when absent. */
  everyMs?: number;
}

/** Sends the bytes, and more without end if so asked; resolves once an answer is complete or the server hangs up. */
export async function sendRaw(arena: Arena, first: string | Buffer, options: RawOptions = {}): Promise<RawReply> {
  const { server } = arena.operator.operator.acme;
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const socket = connect({
    port: Number(new URL(arena.operator.origin).port),
    host: '127.0.0.1',
    ca: arena.operator.ca,
    checkServerIdentity: () => undefined,
  });
  const received: Buffer[] = [];
  const ended = new Promise<boolean>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      if (isComplete(Buffer.concat(received).toString('latin1'))) resolve(false);
    });
    // What is still being sent when the server hangs up ends in EPIPE or ECONNRESET.
    socket.on('error', () => resolve(true));
    socket.on('close', () => resolve(true));
  });
  const [peer] = await accepted;
  socket.write(first);
  const stop = options.endless ? pump(socket, options.endless, options.everyMs) : () => {};
  const closed = await ended;
  stop();
  const bytesRead = peer.bytesRead;
  socket.destroy();
  return { ...parse(Buffer.concat(received).toString('latin1')), bytesRead, closed };
}

function pump(socket: TLSSocket, piece: () => Buffer, everyMs: number | undefined): () => void {
  const stopping = new AbortController();
  const timer = everyMs === undefined ? undefined : setInterval(() => socket.write(piece()), everyMs);
  const push = (): void => {
    while (!stopping.signal.aborted && !socket.destroyed && socket.write(piece()));
  };
  if (timer === undefined) {
    socket.on('drain', push);
    push();
  }
  return () => {
    stopping.abort();
    clearInterval(timer);
  };
}

function isComplete(text: string): boolean {
  const { status, headers, body } = parse(text);
  if (status === 0) return false;
  if (status === 204 || headers['transfer-encoding'] === 'chunked') return status === 204 || body.endsWith('0\r\n\r\n');
  return body.length >= Number(headers['content-length'] ?? Number.POSITIVE_INFINITY);
}

function parse(text: string): Pick<RawReply, 'status' | 'headers' | 'body'> {
  // An interim response is not the answer.
  const final = text.replace(/^(HTTP\/1\.1 1\d\d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n)+/, '');
  const end = final.indexOf('\r\n\r\n');
  if (end < 0) return { status: 0, headers: {}, body: '' };
  const [line = '', ...fields] = final.slice(0, end).split('\r\n');
  const headers = fields.map((field) => {
    const colon = field.indexOf(':');
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
  });
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1] ?? 0),
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: final.slice(end + 4),
  };
}
