// What an ACME server says (RFC 8555 section 7.1), read strictly: it is another's, so every text is bounded and every URL is its own.
import type { Identifier } from '../../domain/identifier.ts';
import { parseJson } from '../../domain/json.ts';
import { URN } from '../../domain/problem.ts';
import { shownText } from '../../domain/remote-text.ts';
import type { Answer } from '../https/exchange.ts';
import { RemoteFault } from '../https/remote-fault.ts';

export interface Directory {
  newNonce: URL;
  newAccount: URL;
  newOrder: URL;
  revokeCert: URL | undefined;
  keyChange: URL | undefined;
  renewalInfo: URL | undefined;
  termsOfService: string | undefined;
  externalAccountRequired: boolean;
  /** Names of the profiles it offers. */
  profiles: readonly string[];
}

/** A problem document, cut to what can be shown. */
export interface RemoteProblem {
  /** Without the URN; '' where it is none of ACME. */
  type: string;
  detail: string;
}

const ORDER_STATUS = ['pending', 'ready', 'processing', 'valid', 'invalid'] as const;
const AUTHORIZATION_STATUS = ['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked'] as const;
const CHALLENGE_STATUS = ['pending', 'processing', 'valid', 'invalid'] as const;

export interface Order {
  url: URL;
  status: (typeof ORDER_STATUS)[number];
  /** As `type:value`, sorted. */
  names: readonly string[];
  authorizations: readonly URL[];
  finalize: URL;
  certificate: URL | undefined;
  error: RemoteProblem | undefined;
  retryAfterMs: number | undefined;
}

export interface Challenge {
  type: string;
  url: URL;
  status: (typeof CHALLENGE_STATUS)[number];
  token: string;
  error: RemoteProblem | undefined;
}

export interface Authorization {
  url: URL;
  status: (typeof AUTHORIZATION_STATUS)[number];
  /** Without the wildcard label. */
  identifier: Identifier;
  wildcard: boolean;
  /** Those of a type and with a token that can be answered. */
  challenges: readonly Challenge[];
  retryAfterMs: number | undefined;
}

/** More than certificates have names, or an authorization has ways to be met. */
const MAX_NAMES = 256;
const MAX_CHALLENGES = 32;
const MAX_PROFILES = 64;
const MAX_URL = 2048;
/** RFC 8555 section 8.1: base64url of 128 bits or more. What is longer fits into no DNS label or path of ours. */
const TOKEN = /^[A-Za-z0-9_-]{16,256}$/;

export const bad = (what: string) => new RemoteFault('BadAnswer', `the ACME server ${what}`);

/** Where the server may send us: to itself alone. */
export function ownUrl(directory: URL, text: unknown, what: string): URL {
  const url = typeof text === 'string' && text.length <= MAX_URL ? URL.parse(text) : null;
  if (url?.origin !== directory.origin || url.username !== '' || url.password !== '')
    throw bad(`names a URL for ${what} that is not its own`);
  url.hash = '';
  return url;
}

export function readDirectory(directory: URL, answer: Answer): Directory {
  const found = readObject(answer, 'directory');
  const meta = isObject(found.meta) ? found.meta : {};
  const may = (name: string) => (found[name] === undefined ? undefined : ownUrl(directory, found[name], name));
  return {
    newNonce: ownUrl(directory, found.newNonce, 'newNonce'),
    newAccount: ownUrl(directory, found.newAccount, 'newAccount'),
    newOrder: ownUrl(directory, found.newOrder, 'newOrder'),
    revokeCert: may('revokeCert'),
    keyChange: may('keyChange'),
    renewalInfo: may('renewalInfo'),
    termsOfService: typeof meta.termsOfService === 'string' ? meta.termsOfService.slice(0, MAX_URL) : undefined,
    externalAccountRequired: meta.externalAccountRequired === true,
    profiles: isObject(meta.profiles) ? Object.keys(meta.profiles).slice(0, MAX_PROFILES) : [],
  };
}

