// Serles' list of http-01 cases with our verdicts, then hostile inputs 54 to 58 of the plan.
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { buildServerCertificate } from '../../test/support/certificate-builder.ts';
import { generalName } from '../../test/support/der-writer.ts';
import { type Http01Answer, type Http01Responder, startHttp01Responder } from '../../test/support/http01-responder.ts';
import {
  afterRequest,
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
import { contains, parseAddress, parseNetwork } from '../domain/address.ts';
import { createDenyList, createLoopbackDenyList } from '../domain/deny-list.ts';
import { Problem } from '../domain/problem.ts';
import type { Resolver, ValidationOptions } from '../ports.ts';
import { createDialer } from './dialer.ts';
import { createHttp01 } from './http-01.ts';

const NAME = 'a.example.test';
const TOKEN = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
const KEY_AUTHORIZATION = `${TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
const target = { identifier: { type: 'dns', value: NAME }, token: TOKEN, keyAuthorization: KEY_AUTHORIZATION } as const;
const dialer = createDialer({ denyList: createLoopbackDenyList([]), clock: testClock });

const closing: (() => Promise<void>)[] = [];
let responder: Http01Responder;
beforeEach(async () => {
  responder = await startHttp01Responder();
  closing.push(() => responder.stop());
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function rawServer(serve: (socket: Socket) => void, at = {}): Promise<RawServer> {
  const server = await startRawServer(serve, at);
  closing.push(() => server.stop());
  return server;
}

interface Setting extends Partial<ValidationOptions> {
  port?: number;
  timeoutMs?: number;
  name?: string;
}

/** One attempt at the responder, or at another port. */
function validate({ port = responder.port, timeoutMs = 30_000, name = NAME, ...options }: Setting = {}) {
  const identifier = { type: parseAddress(name) ? 'ip' : 'dns', value: name } as const;
  const resolver = options.resolver ?? resolverTo('127.0.0.1').resolver;
  const validator = createHttp01({ dialer, clock: testClock, port, timeoutMs });
  return validator.validate({ ...target, identifier }, optionsWith(resolver, options), signal);
}

const valid = { valid: true, addresses: ['127.0.0.1'] };
const failed = (type: string, retryable: boolean, detail?: RegExp) => ({
  valid: false,
  retryable,
  problem: expect.objectContaining({ type, ...(detail ? { detail: expect.stringMatching(detail) } : {}) }),
});

/** A policy's server ranges, as the judge that issuance passes in. */
function ranges(allowed: string, excluded?: string): ValidationOptions['judge'] {
  const inside = (cidr: string | undefined, address: string) => {
    const [network, bytes] = [parseNetwork(cidr ?? ''), parseAddress(address)];
    return network !== undefined && bytes !== undefined && contains(network, bytes);
  };
  return (host, addresses) => {
    const outside = addresses.some((address) => !inside(allowed, address) || inside(excluded, address));
    return Promise.resolve(
      outside ? new Problem('rejectedIdentifier', `${host} is outside of the allowed ranges`) : undefined,
    );
  };
}

/** verifyPTR of a policy. */
const pointsBack =
  (resolver: Resolver): ValidationOptions['judge'] =>
  async (host, addresses) => {
    const answer = await resolver.pointers(addresses[0] ?? '', signal);
    const matches = answer.state === 'found' && answer.records.includes(host);
    return matches ? undefined : new Problem('rejectedIdentifier', `no address of ${host} points back to it`);
  };

const withPointers = (...records: string[]): Resolver => ({
  ...resolverTo('127.0.0.1').resolver,
  pointers: () => Promise.resolve(records.length > 0 ? { state: 'found', records } : { state: 'absent' }),
});

const unused = async (): Promise<number> => {
  const server = await startRawServer(() => {});
  await server.stop();
  return server.port;
};

/** One byte now and then until the peer is gone. */
const drip = (byte: string) => (socket: Socket) => {
  const timer = setInterval(() => socket.write(byte), 10);
  socket.once('close', () => clearInterval(timer));
};

const aborted = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nonly a part';

const whole = `HTTP/1.1 200 OK\r\nContent-Length: ${KEY_AUTHORIZATION.length}\r\n\r\n${KEY_AUTHORIZATION}`;
const at = async (serve: (socket: Socket) => void): Promise<Setting> => ({ port: (await rawServer(serve)).port });
const answered = (answer: Http01Answer): Setting => {
  responder.set(TOKEN, answer);
  return {};
};
const pointing = (...names: string[]): Setting => {
  const resolver = withPointers(...names);
  return { resolver, judge: pointsBack(resolver) };
};

const SERLES: readonly SeedRow<() => Setting | Promise<Setting>>[] = [
  ['ok', 'valid', 'valid', '', () => ({})],
  [
    'disallowed IP',
    'rejectedIdentifier',
    'rejectedIdentifier, final',
    'before the connection, not after',
    () => ({ judge: ranges('10.0.0.0/8') }),
  ],
  [
    'broken IP configuration',
    'malformed',
    'rejectedIdentifier, final',
    'a broken range allows nothing; configuration is checked when read',
    () => ({ judge: ranges('10.0.0.0/99') }),
  ],
  ['allowed IP', 'valid', 'valid', '', () => ({ judge: ranges('127.0.0.0/8') })],
  [
    'allowed IP in an excluded range',
    'rejectedIdentifier',
    'rejectedIdentifier, final',
    '',
    () => ({ judge: ranges('127.0.0.0/8', '127.0.0.1/32') }),
  ],
  [
    'connection error',
    'connection',
    'connection, again',
    'tried again within the minute',
    async () => ({ port: await unused() }),
  ],
  [
    'aborted chunked body',
    'connection',
    'connection, again',
    'tried again within the minute',
    () => at(afterRequest(aborted, (socket) => socket.end())),
  ],
  [
    'wrong body',
    'incorrectResponse',
    'incorrectResponse, final',
    'the detail shows neither value',
    () => answered({ body: 'xxx' }),
  ],
  [
    'HTTP error',
    'incorrectResponse',
    'incorrectResponse, again',
    'tried again within the minute',
    () => answered({ status: 404, body: KEY_AUTHORIZATION }),
  ],
  [
    'newline after the value',
    'incorrectResponse',
    'valid',
    'RFC 8555 section 8.3 lets it pass',
    () => answered({ body: `${KEY_AUTHORIZATION}\n` }),
  ],
  [
    'redirect',
    'valid, to any port',
    'incorrectResponse, again',
    'not followed unless the issuer says so',
    () => answered({ status: 302, headers: { Location: '/x' }, body: '' }),
  ],
  [
    'peer name by the allowed range',
    'valid',
    'valid',
    'addresses are judged, the socket is not asked',
    () => ({ judge: ranges('127.0.0.1/32') }),
  ],
  [
    'peer name by the excluded range',
    'rejectedIdentifier',
    'rejectedIdentifier, final',
    '',
    () => ({ judge: ranges('0.0.0.0/0', '127.0.0.0/8') }),
  ],
  [
    'peer name with the socket gone',
    'valid, by a second look-up',
    'valid',
    'one look-up, before',
    () => at(afterRequest(whole, (socket) => socket.end())),
  ],
  ['PTR ok', 'valid', 'valid', '', () => pointing('b.test', NAME)],
  ['PTR NXDOMAIN', 'rejectedIdentifier', 'rejectedIdentifier, final', '', () => pointing()],
  ['IPv6 identifier', 'HTTP 500', 'valid', 'brackets', () => ({ name: '::1' })],
];

test.each(SERLES)('Serles: %s: seed %s, ours %s %s', async (_title, _seed, ours, _why, prepare) => {
  responder.set(TOKEN, { body: KEY_AUTHORIZATION });
  expect(verdictOf(await validate(await prepare()))).toBe(ours);
});

test('the request is one GET of the exact path, with the name as Host and no wish for encodings', async () => {
  responder.set(TOKEN, { body: KEY_AUTHORIZATION });
  expect(await validate()).toEqual(valid);
  const [request, ...others] = responder.requestsFor(TOKEN);
  expect(others).toEqual([]);
  expect(request).toMatchObject({
    method: 'GET',
    url: `/.well-known/acme-challenge/${TOKEN}`,
    host: `${NAME}:${responder.port}`,
  });
  expect(request?.headers).toMatchObject({ 'accept-encoding': 'identity', connection: 'close' });
  expect(Object.keys(request?.headers ?? {}).toSorted()).toEqual([
    'accept',
    'accept-encoding',
    'connection',
    'host',
    'user-agent',
  ]);
});

test('addresses are asked without the DNS, IPv6 in brackets', async () => {
  responder.set(TOKEN, { body: KEY_AUTHORIZATION });
  const resolver = stubResolver({});
  expect(await validate({ name: '127.0.0.1', resolver })).toEqual(valid);
  expect(await validate({ name: '::1', resolver })).toEqual({ valid: true, addresses: ['::1'] });
  expect(responder.requestsFor(TOKEN).map(({ host }) => host)).toEqual([
    `127.0.0.1:${responder.port}`,
    `[::1]:${responder.port}`,
  ]);
});

test('system proxies are ignored', async () => {
  responder.set(TOKEN, { body: KEY_AUTHORIZATION });
  process.env['HTTP_PROXY'] = process.env['http_proxy'] = 'http://127.0.0.1:1';
  try {
    expect(await validate()).toEqual(valid);
  } finally {
    delete process.env['HTTP_PROXY'];
    delete process.env['http_proxy'];
  }
});

describe('hostile input 58: values', () => {
  const text = (body: string | Buffer) => (): Http01Answer => ({ body });
  test.each<[string, () => Http01Answer, boolean]>([
    ['a newline after it', text(`${KEY_AUTHORIZATION}\n`), true],
    ['CRLF, blanks and tabs after it', text(`${KEY_AUTHORIZATION} \t\r\n\n`), true],
    ['a newline before it', text(`\n${KEY_AUTHORIZATION}`), false],
    ['a byte order mark', text(`\ufeff${KEY_AUTHORIZATION}`), false],
    ['another account', text(`${TOKEN}.other`), false],
    ['the token alone', text(TOKEN), false],
    ['another case', text(KEY_AUTHORIZATION.toUpperCase()), false],
    ['quotes', text(`"${KEY_AUTHORIZATION}"`), false],
    ['NUL after it', text(`${KEY_AUTHORIZATION}\0`), false],
    ['a vertical tab after it', text(`${KEY_AUTHORIZATION}\v`), false],
    ['twice', text(KEY_AUTHORIZATION + KEY_AUTHORIZATION), false],
    ['nothing', text(''), false],
  ])('%s', async (_title, answer, ok) => {
    responder.set(TOKEN, answer());
    const result = await validate();
    expect(result).toMatchObject(ok ? { valid: true } : failed('incorrectResponse', false));
    if (!result.valid) expect(result.problem.detail).not.toContain(TOKEN);
  });
});

describe('hostile input 57: bodies and headers', () => {
  const head = (...lines: string[]) => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
  const padded = (length: number) => KEY_AUTHORIZATION.padEnd(length);

  test('1,024 bytes are read, 1,025 are not, announced or not', async () => {
    responder.set(TOKEN, { body: padded(1_024) });
    expect(await validate()).toMatchObject(valid);
    responder.set(TOKEN, { body: padded(1_025) });
    expect(await validate()).toMatchObject(failed('incorrectResponse', false, /longer than 1024 bytes/));
    responder.set(TOKEN, (_request, response) => void response.write(padded(600), () => response.end(padded(600))));
    expect(await validate()).toMatchObject(failed('incorrectResponse', false, /longer than 1024 bytes/));
  });

  test.each([
    ['announced', head('Content-Length: 1073741824')],
    ['not announced', head()],
  ])('of 1 GB, %s, next to nothing is taken', async (_title, text) => {
    const server = await rawServer(afterRequest(text, pour(Buffer.alloc(65_536, 0x20), 2 ** 30)));
    expect(await validate({ port: server.port })).toMatchObject(
      failed('incorrectResponse', false, /longer than 1024 bytes/),
    );
    await expect.poll(() => server.open).toBe(0);
    // What the two systems' socket buffers hold.
    expect(server.bytesSent).toBeLessThan(16 * 2 ** 20);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['a byte at a time', afterRequest(head('Content-Length: 90'), drip('x'))],
    ['headers a byte at a time', afterRequest('HTTP/1.1 200 OK\r\nX: ', drip('x'))],
    ['never closing', afterRequest(`${head()}${KEY_AUTHORIZATION}`)],
    ['headers that never end', afterRequest('HTTP/1.1 200 OK\r\nX: ')],
    ['silence', (socket) => socket.resume()],
  ])('%s runs into the time limit', async (_title, serve) => {
    const server = await rawServer(serve);
    expect(await validate({ port: server.port, timeoutMs: 150 })).toMatchObject(
      failed('connection', true, /no answer within 0.15 seconds/),
    );
    await expect.poll(() => server.open).toBe(0);
    expect(server.connections).toBe(1);
  });

  test.each([
    ['gzip', gzipSync(KEY_AUTHORIZATION)],
    ['br', brotliCompressSync(KEY_AUTHORIZATION)],
    ['deflate, gzip', gzipSync(KEY_AUTHORIZATION)],
    ['identity', Buffer.from(KEY_AUTHORIZATION)],
    ['', Buffer.from(KEY_AUTHORIZATION)],
  ])('Content-Encoding %j is refused undecoded', async (encoding, body) => {
    responder.set(TOKEN, { headers: { 'Content-Encoding': encoding }, body });
    expect(await validate()).toMatchObject(failed('incorrectResponse', false, /Content-Encoding/));
  });

  test.each<[string, string | Buffer, RegExp]>([
    ['HTTP/0.9', KEY_AUTHORIZATION, /not HTTP\/1.1/],
    ['another protocol', 'SSH-2.0-OpenSSH_9.9\r\n', /not HTTP\/1.1/],
    ['TLS', Buffer.from('15030100020228', 'hex'), /not HTTP\/1.1/],
    ['nothing at all', '', /closed early/],
    ['9 kB of headers', head(`X: ${'x'.repeat(9_000)}`), /headers longer than 8192 bytes/],
    [
      '1 MB of headers',
      head(...Array.from({ length: 10_000 }, (_, i) => `X-${i}: ${'x'.repeat(90)}`)),
      /headers longer than 8192 bytes/,
    ],
    ['two lengths', head('Content-Length: 3', 'Content-Length: 4') + KEY_AUTHORIZATION, /not HTTP\/1.1/],
    ['length and chunks', head('Content-Length: 3', 'Transfer-Encoding: chunked') + KEY_AUTHORIZATION, /not HTTP\/1.1/],
    ['a bad chunk size', `${head('Transfer-Encoding: chunked')}xyz\r\n`, /not HTTP\/1.1/],
    ['less than announced', head('Content-Length: 1000') + KEY_AUTHORIZATION, /closed early/],
    [
      'a switch of protocols',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
      /closed early/,
    ],
  ])('%s is no answer', async (_title, text, detail) => {
    const server = await rawServer(afterRequest(text, (socket) => socket.end()));
    expect(await validate({ port: server.port })).toMatchObject(failed('connection', true, detail));
    await expect.poll(() => server.open).toBe(0);
  });

  test('an interim response or four are passed over, an endless run of them is not', async () => {
    const interim = 'HTTP/1.1 100 Continue\r\n\r\n';
    const few = await rawServer(afterRequest(interim.repeat(4) + whole));
    expect(await validate({ port: few.port })).toMatchObject(valid);
    const endless = await rawServer(afterRequest('', pour(Buffer.from(interim.repeat(1_000)), 2 ** 30)));
    expect(await validate({ port: endless.port })).toMatchObject(failed('connection', true, /interim/));
    await expect.poll(() => endless.open).toBe(0);
    expect(endless.bytesSent).toBeLessThan(16 * 2 ** 20);
  });

  test('a second response after the first changes nothing', async () => {
    const second = head('Content-Length: 5') + 'wrong';
    const server = await rawServer(afterRequest(whole + second));
    expect(await validate({ port: server.port })).toMatchObject(valid);
  });

  test.each([201, 204, 206, 300, 303, 304, 404, 418, 500, 503, 999])('status %i fails and may mend', async (status) => {
    const server = await rawServer(
      afterRequest(`HTTP/1.1 ${status} x\r\nContent-Length: ${KEY_AUTHORIZATION.length}\r\n\r\n${KEY_AUTHORIZATION}`),
    );
    expect(await validate({ port: server.port })).toMatchObject(
      failed('incorrectResponse', true, new RegExp(`HTTP status ${status} `)),
    );
  });
});

describe('redirects', () => {
  const redirect = (location: string, status = 302): Http01Answer => ({
    status,
    headers: { Location: location },
    body: '',
  });
  const challenge = () => `/.well-known/acme-challenge/${TOKEN}`;

  test('are refused by default, and the problem says so', async () => {
    responder.set(TOKEN, redirect('/there'));
    responder.setPath('/there', { body: KEY_AUTHORIZATION });
    expect(await validate()).toMatchObject(
      failed('incorrectResponse', true, /redirect \(HTTP status 302\) is not followed by this issuer/),
    );
    expect(responder.requestsFor('')).toHaveLength(1);
  });

  test.each([301, 302, 307, 308])('with status %i are followed where the issuer allows it', async (status) => {
    responder.set(TOKEN, redirect('/there', status));
    responder.setPath('/there', { body: KEY_AUTHORIZATION });
    expect(await validate({ redirects: 1 })).toEqual(valid);
  });

  test('are judged and looked up hop by hop, and the addresses are those of the identifier', async () => {
    const elsewhere = await rawServer(afterRequest(whole), { host: '127.0.0.2', port: responder.port });
    responder.set(TOKEN, redirect(`http://b.example.test:${responder.port}/x`));
    const asked: string[] = [];
    const judged: unknown[] = [];
    const resolver = stubResolver({
      addresses: (host) => {
        asked.push(host);
        return Promise.resolve({ state: 'found', records: [host === NAME ? '127.0.0.1' : '127.0.0.2'] });
      },
    });
    const judge = (host: string, addresses: readonly string[]) => {
      judged.push([host, ...addresses]);
      return Promise.resolve(undefined);
    };
    expect(await validate({ redirects: 1, resolver, judge })).toEqual(valid);
    expect(asked).toEqual([NAME, 'b.example.test']);
    expect(judged).toEqual([
      [NAME, '127.0.0.1'],
      ['b.example.test', '127.0.0.2'],
    ]);
    expect(elsewhere.connections).toBe(1);
    const objection = (host: string) =>
      Promise.resolve(host === NAME ? undefined : new Problem('rejectedIdentifier', 'no'));
    expect(await validate({ redirects: 1, resolver, judge: objection })).toMatchObject({
      ...failed('rejectedIdentifier', false),
      addresses: ['127.0.0.1'],
    });
    expect(elsewhere.connections).toBe(1);
  });

  test('to loopback are refused where the name itself is not there (hostile input 56)', async () => {
    const secret = await rawServer(() => {});
    responder.set(TOKEN, redirect(`http://127.0.0.2:${responder.port}/`));
    const denyList = createLoopbackDenyList(['127.0.0.2', '127.0.0.3']);
    const strict = createHttp01({
      dialer: createDialer({ denyList, clock: testClock }),
      clock: testClock,
      port: responder.port,
    });
    const options = optionsWith(resolverTo('127.0.0.1').resolver, { redirects: 5 });
    expect(await strict.validate(target, options, signal)).toMatchObject(
      failed('rejectedIdentifier', false, /redirect 1/),
    );
    expect(secret.connections).toBe(0);
    const serve = createHttp01({
      dialer: createDialer({ denyList: createDenyList([]), clock: testClock }),
      clock: testClock,
      port: responder.port,
    });
    expect(await serve.validate(target, options, signal)).toMatchObject(
      failed('rejectedIdentifier', false, /a loopback address/),
    );
    expect(responder.requestsFor('')).toHaveLength(1);
  });

  test.each([
    ['file:///etc/passwd', /another scheme/],
    ['gopher://127.0.0.1:80/x', /another scheme/],
    ['http://127.0.0.1:22/', /another port/],
    ['http://user:secret@127.0.0.1/', /credentials/],
    [`/${'x'.repeat(2_000)}`, /more than 2000 bytes/],
  ])('to %s are refused', async (location, detail) => {
    responder.set(TOKEN, redirect(location));
    const result = await validate({ redirects: 5 });
    expect(result).toMatchObject(failed('incorrectResponse', true, detail));
    if (!result.valid) expect(result.problem.detail).not.toMatch(/passwd|secret|gopher/);
    expect(responder.requestsFor('')).toHaveLength(1);
  });

  test('without Location are refused', async () => {
    responder.set(TOKEN, { status: 302, body: '' });
    expect(await validate({ redirects: 5 })).toMatchObject(failed('incorrectResponse', true, /no URL/));
  });

  test('that lead back are refused', async () => {
    responder.set(TOKEN, redirect('/b'));
    responder.setPath('/b', redirect(challenge()));
    expect(await validate({ redirects: 10 })).toMatchObject(failed('incorrectResponse', true, /leads back/));
    expect(responder.requestsFor('')).toHaveLength(2);
    responder.set(TOKEN, redirect(challenge()));
    expect(await validate({ redirects: 10 })).toMatchObject(failed('incorrectResponse', true, /leads back/));
    expect(responder.requestsFor('')).toHaveLength(3);
  });

  test('are ten at most, whatever the issuer says', async () => {
    responder.set(TOKEN, redirect('/0'));
    for (let i = 0; i < 20; i++)
      responder.setPath(`/${i}`, i === 9 ? { body: KEY_AUTHORIZATION } : redirect(`/${i + 1}`));
    expect(await validate({ redirects: 10 })).toEqual(valid);
    expect(responder.requestsFor('')).toHaveLength(11);
    responder.setPath('/9', redirect('/10'));
    responder.setPath('/10', { body: KEY_AUTHORIZATION });
    expect(await validate({ redirects: 1_000 })).toMatchObject(failed('incorrectResponse', true, /one more than 10/));
    expect(responder.requestsFor('')).toHaveLength(22);
    expect(await validate({ redirects: 2 })).toMatchObject(failed('incorrectResponse', true, /one more than 2/));
  });

  test('share the time of one attempt', async () => {
    responder.set(TOKEN, redirect('/slow'));
    responder.setPath('/slow', () => new Promise(() => {}));
    expect(await validate({ redirects: 5, timeoutMs: 150 })).toMatchObject(
      failed('connection', true, /no answer within/),
    );
  });

  async function tlsServer(answer: string) {
    const names: string[] = [];
    const { certificate, key } = buildServerCertificate([generalName.dns('unrelated.test')]);
    const server = createTlsServer({
      cert: certificate,
      key,
      SNICallback: (name, done) => {
        names.push(name);
        done(null);
      },
    });
    server.on('secureConnection', afterRequest(answer));
    const front = await rawServer((socket) => server.emit('connection', socket));
    return { port: front.port, names };
  }

  test('to https are followed without a look at the certificate', async () => {
    const { port, names } = await tlsServer(whole);
    const first = await rawServer(afterRequest(`HTTP/1.1 301 x\r\nLocation: https://${NAME}:${port}/x\r\n\r\n`), {
      host: '127.0.0.2',
      port,
    });
    const answers = [['127.0.0.2'], ['127.0.0.1']];
    const resolver = stubResolver({
      addresses: () => Promise.resolve({ state: 'found', records: answers.shift() ?? [] }),
    });
    expect(await validate({ port, resolver, redirects: 1 })).toEqual({ valid: true, addresses: ['127.0.0.2'] });
    expect(names).toEqual([NAME]);
    expect(first.connections).toBe(1);
  });

  test('to https where no TLS is spoken are a TLS problem', async () => {
    responder.set(TOKEN, redirect(`https://${NAME}:${responder.port}/x`));
    expect(await validate({ redirects: 1 })).toMatchObject(failed('tls', true, /redirect 1: TLS failed/));
  });
});

