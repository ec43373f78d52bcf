// Hostile inputs 55 to 60: what the servers of a name, and its DNS, may say to a validation.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import { dnsValue } from '../support/acme-flow.ts';
import { base64url, createSigningKey, keyAuthorization } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { type AlpnVariant, reverseName } from '../support/tls-alpn-responder.ts';
import { pour } from '../support/validation.ts';
import type { Arena } from './arena.ts';
import { fails, MARK, OUTCOME, type Pending, pending, succeeds } from './challenge.ts';
import { ATTEMPTS, inAHurry } from './hurry.ts';
import { hostile } from './input.ts';

const input = hostile({
  harness: (responders) => ({ overrides: inAHurry(createLoopbackDenyList([]), responders) }),
  issuers: { redirects: { acme: { validation: { redirects: 10 } } } },
});

/** A validation whose outcome is stored, and nothing else. */
const validation = (number: number, title: string, run: (a: Arena) => Promise<void>): void =>
  input(number, title, run, OUTCOME);

type Answer = (request: IncomingMessage, response: ServerResponse, one: Pending) => void;

/** An http-01 challenge whose server answers as told. */
async function answeredBy(a: Arena, answer: Answer, options: Parameters<typeof pending>[2] = {}): Promise<Pending> {
  const one = await pending(a, 'http-01', options);
  a.http01.set(one.challenge.token, (request, response) => answer(request, response, one));
  return one;
}

const following = (a: Arena) => a.given(() => a.client('redirects'));

// ---- Rebinding -----------------------------------------------------------------------------------------------------

validation(
  55,
  'a name that moves once it was looked up: one look-up, and what was judged is what is dialled',
  async (a) => {
    const one = await answeredBy(a, (_, response, { answer, identifier }) => {
      a.dns.set(identifier.value, 'A', ['169.254.169.254']);
      response.end(answer);
    });
    await succeeds(one);
    expect(a.dns.queries(one.identifier.value, 'A')).toBe(1);
    expect(a.dns.queries(one.identifier.value, 'AAAA')).toBe(1);
  },
);

validation(55, 'a name that moves between attempts', async (a) => {
  const one = await answeredBy(a, (_, response, { identifier }) => {
    a.dns.set(identifier.value, 'A', ['169.254.169.254']);
    response.writeHead(503).end(MARK);
  });
  await fails(one, 'rejectedIdentifier', /link-local/);
  expect(a.dns.queries(one.identifier.value, 'A')).toBe(2);
  expect(a.http01.requestsFor(one.challenge.token)).toHaveLength(1);
});

validation(55, 'a name that moves between redirects', async (a) => {
  const acme = await following(a);
  const one = await answeredBy(
    a,
    (_, response, { identifier }) => {
      a.dns.set(identifier.value, 'A', ['169.254.169.254']);
      response.writeHead(302, { location: `http://${identifier.value}/again` }).end();
    },
    { acme },
  );
  a.http01.setPath('/again', (_, response) => void response.end(one.answer));
  await fails(one, 'rejectedIdentifier', /redirect 1: .*link-local/);
});

// ---- Redirects -----------------------------------------------------------------------------------------------------

