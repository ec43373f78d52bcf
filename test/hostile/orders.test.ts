// Hostile inputs 33 to 46: orders, identifiers, sealed URLs, challenges and finalize. 40, names of other namespaces' Services,
// needs a cluster.
import { expect } from 'vitest';
import {
  attempt,
  challengeOf,
  complete,
  finalize,
  identifiersOf,
  issue,
  newOrder,
  poll,
  provision,
  readyOrder,
} from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { certificateID, readCertificate } from '../conformance/certificates.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import type { Arena } from './arena.ts';
import { hostile, refused } from './input.ts';

const input = hostile({
  issuers: {
    second: {},
    dns: { acme: { challenges: ['dns-01'] } },
    brief: { acme: { orderDuration: '1s' } },
    limited: {
      profiles: [
        { name: 'server', default: true, description: 'TLS servers', duration: { default: '24h', max: '48h' } },
      ],
    },
  },
});

const order = ({ acme }: Arena, identifiers: unknown, extra: object = {}): Promise<Reply> =>
  acme.post(acme.directory.newOrder, { identifiers, ...extra });
const dns = (value: string) => [{ type: 'dns', value }];
const patient = { retryBadNonce: true };

// ---- Lists of identifiers ------------------------------------------------------------------------------------------

input(33, 'no identifiers, 101, 10 000, or too many characters', async (a) => {
  for (const identifiers of [undefined, null, [], {}, 'dns', 7, { 0: dns('a.test')[0], length: 1 }])
    await refused(a, await order(a, identifiers), 'malformed/400');
  const names = (count: number) => identifiersOf(Array.from({ length: count }, (_, i) => `n${i}.test`));
  await refused(a, await order(a, names(101)), 'malformed/400');
  await refused(a, await order(a, names(1_000)), 'malformed/400');
  await refused(a, await order(a, names(10_000)), 'malformed/413');
  const long = Array.from({ length: 20 }, (_, i) => `${`${'a'.repeat(60)}.`.repeat(3)}n${i}${'b'.repeat(40)}.test`);
  await refused(a, await order(a, identifiersOf(long)), 'malformed/400');
});

input(34, 'duplicates and other letters are one name, a trailing dot is none', async (a) => {
  const name = freshName();
  const reply = await order(a, identifiersOf([name, name.toUpperCase(), name]));
  expect(reply.json.identifiers).toEqual(dns(name));
  expect(reply.json.authorizations).toHaveLength(1);
  for (const value of [`${name}.`, `${name}..`, `.${name}`])
    await refused(a, await order(a, dns(value)), 'malformed/400');
  await refused(a, await order(a, identifiersOf([name, `${name}.`])), 'malformed/400');
});

// ---- Names ---------------------------------------------------------------------------------------------------------

const wildcards: Record<string, string> = {
  'two stars': '*.*.a.test',
  'a star in the middle': 'a.*.test',
  'a star alone': '*',
  'a star and a dot': '*.',
  'a star over a top-level name': '*.com',
  'a star over another top-level name': '*.test',
  'a star over every Service of a cluster': '*.svc.cluster.local',
  'two stars together': '**.a.test',
  'a star within a label': 'w*.a.test',
  'a star after a label': 'a*.test',
  'a star as the last label': 'a.test.*',
};
for (const [what, value] of Object.entries(wildcards)) {
  input(35, `a wildcard with ${what}`, async (a) => {
    await refused(a, await order(a, dns(value)), 'rejectedIdentifier/403');
  });
}

input(35, 'a wildcard of an address', async (a) => {
  for (const value of ['*', '*.0.0.1', '127.0.0.*', '*.1'])
    await refused(a, await order(a, [{ type: 'ip', value }]), 'malformed/400');
});

