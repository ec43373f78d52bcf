// Answers http-01 challenges, rightly or in any wrong way a test asks for, and remembers every request.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export interface SeenRequest {
  method: string;
  url: string;
  host: string | undefined;
  headers: IncomingMessage['headers'];
}

export type Http01Answer =
  | { status?: number; headers?: Readonly<Record<string, string>>; body: string | Uint8Array }
  | ((request: IncomingMessage, response: ServerResponse) => void | Promise<void>);

export interface Http01Responder {
  readonly port: number;
  /** Answers `/.well-known/acme-challenge/<token>`; later calls replace earlier ones. */
  set(token: string, answer: Http01Answer): void;
  /** Answers any other path, for redirects. */
  setPath(path: string, answer: Http01Answer): void;
  remove(token: string): void;
  /** Requests whose path has the token, oldest first. */
  requestsFor(token: string): readonly SeenRequest[];
  stop(): Promise<void>;
}

const PREFIX = '/.well-known/acme-challenge/';

/** Listens on 127.0.0.1 and on ::1 at the same port, so that one port serves every loopback identifier. */
export async function startHttp01Responder(): Promise<Http01Responder> {
  const answers = new Map<string, Http01Answer>();
  const seen: SeenRequest[] = [];
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = request.url ?? '';
    seen.push({ method: request.method ?? '', url, host: request.headers.host, headers: request.headers });
    const answer = answers.get(url);
    if (typeof answer === 'function') await answer(request, response);
    else if (answer) response.writeHead(answer.status ?? 200, { ...answer.headers }).end(answer.body);
    else response.writeHead(404).end('nothing here');
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    respond(request, response).catch(() => response.destroy());
  };
  const [v4, v6, port] = await listenTwice(() => createServer(listener));

  return {
    port,
    set: (token, answer) => void answers.set(PREFIX + token, answer),
    setPath: (path, answer) => void answers.set(path, answer),
    remove: (token) => void answers.delete(PREFIX + token),
    requestsFor: (token) => seen.filter(({ url }) => url.includes(token)),
    stop: async () => {
      await Promise.all([v4, v6].map((server) => close(server)));
    },
  };
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

/** Two servers on one free port number; another number is tried while the second family's is taken. */
async function listenTwice(create: () => Server): Promise<[Server, Server, number]> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const v4 = create().listen(0, '127.0.0.1');
    await once(v4, 'listening');
    const address = v4.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const v6 = create();
    const listening = await new Promise<boolean>((resolve) => {
      v6.once('error', () => resolve(false));
      v6.listen({ port, host: '::1', ipv6Only: true }, () => resolve(true));
    });
    if (listening) return [v4, v6, port];
    v4.close();
  }
  throw new Error('no port free on both 127.0.0.1 and ::1');
}
