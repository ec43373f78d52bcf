// HTTP/1.1 over one kept TLS connection, one request at a time: what a client of the load needs, for a fraction of the CPU that node:http
// takes, so that a machine which holds server and clients measures the server. It reads what an HTTP server may send and no more.
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type HttpOptions, type Reply, replyOf, serverName, type Transport } from '../support/acme-wire.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
const NOTHING = Buffer.alloc(0);

/** `ca`: PEM of what signed the server's certificate. A second request before the answer to the first is an error. */
export function createLoadTransport(ca: string): Transport {
  let connection: Connection | undefined;
  return {
    request: async (method, url, options = {}) => {
      const { hostname, port, pathname, search, host } = new URL(url);
      if (!connection?.isOpen()) {
        const at = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) };
        connection = await open({ ...at, servername: serverName(url), ca });
      }
      return connection.exchange(requestOf(method, { host, path: pathname + search }, options), method === 'HEAD');
    },
    close: () => connection?.close(),
  };
}

function requestOf(method: string, { host, path }: { host: string; path: string }, options: HttpOptions): string {
  const body = options.body === undefined ? '' : Buffer.from(options.body).toString('latin1');
  const length = options.body === undefined ? [] : [`content-length: ${body.length}`];
  const headers = { host, 'user-agent': 'countersign-bench/1', ...options.headers };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${path} HTTP/1.1`, ...lines, ...length, '', body].join('\r\n');
}

interface Connection {
  isOpen(): boolean;
  exchange(request: string, isHead: boolean): Promise<Reply>;
  close(): void;
}

async function open(to: Pick<ConnectionOptions, 'host' | 'port' | 'servername' | 'ca'>): Promise<Connection> {
  const socket = connect({ ...to, ALPNProtocols: ['http/1.1'] });
  socket.setNoDelay();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('secureConnect', resolve).once('error', reject);
  await promise;
  return connectionOf(socket);
}

function connectionOf(socket: TLSSocket): Connection {
  let waiting: (PromiseWithResolvers<Reply> & { isHead: boolean }) | undefined;
  let received: Buffer = NOTHING;
  const fail = (error: Error) => {
    waiting?.reject(error);
    waiting = undefined;
    socket.destroy();
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    try {
      const reply = waiting && readReply(received, waiting.isHead);
      if (!reply) return;
      received = NOTHING;
      waiting?.resolve(reply);
      waiting = undefined;
    } catch (error) {
      fail(error as Error);
    }
  });
  return {
    isOpen: () => socket.writable,
    exchange: (request, isHead) => {
      if (waiting) throw new Error('one request at a time');
      const answer = { ...Promise.withResolvers<Reply>(), isHead };
      waiting = answer;
      socket.write(request, 'latin1');
      return answer.promise;
    },
    close: () => socket.destroy(),
  };
}

/** RFC 9112 section 6.3. Undefined while more is to come. */
function readReply(received: Buffer, isHead: boolean): Reply | undefined {
  const end = received.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [first = '', ...lines] = received.toString('latin1', 0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]);
  if (!status) throw new Error(`no answer of HTTP/1.1: ${first}`);
  const headers = headersOf(lines);
  const bodyless = isHead || status === 204 || status === 304;
  const rest = received.subarray(end + HEAD_END.length);
  const body = bodyless ? NOTHING : bodyOf(rest, headers);
  return body && replyOf(status, headers, body);
}

/** What comes more than once is joined with commas, as RFC 9110 section 5.3 has it. */
function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const [name, value] = [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}

function bodyOf(rest: Buffer, headers: Readonly<Record<string, string>>): Buffer | undefined {
  if (headers['transfer-encoding'] === 'chunked') return unchunked(rest);
  const length = Number(headers['content-length'] ?? Number.NaN);
  if (Number.isNaN(length)) throw new Error('an answer without a length');
  return rest.length < length ? undefined : rest.subarray(0, length);
}

/** RFC 9112 section 7.1, without trailers. */
function unchunked(rest: Buffer): Buffer | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = rest.indexOf(LINE_END, at);
    if (line < 0) return undefined;
    const size = Number.parseInt(rest.toString('latin1', at, line), 16);
    if (Number.isNaN(size)) throw new Error('a chunk without a size');
    const start = line + LINE_END.length;
    const next = start + size + LINE_END.length;
    if (rest.length < next) return undefined;
    if (size === 0) return Buffer.concat(chunks);
    chunks.push(rest.subarray(start, start + size));
    at = next;
  }
}