test('a problem names the identifier and never what a peer wrote', async () => {
  const mark = 'LEAKED';
  const answers: Http01Answer[] = [
    { body: mark },
    { status: 500, headers: { 'X-Mark': mark }, body: mark },
    { status: 302, headers: { Location: `http://${mark}.test:1/${mark}` }, body: mark },
    { headers: { 'Content-Encoding': mark }, body: mark },
    { body: mark.repeat(1_000) },
  ];
  for (const answer of answers) {
    responder.set(TOKEN, answer);
    const result = await validate({ redirects: 3 });
    expect(result.valid).toBe(false);
    if (!result.valid) {
      expect(result.problem.detail).toContain(NAME);
      expect(result.problem.detail.toLowerCase()).not.toContain(mark.toLowerCase());
    }
  }
  const reason = await rawServer(afterRequest(`HTTP/1.1 404 ${mark}\r\n\r\n`));
  expect(JSON.stringify(await validate({ port: reason.port }))).not.toContain(mark);
  const garbage = await rawServer(afterRequest(mark));
  expect(JSON.stringify(await validate({ port: garbage.port }))).not.toContain(mark);
});

test('abort rejects with its reason and closes the connection', async () => {
  const caller = new AbortController();
  const server = await rawServer((socket) => {
    socket.resume();
    setImmediate(() => caller.abort(new Error('enough')));
  });
  const validator = createHttp01({ dialer, clock: testClock, port: server.port });
  const attempt = validator.validate(target, optionsWith(resolverTo('127.0.0.1').resolver), caller.signal);
  await expect(attempt).rejects.toThrow('enough');
  await expect.poll(() => server.open).toBe(0);
});

test('a judge that never answers does not hold the attempt', async () => {
  const server = await rawServer(() => {});
  const judge = () => new Promise<never>(() => {});
  expect(await validate({ port: server.port, timeoutMs: 100, judge })).toMatchObject(failed('connection', true));
  expect(server.connections).toBe(0);
});

test('a judge that throws is our fault, not the name’s', async () => {
  const judge = () => Promise.reject(new Error('cluster gone'));
  await expect(validate({ judge })).rejects.toThrow('cluster gone');
});

test('hundreds at once, one connection each, all closed at the end', async () => {
  const server = await rawServer(afterRequest(whole));
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  const results = await Promise.all(Array.from({ length: 400 }, () => validate({ port: server.port })));
  await expect.poll(() => server.open).toBe(0);
  process.off('warning', onWarning);
  expect(results.every(({ valid }) => valid)).toBe(true);
  expect(server.connections).toBe(400);
  expect(warnings).toEqual([]);
});
