import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../../test/support/dns-server.ts';
import {
  answerTo,
  notAborted as signal,
  type Packet,
  packet,
  startRawDnsServer,
  startRawServer,
  testClock,
} from '../../test/support/validation.ts';
import type { Resolver } from '../ports.ts';
import { createResolver } from './resolver.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const random = { bytes: (length: number) => randomBytes(length) };
const resolverAt = (nameservers: readonly string[], more: { tryMs?: number; totalMs?: number } = {}): Resolver =>
  createResolver({ clock: testClock, random, nameservers, ...more });

async function dnsServer(): Promise<DnsServer> {
  const server = await startDnsServer();
  closing.push(() => server.stop());
  return server;
}

type Reply = Parameters<typeof startRawDnsServer>[0];
async function rawDnsServer(reply: Reply) {
  const server = await startRawDnsServer(reply);
  closing.push(() => server.stop());
  return server;
}

const NAME = 'a.example.test';
const found = (...records: unknown[]) => ({ state: 'found', records });
const txt = (query: Packet, data: unknown, name = NAME) => answerTo(query, [{ name, type: 'TXT', data }]);

test('addresses of both families, each asked for once', async () => {
  const dns = await dnsServer();
  dns.set(NAME, 'A', ['192.0.2.1', '192.0.2.2']);
  dns.set(NAME, 'AAAA', ['2001:db8:0:0::1']);
  expect(await resolverAt([dns.address]).addresses(NAME, signal)).toEqual(
    found('192.0.2.1', '192.0.2.2', '2001:db8::1'),
  );
  expect([dns.queries(NAME, 'A'), dns.queries(NAME, 'AAAA'), dns.queries(NAME)]).toEqual([1, 1, 2]);
});

test('one family is enough; no data is absent; a failure beside no data proves nothing', async () => {
  const dns = await dnsServer();
  const resolver = resolverAt([dns.address]);
  dns.set('v6.test', 'A', []);
  dns.set('v6.test', 'AAAA', ['::1']);
  dns.set('none.test', 'A', []);
  dns.set('half.test', 'A', ['192.0.2.1']);
  dns.fail('half.test', 'SERVFAIL', 'AAAA');
  dns.set('half-none.test', 'A', []);
  dns.fail('half-none.test', 'SERVFAIL', 'AAAA');
  expect(await resolver.addresses('v6.test', signal)).toEqual(found('::1'));
  expect(await resolver.addresses('none.test', signal)).toEqual({ state: 'absent' });
  expect(await resolver.addresses('half.test', signal)).toEqual({ ...found('192.0.2.1'), incomplete: true });
  expect(await resolver.addresses('half-none.test', signal)).toEqual({ state: 'failed', reason: 'SERVFAIL' });
});

test('texts, issuers and pointers', async () => {
  const dns = await dnsServer();
  const resolver = resolverAt([dns.address]);
  dns.set(NAME, 'TXT', [['multi', '', 'part'], 'single']);
  dns.set(NAME, 'CAA', [
    { flags: 128, tag: 'Issue', value: 'pki.example; a=b' },
    { flags: 1, tag: 'iodef', value: '' },
  ]);
  dns.set('10.2.0.192.in-addr.arpa', 'PTR', ['WWW.Example.test', 'b.example.test']);
  expect(await resolver.txt('A.Example.TEST', signal)).toEqual(found('multipart', 'single'));
  expect(await resolver.caa(NAME, signal)).toEqual(
    found({ critical: true, tag: 'issue', value: 'pki.example; a=b' }, { critical: false, tag: 'iodef', value: '' }),
  );
  expect(await resolver.pointers('192.0.2.10', signal)).toEqual(found('www.example.test', 'b.example.test'));
  expect(await resolver.pointers('2001:db8::1', signal)).toEqual({ state: 'absent' });
  expect(dns.queries('1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa', 'PTR')).toBe(1);
  expect(await resolver.pointers('localhost', signal)).toMatchObject({ state: 'failed' });
});

test('NXDOMAIN is absent; SERVFAIL and REFUSED are failures; what heals is seen at once', async () => {
  const dns = await dnsServer();
  const resolver = resolverAt([dns.address]);
  dns.fail(NAME, 'NXDOMAIN');
  expect(await resolver.txt(NAME, signal)).toEqual({ state: 'absent' });
  dns.fail(NAME, 'SERVFAIL');
  expect(await resolver.txt(NAME, signal)).toEqual({ state: 'failed', reason: 'SERVFAIL' });
  dns.fail(NAME, 'REFUSED');
  expect(await resolver.txt(NAME, signal)).toEqual({ state: 'failed', reason: 'REFUSED' });
  dns.clear(NAME);
  dns.set(NAME, 'TXT', ['good']);
  expect(await resolver.txt(NAME, signal)).toEqual(found('good'));
  expect(dns.queries(NAME)).toBe(4);
});

