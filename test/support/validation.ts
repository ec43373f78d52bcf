// What tests of validation share: a clock, servers that say any bytes whatever and count, and a DNS that fails loudly.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock, Resolver, ValidationOptions, ValidationResult } from '../../src/ports.ts';

export const testClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms).unref();
      signal?.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      });
    }),
};

export const notAborted = new AbortController().signal;

/** Fails the test that asks what it did not prepare. */
export function stubResolver(answers: Partial<Resolver>): Resolver {
  const unexpected = (method: string) => (name: string) => {
    throw new Error(`unexpected DNS question: ${method} ${name}`);
  };
  return {
    addresses: unexpected('addresses'),
    txt: unexpected('txt'),
    canonical: unexpected('canonical'),
    caa: unexpected('caa'),
    pointers: unexpected('pointers'),
    ...answers,
  };
}

/** A resolver that knows the addresses of every name and counts how often it is asked. */
export function resolverTo(...records: string[]): { resolver: Resolver; asked: string[] } {
  const asked: string[] = [];
  const addresses: Resolver['addresses'] = (name) => {
    asked.push(name);
    return Promise.resolve({ state: 'found', records });
  };
  return { resolver: stubResolver({ addresses }), asked };
}

/** No redirects, no objections. */
export function optionsWith(resolver: Resolver, more: Partial<ValidationOptions> = {}): ValidationOptions {
  return { resolver, redirects: 0, judge: () => Promise.resolve(undefined), ...more };
}

/** A row of the seeds' acceptance lists. `ours`: `valid`, or a problem type with `final` or `again`. */
export type SeedRow<T> = readonly [title: string, seed: string, ours: string, whyDifferent: string, prepare: T];

/** The verdict in the words of SeedRow. */
export function verdictOf(result: ValidationResult): string {
  return result.valid ? 'valid' : `${result.problem.type}, ${result.retryable ? 'again' : 'final'}`;
}

export interface RawServer {
  readonly port: number;
  readonly connections: number;
  /** Connections not closed yet. */
  readonly open: number;
  /** Bytes the server gave to the system to send. */
  readonly bytesSent: number;
  stop(): Promise<void>;
}

/** A TCP server that does with each connection what the test says. */
export async function startRawServer(
  serve: (socket: Socket) => void,
  { host = '127.0.0.1', port = 0 }: { host?: string; port?: number } = {},
): Promise<RawServer> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  server.listen(port, host);
  await once(server, 'listening');
  return {
    port: portOf(server),
    get connections() {
      return sockets.length;
    },
    get open() {
      return sockets.filter((socket) => !socket.closed).length;
    },
    get bytesSent() {
      return sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0);
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return address.port;
}

/** Writes the text once a whole request has come, then `more` if any; leaves the connection open. */
export function afterRequest(text: string | Buffer, more: (socket: Socket) => void = () => {}) {
  return (socket: Socket): void => {
    let request = '';
    socket.on('data', (chunk: Buffer) => {
      const before = request;
      request += chunk.toString('latin1');
      if (before.includes('\r\n\r\n') || !request.includes('\r\n\r\n')) return;
      socket.write(text);
      more(socket);
    });
  };
}

/** Sends `chunk` until the peer goes away or `limit` bytes are out, minding back-pressure. */
export function pour(chunk: Buffer, limit: number) {
  return (socket: Socket): void => {
    let sent = 0;
    const push = (): void => {
      while (sent < limit && !socket.destroyed) {
        sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('drain', push);
    push();
  };
}

// dns-packet has no types of its own; this is the part used here.
export interface Packet {
  id?: number;
  type?: 'query' | 'response';
  flags?: number;
  questions?: { name: string; type: string; class?: string }[];
  answers?: { name: string; type: string; class?: string; ttl?: number; data: unknown }[];
  authorities?: Packet['answers'];
  additionals?: Packet['answers'];
}

export const packet = createRequire(import.meta.url)('dns-packet') as {
  encode(packet: Packet): Buffer;
  decode(message: Buffer): Packet;
};

export interface RawDnsServer {
  readonly address: string;
  /** Questions as `name TYPE over`, oldest first. */
  readonly asked: readonly string[];
  /** Source ports and ids of the datagrams. */
  readonly sources: readonly { port: number; id: number }[];
  stop(): Promise<void>;
}

/** A DNS server that answers a query with any datagrams, or any bytes over TCP (the length in front is added). */
export async function startRawDnsServer(
  reply: (query: Packet, over: 'udp' | 'tcp', message: Buffer) => readonly Buffer[],
): Promise<RawDnsServer> {
  const asked: string[] = [];
  const sources: { port: number; id: number }[] = [];
  const answer = (message: Buffer, over: 'udp' | 'tcp'): readonly Buffer[] => {
    const query = packet.decode(message);
    asked.push(`${query.questions?.[0]?.name ?? ''} ${query.questions?.[0]?.type ?? ''} ${over}`);
    return reply(query, over, message);
  };
  const tcp = await startRawServer((socket) => {
    socket.once('data', (framed: Buffer) => {
      for (const message of answer(framed.subarray(2), 'tcp')) {
        const size = Buffer.alloc(2);
        size.writeUInt16BE(message.length);
        socket.write(Buffer.concat([size, message]));
      }
    });
  });
  const udp = createSocket('udp4');
  udp.on('message', (message, peer) => {
    sources.push({ port: peer.port, id: message.readUInt16BE(0) });
    for (const datagram of answer(message, 'udp')) udp.send(datagram, peer.port, peer.address);
  });
  udp.bind(tcp.port, '127.0.0.1');
  await once(udp, 'listening');
  return {
    address: `127.0.0.1:${tcp.port}`,
    asked,
    sources,
    stop: async () => {
      udp.close();
      await tcp.stop();
    },
  };
}

/** An answer to the query with these records. */
export function answerTo(query: Packet, answers: NonNullable<Packet['answers']>, flags = 0x180): Buffer {
  return packet.encode({
    id: query.id ?? 0,
    type: 'response',
    flags,
    questions: query.questions ?? [],
    answers: answers.map((record) => ({ ttl: 0, ...record })),
  });
}
