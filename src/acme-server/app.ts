// The route table of the ACME server (RFC 8555 section 7.1) and the frame around every answer.
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify';
import type { Issuer } from '../api/issuer.ts';
import { fold, parseExact, renderAddress } from '../domain/address.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { IssuerName } from '../domain/issuer.ts';
import { Problem } from '../domain/problem.ts';
import type { Cache, Counter, Histogram, Log, Random } from '../ports.ts';
import type { Authenticator, SignedRequest } from './authenticate.ts';
import { answerClientError } from './client-error.ts';
import type { LiveIssuer } from './confirm.ts';
import type { Authenticated, Exchange, Reply, Signed } from './exchange.ts';
import type { Nonces } from './nonces.ts';
import { startingUp } from './starting-up.ts';
import { createUrls, type Urls } from './urls.ts';

/** Largest request body, bytes. */
const BODY_LIMIT = 65_536;

type Handler<E extends Exchange> = (exchange: E) => Promise<Reply> | Reply;

/** What each resource does; app.ts knows where each is and who may ask. */
export interface Handlers {
  directory: Handler<Exchange>;
  renewalInfo: Handler<Exchange>;
  newAccount: Handler<Signed>;
  account: Handler<Authenticated>;
  orders: Handler<Authenticated>;
  keyChange: Handler<Authenticated>;
  newOrder: Handler<Authenticated>;
  order: Handler<Authenticated>;
  finalize: Handler<Authenticated>;
  authorization: Handler<Authenticated>;
  challenge: Handler<Authenticated>;
  certificate: Handler<Authenticated>;
  revokeCert: Handler<Signed>;
}

export interface AppDeps {
  handlers: Handlers;
  authenticator: Authenticator;
  nonces: Nonces;
  issuers: Cache<Issuer>;
  liveIssuer: LiveIssuer;
  /** Whether the watched copies are whole. */
  caughtUp: () => boolean;
  /** Without trailing slash, the canonical one first. */
  externalURLs: readonly string[];
  random: Random;
  log: Log;
  requests: Counter;
  requestSeconds: Histogram;
  /** TLS and HTTP settings of the listener. */
  server: FastifyServerOptions;
}

type Method = 'GET' | 'HEAD' | 'POST';
type Handle = (exchange: Exchange, request: FastifyRequest) => Promise<Reply> | Reply;
type Route = Partial<Record<Method, Handle>>;

/** A ClusterCAIssuer, and a CAIssuer of a namespace. */
const ISSUER_PATHS = ['/acme/:issuer', '/ns/:namespace/acme/:issuer'];

const ALL_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

function routes(
  { handlers: h, authenticator, caughtUp }: Pick<AppDeps, 'handlers' | 'authenticator' | 'caughtUp'>,
  signedOf: (request: FastifyRequest) => SignedRequest,
): Record<string, Route> {
  /** What needs to know of objects waits until they are known; directory and nonces do not. */
  const informed =
    (handle: Handle): Handle =>
    (...asked) => {
      if (!caughtUp()) throw startingUp();
      return handle(...asked);
    };
  const account = (handle: Handler<Authenticated>): Handle =>
    informed(async (exchange, request) => handle(await authenticator.withAccount(exchange, signedOf(request))));
  const key = (handle: Handler<Signed>): Handle =>
    informed(async (exchange, request) => handle(await authenticator.withKey(exchange, signedOf(request))));
  const either = (handle: Handler<Signed>): Handle =>
    informed(async (exchange, request) => handle(await authenticator.withEither(exchange, signedOf(request))));
  const nonce = (status: number) => (): Reply => ({ status, headers: { 'Cache-Control': 'no-store' } });
  return {
    '/directory': { GET: h.directory, HEAD: h.directory, POST: account(h.directory) },
    '/new-nonce': { GET: nonce(204), HEAD: nonce(200), POST: account(nonce(204)) },
    '/new-account': { POST: key(h.newAccount) },
    '/new-order': { POST: account(h.newOrder) },
    '/revoke-cert': { POST: either(h.revokeCert) },
    '/key-change': { POST: account(h.keyChange) },
    '/renewal-info/:certid': { GET: informed(h.renewalInfo), POST: account(h.renewalInfo) },
    '/account/:account': { POST: account(h.account) },
    '/account/:account/orders': { POST: account(h.orders) },
    '/order/:sealed': { POST: account(h.order) },
    '/order/:sealed/finalize': { POST: account(h.finalize) },
    '/authz/:sealed': { POST: account(h.authorization) },
    '/challenge/:sealed/:type': { POST: account(h.challenge) },
    '/certificate/:record': { POST: account(h.certificate) },
    '/certificate/:record/:n': { POST: account(h.certificate) },
  };
}