type Location = readonly [url: string | ((port: number) => string), detail: RegExp, type?: string];
const locations: Record<string, Location> = {
  'the metadata service': ['http://169.254.169.254/latest/', /redirect 1: is at a link-local/, 'rejectedIdentifier'],
  'the metadata service in one number': ['http://2852039166/', /redirect 1: is at a link-local/, 'rejectedIdentifier'],
  'the metadata service in hexadecimal': ['http://0xa9.0xfe.0xa9.0xfe/', /1: is at a link-local/, 'rejectedIdentifier'],
  'the mapped metadata service': ['http://[::ffff:169.254.169.254]/', /1: is at a link-local/, 'rejectedIdentifier'],
  'loopback behind NAT64': ['http://[64:ff9b::7f00:1]/', /1: is at an IPv6 form of/, 'rejectedIdentifier'],
  'an address with a zone': ['http://[fe80::1%25eth0]/', /leads to no URL/],
  'a file': ['file:///etc/passwd', /another scheme/],
  gopher: ['gopher://127.0.0.1:70/', /another scheme/],
  javascript: ['javascript:alert(1)', /another scheme/],
  'port 22': ['http://127.0.0.1:22/', /another port/],
  'port 6443': ['https://127.0.0.1:6443/', /another port/],
  'port 0': ['http://127.0.0.1:0/', /another port/],
  'a user': [(port) => `http://user:${MARK}@127.0.0.1:${port}/`, /carries credentials/],
  'a path of 2 001 bytes': [(port) => `http://127.0.0.1:${port}/${'a'.repeat(2_000)}`, /more than 2000 bytes/],
  'a name with a space': ['http://a b/', /leads to no URL/],
  'a name with an underscore': [(port) => `http://a_b.test:${port}/`, /not a DNS name or an address/],
  'a wildcard': [(port) => `http://*.test:${port}/`, /not a DNS name or an address/],
  'where it came from': ['', /leads back/],
};
for (const [what, [location, detail, type = 'incorrectResponse']] of Object.entries(locations)) {
  validation(56, `a redirect to ${what}`, async (a) => {
    const acme = await following(a);
    const target = typeof location === 'string' ? location : location(a.http01.port);
    const one = await answeredBy(a, (_, response) => void response.writeHead(302, { location: target }).end(MARK), {
      acme,
    });
    await fails(one, type, detail);
  });
}

validation(56, 'eleven redirects, where ten are followed', async (a) => {
  const acme = await following(a);
  const one = await answeredBy(a, (_, response) => void response.writeHead(307, { location: '/1' }).end(MARK), {
    acme,
  });
  const seen: number[] = [];
  for (let hop = 1; hop <= 12; hop++) {
    a.http01.setPath(`/${hop}`, (_, response) => {
      seen.push(hop);
      response.writeHead(307, { location: `/${hop + 1}` }).end(MARK);
    });
  }
  await fails(one, 'incorrectResponse', /one more than 10/);
  expect(Math.max(...seen)).toBe(10);
  // An attempt in a hurry may run out of time on its way.
  expect(seen.length).toBeLessThanOrEqual(10 * ATTEMPTS);
});

validation(56, 'redirects in a circle', async (a) => {
  const acme = await following(a);
  const one = await answeredBy(a, (_, response) => void response.writeHead(301, { location: '/round' }).end(MARK), {
    acme,
  });
  const back = `/.well-known/acme-challenge/${one.challenge.token}`;
  a.http01.setPath('/round', (_, response) => void response.writeHead(301, { location: back }).end(MARK));
  await fails(one, 'incorrectResponse', /leads back/);
  expect(a.http01.requestsFor(one.challenge.token)).toHaveLength(ATTEMPTS);
});

validation(56, 'a redirect of an issuer that follows none', async (a) => {
  const one = await answeredBy(a, (_, response) => void response.writeHead(302, { location: '/here' }).end(MARK));
  a.http01.setPath('/here', (_, response) => void response.end(one.answer));
  await fails(one, 'incorrectResponse', /redirect .*not followed/);
  expect(a.http01.requestsFor(one.challenge.token)).toHaveLength(ATTEMPTS);
});

// ---- Bodies --------------------------------------------------------------------------------------------------------

/** What a loopback socket's buffers may take before the sender notices that nobody reads. */
const IN_BUFFERS = 8 * 1024 * 1024;
const HEAD = 'HTTP/1.1 200 OK\r\n';

interface Body {
  answer: Answer;
  type: 'incorrectResponse' | 'connection';
  detail: RegExp;
}

/** Past what HTTP libraries would send. */
const raw =
  (text: string | Buffer, more: (socket: IncomingMessage['socket']) => void = () => {}): Answer =>
  ({ socket }) => {
    socket.write(text);
    more(socket);
  };