const badNames: Record<string, string> = {
  NUL: 'a\0.test',
  'NUL and another name': 'a.test\0.evil.example',
  'a newline': 'a\n.test',
  CRLF: 'a.test\r\nX: y',
  'a tab': 'a\t.test',
  'a space': 'a b.test',
  'a leading space': ' a.test',
  'a second name': 'a.test,DNS:evil.example',
  'a second name after a semicolon': 'a.test;evil.example',
  'double quotes': '"a.test"',
  'single quotes': "'a.test'",
  'a hash': 'a.test#',
  'a backslash': String.raw`a\.test`,
  'a slash': 'a.test/x',
  'a port': 'a.test:443',
  'a user': 'root@a.test',
  'a query': 'a.test?b',
  'a percent sign': 'a%2etest',
  'a template': '{{namespace}}.test',
  'a shell command': '$(id).test',
  'an injected relative name': 'a.test/CN=evil',
  'another direction': 'a\u202etest',
};
for (const [what, value] of Object.entries(badNames)) {
  input(36, `a name with ${what}`, async (a) => {
    const reply = await order(a, dns(value));
    await refused(a, reply, 'malformed/400');
    expect(reply.problem.detail).toMatch(/^[\x20-\x7e…]+$/);
  });
}

const label = (length: number) => 'a'.repeat(length);
const odd: Record<string, string> = {
  'a U-label': 'bücher.test',
  'a homoglyph': 'ехample.test',
  'full-width letters': 'ＡＢＣ.test',
  'a full-width dot': 'a。test',
  'a half-width dot': 'a｡test',
  'a soft hyphen': 'a\u00adb.test',
  'a zero-width joiner': 'a\u200db.test',
  'a combining mark first': '\u0301a.test',
  'xn-- and nothing': 'xn--.test',
  'xn-- that does not decode': 'xn--000.test',
  'xn-- of plain ASCII': 'xn--abc-.test',
  'xn-- of something not allowed': 'xn--a.test',
  'xn-- of upper case': 'xn--BCHER-KVA-9999.test',
  'hyphens where xn-- has them': 'ab--c.test',
  'a label of 64': `${label(64)}.test`,
  '254 characters': `${`${label(61)}.`.repeat(4)}${label(6)}`,
  '60 000 characters': `${'a.'.repeat(20_000)}test`,
  'an empty label': 'a..test',
  nothing: '',
  'a dot': '.',
  'a leading hyphen': '-a.test',
  'a trailing hyphen': 'a-.test',
  'an underscore': '_acme-challenge.a.test',
  'an underscore inside': 'a_b.test',
};
for (const [what, value] of Object.entries(odd)) {
  input(37, `a name with ${what}`, async (a) => {
    const reply = await order(a, dns(value));
    await refused(a, reply, 'malformed/400');
    expect(reply.problem.detail.length).toBeLessThan(300);
  });
}

input(38, 'an address as a dns name, in any notation', async (a) => {
  for (const value of [
    '127.0.0.1',
    '::1',
    '[::1]',
    '0x7f.1',
    '127.1',
    '2130706433',
    '0177.0.0.1',
    '127.0.0.1.',
    '10.0.0.256',
    '1.2.3.0x4',
  ])
    await refused(a, await order(a, dns(value)), 'malformed/400');
});

input(38, 'an address in another than its canonical notation, or none', async (a) => {
  for (const value of [
    '127.1',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '127.000.000.001',
    '2130706433',
    '127.0.0.1 ',
    '127.0.0.1/32',
    '127.0.0.1:80',
    '[::1]',
    '::1%lo',
    'fe80::1%eth0',
    '::1/128',
    '0:0:0:0:0:0:0:1',
    '::0001',
    '::A',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    'localhost',
    '',
    '１２７.0.0.1',
  ]) {
    await refused(a, await order(a, [{ type: 'ip', value }]), 'malformed/400');
  }
});

input(38, 'an address that policy does not allow: unspecified, link-local, metadata, API server', async (a) => {
  for (const value of [
    '0.0.0.0',
    '::',
    '169.254.169.254',
    'fe80::1',
    '10.96.0.1',
    '255.255.255.255',
    '224.0.0.1',
    '64:ff9b::7f00:1',
  ])
    await refused(a, await order(a, [{ type: 'ip', value }]), 'rejectedIdentifier/403');
});

input(39, 'identifiers of another type', async (a) => {
  for (const type of [
    'DNS',
    'Dns',
    'email',
    'permanent-identifier',
    'TNAuthList',
    '',
    ' dns',
    'dns\0',
    null,
    7,
    {},
    ['dns'],
    true,
  ])
    await refused(a, await order(a, [{ type, value: freshName() }]), 'unsupportedIdentifier/400');
  await refused(a, await order(a, [{ value: freshName() }]), 'unsupportedIdentifier/400');
});