test('aliases are followed in one answer', async () => {
  const dns = await dnsServer();
  dns.alias(NAME, 'b.example.test');
  dns.alias('b.example.test', 'c.example.test');
  dns.set('c.example.test', 'TXT', ['there']);
  expect(await resolverAt([dns.address]).txt(NAME, signal)).toEqual(found('there'));
  expect(dns.queries(NAME)).toBe(1);
});

const alias = (query: Packet, target: string) =>
  answerTo(query, [{ name: query.questions?.[0]?.name ?? '', type: 'CNAME', data: target }]);

test('aliases are followed from answer to answer, so far', async () => {
  const chain = await rawDnsServer((query) => {
    const name = query.questions?.[0]?.name ?? '';
    const step = Number(name.slice(1, name.indexOf('.')));
    return [step === 8 ? txt(query, ['there'], name) : alias(query, `n${step + 1}.test`)];
  });
  const resolver = resolverAt([chain.address]);
  expect(await resolver.txt('n0.test', signal)).toEqual(found('there'));
  expect(chain.asked).toHaveLength(9);
  expect(await resolver.txt('n-1.test', signal)).toEqual({ state: 'failed', reason: 'aliases without end' });
  expect(chain.asked).toHaveLength(18);
});

test('an alias loop fails, within an answer and over several', async () => {
  const loop = await rawDnsServer((query) => {
    const name = query.questions?.[0]?.name ?? '';
    if (name === 'inside.test')
      return [
        answerTo(query, [
          { name, type: 'CNAME', data: 'b.test' },
          { name: 'b.test', type: 'CNAME', data: name },
        ]),
      ];
    return [alias(query, name === 'x.test' ? 'y.test' : name === 'y.test' ? 'x.test' : name)];
  });
  const resolver = resolverAt([loop.address]);
  for (const name of ['inside.test', 'x.test', 'self.test'])
    expect(await resolver.txt(name, signal)).toEqual({ state: 'failed', reason: 'aliases without end' });
  expect(loop.asked).toHaveLength(4);
});

test('an alias to a name that cannot be asked for is a failure', async () => {
  const odd = await rawDnsServer((query) => {
    const reply = alias(query, 'evilXtest.com');
    reply[reply.indexOf('evilX') + 4] = 0x2e;
    return [reply];
  });
  expect(await resolverAt([odd.address]).txt(NAME, signal)).toMatchObject({ state: 'failed' });
  expect(odd.asked).toHaveLength(1);
});

test('a truncated answer is asked for again over TCP, up to 1,000 records and 64 kB', async () => {
  const dns = await dnsServer();
  const texts = Array.from({ length: 1_000 }, (_, i) => `record-${i}`);
  dns.set(NAME, 'TXT', texts);
  const long = Array.from({ length: 220 }, (_, i) => 'x'.repeat(250) + i);
  dns.set('long.test', 'TXT', long);
  dns.set('flood.test', 'TXT', [...texts, 'one more']);
  const resolver = resolverAt([dns.address]);
  expect(await resolver.txt(NAME, signal)).toEqual(found(...texts));
  expect(await resolver.txt('long.test', signal)).toEqual(found(...long));
  expect(await resolver.txt('flood.test', signal)).toMatchObject({ state: 'failed' });
  expect(dns.queries(NAME)).toBe(2);
});

const truncated = (query: Packet) => answerTo(query, [], 0x380);

test.each<[string, (query: Packet) => Buffer[]]>([
  ['truncated again', (query) => [truncated(query)]],
  ['the answer to another question', (query) => [txt({ ...query, id: (query.id ?? 0) ^ 1 }, ['x'])]],
  ['garbage', () => [Buffer.from('GET / HTTP/1.1\r\n\r\n')]],
  ['an empty message', () => [Buffer.alloc(0)]],
])('over TCP, %s is a failure', async (_title, overTcp) => {
  const server = await rawDnsServer((query, over) => (over === 'udp' ? [truncated(query)] : overTcp(query)));
  expect(await resolverAt([server.address]).txt(NAME, signal)).toMatchObject({ state: 'failed' });
  expect(server.asked).toEqual([`${NAME} TXT udp`, `${NAME} TXT tcp`]);
});

