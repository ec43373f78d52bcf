// What hostile input costs the server: CPU of each kind against that of a good newOrder, in a process of its own.
import { brotliCompressSync } from 'node:zlib';
import { expectStatus, finalize, identifiersOf, readyOrder, register } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type PostOptions } from '../support/acme-wire.ts';
import { buildCsr, weakRsaKeys } from '../support/csr-builder.ts';
import * as der from '../support/der-writer.ts';
import { type DnsServer } from '../support/dns-server.ts';
import { type Http01Responder } from '../support/http01-responder.ts';
import { createSigningKey, signEncoded, signJws } from '../support/jws.ts';
import { type TlsAlpnResponder } from '../support/tls-alpn-responder.ts';
import { cpuMs, startCountersign } from './peers.ts';
import { startResponders } from '../support/responders.ts';

export interface HostileCost {
  /** Number and words. */
  input: string;
  /** CPU of one, good newOrder = 1. */
  ratio: number;
}

interface Case {
  input: string;
  /** Fewer where a limit of the server would be met. */
  repetitions?: number;
  send: (acme: AcmeWire) => Promise<{ status: number }>;
}

const REPETITIONS = 200;
/** An account is refused five hundred times at finalize before it has to wait; there are six of these. */
const REFUSED_FINALIZES = 60;
/** Ticks of the process clock are 10 ms: the yardstick has more to measure. */
const BASELINE = 400;

const name = 'hostile.bench.test';
const good = (acme: AcmeWire, options: PostOptions = {}, identifiers: unknown = identifiersOf([name])) =>
  acme.post(acme.directory.newOrder, { identifiers }, options);
const keyOf = (jwk: object, alg: string) => (acme: AcmeWire) =>
  acme.post(acme.directory.newAccount, {}, { jwkOf: stranger, header: { jwk, alg } });

const stranger = createSigningKey();
const rsa = createSigningKey('RS256').jwk;
const largest = createSigningKey('RS256', 4096).jwk;
const many = (length: number) => identifiersOf(Array.from({ length }, (_, i) => `n${i}.bench.test`));
const keys = `{${Array.from({ length: 4_200 }, (_, i) => `"k${i}":1`).join(',')}}`;
const bomb = brotliCompressSync(Buffer.alloc(64 * 1024 * 1024));
const nested = (levels: number) => {
  let bytes: Buffer = der.nullValue();
  for (let level = 0; level < levels; level++) bytes = der.tlv(0x30, bytes);
  return bytes;
};
const bodyOf = (text: string | Buffer) => (acme: AcmeWire) => good(acme, { tamper: () => text });
const payloadOf = (text: string) => (acme: AcmeWire) =>
  good(acme, {
    tamper: ({ protected: header }) => signEncoded(acme.account.key, header, Buffer.from(text).toString('base64url')),
  });

const CASES: readonly Case[] = [
  { input: '1 alg none', send: (acme) => good(acme, { header: { alg: 'none' } }) },
  { input: '4 ES384 on a P-256 account', send: (acme) => good(acme, { header: { alg: 'ES384' } }) },
  { input: '6 signature of another key', send: (acme) => good(acme, { signWith: stranger }) },
  { input: '7 kid of nobody', send: (acme) => good(acme, { header: { kid: `${acme.account.url.slice(0, -1)}x` } }) },
  { input: '8 url of another host', send: (acme) => good(acme, { header: { url: 'https://evil.example/' } }) },
  { input: '9 nonce of nobody', send: (acme) => good(acme, { header: { nonce: 'A'.repeat(38) } }) },
  { input: '17 key off the curve', send: keyOf({ ...stranger.jwk, y: stranger.jwk['x'] }, 'ES256') },
  { input: '18 RSA exponent 3', send: keyOf({ ...rsa, e: 'Aw' }, 'RS256') },
  { input: '18 RSA of 16 384 bits', send: keyOf({ ...rsa, n: '_'.repeat(2_731) }, 'RS256') },
  { input: '18 RSA of 4 096 bits, all ones', send: keyOf({ ...rsa, n: '_'.repeat(682) + 'w' }, 'RS256') },
  {
    input: '18 RSA of 4 096 bits, sound, its signature wrong',
    send: (acme) =>
      acme.post(
        acme.directory.newAccount,
        {},
        {
          jwkOf: stranger,
          header: { jwk: largest, alg: 'RS256' },
          tamper: (jws) => ({ ...jws, signature: '_'.repeat(682) + 'w' }),
        },
      ),
  },
  { input: '22 nested arrays, 64 KiB', send: bodyOf('['.repeat(65_000)) },
  { input: '22 one text of 64 KiB', send: bodyOf(`"${'a'.repeat(65_000)}"`) },
  { input: '22 an escape every two bytes', send: bodyOf(`"${String.raw`\n`.repeat(32_000)}"`) },
  { input: '22 4 200 keys in the payload', send: payloadOf(keys) },
  { input: '22 20 000 numbers in the payload', send: payloadOf(`{"x":[${'1,'.repeat(20_000)}1]}`) },
  { input: '23 body of 65 537 bytes', send: bodyOf(Buffer.alloc(65_537, 0x20)) },
  {
    input: '23 Brotli bomb',
    send: (acme) => good(acme, { headers: { 'content-encoding': 'br' }, tamper: () => bomb }),
  },
  {
    input: '24 headers of 15 kB',
    send: (acme) => good(acme, { headers: { x: 'a'.repeat(15_000) }, header: { alg: 'none' } }),
  },
  { input: '33 101 names', send: (acme) => good(acme, {}, many(101)) },
  { input: '37 a name of 40 000 characters', send: (acme) => good(acme, {}, identifiersOf(['a.'.repeat(20_000)])) },
  {
    input: '37 60 names of bad Punycode',
    send: (acme) =>
      good(acme, {}, identifiersOf(Array.from({ length: 60 }, (_, i) => `xn--${'a'.repeat(50)}${i}.test`))),
  },
  {
    input: '40 100 denied names',
    send: (acme) => good(acme, {}, identifiersOf(Array.from({ length: 100 }, (_, i) => `n${i}.svc`))),
  },
  {
    input: '43 forged order URL of 6 kB',
    send: (acme) => acme.get(`${acme.directory.newOrder.replace('new-order', 'order')}/${'A'.repeat(6_000)}`),
  },
  {
    input: '32 key change signed by nobody',
    send: (acme) => {
      const url = acme.directory.keyChange;
      const inner = signJws(acme.account.key, { alg: 'ES256', jwk: stranger.jwk, url }, {});
      return acme.post(url, inner);
    },
  },
];