input(39, 'identifiers and values of another JSON type', async (a) => {
  for (const item of [null, 7, 'a.test', true]) await refused(a, await order(a, [item]), 'malformed/400');
  for (const item of [[], ['dns', 'a.test']]) await refused(a, await order(a, [item]), 'unsupportedIdentifier/400');
  for (const value of [null, 7, {}, ['a.test'], true, { toString: 'a.test' }])
    await refused(a, await order(a, [{ type: 'dns', value }]), 'malformed/400');
});

input(40, 'names that policy denies, one by one: subproblems name each of them and no other', async (a) => {
  const denied = [
    'db.other.svc',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
    'db',
    'node-1',
    '*.other.svc',
  ];
  for (const name of denied) await refused(a, await order(a, dns(name)), 'rejectedIdentifier/403');
  const good = freshName();
  const reply = await order(a, identifiersOf([...denied, good]));
  await refused(a, reply, 'rejectedIdentifier/403');
  expect(reply.problem.subproblems?.map(({ identifier }) => identifier.value).sort()).toEqual([...denied].sort());
});

// ---- Validity, profile, replaces -----------------------------------------------------------------------------------

const HOUR = 3_600_000;
const at = (hours: number) => new Date(Date.now() + hours * HOUR).toISOString();

input(41, 'notBefore and notAfter that make no sense', async (a) => {
  const pairs = [
    { notBefore: at(2), notAfter: at(1) },
    { notBefore: at(1), notAfter: at(1) },
    { notAfter: at(-1) },
    { notAfter: '1970-01-01T00:00:00Z' },
    { notBefore: '0001-01-01T00:00:00Z' },
    { notBefore: '1949-12-31T23:59:59Z' },
    ...[
      '2030-01-01T00:00:00',
      '2030-01-01',
      '2030-13-01T00:00:00Z',
      '2030-02-30T25:00:00Z',
      '2030-01-01T00:00:00.1234567890123Z',
      '+012030-01-01T00:00:00Z',
      '10000-01-01T00:00:00Z',
      '2030-01-01T00:00:00+99:99',
      '2030-01-01t00:00:00z',
      ' 2030-01-01T00:00:00Z',
      '2030-01-01T00:00:00Z\0',
      'now',
      '',
      1_893_456_000,
      null,
      {},
      ['2030-01-01T00:00:00Z'],
    ].map((notAfter) => ({ notAfter })),
  ];
  for (const extra of pairs) await refused(a, await order(a, dns(freshName()), extra), 'malformed/400');
});

input(41, 'notAfter beyond the profile is refused at once, not shortened', async (a) => {
  const acme = await a.given(() => a.client('limited'));
  for (const notAfter of [at(49), '9999-12-31T23:59:59Z', at(100 * 365 * 24)]) {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: dns(freshName()), notAfter }, patient);
    await refused(a, reply, 'rejectedIdentifier/403', 'malformed/400');
    expect(reply.problem.detail).toMatch(/48h/);
  }
});

input(41, 'notBefore in the past is refused at once', async (a) => {
  for (const extra of [{ notBefore: at(-48), notAfter: at(1) }, { notBefore: '1950-01-01T00:00:00Z' }])
    await refused(a, await order(a, dns(freshName()), extra), 'malformed/400');
});

input(41, 'notAfter beyond the CA is never in a certificate', async (a) => {
  for (const extra of [{ notAfter: '9999-12-31T23:59:59Z' }, { notAfter: at(100 * 365 * 24) }]) {
    const ready = await a.given(() => readyOrder(a.acme, a, [freshName()], extra));
    const reply = await finalize(a.acme, ready, buildCsr({ names: csrNames(ready.object.identifiers) }).der);
    await refused(a, reply, 'malformed/400');
    expect((await a.acme.get(ready.url)).json).not.toHaveProperty('certificate');
  }
});

input(42, 'a profile that is not offered', async (a) => {
  const acme = await a.given(() => a.client('limited'));
  for (const profile of ['none', '', 'SERVER', 'server ', '../server', '__proto__', 'x'.repeat(10_000)]) {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: dns(freshName()), profile }, patient);
    await refused(a, reply, 'invalidProfile/400');
    expect(reply.text.length).toBeLessThan(500);
  }
  for (const profile of [null, 7, {}, ['server']]) {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: dns(freshName()), profile }, patient);
    await refused(a, reply, 'malformed/400');
  }
  await refused(a, await order(a, dns(freshName()), { profile: 'server' }), 'invalidProfile/400');
});

