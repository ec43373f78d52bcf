// What the API server refuses with, as ClusterError: by its Status where it sent one, else by the HTTP status.
import type { IncomingHttpHeaders } from 'node:http';
import type { FieldError } from '../api/kind.ts';
import { ClusterError, type ClusterErrorReason } from '../domain/cluster-error.ts';

/** metav1.Status, the part read here. */
export interface Status {
  code?: number;
  reason?: string;
  message?: string;
  details?: {
    name?: string;
    kind?: string;
    causes?: readonly { reason?: string; message?: string; field?: string }[];
    retryAfterSeconds?: number;
  };
}

export interface Refusal {
  code: number;
  status: Status | undefined;
  retryAfterMs: number | undefined;
}

const BY_CODE: Readonly<Record<number, ClusterErrorReason>> = {
  400: 'Invalid',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'Invalid',
  406: 'Invalid',
  409: 'Conflict',
  410: 'Expired',
  413: 'Invalid',
  415: 'Invalid',
  422: 'Invalid',
};
/** Answers after which a write may have been done: the server, or what stands before it, lost track. */
const LOST_TRACK = new Set([500, 502, 504]);

/** `write`: the request would have changed something. */
export function errorOf({ code, status, retryAfterMs }: Refusal, write: boolean): ClusterError {
  const reason = reasonOf(code, status);
  const fields = reason === 'Invalid' ? fieldsOf(status) : [];
  const message = status?.message || `the API server answered with HTTP status ${code}`;
  return new ClusterError(reason, message, {
    ...(fields.length > 0 ? { fields } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    outcomeUnknown: write && reason === 'Unavailable' && LOST_TRACK.has(code),
  });
}

function reasonOf(code: number, status: Status | undefined): ClusterErrorReason {
  if (status?.reason === 'AlreadyExists') return 'AlreadyExists';
  // A precondition of the body on an object that is gone: the API server compares with the uid of nothing.
  if (code === 409 && /UID in object meta: *$/.test(status?.message ?? '')) return 'NotFound';
  // Server-side apply answers a field it does not know with 500.
  if (code === 500 && UNDECLARED.test(status?.message ?? '')) return 'Invalid';
  return BY_CODE[code] ?? 'Unavailable';
}

const UNKNOWN_FIELD = /(unknown|duplicate) field "([^"]+)"/g;
const UNDECLARED = /\.([A-Za-z0-9_.[\]-]+): field not declared in schema/;

/** Every field that the Status names, once. */
function fieldsOf(status: Status | undefined): FieldError[] {
  const causes = (status?.details?.causes ?? []).flatMap(({ field, message }) =>
    // "<nil>" stands for a remark about the whole, such as that further rules were not asked.
    field === undefined || field === '<nil>' ? [] : [{ path: field, message: message || 'is invalid' }],
  );
  const text = status?.message ?? '';
  const unknown = [...text.matchAll(UNKNOWN_FIELD)].map(([, word, path = '']) => ({
    path,
    message: `is an ${word} field`,
  }));
  const undeclared = UNDECLARED.exec(text)?.[1];
  const all = [...causes, ...unknown, ...(undeclared ? [{ path: undeclared, message: 'is an unknown field' }] : [])];
  return all.filter(({ path }, i) => all.findIndex((other) => other.path === path) === i);
}

/** Whether a 404 says that the object is not there, rather than that the API server does not serve such a kind. */
export function namesAbsentObject({ code, status }: Refusal): boolean {
  return code === 404 && status?.reason === 'NotFound' && (status.details?.name ?? '') !== '';
}

/** RFC 9110 section 10.2.3, in milliseconds; undefined where there is none that can be read. */
export function retryAfterOf(headers: IncomingHttpHeaders, status: Status | undefined): number | undefined {
  const header = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const [at, now] = [Date.parse(header), Date.parse(headers.date ?? '')];
  if (!Number.isNaN(at) && !Number.isNaN(now)) return Math.max(0, at - now);
  const seconds = status?.details?.retryAfterSeconds;
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined;
}
