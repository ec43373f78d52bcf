// A DNS server for tests, UDP and TCP on one port: every name is at 127.0.0.1 unless told otherwise; counts what it is asked.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';

export interface CaaData {
  flags?: number;
  tag: string;
  value: string;
}

export interface DnsRecord {
  type: 'A' | 'AAAA' | 'TXT' | 'CAA' | 'CNAME' | 'PTR';
  name: string;
  ttl?: number;
  /** TXT: one text, or its character-strings. */
  data: string | readonly string[] | CaaData;
}

export type RecordType = DnsRecord['type'];

type Failure = 'SERVFAIL' | 'NXDOMAIN' | 'REFUSED';

interface DnsMessage {
  id?: number;
  type?: 'query' | 'response';
  flags?: number;
  questions?: { name: string; type: string }[];
  answers?: DnsRecord[];
}

// dns-packet has no types of its own; this is the part used here.
const { decode, encode } = createRequire(import.meta.url)('dns-packet') as {
  decode: (message: Buffer) => DnsMessage;
  encode: (message: DnsMessage) => Buffer;
};

const RCODE: Record<Failure, number> = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };
const RECURSION_AVAILABLE = 0x80;
const RECURSION_DESIRED = 0x100;
const TRUNCATED = 0x200;
const UDP_LIMIT = 512;

export interface DnsServer {
  readonly port: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Records of one name and type, instead of the default; an empty list answers "no data". */
  set(name: string, type: RecordType, data: readonly DnsRecord['data'][]): void;
  /** The name leads to another, whose records are answered along with the CNAME, as a resolver does. */
  alias(name: string, target: string): void;
  /** Every question for the name (and, if given, the type) fails. */
  fail(name: string, failure: Failure, type?: RecordType): void;
  /** Holds answers for the name until the promise settles. */
  hold(name: string, until: Promise<unknown>): void;
  clear(name: string): void;
  /** How often the name was asked for, perhaps of one type. */
  queries(name: string, type?: RecordType): number;
  stop(): Promise<void>;
}

export async function startDnsServer(): Promise<DnsServer> {
  const zone = createZone();
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serveTcp(socket, zone.answer);
  });
  const udp = await bindBoth(tcp);
  udp.on('message', (message, peer) => {
    void zone.answer(message).then((reply) => {
      const cut = reply.length > UDP_LIMIT ? truncated(message) : reply;
      return udp.send(cut, peer.port, peer.address);
    });
  });
  const stop = async (): Promise<void> => {
    udp.close();
    for (const socket of sockets) socket.destroy();
    tcp.close();
    await once(tcp, 'close');
  };
  const { port } = udp.address();
  return { ...zone.controls, port, address: `127.0.0.1:${port}`, stop };
}

/** One port number for both protocols; another is tried while TCP's is taken. */
async function bindBoth(tcp: Server): Promise<UdpSocket> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const udp = createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const listening = await new Promise<boolean>((resolve) => {
      tcp.once('error', () => resolve(false));
      tcp.listen(udp.address().port, '127.0.0.1', () => resolve(true));
    });
    if (listening) return udp;
    udp.close();
  }
  throw new Error('no port free for both UDP and TCP');
}

function truncated(message: Buffer): Buffer {
  const query = decode(message);
  return encode({ ...head(query), flags: RECURSION_AVAILABLE | RECURSION_DESIRED | TRUNCATED });
}

const head = (query: DnsMessage): DnsMessage => ({
  id: query.id ?? 0,
  type: 'response',
  questions: query.questions ?? [],
});

function serveTcp(socket: Socket, answer: (message: Buffer) => Promise<Buffer>): void {
  let buffered = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
      const length = buffered.readUInt16BE(0);
      const message = buffered.subarray(2, 2 + length);
      buffered = buffered.subarray(2 + length);
      void answer(message).then((reply) => {
        const size = Buffer.alloc(2);
        size.writeUInt16BE(reply.length);
        return socket.write(Buffer.concat([size, reply]));
      });
    }
  });
}

type Controls = Omit<DnsServer, 'port' | 'address' | 'stop'>;

function createZone(): { answer: (message: Buffer) => Promise<Buffer>; controls: Controls } {
  const records = new Map<string, readonly DnsRecord['data'][]>();
  const aliases = new Map<string, string>();
  const failures = new Map<string, Failure>();
  const holds = new Map<string, Promise<unknown>>();
  const asked: { name: string; type: string }[] = [];
  const key = (name: string, type = '*'): string => `${name.toLowerCase()} ${type}`;

  const lookUp = (name: string, type: string): DnsRecord[] => {
    const target = aliases.get(name);
    if (target !== undefined) return [{ type: 'CNAME', name, ttl: 0, data: target }, ...lookUp(target, type)];
    const fallback = type === 'A' ? ['127.0.0.1'] : [];
    return (records.get(key(name, type)) ?? fallback).map((data) => ({ type: type as RecordType, name, ttl: 0, data }));
  };

  const answer = async (message: Buffer): Promise<Buffer> => {
    const query = decode(message);
    const question = query.questions?.[0];
    const [name, type] = [(question?.name ?? '').toLowerCase(), question?.type ?? ''];
    asked.push({ name, type });
    await holds.get(name);
    const failure = failures.get(key(name, type)) ?? failures.get(key(name));
    const flags = RECURSION_AVAILABLE | RECURSION_DESIRED | (failure ? RCODE[failure] : 0);
    return encode({ ...head(query), flags, answers: failure ? [] : lookUp(name, type) });
  };

  const clear = (name: string): void => {
    const prefix = `${name.toLowerCase()} `;
    for (const map of [records, failures]) for (const each of map.keys()) if (each.startsWith(prefix)) map.delete(each);
    aliases.delete(name.toLowerCase());
    holds.delete(name.toLowerCase());
  };
  const controls: Controls = {
    set: (name, type, data) => void records.set(key(name, type), data),
    alias: (name, target) => void aliases.set(name.toLowerCase(), target.toLowerCase()),
    fail: (name, failure, type) => void failures.set(key(name, type), failure),
    hold: (name, until) => void holds.set(name.toLowerCase(), until),
    clear,
    queries: (name, type) =>
      asked.filter((each) => each.name === name.toLowerCase() && (type === undefined || each.type === type)).length,
  };
  return { answer, controls };
}
