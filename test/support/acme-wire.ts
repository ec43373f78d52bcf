// A tiny ACME wire client for tests: raw HTTPS with keep-alive, every part of a request replaceable, nothing retried or hidden.
import {
  Agent as PlainAgent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as plainRequest,
} from 'node:http';
import { Agent, request as secureRequest } from 'node:https';
import { isIP } from 'node:net';
import { type Jws, type JwsContent, type SigningKey, signJws } from './jws.ts';

export interface Identifier {
  type: string;
  value: string;
}

export interface ProblemDocument {
  type: string;
  detail: string;
  status: number;
  subproblems?: { type: string; detail: string; identifier: Identifier }[];
  algorithms?: string[];
  [member: string]: unknown;
}

export interface ChallengeObject {
  type: string;
  url: string;
  status: string;
  token: string;
  validated?: string;
  error?: ProblemDocument;
}

/** Members of every ACME resource, typed as a client expects to find them: a test that reads an absent one fails. */
export interface AcmeObject {
  status: string;
  expires: string;
  contact: string[];
  orders: string | string[];
  termsOfServiceAgreed: boolean;
  externalAccountBinding: Jws;
  identifiers: Identifier[];
  identifier: Identifier;
  wildcard?: boolean;
  authorizations: string[];
  challenges: ChallengeObject[];
  finalize: string;
  certificate?: string;
  notBefore?: string;
  notAfter?: string;
  profile?: string;
  replaces?: string;
  error?: ProblemDocument;
  suggestedWindow: { start: string; end: string };
  [member: string]: unknown;
}

export interface DirectoryMeta {
  termsOfService?: string;
  website?: string;
  caaIdentities?: string[];
  externalAccountRequired?: boolean;
  profiles?: Record<string, string>;
  [member: string]: unknown;
}

export interface Directory {
  newNonce: string;
  newAccount: string;
  newOrder: string;
  revokeCert: string;
  keyChange: string;
  renewalInfo: string;
  newAuthz?: string;
  meta?: DirectoryMeta;
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** The body as UTF-8. */
  text: string;
  /** The body parsed as JSON, once per read; throws where it is none. */
  readonly json: AcmeObject;
  readonly problem: ProblemDocument;
  /** Targets of the Link header by relation. */
  readonly links: Readonly<Record<string, readonly string[]>>;
  nonce: string | undefined;
  /** `undefined` where absent; tests of presence use `headers.location`. */
  location: string;
}

export interface HttpOptions {
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
  /** Ends a wait for an answer that never comes; two minutes when absent. Never an assertion about speed. */
  timeoutSeconds?: number;
}

export interface Transport {
  request(method: string, url: string, options?: HttpOptions): Promise<Reply>;
  close(): void;
}

export interface TransportOptions {
  /** Without it each request has a connection of its own. */
  keepAlive?: boolean;
  /** Connections are made from this address. */
  localAddress?: string;
}

/** `ca`: PEM of what signed the server's certificate. */
export function createTransport(ca: string, { keepAlive = true, localAddress }: TransportOptions = {}): Transport {
  const from = localAddress === undefined ? {} : { localAddress };
  const secure = new Agent({ keepAlive, ca, maxSockets: 64, ...from });
  const plain = new PlainAgent({ keepAlive });
  const request = (method: string, url: string, options: HttpOptions = {}): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const headers = { 'user-agent': 'countersign-conformance/1', ...options.headers };
      const settle = (response: IncomingMessage): void => void readReply(response).then(resolve, reject);
      const outgoing: ClientRequest = url.startsWith('https:')
        ? secureRequest(url, { method, headers, agent: secure, servername: serverName(url) }, settle)
        : plainRequest(url, { method, headers, agent: plain }, settle);
      const seconds = options.timeoutSeconds ?? 120;
      outgoing.setTimeout(seconds * 1000, () =>
        outgoing.destroy(new Error(`no answer within ${seconds} s from ${method} ${url}`)),
      );
      outgoing.on('error', reject);
      if (options.body !== undefined) outgoing.setHeader('content-length', Buffer.byteLength(options.body));
      outgoing.end(options.body);
    });
  return {
    request,
    close: () => {
      secure.destroy();
      plain.destroy();
    },
  };
}

/** SNI from the URL alone: tests may send any Host header. */
export function serverName(url: string): string {
  const { hostname } = new URL(url);
  return isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? hostname : '';
}

async function readReply(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return replyOf(response.statusCode ?? 0, response.headers, Buffer.concat(chunks));
}

export function replyOf(status: number, headers: IncomingHttpHeaders, body: Buffer): Reply {
  const text = body.toString('utf8');
  return {
    status,
    headers,
    body,
    text,
    get json() {
      return JSON.parse(text) as AcmeObject;
    },
    get problem() {
      return JSON.parse(text) as ProblemDocument;
    },
    get links() {
      return parseLinks(headers.link);
    },
    nonce: headers['replay-nonce'] as string | undefined,
    location: headers.location as string,
  };
}

