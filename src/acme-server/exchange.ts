// One request on its way through the server: what is known at each step, and the reply. The types are the ladder: a handler that
// takes an Authenticated exchange cannot be reached without the checks that make one.
import type { Account } from '../api/acme.ts';
import type { Issuer } from '../api/issuer.ts';
import { parseJson } from '../domain/json.ts';
import type { AccountKey } from '../domain/jwk.ts';
import type { JwsHeader } from '../domain/jws.ts';
import { Problem } from '../domain/problem.ts';
import type { Urls } from './urls.ts';

export interface Exchange {
  issuer: Issuer;
  urls: Urls;
  /** Path parameters. */
  params: Readonly<Record<string, string>>;
  /** Address of the client: of the peer, or as a trusted proxy tells it. */
  source: string;
  /** Address of the peer of the connection, whatever headers say. */
  peer: string;
  userAgent: string;
}

/** The signature is good for the key in the request itself. */
export interface Signed extends Exchange {
  header: JwsHeader;
  payload: Buffer;
  key: AccountKey;
}

/** The signature is good for a valid account of this issuer. */
export interface Authenticated extends Signed {
  account: Account;
}

/** URL of the order that the request is about, in its canonical form. */
export const orderUrl = ({ urls, params }: Exchange): string => urls.order(params.sealed ?? '');

/** As orderUrl, of the authorization. */
export const authorizationUrl = ({ urls, params }: Exchange): string => urls.authorization(params.sealed ?? '');

/**
 * cert-manager gives an order that reads `processing` one of its five workers, and may never look at it again: it is told to come
 * back instead, to an order that still reads `ready`.
 */
export function isCertManager({ userAgent }: Exchange): boolean {
  return userAgent.startsWith('cert-manager');
}

export interface Reply {
  status: number;
  headers?: Record<string, string | string[]>;
  /** An object becomes JSON; bytes and text go out as they are. */
  body?: object | Buffer | string;
  contentType?: string;
}

/** The JSON object in the payload. Throws malformed. */
export function readPayload(exchange: Signed): Readonly<Record<string, unknown>> {
  const value = parseJson(exchange.payload);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Problem('malformed', 'the payload must be a JSON object');
  return value as Record<string, unknown>;
}

/** POST-as-GET, RFC 8555 section 6.3. */
export function requireEmptyPayload(exchange: Signed): void {
  if (exchange.payload.length > 0)
    throw new Problem('malformed', 'this resource is read by POST-as-GET, with an empty payload');
}

/** An absolute date in a payload; undefined if absent. Throws malformed for anything but RFC 3339 with a zone. */
export function readTime(payload: Readonly<Record<string, unknown>>, member: string): Date | undefined {
  const text = payload[member];
  if (text === undefined) return undefined;
  const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
  const date = typeof text === 'string' && pattern.test(text) ? new Date(text) : undefined;
  if (!date || Number.isNaN(date.getTime()))
    throw new Problem('malformed', `${member} must be an RFC 3339 date and time with a zone`);
  return date;
}