input(42, 'replaces: what is no certificate, is unknown, of somebody else, or replaced already', async (a) => {
  for (const replaces of [
    '',
    '.',
    'a',
    'AAAA',
    'AAAA.',
    '.AAAA',
    'AA.AA.AA',
    'AAAA=.AAAA',
    '../x.AAAA',
    '~|.AAAA',
    'A'.repeat(20_000),
    null,
    7,
    {},
  ])
    await refused(a, await order(a, dns(freshName()), { replaces }), 'malformed/400');
  await refused(a, await order(a, dns(freshName()), { replaces: 'AAAA.AAAA' }), 'malformed/404');
  const name = freshName();
  const { foreign, replaced, other } = await a.given(async () => {
    const stranger = await a.client();
    const foreign = certificateID(await readCertificate(stranger, await issue(stranger, a, [name])));
    const replaced = certificateID(await readCertificate(a.acme, await issue(a.acme, a, [name])));
    await issue(a.acme, a, [name], { replaces: replaced });
    const other = certificateID(await readCertificate(a.acme, await issue(a.acme, a, [freshName()])));
    return { foreign, replaced, other };
  });
  await refused(a, await order(a, dns(name), { replaces: foreign }), 'unauthorized/403');
  await refused(a, await order(a, dns(name), { replaces: replaced }), 'alreadyReplaced/409');
  await refused(a, await order(a, dns(name), { replaces: other }), 'malformed/400');
});

// ---- Sealed URLs ---------------------------------------------------------------------------------------------------

interface Resources {
  urls: Readonly<Record<string, string>>;
  acme: AcmeWire;
}

async function resources(a: Arena, issuer = 'main'): Promise<Resources> {
  const acme = await a.client(issuer);
  const ready = await readyOrder(acme, a, [freshName()]);
  const { certificateUrl } = await complete(acme, ready);
  const [authorization = ''] = ready.object.authorizations;
  const [challenge] = (await acme.get(authorization)).json.challenges;
  const { finalize } = ready.object;
  return {
    acme,
    urls: { order: ready.url, finalize, authorization, challenge: challenge?.url ?? '', certificate: certificateUrl },
  };
}

const payloadFor = (kind: string) =>
  kind === 'finalize' ? { csr: base64url(buildCsr({ names: ['a.test'] }).der) } : kind === 'challenge' ? {} : undefined;

/** What may not differ: all but nonce, date and length of the body itself. */
const shown = ({ status, text, headers }: Reply) => ({ status, text, headers: Object.keys(headers).sort() });

input(43, 'order, finalize, authorization, challenge and certificate of another account', async (a) => {
  const { urls } = await a.given(() => resources(a));
  const replies: Reply[] = [];
  for (const [kind, url] of Object.entries(urls)) {
    const reply = await a.acme.post(url, payloadFor(kind));
    await refused(a, reply, 'unauthorized/403');
    replies.push(reply);
  }
  expect(new Set(replies.map((reply) => JSON.stringify(shown(reply)))).size).toBe(1);
  for (const payload of [{ status: 'deactivated' }, {}])
    await refused(a, await a.acme.post(urls['authorization'] ?? '', payload), 'unauthorized/403');
});

const replaceSealed = (url: string, change: (sealed: string) => string) =>
  url.replace(
    /\/(order|authz|challenge|certificate)\/([^/]+)/,
    (_, kind: string, sealed: string) => `/${kind}/${change(sealed)}`,
  );