test('a TCP answer in single bytes is put together; one that is cut off is a failure', async () => {
  let cut = false;
  const tcp = await startRawServer((socket) => {
    socket.once('data', (framed: Buffer) => {
      const message = txt(packet.decode(framed.subarray(2)), ['there']);
      const bytes = Buffer.concat([Buffer.from([0, message.length]), message]);
      const send = (i: number): void => {
        if (cut && i === 30) socket.destroy();
        else if (i < bytes.length) socket.write(bytes.subarray(i, i + 1), () => setImmediate(send, i + 1));
      };
      send(0);
    });
  });
  closing.push(() => tcp.stop());
  const { createSocket } = await import('node:dgram');
  const udp = createSocket('udp4');
  closing.push(() => new Promise((done) => udp.close(done)));
  udp.on('message', (message, peer) => udp.send(truncated(packet.decode(message)), peer.port, peer.address));
  await new Promise<void>((done) => udp.bind(tcp.port, '127.0.0.1', done));
  const resolver = resolverAt([`127.0.0.1:${tcp.port}`]);
  expect(await resolver.txt(NAME, signal)).toEqual(found('there'));
  cut = true;
  expect(await resolver.txt(NAME, signal)).toEqual({ state: 'failed', reason: 'connection closed early' });
  expect(tcp.connections).toBe(2);
});

test('records of wrong types, names and classes in an answer are ignored (CVE-2026-25518)', async () => {
  const odd = await rawDnsServer((query) => [
    answerTo(query, [
      { name: NAME, type: 'A', data: '192.0.2.1' },
      { name: NAME, type: 'SOA', data: { mname: 'a', rname: 'b' } },
      { name: 'other.test', type: 'TXT', data: ['of another name'] },
      { name: NAME, type: 'TXT', class: 'CH', data: ['of another class'] },
      { name: NAME, type: 'TXT', data: ['right'] },
    ]),
  ]);
  const resolver = resolverAt([odd.address]);
  expect(await resolver.txt(NAME, signal)).toEqual(found('right'));
  expect(await resolver.caa(NAME, signal)).toEqual({ state: 'absent' });
});

test.each<[string, keyof Resolver, number, number[]]>([
  ['an A of five bytes', 'addresses', 1, [1, 2, 3, 4, 5]],
  ['an empty A', 'addresses', 1, []],
  ['a TXT whose string runs past its end', 'txt', 16, [5, 97]],
  ['a CAA without a tag', 'caa', 257, [0, 0, 97]],
  ['a CAA whose tag runs past its end', 'caa', 257, [0, 9, 97]],
  ['a CAA whose tag is no text', 'caa', 257, [0, 1, 0xff, 97]],
  ['an empty CAA', 'caa', 257, []],
])('%s is a failure, not an absence', async (_title, method, type, data) => {
  const server = await rawDnsServer((query) => {
    const reply = Buffer.from(answerTo(query, []));
    reply.writeUInt16BE(1, 6);
    const record = Buffer.from([0xc0, 12, type >> 8, type & 0xff, 0, 1, 0, 0, 0, 0, 0, data.length, ...data]);
    return [query.questions?.[0]?.type === 'AAAA' ? answerTo(query, []) : Buffer.concat([reply, record])];
  });
  expect(await resolverAt([server.address])[method](NAME, signal)).toEqual({
    state: 'failed',
    reason: 'malformed record',
  });
});

test('answers of strangers are passed over until the real one comes', async () => {
  const server = await rawDnsServer((query) => [
    txt({ ...query, id: ((query.id ?? 0) + 1) % 65_536 }, ['guessed']),
    txt({ ...query, questions: [{ name: 'b.test', type: 'TXT' }] }, ['moved']),
    Buffer.from('noise'),
    txt(query, ['real']),
  ]);
  expect(await resolverAt([server.address]).txt(NAME, signal)).toEqual(found('real'));
});

test('somebody who keeps guessing ends the exchange', async () => {
  const server = await rawDnsServer((query) =>
    Array.from({ length: 200 }, (_, i) => txt({ ...query, id: ((query.id ?? 0) + 1 + i) % 65_536 }, ['guessed'])),
  );
  expect(await resolverAt([server.address]).txt(NAME, signal)).toEqual({
    state: 'failed',
    reason: 'answers to other questions',
  });
});

test('a malformed answer and a silent server are failures', async () => {
  const broken = await rawDnsServer((query) => [
    Buffer.concat([answerTo(query, []).fill(1, 7, 8), Buffer.from([0xc0])]),
  ]);
  expect(await resolverAt([broken.address]).txt(NAME, signal)).toMatchObject({
    state: 'failed',
    reason: /malformed answer/ as never,
  });
  const silent = await rawDnsServer(() => []);
  expect(await resolverAt([silent.address], { tryMs: 20 }).txt(NAME, signal)).toEqual({
    state: 'failed',
    reason: 'time-out',
  });
  expect(silent.asked).toHaveLength(2);
});

