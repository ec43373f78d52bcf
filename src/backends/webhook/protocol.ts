// The words of the protocol (docs/write-your-own-backend.md): what is sent, and what an answer means.
import type { WebhookBackendSpec } from '../../api/webhook-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { renderName } from '../../domain/distinguished-name.ts';
import { renderPem } from '../../domain/encoding.ts';
import { parseJson } from '../../domain/json.ts';
import { Problem, type ProblemType, URN } from '../../domain/problem.ts';
import { shownText } from '../../domain/remote-text.ts';
import type { RevokedEntry, SigningOutcome, SigningRequest } from '../../ports.ts';
import { type Answer, boundedRetry } from '../https/exchange.ts';
import { RemoteFault } from '../https/remote-fault.ts';

const VERSION = 'v1';
const MAX_CERTIFICATES = 10;
const MAX_SIGNED = 64;
const DEFAULT_POLL_MS = 5_000;

export function renderSigning(issuer: string, { id, csr, model, requester }: SigningRequest): object {
  const { subject, names, profile, usages, notBefore, notAfter } = model;
  return {
    version: VERSION,
    id,
    issuer,
    csr: renderPem('CERTIFICATE REQUEST', csr),
    names,
    subject: renderName(subject),
    ...(profile === undefined ? {} : { profile }),
    usages,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    durationSeconds: Math.round((notAfter.getTime() - notBefore.getTime()) / 1000),
    requester: requester ?? {},
  };
}

export function renderRevocation(id: string, certificate: Buffer, { serial, revokedAt, reason }: RevokedEntry): object {
  const pem = renderPem('CERTIFICATE', certificate);
  return { version: VERSION, id, certificate: pem, serial, reason, revokedAt: revokedAt.toISOString() };
}

/** URLs below the one of the spec. */
export function urlsOf({ url }: WebhookBackendSpec) {
  const base = new URL(url);
  const below = (...steps: string[]) =>
    new URL(`${base.pathname.replace(/\/$/, '')}/${steps.map(encodeURIComponent).join('/')}`, base);
  return {
    base,
    request: (id: string) => below(id),
    revocation: (id: string) => below(id, 'revoke'),
    /** Where a pending answer says to ask again; never another host. Throws RemoteFault. */
    poll(text: unknown): URL {
      const found = typeof text === 'string' && text.length <= 2048 ? URL.parse(text, base.href) : null;
      if (found?.origin !== base.origin || found.username !== '' || found.password !== '')
        throw new RemoteFault('BadAnswer', 'the webhook names a poll URL that is not its own');
      found.hash = '';
      return found;
    },
  };
}

/** What the answer to a signing request or a poll means. Throws RemoteFault for all that says nothing for good. */
export function readSigning(answer: Answer, urls: ReturnType<typeof urlsOf>): SigningOutcome {
  if (answer.status === 200 || answer.status === 201) {
    const chain = readChain(readJson(answer).certificate);
    return { kind: 'issued', chain };
  }
  if (answer.status === 202) {
    const { poll, retryAfter } = readJson(answer);
    const named = typeof retryAfter === 'number' && retryAfter >= 0 ? boundedRetry(retryAfter * 1000) : undefined;
    return {
      kind: 'pending',
      handle: urls.poll(poll).href,
      retryAfterMs: named ?? answer.retryAfterMs ?? DEFAULT_POLL_MS,
    };
  }
  return { kind: 'refused', problem: refusal(answer) };
}

/** The problem of a refusal for good. Throws RemoteFault for any other answer. */
export function refusal(answer: Answer): Problem {
  const { status, retryAfterMs } = answer;
  const isProblem = answer.contentType === 'application/problem+json';
  if (status < 400 || status > 499 || TRANSIENT.has(status) || !isProblem)
    throw new RemoteFault(
      status === 401 || status === 403 ? 'Unauthorized' : 'BadAnswer',
      `the webhook answered with HTTP status ${status}`,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    );
  const { type, detail } = readJson(answer);
  const known = TYPES.find((name) => type === URN + name) ?? 'unauthorized';
  const said = typeof detail === 'string' ? shownText(detail) : '';
  return new Problem(known, said === '' ? 'the CA refused the request' : `the CA refused the request: ${said}`);
}

/** What waiting, or an administrator, may mend: our credentials, a conflict, a limit. */
const TRANSIENT: ReadonlySet<number> = new Set([401, 408, 409, 425, 429]);
/** Types a CA may choose; any other refusal is `unauthorized`. */
const TYPES: readonly ProblemType[] = ['badCSR', 'badPublicKey', 'caa', 'rejectedIdentifier', 'unsupportedIdentifier'];

/** Every chain signed for a request, oldest first. */
export function readSigned(answer: Answer): readonly (readonly Buffer[])[] {
  const { certificates } = readJson(answer);
  if (!Array.isArray(certificates) || certificates.length > MAX_SIGNED)
    throw new RemoteFault('BadAnswer', `"certificates" is no list of at most ${MAX_SIGNED}`);
  return certificates.map(readChain);
}

/** The chain above leaves as a health answer may show it. */
export function readHealth(answer: Answer): readonly Buffer[] | undefined {
  if (answer.status === 204 || answer.body.length === 0) return undefined;
  const { chain } = readJson(answer);
  return chain === undefined ? undefined : readChain(chain);
}

function readChain(pem: unknown): readonly Buffer[] {
  try {
    const chain = typeof pem === 'string' ? parsePemCertificates(pem) : [];
    if (chain.length > 0 && chain.length <= MAX_CERTIFICATES) return chain;
  } catch (error) {
    throw new RemoteFault('BadAnswer', 'the webhook sent a broken PEM text', { cause: error });
  }
  throw new RemoteFault('BadAnswer', `the webhook sent no PEM text of 1 to ${MAX_CERTIFICATES} certificates`);
}

function readJson({ contentType, body }: Answer): Record<string, unknown> {
  if (contentType !== 'application/json' && contentType !== 'application/problem+json')
    throw new RemoteFault('BadAnswer', 'the answer of the webhook is not JSON by its content type');
  try {
    const value = parseJson(body);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new RemoteFault('BadAnswer', 'the answer of the webhook is not JSON', { cause: error });
  }
  throw new RemoteFault('BadAnswer', 'the answer of the webhook is no JSON object');
}
