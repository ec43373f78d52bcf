// Serles' list of tls-alpn-01 cases with our verdicts, then hostile input 60 of the plan.
import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type AlpnVariant,
  reverseName,
  startTlsAlpnResponder,
  type TlsAlpnResponder,
} from '../../test/support/tls-alpn-responder.ts';
import {
  notAborted as signal,
  optionsWith,
  pour,
  type RawServer,
  resolverTo,
  type SeedRow,
  startRawServer,
  stubResolver,
  testClock,
  verdictOf,
} from '../../test/support/validation.ts';
import { createDenyList, createLoopbackDenyList } from '../domain/deny-list.ts';
import { Problem } from '../domain/problem.ts';
import type { ValidationOptions } from '../ports.ts';
import { createDialer } from './dialer.ts';
import { createTlsAlpn01 } from './tls-alpn-01.ts';

const NAME = 'a.example.test';
const KEY_AUTHORIZATION = 'token.thumbprint';
const dialer = createDialer({ denyList: createLoopbackDenyList([]), clock: testClock });

const closing: (() => Promise<void>)[] = [];
let responder: TlsAlpnResponder;
beforeEach(async () => {
  responder = await startTlsAlpnResponder();
  closing.push(() => responder.stop());
  answer();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const answer = (variant: AlpnVariant = 'right') =>
  responder.set(NAME, { name: NAME, keyAuthorization: KEY_AUTHORIZATION, variant });

async function rawServer(serve: (socket: Socket) => void): Promise<RawServer> {
  const server = await startRawServer(serve);
  closing.push(() => server.stop());
  return server;
}

interface Setting extends Partial<ValidationOptions> {
  port?: number;
  timeoutMs?: number;
  name?: string;
}

function validate({ port = responder.port, timeoutMs = 30_000, name = NAME, ...options }: Setting = {}) {
  const identifier = { type: /^[\d.]+$|:/.test(name) ? 'ip' : 'dns', value: name } as const;
  const validator = createTlsAlpn01({ dialer, clock: testClock, port, timeoutMs });
  const resolver = options.resolver ?? resolverTo('127.0.0.1').resolver;
  const target = { identifier, token: 'token', keyAuthorization: KEY_AUTHORIZATION };
  return validator.validate(target, optionsWith(resolver, options), signal);
}

const shown = (variant: AlpnVariant) => (): Setting => {
  answer(variant);
  return {};
};
const refusing: Setting = { judge: () => Promise.resolve(new Problem('rejectedIdentifier', 'outside')) };
const unused = async (): Promise<Setting> => {
  const server = await startRawServer(() => {});
  await server.stop();
  return { port: server.port };
};
const byAddress = (): Setting => {
  responder.set(reverseName('127.0.0.1'), { name: 'ip:127.0.0.1', keyAuthorization: KEY_AUTHORIZATION });
  return { name: '127.0.0.1', resolver: stubResolver({}) };
};
const byReverseName = (): Setting => {
  const reverse = reverseName('127.0.0.1');
  responder.set(reverse, { name: reverse, keyAuthorization: KEY_AUTHORIZATION });
  return { name: '127.0.0.1', resolver: stubResolver({}) };
};

const SERLES: readonly SeedRow<() => Setting | Promise<Setting>>[] = [
  ['ok', 'valid', 'valid', '', () => ({})],
  [
    'wrong SAN',
    'rejectedIdentifier',
    'incorrectResponse, final',
    'the responder answered wrongly; the name is not refused',
    shown('wrong-name'),
  ],
  ['wrong token digest', 'incorrectResponse', 'incorrectResponse, final', '', shown('wrong-digest')],
  [
    'address by its reverse name',
    'valid',
    'incorrectResponse, final',
    'RFC 8738 section 6 wants an iPAddress',
    byReverseName,
  ],
  ['address', 'rejectedIdentifier', 'valid', 'RFC 8738 section 6', byAddress],
  ['TLS too old', 'unauthorized', 'tls, final', 'ACME has a type for it', shown('tls-1.1')],
  ['another protocol', 'unauthorized', 'tls, again', 'the responder may still come', shown('wrong-protocol')],
  ['no protocol', 'unauthorized', 'incorrectResponse, again', 'the responder may still come', shown('no-protocol')],
  ['no acme extension', 'unauthorized', 'incorrectResponse, final', '', shown('no-extension')],
  ['socket error', 'connection', 'connection, again', 'tried again within the minute', unused],
  [
    'disallowed IP',
    'rejectedIdentifier',
    'rejectedIdentifier, final',
    'before the connection, not after',
    () => refusing,
  ],
  ['allowed IP', 'valid', 'valid', '', () => ({ judge: () => Promise.resolve(undefined) })],
  ['extension not critical', 'valid', 'incorrectResponse, final', 'RFC 8737 section 3', shown('not-critical')],
  [
    'silence',
    'hangs',
    'connection, again',
    'bound in time',
    async () => ({ port: (await rawServer((socket) => socket.resume())).port, timeoutMs: 100 }),
  ],
];

test.each(SERLES)('Serles: %s: seed %s, ours %s %s', async (_title, _seed, ours, _why, prepare) => {
  expect(verdictOf(await validate(await prepare()))).toBe(ours);
});

test.each<AlpnVariant>(['wrong-oid', 'extra-name', 'other-name-type', 'name-only-in-subject'])(
  'hostile input 60: %s is an incorrect response, and final',
  async (variant) => {
    answer(variant);
    expect(verdictOf(await validate())).toBe('incorrectResponse, final');
  },
);

test('the name asked for is the name, or the reverse name of an address', async () => {
  expect(await validate()).toEqual({ valid: true, addresses: ['127.0.0.1'] });
  expect(await validate(byAddress())).toEqual({ valid: true, addresses: ['127.0.0.1'] });
  expect(responder.serverNames).toEqual([NAME, '1.0.0.127.in-addr.arpa']);
});

test.each<[string, string, (socket: Socket) => void]>([
  ['plain HTTP', 'tls, again', (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['noise', 'tls, again', (socket) => void socket.end(Buffer.alloc(500, 0x41))],
  ['endless noise', 'tls, again', pour(Buffer.alloc(65_536, 0x16), 2 ** 30)],
  [
    'an alert',
    'tls, again',
    (socket) => void socket.once('data', () => socket.end(Buffer.from('15030100020228', 'hex'))),
  ],
  ['a close at once', 'tls, again', (socket) => void socket.end()],
  ['a close after the hello', 'tls, again', (socket) => void socket.once('data', () => socket.end())],
  ['a reset', 'tls, again', (socket) => void socket.once('data', () => socket.resetAndDestroy())],
  [
    'half a record',
    'tls, again',
    (socket) => void socket.once('data', () => socket.end(Buffer.from('16030300ff0200', 'hex'))),
  ],
])('a peer with %s: %s', async (_title, ours, serve) => {
  const server = await rawServer((socket) => {
    serve(socket);
    socket.resume();
  });
  expect(verdictOf(await validate({ port: server.port }))).toBe(ours);
  await expect.poll(() => server.open).toBe(0);
  expect([server.connections, server.bytesSent < 16 * 2 ** 20]).toEqual([1, true]);
});

test('loopback is never asked by serve', async () => {
  const strict = createDialer({ denyList: createDenyList([]), clock: testClock });
  const validator = createTlsAlpn01({ dialer: strict, clock: testClock, port: responder.port });
  const target = { identifier: { type: 'dns', value: NAME }, token: 't', keyAuthorization: KEY_AUTHORIZATION } as const;
  const result = await validator.validate(target, optionsWith(resolverTo('127.0.0.1').resolver), signal);
  expect(verdictOf(result)).toBe('rejectedIdentifier, final');
  expect(responder.serverNames).toEqual([]);
});

test('abort rejects with its reason and closes the connection', async () => {
  const caller = new AbortController();
  const server = await rawServer((socket) => socket.once('data', () => caller.abort(new Error('enough'))));
  const validator = createTlsAlpn01({ dialer, clock: testClock, port: server.port });
  const target = { identifier: { type: 'dns', value: NAME }, token: 't', keyAuthorization: KEY_AUTHORIZATION } as const;
  const attempt = validator.validate(target, optionsWith(resolverTo('127.0.0.1').resolver), caller.signal);
  await expect(attempt).rejects.toThrow('enough');
  await expect.poll(() => server.open).toBe(0);
});

test('a hundred at once', async () => {
  const results = await Promise.all(Array.from({ length: 100 }, () => validate()));
  expect(results.map(verdictOf)).toEqual(results.map(() => 'valid'));
  expect(responder.serverNames).toHaveLength(100);
});