export function readOrder(directory: URL, url: URL, answer: Answer): Order {
  const { status, identifiers, authorizations, finalize, certificate, error } = readObject(answer, 'order');
  return {
    url,
    status: oneOf(ORDER_STATUS, status, 'order'),
    names: readList(identifiers, 'identifiers').map(readIdentifier).map(identifierText).sort(),
    authorizations: readList(authorizations, 'authorizations').map((each) =>
      ownUrl(directory, each, 'an authorization'),
    ),
    finalize: ownUrl(directory, finalize, 'finalize'),
    certificate: certificate === undefined ? undefined : ownUrl(directory, certificate, 'a certificate'),
    error: readProblem(error),
    retryAfterMs: answer.retryAfterMs,
  };
}

export function readAuthorization(directory: URL, url: URL, answer: Answer): Authorization {
  const { status, identifier, wildcard, challenges } = readObject(answer, 'authorization');
  const given = Array.isArray(challenges) ? challenges.slice(0, MAX_CHALLENGES) : [];
  return {
    url,
    status: oneOf(AUTHORIZATION_STATUS, status, 'authorization'),
    identifier: readIdentifier(identifier),
    wildcard: wildcard === true,
    challenges: given.flatMap((each) => readChallenge(directory, each) ?? []),
    retryAfterMs: answer.retryAfterMs,
  };
}

/** Undefined for what could not be answered in any case: CAs that validate by their own ways offer types of their own. */
function readChallenge(directory: URL, value: unknown): Challenge | undefined {
  if (!isObject(value)) return undefined;
  const { type, url, status, token, error } = value;
  if (typeof type !== 'string' || typeof token !== 'string' || !TOKEN.test(token)) return undefined;
  return {
    type,
    url: ownUrl(directory, url, 'a challenge'),
    status: oneOf(CHALLENGE_STATUS, status, 'challenge'),
    token,
    error: readProblem(error),
  };
}

/** Start of the suggested window, RFC 9773 section 4.2. */
export function readRenewalInfo(answer: Answer): Date {
  const { suggestedWindow } = readObject(answer, 'renewal information');
  const { start, end } = isObject(suggestedWindow) ? suggestedWindow : {};
  const [from, to] = [start, end].map((text) => new Date(typeof text === 'string' ? text : Number.NaN));
  if (!from || !to || !(from < to)) throw bad('suggests no window for a renewal');
  return from;
}

export function readProblem(value: unknown): RemoteProblem | undefined {
  if (!isObject(value)) return undefined;
  const { type, detail, subproblems } = value;
  const first: unknown = Array.isArray(subproblems) ? subproblems[0] : undefined;
  const inner = isObject(first) ? first : {};
  // A compound problem says least in its own detail.
  const said = typeof inner.detail === 'string' ? inner.detail : detail;
  const kind = type === `${URN}compound` ? inner.type : type;
  return {
    type: typeof kind === 'string' && kind.startsWith(URN) ? shownText(kind.slice(URN.length), 40) : '',
    detail: typeof said === 'string' ? shownText(said) : '',
  };
}

/** Of an answer that is none of those hoped for. */
export function problemOf(answer: Answer): RemoteProblem {
  try {
    return readProblem(parseJson(answer.body)) ?? NOTHING;
  } catch {
    return NOTHING;
  }
}

const NOTHING: RemoteProblem = { type: '', detail: '' };

/** As the names of orders are compared. */
export function identifierText({ type, value }: Identifier): string {
  return `${type}:${value}`;
}

function readIdentifier(value: unknown): Identifier {
  if (isObject(value) && typeof value.value === 'string' && value.value.length <= 260)
    if (value.type === 'dns' || value.type === 'ip') return { type: value.type, value: value.value.toLowerCase() };
  throw bad('names an identifier that nobody asked for');
}

function readList(value: unknown, what: string): unknown[] {
  if (Array.isArray(value) && value.length > 0 && value.length <= MAX_NAMES) return value;
  throw bad(`gives no list of at most ${MAX_NAMES} ${what}`);
}

function oneOf<T extends string>(values: readonly T[], value: unknown, what: string): T {
  const found = values.find((each) => each === value);
  if (found === undefined) throw bad(`gives an ${what} without a status that ACME knows`);
  return found;
}

function readObject(answer: Answer, what: string): Record<string, unknown> {
  try {
    const value = parseJson(answer.body);
    if (isObject(value)) return value;
  } catch (error) {
    throw new RemoteFault('BadAnswer', `the ACME server sent no JSON for its ${what}`, { cause: error });
  }
  throw bad(`sent no JSON object for its ${what}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
