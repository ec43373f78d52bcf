// One ACME server: what a client asks of it, typed (RFC 8555 section 7).
import type { AcmeServerSpec } from '../../api/acme-backend.ts';
import { parseCertificate } from '../../domain/certificate.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { Answer } from '../https/exchange.ts';
import type { Identifier } from '../../domain/identifier.ts';
import type { BackendDeps, SigningRequest } from '../../ports.ts';
import { type Account, createAccount } from './account.ts';
import { type Connection, createConnection, type Post, type Signer, statusFault } from './connection.ts';
import {
  type Authorization,
  bad,
  type Challenge,
  type Directory,
  type Order,
  ownUrl,
  problemOf,
  readAuthorization,
  readOrder,
  readRenewalInfo,
  type RemoteProblem,
} from './messages.ts';

/** What the server answers in place of what was asked for: a problem of ACME, with a status from 400 to 499. */
export class ServerProblem extends Error {
  override readonly name = 'ServerProblem';
  readonly problem: RemoteProblem;
  readonly status: number;
  readonly retryAfterMs: number | undefined;

  constructor(problem: RemoteProblem, { status, retryAfterMs }: Pick<Answer, 'status' | 'retryAfterMs'>) {
    super(`${problem.type}: ${problem.detail}`);
    this.problem = problem;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface NewOrder {
  identifiers: readonly Identifier[];
  profile: string | undefined;
  /** The certificate that this one is to replace, perhaps one of another CA. */
  replaces: SigningRequest['replaces'];
}

/** Every method throws ServerProblem for a problem, RemoteFault for no usable answer, and the signal's reason once that aborts. */
export interface AcmeServer {
  readonly directoryURL: URL;
  /** Registered, where it was not; with the thumbprint of its key (RFC 7638). */
  account(signal: AbortSignal): Promise<{ url: string; thumbprint: string }>;
  newOrder(order: NewOrder, signal: AbortSignal): Promise<Order>;
  order(url: URL, signal: AbortSignal): Promise<Order>;
  authorization(url: URL, signal: AbortSignal): Promise<Authorization>;
  /** Has the server look. */
  trigger(challenge: Challenge, signal: AbortSignal): Promise<void>;
  deactivate(authorization: URL, signal: AbortSignal): Promise<void>;
  finalize(order: Order, csr: Buffer, signal: AbortSignal): Promise<Order>;
  /** Chains (DER, leaf first), the default one first; others only where `alternates` wants them after it. */
  certificates(
    url: URL,
    alternates: (chain: readonly Buffer[]) => boolean,
    signal: AbortSignal,
  ): Promise<readonly (readonly Buffer[])[]>;
  revoke(certificate: Buffer, reason: number, signal: AbortSignal): Promise<void>;
  /** Undefined where the server knows nothing of the certificate (DER), or has no such information. */
  renewalInfo(certificate: Buffer, signal: AbortSignal): Promise<Date | undefined>;
  /** Reads directory and account anew. */
  check(signal: AbortSignal): Promise<void>;
}

const MAX_CERTIFICATES = 10;
const MAX_ALTERNATES = 4;
const PEM = 'application/pem-certificate-chain';

export function createAcmeServer(
  deps: BackendDeps,
  spec: AcmeServerSpec,
  options: { timeoutMs: number; concurrency: number },
): AcmeServer {
  const connection = createConnection(deps, { ...spec, ...options, maxSockets: options.concurrency });
  const account = createAccount({ ...deps, connection, spec: spec.account });
  const { directoryURL } = connection;
  const post = createPost(connection, account);
  const readOrderAt = async (given: Post, signal: AbortSignal, url = given.url) =>
    readOrder(directoryURL, url, await post(given, signal));

  return {
    directoryURL,
    account: async (signal) => accountOf(await account.signer(signal)),
    async newOrder(wanted, signal) {
      const directory = await connection.directory(signal);
      const answer = await order(post, directory, { wanted, signal });
      return readOrder(directoryURL, ownUrl(directoryURL, answer.headers.location, 'the order'), answer);
    },
    order: (url, signal) => readOrderAt({ url }, signal),
    authorization: async (url, signal) => readAuthorization(directoryURL, url, await post({ url }, signal)),
    trigger: async ({ url }, signal) => void (await post({ url, payload: {} }, signal)),
    deactivate: async (url, signal) => void (await post({ url, payload: { status: 'deactivated' } }, signal)),
    finalize: (order, csr, signal) =>
      readOrderAt({ url: order.finalize, payload: { csr: csr.toString('base64url') } }, signal, order.url),
    async certificates(url, alternates, signal) {
      const download = (from: URL) => post({ url: from, accept: PEM }, signal);
      const answer = await download(url);
      const chain = readChain(answer);
      const chains = [chain];
      const others = alternates(chain) ? alternateUrls(directoryURL, answer) : [];
      for (const other of others) chains.push(readChain(await download(other)));
      return chains;
    },
    async revoke(certificate, code, signal) {
      const { revokeCert: url } = await connection.directory(signal);
      if (!url) throw bad('names no revokeCert');
      const reason = code === 0 ? {} : { reason: code };
      await post({ url, payload: { certificate: certificate.toString('base64url'), ...reason } }, signal);
    },
    renewalInfo: (certificate, signal) => renewalInfo(connection, certificate, signal),
    async check(signal) {
      connection.refresh();
      account.refresh();
      await account.signer(signal);
      requireProfile(await connection.directory(signal), spec.profile);
    },
  };
}

type PostOf = ReturnType<typeof createPost>;

function accountOf({ url, key }: Signer): { url: string; thumbprint: string } {
  if (url === undefined) throw bad('gave our account no URL');
  return { url, thumbprint: key.thumbprint };
}

/** Without `replaces` where that is not to the server's taste: it is a favour, and the certificate may be another CA's (RFC 9773 section 5). */
async function order(
  post: PostOf,
  directory: Directory,
  { wanted: { identifiers, profile, replaces }, signal }: { wanted: NewOrder; signal: AbortSignal },
): Promise<Answer> {
  const { newOrder: url, renewalInfo } = directory;
  requireProfile(directory, profile);
  const payload = { identifiers, ...(profile === undefined ? {} : { profile }) };
  if (!replaces || !renewalInfo) return post({ url, payload }, signal);
  try {
    return await post({ url, payload: { ...payload, replaces: certID(replaces) } }, signal);
  } catch (error) {
    const isTaste = error instanceof ServerProblem && ['alreadyReplaced', 'malformed'].includes(error.problem.type);
    if (!isTaste) throw error;
    return post({ url, payload }, signal);
  }
}

/** RFC 9773 section 4.1: asked for without a signature. */
async function renewalInfo(
  connection: Connection,
  certificate: Buffer,
  signal: AbortSignal,
): Promise<Date | undefined> {
  const { renewalInfo: base } = await connection.directory(signal);
  const { authorityKeyIdentifier, serial } = parseCertificate(certificate);
  if (!base || !authorityKeyIdentifier) return undefined;
  const id = certID({ authorityKeyID: authorityKeyIdentifier.toString('hex'), serial });
  const answer = await connection.get(new URL(`${base.href.replace(/\/$/, '')}/${id}`), signal);
  return answer.status === 200 ? readRenewalInfo(answer) : undefined;
}

function requireProfile({ profiles }: Directory, profile: string | undefined): void {
  if (profile !== undefined && !profiles.includes(profile))
    throw new RemoteFault('ProfileUnknown', `the ACME server offers no profile ${profile}`);
}

/** RFC 9773 section 4.1. */
function certID({ authorityKeyID, serial }: NonNullable<NewOrder['replaces']>): string {
  const magnitude = Buffer.from(serial, 'hex');
  const content = (magnitude[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude;
  return `${Buffer.from(authorityKeyID, 'hex').toString('base64url')}.${content.toString('base64url')}`;
}

function createPost(connection: Connection, account: Account) {
  return async (given: Post, signal: AbortSignal): Promise<Answer> => {
    const answer = await connection.post(await account.signer(signal), given, signal);
    if (answer.status >= 200 && answer.status < 300) return answer;
    const problem = problemOf(answer);
    // The account was deleted or barred: whoever asks next registers anew, or is told why that cannot be.
    if (problem.type === 'accountDoesNotExist') account.refresh();
    if (answer.status < 400 || answer.status >= 500 || problem.type === '')
      throw statusFault(answer, 'to a request of ours');
    throw new ServerProblem(problem, answer);
  };
}

function readChain({ contentType, body }: Answer): readonly Buffer[] {
  if (contentType !== PEM) throw bad('sent a certificate that is not of the type PEM has');
  try {
    const chain = parsePemCertificates(body.toString('latin1'));
    if (chain.length > 0 && chain.length <= MAX_CERTIFICATES) return chain;
  } catch (error) {
    throw new RemoteFault('BadAnswer', 'the ACME server sent a broken PEM text', { cause: error });
  }
  throw bad(`sent no PEM text of 1 to ${MAX_CERTIFICATES} certificates`);
}

/** RFC 8555 section 7.4.2, RFC 8288. */
function alternateUrls(directory: URL, { headers: { link = '' } }: Answer): URL[] {
  const text = Array.isArray(link) ? link.join(',') : link;
  const found = [...text.slice(0, 16_384).matchAll(/<([^<>]{1,2048})>\s*;\s*rel="?alternate"?/g)];
  return found.slice(0, MAX_ALTERNATES).map(([, url]) => ownUrl(directory, url, 'another chain'));
}
