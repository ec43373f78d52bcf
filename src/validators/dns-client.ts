// One question to one name server: UDP from a port of its own, TCP where the answer is cut short (RFC 7766).
import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import { type DnsQuestion, type DnsRecord, parseReply } from './dns-message.ts';

export interface Nameserver {
  address: string;
  family: 4 | 6;
  port: number;
}

export type Exchange =
  | { state: 'answered'; rcode: number; records: readonly DnsRecord[] }
  | { state: 'failed'; reason: string };

const DNS_PORT = 53;
/** Datagrams that answer another question end an exchange: somebody is guessing. */
const MAX_STRAYS = 64;

/** `address`, `address:port` or `[address]:port`. Throws TypeError for anything else. */
export function parseNameserver(text: string): Nameserver {
  const match = /^(?:\[([^\]]+)\]|([^:]+)|(.*:.*:.*))(?::(\d{1,5}))?$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? match?.[3] ?? '';
  // Text with several colons and no brackets is an IPv6 address and nothing else.
  const [host, port] = match?.[3] === undefined ? [address, Number(match?.[4] ?? DNS_PORT)] : [text, DNS_PORT];
  const family = isIP(host);
  if ((family !== 4 && family !== 6) || port < 1 || port > 65_535)
    throw new TypeError(`not a name server: ${text} (an address, or address:port)`);
  return { address: host, family, port };
}

/** Rejects with the signal's reason once aborted; every failure of the server or the way to it is an answer. */
export async function exchange(
  server: Nameserver,
  query: Buffer,
  question: DnsQuestion,
  signal: AbortSignal,
): Promise<Exchange> {
  const judge: Judge = (message) => {
    const reply = parseReply(message, query, question);
    if (reply.kind === 'malformed') return { state: 'failed', reason: `malformed answer (${reply.reason})` };
    if (reply.kind === 'stray') return 'stray';
    const { rcode, records } = reply;
    return reply.truncated ? 'truncated' : { state: 'answered', rcode, records };
  };
  const reply = await overUdp(server, query, judge, signal);
  return reply === 'truncated' ? exchangeOverTcp(server, query, judge, signal) : reply;
}

/** What a message is to the question: its answer, cut short, or not about it. */
type Judge<T = Exchange> = (message: Buffer) => T | 'truncated' | 'stray';

function overUdp(
  server: Nameserver,
  query: Buffer,
  judge: Judge,
  signal: AbortSignal,
): Promise<Exchange | 'truncated'> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: server.family === 6 ? 'udp6' : 'udp4',
      // The address is one already; without this the socket would ask the system's resolver about it.
      lookup: (address, _options, done) => done(null, address, server.family),
    });
    let [open, strays] = [true, 0];
    const settle = (end: () => void) => {
      if (!open) return;
      open = false;
      signal.removeEventListener('abort', onAbort);
      socket.close();
      end();
    };
    const onAbort = () => settle(() => reject(signal.reason as Error));
    const fail = (reason: string) => settle(() => resolve({ state: 'failed', reason }));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', (error: NodeJS.ErrnoException) => fail(`not reached (${error.code ?? 'error'})`));
    socket.on('message', (message) => {
      const reply = judge(message);
      if (reply !== 'stray') settle(() => resolve(reply));
      else if (++strays === MAX_STRAYS) fail('answers to other questions');
    });
    socket.on('connect', () => socket.send(query));
    // A connected socket takes datagrams from this server alone; the system gives it a port nobody can foresee.
    socket.connect(server.port, server.address);
  });
}

/** One message and its answer on a connection of their own. As `exchange`. */
export function exchangeOverTcp<T extends object>(
  server: Nameserver,
  query: Buffer,
  judge: Judge<T>,
  signal: AbortSignal,
): Promise<T | { state: 'failed'; reason: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: server.port });
    const frame = createFrame();
    const settle = (end: () => void) => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      end();
    };
    const onAbort = () => settle(() => reject(signal.reason as Error));
    const fail = (reason: string) => settle(() => resolve({ state: 'failed', reason }));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', (error: NodeJS.ErrnoException) => fail(`not reached over TCP (${error.code ?? 'error'})`));
    socket.on('close', () => fail('connection closed early'));
    socket.on('data', (chunk: Buffer) => {
      const message = frame(chunk);
      if (!message) return;
      const reply = judge(message);
      if (typeof reply === 'string') fail(`${reply} answer over TCP`);
      else settle(() => resolve(reply));
    });
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16BE(query.length);
    socket.write(Buffer.concat([prefix, query]));
  });
}

/** Takes chunks until a message is whole: two bytes of length, then at most 65,535 bytes (RFC 1035 section 4.2.2). */
function createFrame(): (chunk: Buffer) => Buffer | undefined {
  const buffer = Buffer.allocUnsafe(2 + 0xffff);
  let length = 0;
  return (chunk) => {
    length += chunk.copy(buffer, length);
    const size = length < 2 ? buffer.length : 2 + buffer.readUInt16BE(0);
    return length < size ? undefined : buffer.subarray(2, size);
  };
}
