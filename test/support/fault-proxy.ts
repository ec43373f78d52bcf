// An HTTPS proxy before an API server, with a CA of its own, whose faults a test switches on and off. It passes requests on with the
// client's token, streams answers as they come, and keeps what it saw.
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { createControlPlanePki } from './control-plane-pki.ts';

export type ApiVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export interface ProxiedRequest {
  /** performance.now() of its coming. */
  at: number;
  verb: ApiVerb;
  /** Plural of the kind, with `/status` where it is about that; empty for what is no resource. */
  resource: string;
  name: string | undefined;
  query: URLSearchParams;
  /** What became of it. */
  fault: Fault['kind'] | undefined;
}

export type Fault =
  /** Refused without being passed on. */
  | { kind: 'refuse'; status: number; retryAfterSeconds?: number }
  /** Done, and answered as if it had failed. */
  | { kind: 'lose-answer'; status: number }
  /** The connection breaks, before the request is passed on. */
  | { kind: 'cut' }
  /** Neither an answer nor an end: the request is not passed on, and of an open watch nothing more comes. */
  | { kind: 'stall' }
  /** Passed on so much later. */
  | { kind: 'delay'; ms: number };

export interface FaultRule {
  fault: Fault;
  /** Any when absent. */
  verbs?: readonly ApiVerb[];
  resources?: readonly string[];
  /** Further condition. */
  when?: (request: ProxiedRequest) => boolean;
  /** Share of the requests it is for, drawn from the proxy's seed; all when absent. */
  share?: number;
}

export interface FaultProxy {
  readonly url: string;
  /** PEM of what clients must trust. */
  readonly ca: string;
  readonly requests: ProxiedRequest[];
  /** The rules from now on; the first that fits counts. Watches that are open break or fall silent where a rule says so for watches. */
  set(...rules: readonly FaultRule[]): void;
  /** No faults. Watches that fell silent stay so. */
  heal(): void;
  stop(): Promise<void>;
}

/** An open answer to a client. */
interface Flow {
  request: ProxiedRequest;
  incoming: IncomingMessage;
  response: ServerResponse;
  upstream: IncomingMessage;
}

export async function startFaultProxy(target: { url: string; ca: string }, seed = 1): Promise<FaultProxy> {
  const pki = createControlPlanePki(['127.0.0.1']);
  const agent = new Agent({ keepAlive: true, ca: target.ca });
  const draw = createDraw(seed);
  const sockets = new Set<Socket>();
  const flows = new Set<Flow>();
  const requests: ProxiedRequest[] = [];
  let rules: readonly FaultRule[] = [];

  const fits = (rule: FaultRule, request: ProxiedRequest) =>
    (rule.verbs?.includes(request.verb) ?? true) &&
    (rule.resources?.includes(request.resource) ?? true) &&
    (rule.when?.(request) ?? true) &&
    (rule.share === undefined || draw() < rule.share);

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(incoming);
    const request = described(incoming);
    requests.push(request);
    const fault = rules.find((rule) => fits(rule, request))?.fault;
    request.fault = fault?.kind;
    if (fault?.kind === 'cut') return void incoming.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'refuse') return refuse(response, fault.status, fault.retryAfterSeconds);
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    const outgoing = passedOn(incoming, { target: target.url, agent, body });
    const [upstream] = (await once(outgoing, 'response')) as [IncomingMessage];
    if (fault?.kind === 'lose-answer') {
      await buffer(upstream);
      return refuse(response, fault.status, undefined);
    }
    response.writeHead(upstream.statusCode ?? 502, upstream.headers);
    response.flushHeaders();
    relay({ request, incoming, response, upstream });
  }

  function relay(flow: Flow): void {
    const { response, upstream } = flow;
    flows.add(flow);
    upstream.pipe(response);
    upstream.on('error', () => response.destroy());
    response.once('close', () => {
      flows.delete(flow);
      upstream.destroy();
    });
  }

  const server = createServer({ ...pki.server, keepAliveTimeout: 60_000 }, (incoming, response) => {
    serve(incoming, response).catch(() => response.destroy());
  });
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: pki.ca,
    requests,
    set(...given) {
      rules = given;
      for (const { request, incoming, response, upstream } of flows) {
        const fault = rules.find((rule) => request.verb === 'watch' && fits(rule, request))?.fault;
        if (fault?.kind === 'stall') upstream.unpipe(response).pause();
        else if (fault && fault.kind !== 'delay') incoming.socket.destroy();
      }
    },
    heal() {
      rules = [];
    },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      await closed;
    },
  };
}

function passedOn(
  { method, url, headers }: IncomingMessage,
  { target, agent, body }: { target: string; agent: Agent; body: Buffer },
): ClientRequest {
  const to = new URL(url ?? '/', target);
  const send = to.protocol === 'https:' ? httpsRequest : httpRequest;
  const outgoing = send(to, { method, agent, headers: { ...headers, host: to.host } });
  outgoing.end(body);
  return outgoing;
}

const REASONS: Readonly<Record<number, string>> = {
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

function refuse(response: ServerResponse, code: number, retryAfterSeconds: number | undefined): void {
  const reason = REASONS[code] ?? 'Unknown';
  response.writeHead(code, {
    'content-type': 'application/json',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
  });
  const message = 'refused by the fault proxy';
  response.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message }));
}

/** Reads the resource from a path such as /apis/<group>/<version>/namespaces/<namespace>/<resource>/<name>/status. */
function described({ method = 'GET', url = '/' }: IncomingMessage): ProxiedRequest {
  const { pathname, searchParams: query } = new URL(url, 'https://unused');
  const parts = pathname.split('/').filter((part) => part !== '');
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3);
  const [resource = '', name, sub] = rest[0] === 'namespaces' && rest.length > 2 ? rest.slice(2) : rest;
  const watch = query.get('watch') === 'true' || query.get('watch') === '1';
  const reading = watch ? 'watch' : name === undefined ? 'list' : 'get';
  const verbs: Record<string, ApiVerb> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };
  return {
    at: performance.now(),
    verb: verbs[method] ?? reading,
    resource: sub === undefined ? resource : `${resource}/${sub}`,
    name,
    query,
    fault: undefined,
  };
}

/** Numbers in [0, 1), the same for the same seed. */
function createDraw(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