const flip = (at: number) => (sealed: string) => {
  const bytes = Buffer.from(sealed, 'base64url');
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ 1;
  return bytes.toString('base64url');
};
const forgeries: Record<string, (sealed: string) => string> = {
  'another key id': flip(0),
  'key id 0': (sealed) =>
    Buffer.concat([Buffer.of(0), Buffer.from(sealed, 'base64url').subarray(1)]).toString('base64url'),
  'key id 255': (sealed) =>
    Buffer.concat([Buffer.of(255), Buffer.from(sealed, 'base64url').subarray(1)]).toString('base64url'),
  'a bit of the nonce changed': flip(3),
  'a bit of the text changed': flip(20),
  'a bit of the tag changed': flip(-1),
  'its last character gone': (sealed) => sealed.slice(0, -1),
  'its last bytes gone': (sealed) => sealed.slice(0, -8),
  'its first bytes alone': (sealed) => sealed.slice(0, 12),
  'bytes added': (sealed) => `${sealed}AAAA`,
  padding: (sealed) => `${sealed}=`,
  'a percent-encoded character': (sealed) => `${sealed}%41`,
  'six thousand characters': () => 'A'.repeat(6000),
  'random bytes': () => Buffer.alloc(100, 1).toString('base64url'),
  'a name of nobody': () => `ic-${'a'.repeat(52)}`,
  'a name from Kubernetes': () => 'kube-system',
  __proto__: () => '__proto__',
};
for (const [what, forge] of Object.entries(forgeries)) {
  input(43, `a sealed URL with ${what} is unknown, each kind in the same words`, async (a) => {
    const { acme, urls } = await a.given(() => resources(a));
    const replies: Reply[] = [];
    for (const [kind, url] of Object.entries(urls)) {
      const reply = await acme.post(replaceSealed(url, forge), payloadFor(kind), patient);
      await refused(a, reply, 'malformed/404');
      replies.push(reply);
    }
    expect(new Set(replies.map((reply) => JSON.stringify(shown(reply)))).size).toBe(1);
  });
}

input(43, 'a sealed part under a URL of another kind or another issuer', async (a) => {
  const { acme, urls, there } = await a.given(async () => ({
    ...(await resources(a)),
    there: await a.client('second'),
  }));
  const sealedOf = (url = '') => url.split('/')[6] ?? '';
  for (const [kind, url] of Object.entries(urls)) {
    for (const [other, from] of Object.entries(urls)) {
      if (sealedOf(url) === sealedOf(from)) continue;
      if (['authorization', 'challenge'].includes(kind) && ['authorization', 'challenge'].includes(other)) continue;
      const reply = await acme.post(
        replaceSealed(url, () => sealedOf(from)),
        payloadFor(kind),
        patient,
      );
      await refused(a, reply, 'malformed/404');
    }
    const elsewhere = url.replace('/acme/main/', '/acme/second/');
    await refused(a, await there.post(elsewhere, payloadFor(kind), patient), 'malformed/404');
  }
});

// ---- Challenges ----------------------------------------------------------------------------------------------------

input(44, 'a challenge that is not offered, or of another type', async (a) => {
  const acme = await a.given(() => a.client('dns'));
  const { object } = await newOrder(acme, [freshName()]);
  const challenge = await challengeOf(acme, object.authorizations[0] ?? '', 'dns-01');
  for (const type of [
    'http-01',
    'tls-alpn-01',
    'dns-account-01',
    '__proto__',
    'DNS-01',
    'dns-01%00',
    'x'.repeat(200),
  ]) {
    for (const payload of [{}, undefined])
      await refused(a, await acme.post(challenge.url.replace(/[^/]+$/, type), payload, patient), 'malformed/404');
  }
  const wildcard = await newOrder(a.acme, [`*.${freshName()}`]);
  const { url } = await challengeOf(a.acme, wildcard.object.authorizations[0] ?? '', 'dns-01');
  for (const type of ['http-01', 'tls-alpn-01'])
    await refused(a, await a.acme.post(url.replace(/[^/]+$/, type), {}), 'malformed/404');
});

input(
  44,
  'a challenge posted to many times at once is tried once, and after it is valid no more',
  async (a) => {
    const name = freshName();
    const { object } = await newOrder(a.acme, [name]);
    const [authorization = ''] = object.authorizations;
    const challenge = await challengeOf(a.acme, authorization, 'http-01');
    provision(a, challenge, { type: 'dns', value: name }, a.acme.account.key);
    const replies = await Promise.all(Array.from({ length: 20 }, () => a.acme.post(challenge.url, {})));
    expect(replies.map(({ status }) => status)).toEqual(Array<number>(20).fill(200));
    expect((await attempt(a.acme, challenge)).status).toBe('valid');
    const other = challenge.url.replace(/[^/]+$/, 'dns-01');
    for (const url of [challenge.url, other]) expect((await a.acme.post(url, {})).status).toBe(200);
    expect(a.http01.requestsFor(challenge.token)).toHaveLength(1);
    expect((await a.acme.get(authorization)).json.status).toBe('valid');
  },
  { writes: ['create Authorization'], changes: true },
);

