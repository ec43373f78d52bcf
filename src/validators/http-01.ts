// http-01: the client shows its key authorization over HTTP (RFC 8555 section 8.3; RFC 8738 section 4 for addresses).
import { isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Problem } from '../domain/problem.ts';
import type { Clock, ValidationOptions, ValidationResult, ValidationTarget, Validator } from '../ports.ts';
import { type Failure, failure, withinAttempt } from './attempt.ts';
import type { Dialer } from './dialer.ts';
import { type HttpOutcome, httpGet } from './http-get.ts';
import { authorityOf, type HttpLocation, parseRedirect, urlOf } from './redirect.ts';

export interface Http01Deps {
  dialer: Dialer;
  clock: Clock;
  /** 80 but on a laptop, where that port is not ours. */
  port: number;
  /** Milliseconds one attempt takes at most, redirects included. */
  timeoutMs?: number;
}

/** However many an issuer allows. */
const MAX_REDIRECTS = 10;
const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 307, 308]);

export function createHttp01({ dialer, clock, port, timeoutMs = 10_000 }: Http01Deps): Validator {
  const ports = new Set([80, 443, port]);
  return {
    validate: (target, options, signal) => {
      const label = target.identifier.value;
      return withinAttempt({ clock, ms: timeoutMs, signal, type: 'connection', label }, (bound) => {
        const { value: host } = target.identifier;
        const first = { secure: false, host, port, path: `/.well-known/acme-challenge/${target.token}` };
        return attempt({ dialer, ports, target, options, signal: bound }, first);
      });
    },
  };
}

interface Attempt {
  dialer: Dialer;
  ports: ReadonlySet<number>;
  target: ValidationTarget;
  options: ValidationOptions;
  signal: AbortSignal;
}

type Response = Extract<HttpOutcome, { kind: 'response' }>;

async function attempt(context: Attempt, first: HttpLocation): Promise<ValidationResult> {
  const limit = Math.min(context.options.redirects, MAX_REDIRECTS);
  const seen = new Set<string>();
  let addresses: readonly string[] = [];
  for (let location = first; ; ) {
    const reached = await get(context, location, seen.size);
    // Those of the identifier itself: a redirect proves nothing about where the name lives.
    if (seen.size === 0) addresses = reached.addresses;
    if ('problem' in reached) return { ...reached, addresses };
    seen.add(urlOf(location));
    if (!REDIRECT_STATUSES.has(reached.response.status))
      return judgeResponse(context.target, reached.response, addresses);
    const next = seen.size > limit ? refusal(limit) : parseRedirect(reached.response.location, location, context.ports);
    const reason = typeof next === 'string' ? next : seen.has(urlOf(next)) ? 'leads back to where it came from' : '';
    if (typeof next === 'string' || reason !== '') {
      const detail = `${context.target.identifier.value}: redirect (HTTP status ${reached.response.status}) ${reason}`;
      return failure(new Problem('incorrectResponse', detail), { retryable: true, addresses });
    }
    location = next;
  }
}

const refusal = (limit: number) => (limit === 0 ? 'is not followed by this issuer' : `is one more than ${limit}`);

/** One request, on a connection of its own. `hop` is 0 for the identifier itself. */
async function get(
  { dialer, target, options, signal }: Attempt,
  location: HttpLocation,
  hop: number,
): Promise<{ response: Response; addresses: readonly string[] } | Failure> {
  const { value } = target.identifier;
  const label = hop === 0 ? value : `${value}: redirect ${hop}`;
  const dialled = await dialer.dial({ host: location.host, port: location.port, label }, options, signal);
  if ('problem' in dialled) return dialled;
  const { socket, addresses } = dialled;
  const stream = location.secure ? secured(socket, location.host) : socket;
  const outcome = await httpGet(stream, { authority: authorityOf(location), path: location.path }, signal).finally(() =>
    socket.destroy(),
  );
  if (outcome.kind === 'response') return { response: outcome, addresses };
  const type = outcome.kind === 'broken' ? outcome.type : 'incorrectResponse';
  const problem = new Problem(type, `${label}: ${outcome.reason}`);
  return failure(problem, { retryable: outcome.kind === 'broken', addresses });
}

/** TLS without a look at the certificate: who asks for one need not have one yet (RFC 8555 section 8.3). */
function secured(socket: Socket, host: string): Socket {
  const stream = connectTls({
    socket,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  return stream.on('error', () => {});
}

function judgeResponse(
  { identifier, keyAuthorization }: ValidationTarget,
  { status, body }: Response,
  addresses: readonly string[],
): ValidationResult {
  const label = identifier.value;
  if (status !== 200) {
    const problem = new Problem('incorrectResponse', `${label}: HTTP status ${status} instead of 200`);
    return failure(problem, { retryable: true, addresses });
  }
  if (Buffer.from(keyAuthorization).equals(withoutTrailingWhitespace(body))) return { valid: true, addresses };
  const detail = `${label}: the ${body.length} bytes of the response are not the key authorization`;
  return failure(new Problem('incorrectResponse', detail), { retryable: false, addresses });
}

/** Space, tab, CR and LF. RFC 8555 section 8.3 lets servers ignore them at the end. */
function withoutTrailingWhitespace(body: Buffer): Buffer {
  let end = body.length;
  while (end > 0 && [0x20, 0x09, 0x0d, 0x0a].includes(body[end - 1] ?? 0)) end--;
  return body.subarray(0, end);
}