export function createAcmeApp(deps: AppDeps): FastifyInstance {
  const frame = createFrame(deps);
  const app = fastify({
    ...deps.server,
    bodyLimit: BODY_LIMIT,
    // Paths that no router can read; by itself fastify repeats them in an answer of its own.
    frameworkErrors: (error, request, reply) => void frame.fail(request, reply, error),
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: 8192, caseSensitive: true, ignoreTrailingSlash: false },
    exposeHeadRoutes: false,
    logger: false,
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  const table = routes(deps, (request) => signedRequest(request, deps.externalURLs));
  for (const [path, route] of Object.entries(table))
    for (const issuer of ISSUER_PATHS) mount(app, frame, { path: `${issuer}${path}`, route });
  app.options('/*', (_request, reply) => frame.options(reply));
  app.setNotFoundHandler((request, reply) =>
    frame.fail(request, reply, new Problem('malformed', 'no such resource', { status: 404 })),
  );
  app.setErrorHandler((error, request, reply) => frame.fail(request, reply, error));
  return app;
}

function mount(app: FastifyInstance, frame: Frame, { path, route }: { path: string; route: Route }): void {
  const allowed = (Object.keys(route) as Method[]).sort();
  for (const method of allowed) {
    app.route({ method, url: path, handler: (request, reply) => frame.serve(request, reply, route[method] as Handle) });
  }
  const refused = ALL_METHODS.filter((method) => !route[method as Method]);
  const problem = new Problem('malformed', `this resource answers ${allowed.join(', ')} only`, {
    status: 405,
    headers: { Allow: allowed.join(', ') },
  });
  app.route({ method: [...refused], url: path, handler: (request, reply) => frame.fail(request, reply, problem) });
}

/** RFC 8555 section 6.2: the media type is compared by us, parameters aside; encoded bodies are refused undecoded. */
function signedRequest(request: FastifyRequest, externalURLs: readonly string[]): SignedRequest {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/jose+json')
    throw new Problem('malformed', 'send Content-Type: application/jose+json', { status: 415 });
  if (request.headers['content-encoding'] !== undefined)
    throw new Problem('malformed', 'send the body without Content-Encoding', { status: 415 });
  if (!Buffer.isBuffer(request.body)) throw new Problem('malformed', 'the request has no body');
  const path = request.raw.url ?? '';
  return { body: request.body, urls: externalURLs.map((base) => base + path) };
}

interface Frame {
  serve(request: FastifyRequest, reply: FastifyReply, handle: Handle): Promise<FastifyReply>;
  fail(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply;
  options(reply: FastifyReply): FastifyReply;
}

const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'Link, Location, Replay-Nonce, Retry-After',
};
const PREFLIGHT = {
  ...CORS,
  'Access-Control-Allow-Methods': 'GET, HEAD, POST',
  'Access-Control-Allow-Headers': 'Content-Type',
  'Access-Control-Max-Age': '86400',
};

function createFrame(deps: AppDeps): Frame {
  const urlsOf = urlsByIssuer(deps.externalURLs[0] ?? '');

  function send(request: FastifyRequest, reply: FastifyReply, answer: Reply): FastifyReply {
    const route = request.routeOptions.url ?? '';
    const { Link: own = [], ...headers } = answer.headers ?? {};
    const links = [...indexLink(deps, urlsOf, request, answer), ...(Array.isArray(own) ? own : [own])];
    deps.requests.inc({ route, status: String(answer.status) });
    deps.requestSeconds.observe({ route }, reply.elapsedTime / 1000);
    reply.code(answer.status).headers({
      ...CORS,
      'Replay-Nonce': deps.nonces.issue(),
      'Cache-Control': 'no-store',
      ...headers,
      ...(links.length > 0 ? { Link: links } : {}),
    });
    return sendBody(reply, answer);
  }

  function fail(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
    const problem = problemOf(deps, request, error);
    const { headers } = problem.options;
    return send(request, reply, {
      status: problem.status,
      contentType: 'application/problem+json',
      ...(headers ? { headers: { ...headers } } : {}),
      body: problem.toJSON(),
    });
  }

  return {
    fail,
    serve: async (request, reply, handle) => {
      try {
        return send(request, reply, await handle(await exchangeOf(deps, urlsOf, request), request));
      } catch (error) {
        return fail(request, reply, error);
      }
    },
    options: (reply) => reply.code(204).headers(PREFLIGHT).send(),
  };
}

type UrlsOf = (issuer: Issuer) => Urls;

function urlsByIssuer(externalURL: string): UrlsOf {
  const known = new WeakMap<Issuer, Urls>();
  return (issuer) => {
    const urls = known.get(issuer) ?? createUrls(externalURL, issuer.metadata);
    known.set(issuer, urls);
    return urls;
  };
}

/** What a name looks like that an issuer can have. */
const NAME = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/** The issuer of the path, whose namespace is part of who it is. */
function issuerName(request: FastifyRequest): IssuerName | undefined {
  const { namespace, issuer: name } = (request.params ?? {}) as { namespace?: string; issuer?: string };
  if (name === undefined || !NAME.test(name)) return undefined;
  if (namespace === undefined) return { name };
  return NAME.test(namespace) ? { namespace, name } : undefined;
}

function issuerOf({ issuers }: AppDeps, request: FastifyRequest): Issuer | undefined {
  const name = issuerName(request);
  return name && issuers.get(name);
}

async function exchangeOf(deps: AppDeps, urlsOf: UrlsOf, request: FastifyRequest): Promise<Exchange> {
  const params = request.params as Record<string, string>;
  const name = issuerName(request);
  const issuer = name && (deps.issuers.get(name) ?? (await deps.liveIssuer(name)));
  if (!issuer) throw new Problem('malformed', 'no such issuer', { status: 404 });
  const cursor = /^\d{1,9}$/.exec((request.query as { cursor?: string }).cursor ?? '')?.[0];
  return {
    issuer,
    urls: urlsOf(issuer),
    params: cursor === undefined ? params : { ...params, cursor },
    source: addressOf(request.ip),
    peer: addressOf(request.socket.remoteAddress ?? ''),
    userAgent: request.headers['user-agent'] ?? '',
  };
}

/** RFC 8555 section 7.1: on everything under an issuer but its directory. */
function indexLink(deps: AppDeps, urlsOf: UrlsOf, request: FastifyRequest, { status }: Reply): string[] {
  const issuer = issuerOf(deps, request);
  const isDirectory = status === 200 && request.routeOptions.url?.endsWith('/directory');
  if (!issuer || isDirectory) return [];
  return [`<${urlsOf(issuer).directory}>;rel="index"`];
}

function sendBody(reply: FastifyReply, { body, contentType }: Reply): FastifyReply {
  if (body === undefined) return reply.send();
  const raw = typeof body === 'string' || Buffer.isBuffer(body);
  reply.type(contentType ?? (raw ? 'text/plain' : 'application/json'));
  return reply.send(raw ? body : JSON.stringify(body));
}

function addressOf(ip: string): string {
  const bytes = parseExact(ip);
  return bytes ? renderAddress(fold(bytes)) : ip;
}

/** What the client may know of an error. Anything that is not a Problem becomes a correlation id in the log. */
function problemOf(deps: Pick<AppDeps, 'log' | 'random'>, request: FastifyRequest, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const { statusCode } = error as { statusCode?: number };
  if (statusCode === 413) return new Problem('malformed', `a request has at most ${BODY_LIMIT} bytes`, { status: 413 });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Problem('malformed', 'the request is not valid HTTP for this server', { status: statusCode });
  }
  const id = deps.random.bytes(6).toString('hex');
  const transient = isClusterError(error, 'Unavailable', 'Conflict', 'AlreadyExists');
  const unavailable = transient || (error as { name?: string }).name === 'TimeoutError';
  deps.log.error({ error, correlation: id, route: request.routeOptions.url }, 'request failed');
  return new Problem('serverInternal', `the server cannot answer this now (correlation ${id})`, {
    status: unavailable ? 503 : 500,
    headers: { 'Retry-After': unavailable ? '5' : '30' },
  });
}
