// The one place from which validation reaches out. A host is resolved once, every address it has is judged, and the connection
// goes to one of exactly these addresses: what was judged is what is dialled (DNS rebinding, RFC 8555 section 10.4).
import { connect, isIP, type Socket } from 'node:net';
import type { DenyList } from '../domain/deny-list.ts';
import { Problem } from '../domain/problem.ts';
import type { Clock, DnsAnswer, ValidationOptions } from '../ports.ts';
import { dnsProblem, type Failure, failure, objection } from './attempt.ts';
import { withDeadline } from './deadline.ts';

export interface DialerDeps {
  denyList: DenyList;
  clock: Clock;
  /** Milliseconds one address has to answer while others are left to try. */
  connectMs?: number;
}

export interface Destination {
  /** A DNS name or an address. */
  host: string;
  port: number;
  /** What problems call the host. A peer may have chosen `host`, and its words are not repeated. */
  label: string;
}

/** Connected; the caller destroys the socket. */
export interface Connection {
  socket: Socket;
  /** All of the host's, not only the one reached. */
  addresses: readonly string[];
}

export interface Dialer {
  /** Rejects only with the signal's reason. Time in all is the caller's to bind. */
  dial(destination: Destination, options: ValidationOptions, signal: AbortSignal): Promise<Connection | Failure>;
}

/** Addresses tried; all are judged. */
const MAX_TRIED = 4;

export function createDialer({ denyList, clock, connectMs = 2_500 }: DialerDeps): Dialer {
  const connectToOne = async (addresses: readonly string[], port: number, signal: AbortSignal) => {
    const candidates = alternate(addresses).slice(0, MAX_TRIED);
    const last = candidates.pop() ?? '';
    for (const address of candidates) {
      const work = (bound: AbortSignal) => connectTo(address, port, bound);
      const outcome = await withDeadline({ clock, ms: connectMs, signal }, work);
      if (typeof outcome === 'object') return outcome;
    }
    return connectTo(last, port, signal);
  };
  return {
    dial: async ({ host, port, label }, options, signal) => {
      const answer = await addressesOf(host, options, signal);
      if (answer.state !== 'found') return failure(dnsProblem(label, 'address', answer), { retryable: true });
      const addresses = answer.records;
      const problem = denialOf(label, addresses, denyList) ?? (await options.judge(host, addresses, answer.incomplete));
      if (problem) return objection(problem, addresses);
      // The judge knows no signal: it may have outlasted the attempt.
      signal.throwIfAborted();
      const outcome = await connectToOne(addresses, port, signal);
      if (typeof outcome === 'object') return { socket: outcome, addresses };
      const unreached = new Problem('connection', `${label}: no connection to port ${port} (${outcome})`);
      return failure(unreached, { retryable: true, addresses });
    },
  };
}

async function addressesOf(
  host: string,
  { resolver }: ValidationOptions,
  signal: AbortSignal,
): Promise<DnsAnswer<string>> {
  return isIP(host) === 0 ? resolver.addresses(host, signal) : { state: 'found', records: [host] };
}

/** One denied address is enough: a name that also points at a forbidden place is not asked at all. */
function denialOf(label: string, addresses: readonly string[], denyList: DenyList): Problem | undefined {
  const denial = addresses.map((address) => denyList.denial(address)).find((reason) => reason !== undefined);
  return denial === undefined
    ? undefined
    : new Problem('rejectedIdentifier', `${label}: is at ${denial}, which validation never contacts`);
}

/** Families in turn, each in the order given, so that both are tried before the limit. */
function alternate(addresses: readonly string[]): string[] {
  const first = addresses.filter((address) => isIP(address) === isIP(addresses[0] ?? ''));
  const second = addresses.filter((address) => !first.includes(address));
  return Array.from({ length: Math.max(first.length, second.length) }, (_, i) => [first[i], second[i]])
    .flat()
    .filter((address) => address !== undefined);
}

/** The socket, or why there is none. */
function connectTo(address: string, port: number, signal: AbortSignal): Promise<Socket | string> {
  return new Promise((resolve, reject) => {
    // An address is never looked up again by connect.
    const socket = connect({ host: address, port });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = (outcome: Socket | string) => {
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    socket.once('connect', () => settle(socket));
    // Stays for the life of the socket: errors after this belong to whoever reads, and must not be unheard.
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? 'error'));
  });
}