function parseLinks(header: string | string[] | undefined): Record<string, string[]> {
  const links: Record<string, string[]> = {};
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '');
  for (const [, target = '', parameters = ''] of text.matchAll(/<([^>]*)>((?:\s*;\s*[^,;]+)*)/g)) {
    const relation = /;\s*rel="?([^";]+)"?/.exec(parameters)?.[1];
    if (relation !== undefined) (links[relation] ??= []).push(target);
  }
  return links;
}

export interface Account {
  key: SigningKey;
  url: string;
}

export interface PostOptions {
  /** Signs with this key and its `jwk` in the header, instead of the account's key and `kid`. */
  jwkOf?: SigningKey;
  /** Signs with this key; the header stays as it would be. */
  signWith?: SigningKey;
  /** Members to replace in the protected header; `undefined` removes one. */
  header?: Readonly<Record<string, unknown>>;
  /** Instead of a nonce from an earlier reply or from newNonce. */
  nonce?: string;
  contentType?: string;
  headers?: Readonly<Record<string, string>>;
  timeoutSeconds?: number;
  /** The last hand on the signed body; what it returns is sent, objects as JSON. */
  tamper?: (jws: Jws) => object | string | Uint8Array;
  /** Repeats the request once with the fresh nonce when it is refused with badNonce. For suites that are not about nonces. */
  retryBadNonce?: boolean;
}

export interface AcmeWire {
  readonly transport: Transport;
  readonly directoryUrl: string;
  readonly directory: Directory;
  /** The account that signs; set by `register`, or by hand. */
  account: Account;
  /** An unused nonce, from an earlier reply or from newNonce. */
  nonce(): Promise<string>;
  /** `payload` undefined is POST-as-GET. */
  post(url: string, payload: JwsContent, options?: PostOptions): Promise<Reply>;
  /** POST-as-GET. */
  get(url: string, options?: PostOptions): Promise<Reply>;
  /** A client of the same directory and transport with no account yet. */
  another(): AcmeWire;
}

export async function connect(transport: Transport, directoryUrl: string): Promise<AcmeWire> {
  const reply = await transport.request('GET', directoryUrl);
  if (reply.status !== 200) throw new Error(`directory ${directoryUrl} answered ${reply.status}: ${reply.text}`);
  return createWire(transport, directoryUrl, JSON.parse(reply.text) as Directory);
}

function createWire(transport: Transport, directoryUrl: string, directory: Directory): AcmeWire {
  const nonces = new Set<string>();
  let account: Account | undefined;

  const nonce = async (): Promise<string> => {
    for (const pooled of nonces) {
      nonces.delete(pooled);
      return pooled;
    }
    const reply = await transport.request('HEAD', directory.newNonce);
    if (reply.nonce === undefined) throw new Error(`newNonce gave no nonce: ${reply.status}`);
    return reply.nonce;
  };

  const send = async (url: string, payload: JwsContent, options: PostOptions): Promise<Reply> => {
    const key = options.signWith ?? options.jwkOf ?? wire.account.key;
    const identity = options.jwkOf ? { jwk: options.jwkOf.jwk } : { kid: wire.account.url };
    const hasNonce = options.header !== undefined && 'nonce' in options.header;
    if (options.nonce !== undefined) nonces.delete(options.nonce);
    const fresh = hasNonce ? undefined : (options.nonce ?? (await nonce()));
    const header = { alg: key.alg, ...identity, nonce: fresh, url, ...options.header };
    const jws = signJws(key, header, payload);
    const body = options.tamper ? options.tamper(jws) : jws;
    const reply = await transport.request('POST', url, {
      headers: { 'content-type': options.contentType ?? 'application/jose+json', ...options.headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
      ...(options.timeoutSeconds ? { timeoutSeconds: options.timeoutSeconds } : {}),
    });
    if (reply.nonce !== undefined) nonces.add(reply.nonce);
    return reply;
  };

  const post = async (url: string, payload: JwsContent, options: PostOptions = {}): Promise<Reply> => {
    const reply = await send(url, payload, options);
    const again = options.retryBadNonce && reply.status === 400 && reply.text.includes(':badNonce"');
    return again ? send(url, payload, options) : reply;
  };

  const wire: AcmeWire = {
    transport,
    directoryUrl,
    directory,
    get account() {
      if (account === undefined) throw new Error('this client has no account: register first');
      return account;
    },
    set account(value: Account) {
      account = value;
    },
    nonce,
    post,
    get: (url, options) => post(url, undefined, options),
    another: () => createWire(transport, directoryUrl, directory),
  };
  return wire;
}