const drip = (socket: IncomingMessage['socket']): void => {
  const timer = setInterval(() => socket.write('a'), 20);
  socket.on('close', () => clearInterval(timer));
};
const pieces = Buffer.alloc(65_536, 'planted-remote-bytes ');
const bodies: Record<string, Body> = {
  'of 1 025 bytes': {
    answer: (_, response, { answer }) => void response.end(answer.padEnd(1_025)),
    type: 'incorrectResponse',
    detail: /longer than 1024/,
  },
  'of 1 025 bytes, not announced': {
    answer: (_, response, { answer }) => {
      response.write(answer);
      response.end(' '.repeat(1_025 - answer.length));
    },
    type: 'incorrectResponse',
    detail: /longer than 1024/,
  },
  'announced as 1 GB': {
    answer: raw(`${HEAD}Content-Length: 1073741824\r\n\r\n${MARK}`),
    type: 'incorrectResponse',
    detail: /longer than 1024/,
  },
  'poured without end': {
    answer: raw(`${HEAD}\r\n`, pour(pieces, 2 ** 30)),
    type: 'incorrectResponse',
    detail: /longer than 1024/,
  },
  'in chunks without end': {
    answer: raw(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`, pour(Buffer.from(`14\r\n${MARK}\r\n`), 2 ** 30)),
    type: 'incorrectResponse',
    detail: /longer than 1024/,
  },
  'of one byte at a time': {
    answer: raw(`${HEAD}Content-Length: 90\r\n\r\n`, drip),
    type: 'connection',
    detail: /no answer within/,
  },
  'that never ends': {
    answer: (_, response, { answer }) => void response.writeHead(200, { 'content-length': '200' }).write(answer),
    type: 'connection',
    detail: /no answer within/,
  },
  'that never begins': { answer: () => {}, type: 'connection', detail: /no answer within/ },
  'that is cut off': {
    answer: raw(`${HEAD}Content-Length: 90\r\n\r\n${MARK}`, (socket) => socket.destroySoon()),
    type: 'connection',
    detail: /closed early|connection lost/,
  },
  'in gzip': {
    answer: (_, response, { answer }) =>
      void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(answer)),
    type: 'incorrectResponse',
    detail: /Content-Encoding/,
  },
  'in brotli, 106 bytes for 64 MiB': {
    answer: (_, response) => void response.writeHead(200, { 'content-encoding': 'br' }).end(brotliBomb),
    type: 'incorrectResponse',
    detail: /Content-Encoding/,
  },
  'called identity': {
    answer: (_, response, { answer }) => void response.writeHead(200, { 'content-encoding': 'identity' }).end(answer),
    type: 'incorrectResponse',
    detail: /Content-Encoding/,
  },
  'of HTTP/0.9': { answer: raw(MARK), type: 'connection', detail: /not HTTP/ },
  'of another protocol': { answer: raw('SSH-2.0-OpenSSH_9.9\r\n'), type: 'connection', detail: /not HTTP/ },
  'in TLS': { answer: raw(Buffer.from('15030100020228', 'hex')), type: 'connection', detail: /not HTTP/ },
  'after a hundred interim responses': {
    answer: raw('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)),
    type: 'connection',
    detail: /too many interim/,
  },
  'under a megabyte of headers': {
    answer: raw(`${HEAD}X: `, pour(pieces, 2 ** 20)),
    type: 'connection',
    detail: /headers longer than 8192/,
  },
  'under a header with NUL': { answer: raw(`${HEAD}X: a\0${MARK}\r\n\r\n`), type: 'connection', detail: /not HTTP/ },
  'with two lengths': {
    answer: raw(`${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`),
    type: 'connection',
    detail: /not HTTP/,
  },
  'of status 500': {
    answer: (_, response) => void response.writeHead(500).end(MARK),
    type: 'incorrectResponse',
    detail: /HTTP status 500/,
  },
  'of status 206': {
    answer: (_, response, { answer }) => void response.writeHead(206).end(answer),
    type: 'incorrectResponse',
    detail: /HTTP status 206/,
  },
};
const brotliBomb = brotliCompressSync(Buffer.alloc(64 * 1024 * 1024));
for (const [what, { answer, type, detail }] of Object.entries(bodies)) {
  validation(57, `a response ${what}`, async (a) => {
    const sockets = new Set<IncomingMessage['socket']>();
    const one = await answeredBy(a, (request, response, one) => {
      sockets.add(request.socket);
      answer(request, response, one);
    });
    await fails(one, type, detail);
    const sent = [...sockets].map(({ bytesWritten }) => bytesWritten);
    expect(Math.max(...sent)).toBeLessThan(IN_BUFFERS);
    for (const socket of sockets) socket.destroy();
  });
}

// ---- Values --------------------------------------------------------------------------------------------------------

const swapped = (text: string) =>
  text.replace(/[a-z]/gi, (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()));
const stranger = createSigningKey();
const wrong: Record<string, (one: Pending) => string> = {
  'of another account': ({ challenge }) => keyAuthorization(challenge.token, stranger),
  'of another token': ({ answer }) => `A${answer.slice(1)}A`,
  'in other letters': ({ answer }) => swapped(answer),
  'after a byte order mark': ({ answer }) => `\ufeff${answer}`,
  'after a space': ({ answer }) => ` ${answer}`,
  'before NUL': ({ answer }) => `${answer}\0`,
  'before a no-break space': ({ answer }) => `${answer}\u00a0`,
  'before a zero-width space': ({ answer }) => `${answer}\u200b`,
  'before a vertical tab': ({ answer }) => `${answer}\v`,
  twice: ({ answer }) => `${answer}\n${answer}`,
  'in quotes': ({ answer }) => `"${answer}"`,
  'in HTML': ({ answer }) => `<html>${answer}</html>`,
  'without its last letter': ({ answer }) => answer.slice(0, -1),
  'without the thumbprint': ({ challenge }) => challenge.token,
  'of the token alone with a dot': ({ challenge }) => `${challenge.token}.`,
  'of nothing': () => '',
  'of padding': ({ answer }) => `${answer}=`,
  'in UTF-16': ({ answer }) => Buffer.from(answer, 'utf16le').toString('latin1'),
};
for (const [what, body] of Object.entries(wrong)) {
  validation(58, `a key authorization ${what}`, async (a) => {
    const one = await pending(a, 'http-01');
    a.http01.set(one.challenge.token, { body: body(one) });
    await fails(one, 'incorrectResponse', /not the key authorization/);
    // A wrong answer is an answer: it is not asked for again.
    expect(a.http01.requestsFor(one.challenge.token)).toHaveLength(1);
  });
}

for (const [what, end] of Object.entries({
  'a newline': '\n',
  CRLF: '\r\n',
  spaces: '   ',
  'tabs and newlines': '\t\n\t\n',
})) {
  validation(58, `the right key authorization before ${what} is right`, async (a) => {
    const one = await pending(a, 'http-01');
    a.http01.set(one.challenge.token, { body: one.answer + end });
    await succeeds(one);
  });
}

// ---- DNS -----------------------------------------------------------------------------------------------------------

const digest = (text: string) => base64url(createHash('sha256').update(text).digest());
const ownerOf = ({ identifier }: Pending) => `_acme-challenge.${identifier.value}`;
const many = Array.from({ length: 600 }, (_, index) => `${MARK} ${index}`);
const records: Record<string, (one: Pending) => string[]> = {
  'the key authorization itself': ({ answer }) => [answer],
  'the digest of another account': ({ challenge }) => [dnsValue(challenge.token, stranger)],
  'the digest in other letters': ({ answer }) => [swapped(digest(answer))],
  'the digest in hexadecimal': ({ answer }) => [createHash('sha256').update(answer).digest('hex')],
  'the digest with padding': ({ answer }) => [`${digest(answer)}=`],
  'the digest in quotes': ({ answer }) => [`"${digest(answer)}"`],
  'the digest and a newline': ({ answer }) => [`${digest(answer)}\n`],
  'the digest and NUL': ({ answer }) => [`${digest(answer)}\0`],
  'half of the digest in each of two': ({ answer }) => [digest(answer).slice(0, 20), digest(answer).slice(20)],
  'hundreds of others': () => many,
  'an empty text': () => [''],
};
for (const [what, texts] of Object.entries(records)) {
  validation(59, `a TXT record of ${what}`, async (a) => {
    const one = await pending(a, 'dns-01');
    a.dns.set(ownerOf(one), 'TXT', texts(one));
    await fails(one, 'incorrectResponse', /TXT records at/);
    // Once; and once more over TCP where the answer does not fit into a datagram.
    expect(a.dns.queries(ownerOf(one), 'TXT')).toBeLessThanOrEqual(2);
  });
}

validation(59, 'the right TXT record among hundreds of others is found', async (a) => {
  const one = await pending(a, 'dns-01');
  a.dns.set(ownerOf(one), 'TXT', [...many, digest(one.answer)]);
  await succeeds(one);
});

validation(59, 'the right TXT record at the name itself, or under another label', async (a) => {
  const one = await pending(a, 'dns-01');
  for (const owner of [
    one.identifier.value,
    `acme-challenge.${one.identifier.value}`,
    `_ACME_challenge.${one.identifier.value}`,
  ])
    a.dns.set(owner, 'TXT', [digest(one.answer)]);
  await fails(one, 'dns', /no TXT record/);
});

for (const failure of ['SERVFAIL', 'REFUSED', 'NXDOMAIN'] as const) {
  validation(59, `${failure} for the TXT record, every time`, async (a) => {
    const one = await pending(a, 'dns-01');
    a.dns.set(ownerOf(one), 'TXT', [digest(one.answer)]);
    a.dns.fail(ownerOf(one), failure);
    await fails(one, 'dns', /TXT record .*after 6 attempts/);
    expect(a.dns.queries(ownerOf(one), 'TXT')).toBe(ATTEMPTS);
  });
}

validation(59, 'NXDOMAIN at first and then the right record', async (a) => {
  const one = await pending(a, 'dns-01');
  a.dns.fail(ownerOf(one), 'NXDOMAIN');
  const good = (async () => {
    while (a.dns.queries(ownerOf(one), 'TXT') === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    a.dns.clear(ownerOf(one));
    a.dns.set(ownerOf(one), 'TXT', [digest(one.answer)]);
  })();
  await succeeds(one);
  await good;
});

validation(59, 'a DNS that never answers', async (a) => {
  const one = await pending(a, 'dns-01');
  const never = Promise.withResolvers<void>();
  a.dns.hold(ownerOf(one), never.promise);
  await fails(one, 'dns', /no answer within/);
  never.resolve();
});

validation(59, 'addresses that are none: records of other types under the name of an A record', async (a) => {
  const one = await pending(a, 'http-01');
  a.dns.set(one.identifier.value, 'A', []);
  a.dns.set(one.identifier.value, 'TXT', ['127.0.0.1']);
  a.http01.set(one.challenge.token, { body: one.answer });
  await fails(one, 'dns', /no address/);
  expect(a.http01.requestsFor(one.challenge.token)).toEqual([]);
});

// ---- tls-alpn-01 ---------------------------------------------------------------------------------------------------

const variants: Record<Exclude<AlpnVariant, 'right'>, 'incorrectResponse' | 'tls'> = {
  'wrong-oid': 'incorrectResponse',
  'not-critical': 'incorrectResponse',
  'wrong-digest': 'incorrectResponse',
  'no-extension': 'incorrectResponse',
  'extra-name': 'incorrectResponse',
  'wrong-name': 'incorrectResponse',
  'other-name-type': 'incorrectResponse',
  'name-only-in-subject': 'incorrectResponse',
  'tls-1.1': 'tls',
  'wrong-protocol': 'tls',
  'no-protocol': 'incorrectResponse',
};
for (const [variant, type] of Object.entries(variants) as [AlpnVariant, string][]) {
  validation(60, `tls-alpn-01 with ${variant}`, async (a) => {
    const one = await pending(a, 'tls-alpn-01');
    const { value: name } = one.identifier;
    a.tlsAlpn.set(name, { name, keyAuthorization: one.answer, variant });
    await fails(one, type, /./);
  });
}

validation(60, 'tls-alpn-01 of an address whose certificate has the reverse name, or another address', async (a) => {
  const one = await pending(a, 'tls-alpn-01', { name: 'ip:127.0.0.1' });
  const serverName = reverseName('127.0.0.1');
  a.tlsAlpn.set(serverName, { name: serverName, keyAuthorization: one.answer });
  await fails(one, 'incorrectResponse', /./);
  a.tlsAlpn.remove(serverName);
});

validation(60, 'tls-alpn-01 of a peer that speaks no TLS, or says nothing', async (a) => {
  // No answer is set for the name: the handshake ends in an alert.
  await fails(await pending(a, 'tls-alpn-01', { name: freshName() }), 'tls', /handshake/);
});

input.finish();