test('ids and ports are fresh for every question', async () => {
  const dns = await rawDnsServer((query) => [answerTo(query, [])]);
  const resolver = resolverAt([dns.address]);
  await Promise.all(Array.from({ length: 60 }, () => resolver.txt(NAME, signal)));
  const distinct = (values: number[]) => new Set(values).size;
  expect(dns.sources).toHaveLength(60);
  expect(distinct(dns.sources.map(({ port }) => port))).toBeGreaterThan(50);
  expect(distinct(dns.sources.map(({ id }) => id))).toBeGreaterThan(50);
});

test('the next server is asked where one is silent, refuses, fails or is not there', async () => {
  const good = await dnsServer();
  good.set(NAME, 'TXT', ['there']);
  const silent = await rawDnsServer(() => []);
  const failing = await dnsServer();
  failing.fail(NAME, 'SERVFAIL');
  const gone = await startDnsServer();
  await gone.stop();
  for (const first of [silent, failing, gone]) {
    const resolver = resolverAt([first.address, good.address], { tryMs: 50 });
    expect(await resolver.txt(NAME, signal)).toEqual(found('there'));
  }
  // The server that answered goes first from now on.
  const resolver = resolverAt([silent.address, good.address], { tryMs: 50 });
  const before = silent.asked.length;
  for (let i = 0; i < 5; i++) await resolver.txt(NAME, signal);
  expect(silent.asked.length - before).toBe(1);
});

test('a server that has failed is not asked twice, one that was silent is', async () => {
  const failing = await dnsServer();
  failing.fail(NAME, 'REFUSED');
  const silent = await rawDnsServer(() => []);
  const resolver = resolverAt([failing.address, silent.address], { tryMs: 20 });
  expect(await resolver.txt(NAME, signal)).toMatchObject({ state: 'failed' });
  expect([failing.queries(NAME), silent.asked.length]).toEqual([1, 2]);
});

test('a look-up ends when its time is up, whatever each answer brings', async () => {
  let step = 0;
  const endless = await rawDnsServer((query) => [alias(query, `n${step++}.test`)]);
  const moments = [0, 0, 10_000];
  const clock = { ...testClock, monotonic: () => moments.shift() ?? 10_000 };
  const resolver = createResolver({ clock, random, nameservers: [endless.address] });
  expect(await resolver.txt(NAME, signal)).toEqual({ state: 'failed', reason: 'time-out' });
  expect(endless.asked).toHaveLength(1);
});

test('abort rejects at once with its reason, before and during', async () => {
  const caller = new AbortController();
  const silent = await rawDnsServer(() => []);
  const resolver = resolverAt([silent.address], { tryMs: 60_000, totalMs: 200_000 });
  const waiting = [resolver.txt(NAME, caller.signal), resolver.addresses(NAME, caller.signal)];
  const settled = Promise.allSettled(waiting);
  setTimeout(() => caller.abort(new Error('enough')), 20);
  for (const outcome of await settled)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'enough' } });
  await expect(resolver.caa(NAME, caller.signal)).rejects.toThrow('enough');
});

test('name servers are addresses with or without port; anything else is refused at once', async () => {
  for (const bad of [
    'ns.example',
    '127.0.0.1:0',
    '127.0.0.1:70000',
    '[127.0.0.1',
    '::1]:53',
    '',
    '1.2.3',
    '127.0.0.1:x',
  ])
    expect(() => resolverAt([bad]), bad).toThrow(TypeError);
  expect(() => resolverAt([])).toThrow(TypeError);
  for (const good of ['127.0.0.1', '127.0.0.1:5353', '::1', '[::1]', '[::1]:5353', '2001:db8::53'])
    expect(() => resolverAt([good]), good).not.toThrow();
  expect(() => createResolver({ clock: testClock, random })).not.toThrow();
});

test('hundreds of look-ups at once', async () => {
  const dns = await dnsServer();
  const resolver = resolverAt([dns.address]);
  const names = Array.from({ length: 400 }, (_, i) => `n${i}.example.test`);
  names.forEach((name, i) => dns.set(name, 'TXT', [`value-${i}`]));
  const answers = await Promise.all(names.map((name) => resolver.txt(name, signal)));
  expect(answers).toEqual(names.map((_, i) => found(`value-${i}`)));
});
