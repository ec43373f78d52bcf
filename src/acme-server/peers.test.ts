// Replicas that ask each other, over real sockets on addresses of loopback.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { afterEach, expect, test } from 'vitest';
import { createFakeClock, type FakeClock } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createKeyring, type Keyring } from './keyring.ts';
import type { Redeemed } from './nonces.ts';
import type { Change } from './objects.ts';
import { createPeerApp } from './peer-app.ts';
import { PEER_HEADER, PEER_PATH, readMessage, readReply, signMessage, signReply } from './peer-messages.ts';
import { createPeers } from './peers.ts';
import { homeOf } from './replicas.ts';

const root = { id: 1, secret: randomBytes(32) };
const ringOf = (...roots: { id: number; secret: Buffer }[]): Keyring =>
  createKeyring(roots, () => Promise.resolve(roots));

const open: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

interface Owner {
  app: FastifyInstance;
  redeemed: string[];
  outdated: Change[];
  clock: FakeClock;
  port: number;
}

async function startOwner(address: string, keyring = ringOf(root), outcome: Redeemed = 'accepted'): Promise<Owner> {
  const owner = { redeemed: [] as string[], outdated: [] as Change[], clock: createFakeClock() };
  const app = createPeerApp({
    keyring,
    nonces: { redeemOwn: (nonce) => (owner.redeemed.push(nonce), outcome) },
    objects: { outdate: (change) => void owner.outdated.push(change) },
    address,
    clock: owner.clock,
    log: createCapturingLog(),
  });
  await app.listen({ host: address, port: 0 });
  open.push(app);
  const bound = app.server.address();
  return { ...owner, app, port: bound !== null && typeof bound === 'object' ? bound.port : 0 };
}

function asker(port: number, addresses: readonly string[], keyring = ringOf(root)) {
  const clock = createFakeClock();
  const peers = createPeers({ keyring, port, clock, log: createCapturingLog(), replicas: { others: () => addresses } });
  open.push(peers);
  return { ...peers, clock, redeem: (address: string, nonce = 'nonce') => peers.ask(homeOf(address).address, nonce) };
}

test('the owner of a nonce is asked and believed', async () => {
  const owner = await startOwner('127.0.2.1');
  const used = await startOwner('127.0.2.1', ringOf(root), 'used');
  expect(await asker(owner.port, ['127.0.2.1']).redeem('127.0.2.1', 'abc')).toBe('accepted');
  expect(await asker(used.port, ['127.0.2.1']).redeem('127.0.2.1', 'abc')).toBe('used');
  expect(owner.redeemed).toEqual(['abc']);
});

test('an address that is no replica is never dialled', async () => {
  const owner = await startOwner('127.0.2.1');
  expect(await asker(owner.port, ['127.0.2.2']).redeem('127.0.2.1')).toBe('unknown');
  expect(owner.redeemed).toEqual([]);
});

test('a replica that is gone, silent or talks nonsense means an unknown nonce, soon', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.2.3');
  await once(silent, 'listening');
  open.push({ close: () => silent.close() });
  const silentAt = silent.address() as { port: number };
  const chatty = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')).listen(
    0,
    '127.0.2.3',
  );
  await once(chatty, 'listening');
  open.push({ close: () => chatty.close() });
  const chattyAt = chatty.address() as { port: number };
  for (const port of [silentAt.port, chattyAt.port, 1]) {
    expect(await asker(port, ['127.0.2.3']).redeem('127.0.2.3')).toBe('unknown');
  }
});

test('who has other keys is neither asked nor answered', async () => {
  const owner = await startOwner('127.0.2.1');
  const stranger = asker(owner.port, ['127.0.2.1'], ringOf({ id: 1, secret: randomBytes(32) }));
  expect(await stranger.redeem('127.0.2.1')).toBe('unknown');
  expect(owner.redeemed).toEqual([]);
});

