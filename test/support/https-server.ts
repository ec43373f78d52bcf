// An HTTPS server on loopback whose every answer a test decides, with the ways a real one misbehaves within reach.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { createControlPlanePki } from './control-plane-pki.ts';

export interface SeenRequest {
  method: string;
  /** Path without its query. */
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: string;
  /** Which connection brought it, counted from 1. */
  connection: number;
}

type Answering = (request: SeenRequest, response: ServerResponse) => void | Promise<void>;

export interface HttpsServer {
  url: string;
  /** PEM of what clients must trust. */
  ca: string;
  /** All so far, in the order of their coming. */
  requests: SeenRequest[];
  connections: { now: number; most: number; total: number };
  /** Answers from now on. */
  answer: Answering;
  /** Ends all connections without a word. */
  cut(): void;
  /** Takes no connections, then, with `start`, takes them again at the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export async function startHttpsServer(answer: Answering): Promise<HttpsServer> {
  const { ca, server: tls } = createControlPlanePki(['127.0.0.1']);
  const connections = { now: 0, most: 0, total: 0 };
  const numbers = new Map<Socket, number>();
  const server = createServer({ ...tls, keepAliveTimeout: 60_000 }, (incoming, response) => {
    void serve(incoming, response);
  });

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'https://unused');
    const body = await text(incoming).catch(() => '');
    const seen: SeenRequest = {
      method: incoming.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers,
      body,
      connection: numbers.get(incoming.socket) ?? 0,
    };
    self.requests.push(seen);
    await self.answer(seen, response);
  }

  server.on('secureConnection', (socket) => {
    connections.now++;
    connections.total++;
    connections.most = Math.max(connections.most, connections.now);
    numbers.set(socket, connections.total);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      connections.now--;
      numbers.delete(socket);
    });
  });
  server.on('tlsClientError', () => undefined);

  let port = 0;
  const self: HttpsServer = {
    url: '',
    ca,
    requests: [],
    connections,
    answer,
    cut: () => server.closeAllConnections(),
    async start() {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      ({ port } = server.address() as AddressInfo);
      self.url = `https://127.0.0.1:${port}`;
    },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  await self.start();
  return self;
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** Answers as the API server refuses. */
export function sendStatus(
  response: ServerResponse,
  code: number,
  reason: string,
  more: { message?: string; details?: object; headers?: Record<string, string> } = {},
): void {
  const { headers, ...rest } = more;
  sendJson(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, ...rest }, headers);
}
