// What of a value may be written to a log: an allow-list. Plain data passes, cut to size and to one line; of errors and Kubernetes
// objects a few named members; of everything else (keys, buffers, sockets, requests, class instances) its name alone.
import { KeyObject } from 'node:crypto';
import { oneLine } from '../domain/remote-text.ts';

const MAX_TEXT = 2048;
const MAX_ITEMS = 256;
const MAX_DEPTH = 5;
const MAX_CAUSES = 4;

const REDACTED = '[redacted]';

/** Members whose value is secret whatever it is. */
const SECRET_MEMBER =
  /^(d|p|q|dp|dq|qi|k)$|secret(?!name$|ref$)|passw|passphrase|private_?key|hmac|token|cookie|keyauth|stringdata|^data$/i;
const CREDENTIALS = /^(basic|bearer|digest|negotiate)\s+\S[\s\S]*/i;
const SECRET_TEXT = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g;

/** Most text is plain, and is not searched for each of the above. */
const PLAIN = /^[\x20-\x7e]*$/;
const SUSPECT = /-----BEGIN |^(basic|bearer|digest|negotiate)\s/i;

/** Members of an error worth knowing; its own others may hold requests, headers, bodies. */
const ERROR_MEMBERS = ['code', 'reason', 'type', 'detail', 'status', 'syscall', 'retryAfterMs'] as const;

/** The fields as they may be written: JSON values only. Never throws. */
export function safeFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  try {
    return safeMembers(fields, 0);
  } catch {
    // A getter or proxy that throws when it is looked at.
    return { fields: '[unreadable]' };
  }
}

function safeMembers(members: object, depth: number): Record<string, unknown> {
  const safe: [string, unknown][] = [];
  for (const [name, value] of Object.entries(members).slice(0, MAX_ITEMS)) {
    if (value !== undefined) safe.push([safeText(name), safeMember(name, value, depth + 1)]);
  }
  return Object.fromEntries(safe);
}

function safeMember(name: string, value: unknown, depth: number): unknown {
  if (!SECRET_MEMBER.test(name)) return safeValue(value, depth);
  return (typeof value === 'object' && value !== null && kubernetesRef(value)) || REDACTED;
}

function safeValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return safeText(value);
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'boolean':
      return value;
    case 'bigint':
      return String(value);
    case 'object':
      return value === null ? null : safeObject(value, depth);
    default:
      return `[${typeof value}]`;
  }
}

function safeObject(value: object, depth: number): unknown {
  if (value instanceof Error) return safeError(value, 0);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof KeyObject) return `[${value.type} key]`;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof URL) return safeText(value.origin + value.pathname);
  if (depth > MAX_DEPTH) return '[too deep]';
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => safeValue(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return `[${safeText(value.constructor?.name ?? 'object')}]`;
  return kubernetesRef(value) ?? safeMembers(value, depth);
}

/** Of a Kubernetes object only which one it is: specs hold what users wrote, Secrets what nobody may read. */
function kubernetesRef(value: object): unknown {
  if (!('metadata' in value) || typeof value.metadata !== 'object' || value.metadata === null) return undefined;
  const { kind } = value as { kind?: unknown };
  const { namespace, name, resourceVersion } = value.metadata as Record<string, unknown>;
  return safeMembers({ kind, namespace, name, resourceVersion }, MAX_DEPTH - 1);
}

function safeError(error: Error, causes: number): Record<string, unknown> {
  const members = error as unknown as Record<string, unknown>;
  const more = ERROR_MEMBERS.filter((name) => ['string', 'number'].includes(typeof members[name]));
  const cause = error.cause instanceof Error && causes < MAX_CAUSES ? safeError(error.cause, causes + 1) : undefined;
  return {
    name: safeText(error.name),
    message: safeText(error.message),
    ...Object.fromEntries(more.map((name) => [name, safeValue(members[name], 1)])),
    ...(error.stack ? { stack: safeText(frames(error.stack)) } : {}),
    ...(cause ? { cause } : {}),
  };
}

/** The positions alone: the head of a stack repeats the message. */
function frames(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => line.trim())
    .join(' < ');
}

/**
 * Text without private keys and HTTP credentials, and without characters that a terminal or log viewer would obey rather than show (oneLine).
 */
export function safeText(text: string): string {
  if (text.length <= MAX_TEXT && PLAIN.test(text) && !SUSPECT.test(text)) return text;
  const short = text.length > MAX_TEXT * 4 ? text.slice(0, MAX_TEXT * 4) : text;
  const clean = oneLine(short.replace(SECRET_TEXT, REDACTED).replace(CREDENTIALS, REDACTED));
  return clean.length > MAX_TEXT ? `${clean.slice(0, MAX_TEXT)}…` : clean;
}