test('a key the owner has not heard of is looked for before anybody is turned away', async () => {
  const next = { id: 2, secret: randomBytes(32) };
  let stored = [root];
  const keyring = createKeyring([root], () => Promise.resolve(stored));
  const owner = await startOwner('127.0.2.1', keyring);
  const ahead = asker(owner.port, ['127.0.2.1'], ringOf(next, root));
  expect(await ahead.redeem('127.0.2.1')).toBe('unknown');
  stored = [next, root];
  expect(await ahead.redeem('127.0.2.1')).toBe('accepted');
});

test('a clock that is off is found out and allowed for, by the word of the owner', async () => {
  const owner = await startOwner('127.0.2.1');
  const skewed = asker(owner.port, ['127.0.2.1']);
  skewed.clock.setWall(new Date('2027-06-01T00:00:00Z'));
  expect([await skewed.redeem('127.0.2.1', 'one'), await skewed.redeem('127.0.2.1', 'two')]).toEqual([
    'accepted',
    'accepted',
  ]);
  expect(owner.redeemed).toEqual(['one', 'two']);
});

test('all others are told of a change, those that cannot be reached notwithstanding', async () => {
  const owner = await startOwner('127.0.2.1');
  const change: Change = { kind: 'Account', name: 'ac-x', generation: 4 };
  await asker(owner.port, ['127.0.2.9', '127.0.2.1']).announce(change);
  expect(owner.outdated).toEqual([change]);
});

test('a message counts for its recipient, its body and its time alone', async () => {
  const keyring = ringOf(root);
  const at = { to: '127.0.2.1', now: 1_000_000 };
  const sent = signMessage(keyring, { ask: 'redeem', nonce: 'n' }, at);
  expect(await readMessage(keyring, sent, at)).toEqual({ state: 'good', message: { ask: 'redeem', nonce: 'n' } });
  expect(await readMessage(keyring, sent, { ...at, to: '127.0.2.2' })).toEqual({ state: 'forged' });
  expect(await readMessage(keyring, { ...sent, body: sent.body.replace('"n"', '"m"') }, at)).toEqual({
    state: 'forged',
  });
  expect(await readMessage(keyring, { ...sent, time: '1000001' }, at)).toEqual({ state: 'forged' });
  expect(await readMessage(keyring, { ...sent, mac: '' }, at)).toEqual({ state: 'forged' });
  expect((await readMessage(keyring, sent, { ...at, now: 1_030_000 })).state).toBe('good');
  expect((await readMessage(keyring, sent, { ...at, now: 1_030_001 })).state).toBe('mistimed');
  expect((await readMessage(keyring, sent, { ...at, now: 969_999 })).state).toBe('mistimed');
});

test('a reply counts for the message it answers alone', () => {
  const keyring = ringOf(root);
  const [one, other] = ['a', 'b'].map((nonce) =>
    signMessage(keyring, { ask: 'redeem', nonce }, { to: 'x', now: 1 }),
  ) as [ReturnType<typeof signMessage>, ReturnType<typeof signMessage>];
  const reply = signReply(keyring, { reply: 'redeemed', outcome: 'accepted' }, one);
  expect(readReply(keyring, reply, one)).toEqual({ reply: 'redeemed', outcome: 'accepted' });
  expect(readReply(keyring, reply, other)).toBeUndefined();
  expect(readReply(keyring, { ...reply, body: reply.body.replace('accepted', 'used') }, one)).toBeUndefined();
});

test('whatever else comes to the port is refused in silence', async () => {
  const { app } = await startOwner('127.0.2.1');
  const requests = [
    { method: 'GET', url: PEER_PATH },
    { method: 'POST', url: PEER_PATH },
    { method: 'POST', url: PEER_PATH, payload: '{}', headers: { [PEER_HEADER.time]: '1', [PEER_HEADER.mac]: '1.x' } },
    { method: 'POST', url: '/elsewhere', payload: '{}' },
    { method: 'GET', url: '/%zz' },
  ] as const;
  for (const request of requests) {
    const { statusCode, body } = await app.inject(request);
    expect([statusCode, body]).toEqual([403, '']);
  }
  const long = await app.inject({ method: 'POST', url: PEER_PATH, payload: 'x'.repeat(2000) });
  expect([long.statusCode, long.body]).toEqual([413, '']);
});
