import { afterEach, expect, test } from 'vitest';
import {
  notAborted as signal,
  optionsWith,
  type RawServer,
  resolverTo,
  startRawServer,
  stubResolver,
  testClock,
} from '../../test/support/validation.ts';
import { createDenyList, createLoopbackDenyList } from '../domain/deny-list.ts';
import { Problem } from '../domain/problem.ts';
import type { Clock, Resolver } from '../ports.ts';
import { type Connection, createDialer } from './dialer.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function rawServer(at: { host?: string; port?: number } = {}): Promise<RawServer> {
  const server = await startRawServer(() => {}, at);
  closing.push(() => server.stop());
  return server;
}

const laptop = (clock: Clock = testClock) => createDialer({ denyList: createLoopbackDenyList([]), clock });
const to = (port: number, host = 'a.example.test') => ({ host, port, label: 'the name' });

/** Where the connection went, which is then closed. */
function peer(reached: Connection | { problem: Problem }): string {
  if ('problem' in reached) throw reached.problem;
  const address = reached.socket.remoteAddress ?? '';
  reached.socket.destroy();
  return address;
}

test.each([
  '127.0.0.1',
  '::1',
  '0.0.0.0',
  '::',
  '169.254.169.254',
  'fd00:ec2::254',
  '::ffff:127.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::1',
  '10.96.0.1',
  'fe80::1%eth0',
])('a name at %s is refused without a connection, and so is the address itself (hostile input 54)', async (address) => {
  const server = await rawServer();
  const dialer = createDialer({ denyList: createDenyList(['10.96.0.1']), clock: testClock });
  for (const host of ['a.example.test', address]) {
    const { resolver, asked } = resolverTo('192.0.2.1', address);
    const reached = await dialer.dial(to(server.port, host), optionsWith(resolver), signal);
    expect(reached).toMatchObject({ problem: { type: 'rejectedIdentifier' }, retryable: false });
    expect(asked).toHaveLength(host === address ? 0 : 1);
  }
  expect(server.connections).toBe(0);
});

test('the name is looked up once and the address judged is the one dialled (rebinding, hostile input 55)', async () => {
  const good = await rawServer();
  const bad = await rawServer({ host: '127.0.0.2', port: good.port });
  const judged: string[] = [];
  const answers = [['127.0.0.1'], ['127.0.0.2']];
  let lookUps = 0;
  const addresses: Resolver['addresses'] = () => Promise.resolve({ state: 'found', records: answers[lookUps++] ?? [] });
  const judge = (_host: string, found: readonly string[]) => {
    judged.push(...found);
    return Promise.resolve(undefined);
  };
  const options = optionsWith(stubResolver({ addresses }), { judge });
  expect(peer(await laptop().dial(to(good.port), options, signal))).toBe('127.0.0.1');
  expect({ judged, lookUps, bad: bad.connections }).toEqual({ judged: ['127.0.0.1'], lookUps: 1, bad: 0 });
});

test("the judge sees every address before any is dialled, and its problem is the attempt's", async () => {
  const server = await rawServer();
  const { resolver } = resolverTo('127.0.0.1', '127.0.0.2', '::1');
  const seen: unknown[] = [];
  const judge = (host: string, found: readonly string[]) => {
    seen.push([host, ...found, server.connections]);
    return Promise.resolve(new Problem('rejectedIdentifier', 'not in the allowed range'));
  };
  expect(await laptop().dial(to(server.port), optionsWith(resolver, { judge }), signal)).toMatchObject({
    problem: { detail: 'not in the allowed range' },
    retryable: false,
    addresses: ['127.0.0.1', '127.0.0.2', '::1'],
  });
  expect(seen).toEqual([['a.example.test', '127.0.0.1', '127.0.0.2', '::1', 0]]);
  expect(server.connections).toBe(0);
});

test('a judge that the DNS left without an answer may be asked again; nothing is dialled', async () => {
  const server = await rawServer();
  const judge = () => Promise.resolve(new Problem('dns', 'the name of "127.0.0.1" could not be looked up'));
  const options = optionsWith(resolverTo('127.0.0.1').resolver, { judge });
  expect(await laptop().dial(to(server.port), options, signal)).toMatchObject({
    problem: { type: 'dns' },
    retryable: true,
    addresses: ['127.0.0.1'],
  });
  expect(server.connections).toBe(0);
});

test('an address that refuses is followed by the next, of both families', async () => {
  const v6 = await rawServer({ host: '::1' });
  const reached = await laptop().dial(
    to(v6.port),
    optionsWith(resolverTo('127.0.0.3', '127.0.0.4', '::1').resolver),
    signal,
  );
  expect(peer(reached)).toBe('::1');
  const v4 = await rawServer();
  const other = await laptop().dial(to(v4.port), optionsWith(resolverTo('::1', '127.0.0.1').resolver), signal);
  expect(peer(other)).toBe('127.0.0.1');
});

test('an address that does not answer in its share of the time is followed by the next', async () => {
  const first = await rawServer();
  const second = await rawServer({ host: '127.0.0.2', port: first.port });
  // Time runs out before any connection can be made; the last address has the whole of what is left.
  const hasty: Clock = { ...testClock, sleep: () => Promise.resolve() };
  const reached = await laptop(hasty).dial(
    to(first.port),
    optionsWith(resolverTo('127.0.0.1', '127.0.0.2').resolver),
    signal,
  );
  expect(peer(reached)).toBe('127.0.0.2');
  expect(second.connections).toBe(1);
});

test('where nothing answers the failure says so, after four addresses', async () => {
  const server = await rawServer();
  const addresses = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.1'];
  const reached = await laptop().dial(to(server.port), optionsWith(resolverTo(...addresses).resolver), signal);
  expect(reached).toMatchObject({ problem: { type: 'connection' }, retryable: true, addresses });
  expect(reached).toMatchObject({
    problem: { detail: `the name: no connection to port ${server.port} (ECONNREFUSED)` },
  });
  expect(server.connections).toBe(0);
});

test.each([
  [{ state: 'absent' } as const, 'the name: the DNS has no address'],
  [{ state: 'failed', reason: 'SERVFAIL' } as const, 'the name: the DNS did not tell the address: SERVFAIL'],
])('a look-up that is %j is a DNS problem that may mend', async (answer, detail) => {
  const resolver = stubResolver({ addresses: () => Promise.resolve(answer) });
  expect(await laptop().dial(to(80), optionsWith(resolver), signal)).toMatchObject({
    problem: { type: 'dns', detail },
    retryable: true,
    addresses: [],
  });
});

test('an address needs no look-up', async () => {
  const server = await rawServer();
  expect(peer(await laptop().dial(to(server.port, '127.0.0.1'), optionsWith(stubResolver({})), signal))).toBe(
    '127.0.0.1',
  );
});

test('abort rejects with its reason, also where the judge comes back too late', async () => {
  const server = await rawServer();
  const caller = new AbortController();
  const judge = () => {
    caller.abort(new Error('enough'));
    return Promise.resolve(undefined);
  };
  const options = optionsWith(resolverTo('127.0.0.1').resolver, { judge });
  await expect(laptop().dial(to(server.port), options, caller.signal)).rejects.toThrow('enough');
  expect(server.connections).toBe(0);
});

test('a connection that fails later does not go unheard', async () => {
  const server = await rawServer();
  const reached = await laptop().dial(to(server.port), optionsWith(resolverTo('127.0.0.1').resolver), signal);
  if ('problem' in reached) throw reached.problem;
  reached.socket.destroy(Object.assign(new Error('late'), { code: 'ECONNRESET' }));
  await new Promise((closed) => reached.socket.once('close', closed));
});