input(44, 'a challenge and finalize of an order that has expired', async (a) => {
  const acme = await a.given(() => a.client('brief'));
  const name = freshName();
  const { url, object } = await newOrder(acme, [name]);
  const [authorization = ''] = object.authorizations;
  const challenge = await challengeOf(acme, authorization, 'http-01');
  await poll(acme, url, ({ status }) => status === 'invalid');
  provision(a, challenge, { type: 'dns', value: name }, acme.account.key);
  expect((await acme.post(challenge.url, {})).json.status).toBe('pending');
  expect(a.http01.requestsFor(challenge.token)).toEqual([]);
  const reply = await finalize(acme, { url, object }, buildCsr({ names: [name] }).der);
  await refused(a, reply, 'orderNotReady/403');
});

// ---- Finalize ------------------------------------------------------------------------------------------------------

input(45, 'finalize of an order that is not ready, or only half', async (a) => {
  const pending = await newOrder(a.acme, [freshName()]);
  const csr = buildCsr({ names: csrNames(pending.object.identifiers) }).der;
  await refused(a, await finalize(a.acme, pending, csr), 'orderNotReady/403');
  const half = await a.given(async () => {
    const [one, two] = [freshName(), freshName()];
    await readyOrder(a.acme, a, [one]);
    return newOrder(a.acme, [one, two]);
  });
  await refused(
    a,
    await finalize(a.acme, half, buildCsr({ names: csrNames(half.object.identifiers) }).der),
    'orderNotReady/403',
  );
  expect((await a.acme.get(half.url)).json.status).toBe('pending');
});

input(45, 'finalize of a valid order with another CSR', async (a) => {
  const issued = await a.given(() => issue(a.acme, a, [freshName()]));
  const before = await a.acme.get(issued.certificateUrl);
  const { identifiers } = issued.order.object;
  for (const csr of [buildCsr({ names: csrNames(identifiers) }).der, Buffer.alloc(0), Buffer.alloc(30_000, 1)])
    await refused(a, await finalize(a.acme, issued.order, csr), 'orderNotReady/403');
  expect((await a.acme.get(issued.certificateUrl)).text).toBe(before.text);
});

input(45, 'finalize with a csr that is no base64url of bytes', async (a) => {
  const ready = await a.given(() => readyOrder(a.acme, a, [freshName()]));
  const good = base64url(buildCsr({ names: csrNames(ready.object.identifiers) }).der);
  for (const csr of [undefined, null, 7, {}, [good], `${good}=`, `${good}\n`, ` ${good}`, `+/${good}`, '%41', '\0'])
    await refused(a, await a.acme.post(ready.object.finalize, { csr }), 'malformed/400');
  expect((await a.acme.get(ready.url)).json.status).toBe('ready');
});

input(
  46,
  'finalize 50 times in parallel: one certificate',
  async (a) => {
    const ready = await a.given(() => readyOrder(a.acme, a, [freshName()]));
    const { der } = buildCsr({ names: csrNames(ready.object.identifiers) });
    const replies = await Promise.all(Array.from({ length: 50 }, () => finalize(a.acme, ready, der)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(replies.flatMap(({ json }) => json.certificate ?? [])).size).toBe(1);
  },
  { writes: ['create IssuedCertificate'], changes: true },
);

input(
  46,
  'finalize 50 times in parallel with 50 keys: one certificate, for one of them',
  async (a) => {
    const ready = await a.given(() => readyOrder(a.acme, a, [freshName()]));
    const replies = await Promise.all(
      Array.from({ length: 50 }, () =>
        finalize(a.acme, ready, buildCsr({ names: csrNames(ready.object.identifiers) }).der),
      ),
    );
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const reply of replies.filter(({ status }) => status !== 200)) await refused(a, reply, 'orderNotReady/403');
  },
  { writes: ['create IssuedCertificate'], changes: true },
);

input.finish();