/** CSRs sent to finalize one ready order, which stays ready. */
const CSRS: readonly (readonly [input: string, csr: () => Buffer])[] = [
  ['47 CSR with 100 names more', () => buildCsr({ names: many(100).map(({ value }) => value) }).der],
  ['51 CSR signed by another key', () => buildCsr({ names: [name], signer: stranger }).der],
  ['51 CSR with RSA 1024', () => buildCsr({ names: [name], keys: weakRsaKeys() }).der],
  ['53 CSR of 4 000 nested SEQUENCEs', () => nested(4_000)],
  ['53 CSR of 16 kB of values', () => der.sequence(...Array.from({ length: 8_000 }, () => der.nullValue()))],
  ['53 CSR of 30 kB', () => Buffer.alloc(30_000, 0x30)],
];

interface Surroundings {
  dns: DnsServer;
  http01: Http01Responder;
  tlsAlpn: TlsAlpnResponder;
}

/** CPU of each hostile input over that of a good newOrder; both over the same kept connection, by the clock of the server's process. */
export async function hostileCosts(repetitions = REPETITIONS): Promise<HostileCost[]> {
  const surroundings = await startResponders();
  const { dns, http01 } = surroundings;
  const peer = await startCountersign({ resolver: dns.address, http01Port: http01.port }, 'memory');
  const transport = createTransport(peer.ca);
  try {
    const acme = await connect(transport, peer.directory);
    await register(acme);
    return await measureAll(acme, await casesFor(acme, surroundings), { pid: peer.pid, repetitions });
  } finally {
    transport.close();
    await peer.stop();
    await Promise.all(Object.values(surroundings).map((server) => server.stop()));
  }
}

async function casesFor(acme: AcmeWire, surroundings: Surroundings): Promise<Case[]> {
  const ready = await readyOrder(acme, surroundings, [name]);
  const csrs = CSRS.map(([input, csr]): Case => {
    const bytes = csr();
    return { input, repetitions: REFUSED_FINALIZES, send: () => finalize(acme, ready, bytes) };
  });
  return [...CASES, ...csrs];
}

async function measureAll(
  acme: AcmeWire,
  cases: readonly Case[],
  { pid, repetitions }: { pid: number; repetitions: number },
): Promise<HostileCost[]> {
  const cpuOf = async (send: () => Promise<unknown>, times: number): Promise<number> => {
    const before = cpuMs(pid);
    for (let i = 0; i < times; i++) await send();
    return (cpuMs(pid) - before) / times;
  };
  // An account of its own now and then, because the orders of one are limited.
  const measured = acme.another();
  const baseline = async () => expectStatus(await good(measured), 201, 'newOrder');
  await register(measured);
  // Compiled code is what is compared.
  await cpuOf(baseline, BASELINE);
  const costs: HostileCost[] = [];
  const yardsticks: number[] = [];
  const spent: number[] = [];
  for (const { send, ...own } of cases) {
    const times = Math.min(repetitions, own.repetitions ?? repetitions);
    await refusedOnce(acme, send);
    await register(measured);
    yardsticks.push(await cpuOf(baseline, BASELINE / 4));
    await cpuOf(() => send(acme), times / 4);
    spent.push(await cpuOf(() => send(acme), times));
  }
  const yardstick = yardsticks.reduce((sum, each) => sum + each, 0) / yardsticks.length;
  for (const [index, { input }] of cases.entries())
    costs.push({ input, ratio: (spent[index] ?? Number.NaN) / yardstick });
  return costs;
}

/** What is measured must be a refusal, else the figure is of something else. */
async function refusedOnce(acme: AcmeWire, send: Case['send']): Promise<void> {
  const { status } = await send(acme);
  if (status < 400 || status >= 500) throw new Error(`a hostile input was answered with ${status}`);
}
