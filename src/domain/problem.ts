// Problem documents (RFC 9457) with ACME's types (RFC 8555 section 6.7). The only error a client ever sees.
import type { Identifier } from './identifier.ts';

/** Every problem type we send, with the HTTP status it carries unless an occurrence says otherwise. */
const STATUS = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  alreadyRevoked: 400,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badRevocationReason: 400,
  badSignatureAlgorithm: 400,
  caa: 403,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  invalidContact: 400,
  invalidProfile: 400,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 403,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedContact: 400,
  unsupportedIdentifier: 400,
  userActionRequired: 403,
} as const;

export type ProblemType = keyof typeof STATUS;

export const URN = 'urn:ietf:params:acme:error:';

/** One identifier's part in a compound problem, RFC 8555 section 6.7.1. */
export interface Subproblem {
  type: ProblemType;
  detail: string;
  identifier: Identifier;
}

export interface ProblemOptions {
  status?: number;
  subproblems?: readonly Subproblem[];
  /** Further members of the document, such as `algorithms`. */
  members?: Readonly<Record<string, unknown>>;
  /** HTTP headers the response must carry, such as Retry-After. */
  headers?: Readonly<Record<string, string>>;
}

/** The wire form. */
export interface ProblemDocument {
  type: string;
  detail: string;
  status: number;
  subproblems?: { type: string; detail: string; identifier: Identifier }[];
  [member: string]: unknown;
}

export class Problem extends Error {
  readonly type: ProblemType;
  readonly detail: string;
  readonly status: number;
  readonly options: ProblemOptions;

  constructor(type: ProblemType, detail: string, options: ProblemOptions = {}) {
    super(`${type}: ${detail}`);
    this.name = 'Problem';
    this.type = type;
    this.detail = detail;
    this.status = options.status ?? STATUS[type];
    this.options = options;
  }

  toJSON(): ProblemDocument {
    const { subproblems, members } = this.options;
    return {
      type: URN + this.type,
      detail: this.detail,
      status: this.status,
      ...(subproblems?.length ? { subproblems: subproblems.map((s) => ({ ...s, type: URN + s.type })) } : {}),
      ...members,
    };
  }
}

/** A problem from its wire form, as stored in an Authorization. */
export function parseProblem(json: string): Problem {
  const document = JSON.parse(json) as ProblemDocument;
  const type = document.type.slice(URN.length);
  return new Problem(type in STATUS ? (type as ProblemType) : 'serverInternal', document.detail, {
    status: document.status,
  });
}

/** 503: it cannot be answered now, and the same request may be in so many seconds (Retry-After, RFC 9110 section 10.2.3). */
export function comeBack(detail: string, seconds: number): Problem {
  return new Problem('serverInternal', detail, { status: 503, headers: { 'Retry-After': String(seconds) } });
}
