// Signed requests to one ACME server (RFC 8555 section 6): the directory read, a nonce for each request, and a new one where it is refused.
import { type Answer, type Call, createExchange, type Exchange } from '../https/exchange.ts';
import { createMutualTls, type MutualTls, type MutualTlsSpec } from '../https/mutual-tls.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { BackendDeps } from '../../ports.ts';
import type { AccountKey } from './account-key.ts';
import { bad, type Directory, problemOf, readDirectory } from './messages.ts';

/** Who signs: an account by its URL, or a key that has none yet. */
export interface Signer {
  key: AccountKey;
  url: string | undefined;
}

export interface Post {
  url: URL;
  /** POST-as-GET when absent. */
  payload?: object;
  accept?: string;
}

/** Every method throws RemoteFault for no usable answer, and the signal's reason once that aborts. */
export interface Connection {
  readonly directoryURL: URL;
  /** As read last. */
  directory(signal: AbortSignal): Promise<Directory>;
  /** Resolves with any complete answer. */
  get(url: URL, signal: AbortSignal): Promise<Answer>;
  /** Resolves with any complete answer but one that says badNonce. */
  post(signer: Signer, post: Post, signal: AbortSignal): Promise<Answer>;
  /** The next call reads the directory, Secrets and ConfigMaps again. */
  refresh(): void;
}

export interface ConnectionOptions extends MutualTlsSpec {
  directory: string;
  timeoutMs: number;
  maxSockets: number;
}

/** A chain of ten certificates with a hundred names each fits. */
const MAX_BYTES = 256 * 1024;
/** Servers that mean it refuse one nonce in twenty, or all that are older than their last restart. */
const MAX_NONCE_TRIES = 100;
const MAX_NONCES = 32;
const NONCE = /^[A-Za-z0-9_-]{1,512}$/;

type Send = (call: Omit<Call, 'agent' | 'maxBytes'>, signal: AbortSignal) => Promise<Answer>;

export function createConnection(deps: BackendDeps, options: ConnectionOptions): Connection {
  const directoryURL = new URL(options.directory);
  const tls = createMutualTls(deps, options, options.maxSockets);
  const exchange = createExchange({ ...deps, timeoutMs: options.timeoutMs, peer: 'the ACME server' });
  const send = createSend(exchange, tls);
  const nonces = createNonces(send);
  let known: Promise<Directory> | undefined;

  async function load(signal: AbortSignal): Promise<Directory> {
    const answer = await send({ method: 'GET', url: directoryURL, headers: {} }, signal);
    if (answer.status !== 200) throw statusFault(answer, 'for its directory');
    return readDirectory(directoryURL, answer);
  }

  function directory(signal: AbortSignal): Promise<Directory> {
    if (known) return known;
    const loading = load(signal);
    known = loading;
    loading.catch(() => {
      if (known === loading) known = undefined;
    });
    return loading;
  }

  return {
    directoryURL,
    directory,
    get: (url, signal) => send({ method: 'GET', url, headers: {} }, signal),
    async post(signer, post, signal) {
      const { newNonce } = await directory(signal);
      for (let tries = 1; ; tries++) {
        const nonce = await nonces.take(newNonce, signal);
        const answer = await send(render(signer, post, nonce), signal);
        nonces.keep(answer);
        if (answer.status < 400 || problemOf(answer).type !== 'badNonce') return answer;
        if (tries === MAX_NONCE_TRIES) throw bad('refuses every nonce of its own');
      }
    },
    refresh() {
      known = undefined;
      tls.refresh();
    },
  };
}

function createSend(exchange: Exchange, tls: Pick<MutualTls, 'use'>): Send {
  return async (call, signal) => {
    signal.throwIfAborted();
    return tls.use((agent) => exchange({ ...call, agent, maxBytes: MAX_BYTES }, signal));
  };
}

function render({ key, url: kid }: Signer, { url, payload, accept }: Post, nonce: string) {
  const who = kid === undefined ? { jwk: key.jwk } : { kid };
  return {
    method: 'POST' as const,
    url,
    headers: { 'Content-Type': 'application/jose+json', ...(accept === undefined ? {} : { Accept: accept }) },
    payload: Buffer.from(JSON.stringify(key.sign({ ...who, nonce, url: url.href }, payload))),
  };
}

function createNonces(send: Send) {
  const kept: string[] = [];
  const nonceOf = ({ headers }: Answer) => {
    const nonce = headers['replay-nonce'];
    return typeof nonce === 'string' && NONCE.test(nonce) ? nonce : undefined;
  };
  return {
    keep(answer: Answer): void {
      const nonce = nonceOf(answer);
      // The oldest are the first to be refused.
      if (nonce !== undefined && kept.push(nonce) > MAX_NONCES) kept.shift();
    },
    async take(newNonce: URL, signal: AbortSignal): Promise<string> {
      const last = kept.pop();
      if (last !== undefined) return last;
      const answer = await send({ method: 'HEAD', url: newNonce, headers: {} }, signal);
      const nonce = nonceOf(answer);
      if (nonce === undefined) throw statusFault(answer, 'and gives no nonce');
      return nonce;
    },
  };
}

/** What an answer means that says nothing for good. */
export function statusFault(answer: Answer, of: string): RemoteFault {
  const { status, retryAfterMs } = answer;
  const { detail } = problemOf(answer);
  const said = detail === '' ? '' : `: ${detail}`;
  const message = `the ACME server answered with HTTP status ${status} ${of}${said}`;
  const reason = status === 429 || status === 503 ? 'Overloaded' : 'BadAnswer';
  return new RemoteFault(reason, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}
