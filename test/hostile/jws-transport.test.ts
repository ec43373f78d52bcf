// Hostile inputs 1 to 25: signatures, nonces, keys, JSON and HTTP itself.
import { generateKeyPairSync, generatePrimeSync, sign } from 'node:crypto';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { parseJson } from '../../src/domain/json.ts';
import { importJwk } from '../../src/domain/jwk.ts';
import { startOperator } from '../operator/harness.ts';
import { identifiersOf, register } from '../support/acme-flow.ts';
import {
  type AcmeWire,
  createTransport,
  type HttpOptions,
  type PostOptions,
  type Reply,
} from '../support/acme-wire.ts';
import { base64url, createSigningKey, type Jws, macJws, signEncoded, signJws } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import type { Arena } from './arena.ts';
import { hostile, refused, refusedRaw, usableNonce } from './input.ts';
import { head, request, sendRaw } from './raw.ts';

const input = hostile({ issuers: { second: {} } });

const goodPayload = () => ({ identifiers: identifiersOf([freshName()]) });
const post = ({ acme }: Arena, options: PostOptions = {}): Promise<Reply> =>
  acme.post(acme.directory.newOrder, goodPayload(), options);
const headerOf = (jws: Jws) =>
  JSON.parse(Buffer.from(jws.protected, 'base64url').toString()) as Record<string, unknown>;
/** The request with other raw bytes as protected header, signed. */
const withHeader = (acme: AcmeWire, change: (header: string) => string | Buffer) => (jws: Jws) =>
  signEncoded(acme.account.key, base64url(change(Buffer.from(jws.protected, 'base64url').toString())), jws.payload);
const withPayload = (acme: AcmeWire, payload: string | Buffer) => (jws: Jws) =>
  signEncoded(acme.account.key, jws.protected, base64url(payload));

// ---- Algorithms ----------------------------------------------------------------------------------------------------

const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256'];

input(1, 'alg none, in any spelling and with or without a signature', async (a) => {
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
    for (const keep of [true, false]) {
      const reply = await post(a, { header: { alg }, tamper: (jws) => (keep ? jws : { ...jws, signature: '' }) });
      await refused(a, reply, 'badSignatureAlgorithm/400');
      expect(reply.problem.algorithms).toEqual(ALGORITHMS);
    }
  }
});

input(2, 'HS256 with the public key as the secret', async (a) => {
  const { publicKey, jwk } = a.acme.account.key;
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  for (const secret of [pem, publicKey.export({ type: 'spki', format: 'der' }), JSON.stringify(jwk)]) {
    const tamper = (jws: Jws) =>
      macJws(Buffer.from(secret), { ...headerOf(jws), alg: 'HS256' }, Buffer.from(jws.payload, 'base64url'));
    const reply = await post(a, { tamper });
    await refused(a, reply, 'badSignatureAlgorithm/400');
    expect(reply.problem.algorithms).toEqual(ALGORITHMS);
  }
});

input(3, 'ES256 in the header of an RSA account', async (a) => {
  const rsa = await a.given(async () => {
    const acme = await a.connect();
    await register(acme, createSigningKey('RS256'));
    return acme;
  });
  const url = rsa.directory.newOrder;
  for (const signWith of [rsa.account.key, createSigningKey('ES256')]) {
    const reply = await rsa.post(url, goodPayload(), {
      header: { alg: 'ES256' },
      signWith,
      nonce: await a.acme.nonce(),
    });
    await refused(a, reply, 'badPublicKey/400');
    expect(reply.problem.detail).toContain('RS256');
  }
});

input(4, 'ES384, RS256 or EdDSA in the header of a P-256 account', async (a) => {
  for (const alg of ['ES384', 'RS256', 'EdDSA'] as const) {
    for (const signWith of [a.acme.account.key, createSigningKey(alg)]) {
      const reply = await post(a, { header: { alg }, signWith });
      await refused(a, reply, 'badPublicKey/400');
      expect(reply.problem.detail).toContain('ES256');
    }
  }
});

// ---- Who signs -----------------------------------------------------------------------------------------------------

input(5, 'both jwk and kid, or neither', async (a) => {
  const { key, url } = a.acme.account;
  const headers = [
    { jwk: key.jwk, kid: url },
    { jwk: undefined, kid: undefined },
  ];
  for (const header of headers) await refused(a, await post(a, { header }), 'malformed/400');
  for (const header of headers) {
    const { newAccount, revokeCert } = a.acme.directory;
    for (const resource of [newAccount, revokeCert]) {
      await refused(a, await a.acme.post(resource, {}, { jwkOf: key, header }), 'malformed/400');
    }
  }
});

input(6, "another account's kid under one's own signature", async (a) => {
  const other = await a.given(() => a.client());
  await refused(a, await post(a, { header: { kid: other.account.url } }), 'malformed/400');
});

input(7, 'a kid of another issuer or host, or that is no account URL', async (a) => {
  const second = await a.given(() => a.client('second'));
  const own = a.acme.account.url;
  const kids = [
    second.account.url,
    own.replace('/acme/main/', '/acme/second/'),
    own.replace('https:', 'http:'),
    own.replace('127.0.0.1', 'localhost'),
    own.replace('127.0.0.1', 'evil.example'),
    own.replace(/:\d+\//, '/'),
    `${own}/`,
    `${own}?a=b`,
    `${own}#a`,
    `${own}/../${own.split('/').at(-1)}`,
    `${own}%00`,
    `${own}\0`,
    own.toUpperCase(),
    own.replace(/[^/]+$/, '__proto__'),
    own.replace(/[^/]+$/, '../../../etc/passwd'),
    own.replace(/[^/]+$/, ''),
    own.replace(/[^/]+$/, `ac-${'a'.repeat(52)}`),
    own.replace(/[^/]+$/, 'a'.repeat(10_000)),
    '',
    'x',
  ];
  for (const kid of kids)
    await refused(a, await post(a, { header: { kid } }), 'accountDoesNotExist/400', 'malformed/400');
});

input(8, 'a url that differs in host, port, path, query, case or encoding', async (a) => {
  const { newOrder } = a.acme.directory;
  const urls = [
    newOrder.replace('127.0.0.1', 'localhost'),
    newOrder.replace(/:\d+\//, ':1/'),
    newOrder.replace(/:\d+\//, '/'),
    newOrder.replace('https:', 'http:'),
    newOrder.replace('https:', 'HTTPS:'),
    newOrder.replace('/main/', '/second/'),
    newOrder.replace('/main/', '/x/../main/'),
    newOrder.replace('/main/', '//main/'),
    newOrder.replace('new-order', 'new%2dorder'),
    newOrder.replace('new-order', 'new%2Dorder'),
    newOrder.replace('new-order', 'New-Order'),
    `${newOrder}/`,
    `${newOrder}?`,
    `${newOrder}?a=b`,
    `${newOrder}#`,
    `${newOrder} `,
    `${newOrder}\0`,
    a.acme.directory.newAccount,
    new URL(newOrder).pathname,
    '',
  ];
  for (const url of urls) await refused(a, await post(a, { header: { url } }), 'unauthorized/401');
  // The request target differs from the url, which is the right one.
  for (const target of [`${newOrder}?a=b`, newOrder.replace('new-order', 'new%2Dorder')]) {
    const reply = await a.acme.post(target, goodPayload(), { header: { url: newOrder } });
    await refused(a, reply, 'unauthorized/401');
  }
});

// ---- Nonces --------------------------------------------------------------------------------------------------------

input(9, 'a nonce replayed, changed in any byte, empty, long, missing or of another kind', async (a) => {
  const used = await a.acme.nonce();
  await usableNonce(a, used);
  await refused(a, await post(a, { nonce: used }), 'badNonce/400');
  const good = Buffer.from(await a.acme.nonce(), 'base64url');
  for (const at of good.keys()) {
    const changed = Buffer.from(good);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await refused(a, await post(a, { nonce: changed.toString('base64url') }), 'badNonce/400');
  }
  for (const nonce of ['', 'A'.repeat(38), 'A'.repeat(10_000), good.subarray(1).toString('base64url')])
    await refused(a, await post(a, { nonce }), 'badNonce/400');
  await refused(a, await post(a, { header: { nonce: undefined } }), 'badNonce/400');
  for (const nonce of [null, 7, ['x'], { a: 1 }])
    await refused(a, await post(a, { header: { nonce } }), 'malformed/400');
  await usableNonce(a, good.toString('base64url'));
});

input(9, 'a nonce of another process, such as this server before it was restarted', async (a) => {
  const other = await startOperator();
  const transport = createTransport(other.ca);
  const { nonce = '' } = await transport.request('HEAD', `${other.origin}/acme/main/new-nonce`);
  transport.close();
  await other.stop();
  await refused(a, await post(a, { nonce }), 'badNonce/400');
});

input(10, 'parallel requests with one nonce: exactly one is accepted', async (a) => {
  const nonce = await a.acme.nonce();
  const replies = await Promise.all(Array.from({ length: 20 }, () => post(a, { header: { nonce } })));
  expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
  for (const reply of replies.filter(({ status }) => status !== 201)) await refused(a, reply, 'badNonce/400');
});

// ---- Forms of a JWS ------------------------------------------------------------------------------------------------

input(11, 'crit, b64, zip and unknown critical members in the header', async (a) => {
  for (const header of [
    { crit: ['exp'], exp: 1 },
    { crit: [] },
    { crit: ['b64'], b64: false },
    { b64: false },
    { b64: true },
    { zip: 'DEF' },
    { crit: ['http://openbanking.org.uk/iat'], 'http://openbanking.org.uk/iat': 0 },
    { crit: 'alg' },
  ]) {
    await refused(a, await post(a, { header }), 'malformed/400');
  }
});

input(12, 'an unprotected header', async (a) => {
  for (const header of [{}, { alg: 'ES256' }, { nonce: 'AAAA' }, { kid: 'x' }, null, 'alg'])
    await refused(a, await post(a, { tamper: (jws) => ({ ...jws, header }) }), 'malformed/400');
  const moved = await post(a, {
    header: { nonce: undefined },
    tamper: (jws) => ({ ...jws, header: { nonce: 'AAAA' } }),
  });
  await refused(a, moved, 'malformed/400');
});

input(13, 'compact serialization, and the general form with one or two signatures', async (a) => {
  const forms: ((jws: Jws) => object | string)[] = [
    (jws) => `${jws.protected}.${jws.payload}.${jws.signature}`,
    (jws) => JSON.stringify(`${jws.protected}.${jws.payload}.${jws.signature}`),
    ({ payload, ...rest }) => ({ payload, signatures: [rest] }),
    ({ payload, ...rest }) => ({ payload, signatures: [rest, rest] }),
    (jws) => ({ ...jws, signatures: [] }),
    (jws) => [jws],
    () => 'null',
    () => '',
    () => '{}',
  ];
  for (const tamper of forms) await refused(a, await post(a, { tamper }), 'malformed/400');
});

input(14, 'base64 with padding, other letters, white space, NUL or loose bits', async (a) => {
  const spoilt: ((text: string) => string)[] = [
    (text) => `${text}=`,
    (text) => `${text}==`,
    (text) => `+/${text}`,
    (text) => `${text.slice(0, 4)} ${text.slice(4)}`,
    (text) => `${text}\n`,
    (text) => `${text}\0`,
    (text) => `${text}YR`.slice(0, Math.ceil(text.length / 4) * 4 + 2),
    (text) => `${text.slice(0, 4)}\u00e9${text.slice(4)}`,
    (text) => `${text.slice(0, 4)}\ud83d\ude00${text.slice(4)}`,
  ];
  for (const member of ['protected', 'payload', 'signature'] as const) {
    for (const spoil of spoilt) {
      const tamper = (jws: Jws) => {
        const changed = { ...jws, [member]: spoil(jws[member]) };
        const { signature } = signEncoded(a.acme.account.key, changed.protected, changed.payload);
        return member === 'signature' ? changed : { ...changed, signature };
      };
      await refused(a, await post(a, { tamper }), 'malformed/400');
    }
  }
});

// ---- Signatures ----------------------------------------------------------------------------------------------------

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const number32 = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
const numberOf = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`);
const halves = (jws: Jws): [bigint, bigint] => {
  const raw = Buffer.from(jws.signature, 'base64url');
  return [numberOf(raw.subarray(0, 32)), numberOf(raw.subarray(32))];
};
const signedBy = (signature: (jws: Jws) => Buffer) => (jws: Jws) => ({ ...jws, signature: base64url(signature(jws)) });

input(15, 'an ECDSA signature in DER, of zeros, or beyond the order', async (a) => {
  const { privateKey } = a.acme.account.key;
  const signatures: ((jws: Jws) => Buffer)[] = [
    (jws) => sign('sha256', Buffer.from(`${jws.protected}.${jws.payload}`), privateKey),
    () => Buffer.alloc(64),
    (jws) => Buffer.concat([Buffer.alloc(32), number32(halves(jws)[1])]),
    (jws) => Buffer.concat([number32(halves(jws)[0]), Buffer.alloc(32)]),
    (jws) => Buffer.concat([number32(N), number32(halves(jws)[1])]),
    (jws) => Buffer.concat([number32(halves(jws)[0]), number32(N)]),
    () => Buffer.alloc(64, 0xff),
  ];
  for (const signature of signatures) await refused(a, await post(a, { tamper: signedBy(signature) }), 'malformed/400');
});

input(15, 'the mirrored ECDSA signature is no way round the nonce', async (a) => {
  let original: Jws | undefined;
  const first = await post(a, { tamper: (jws) => (original = jws) });
  expect(first.status).toBe(201);
  const sent = original as unknown as Jws;
  const [r, s] = halves(sent);
  const mirrored = signedBy(() => Buffer.concat([number32(r), number32(N - s)]))(sent);
  await refused(a, await post(a, { tamper: () => mirrored }), 'badNonce/400');
});

input(16, 'a signature of 0, 63, 65 or 96 bytes, or of another request', async (a) => {
  const lengths: ((raw: Buffer) => Buffer)[] = [
    () => Buffer.alloc(0),
    (raw) => raw.subarray(1),
    (raw) => Buffer.concat([raw, Buffer.of(0)]),
    (raw) => Buffer.concat([Buffer.of(0), raw]),
    (raw) => Buffer.concat([raw, Buffer.alloc(32)]),
    (raw) => Buffer.concat([raw, Buffer.alloc(20_000)]),
  ];
  for (const change of lengths) {
    const tamper = signedBy((jws) => change(Buffer.from(jws.signature, 'base64url')));
    await refused(a, await post(a, { tamper }), 'malformed/400');
  }
  await refused(a, await post(a, { tamper: (jws) => ({ ...jws, payload: base64url('{}') }) }), 'malformed/400');
  await refused(a, await post(a, { signWith: createSigningKey() }), 'malformed/400');
});

// ---- Keys ----------------------------------------------------------------------------------------------------------

const newAccount = ({ acme }: Arena, jwk: unknown, alg: string): Promise<Reply> =>
  acme.post(acme.directory.newAccount, {}, { jwkOf: createSigningKey(), header: { jwk, alg } });

/** The key is refused for this reason, and judging it took no more operations with keys than this. */
async function badKey(a: Arena, jwk: object, alg: string, reason: RegExp, operations = 0): Promise<void> {
  const reply = await newAccount(a, jwk, alg);
  await refused(a, reply, 'badPublicKey/400');
  expect(reply.problem.detail).toMatch(reason);
  const work = { operations: 0 };
  expect(() => importJwk(jwk, work)).toThrow();
  expect(work.operations).toBe(operations);
}

const p256 = createSigningKey('ES256').jwk;
const p521 = createSigningKey('ES512').jwk;
const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' });
const flipped = Buffer.from(p256['y'] ?? '', 'base64url').map((byte, index) => (index === 31 ? byte ^ 1 : byte));

input(17, 'an account key off the curve, at infinity, or on another curve', async (a) => {
  const zeros = base64url(Buffer.alloc(32));
  await badKey(a, { ...p256, y: base64url(flipped) }, 'ES256', /off the curve/, 1);
  await badKey(a, { ...p256, x: zeros, y: zeros }, 'ES256', /off the curve/, 1);
  await badKey(a, { ...p256, x: base64url(Buffer.alloc(32, 0xff)), y: zeros }, 'ES256', /off the curve/, 1);
  await badKey(a, { ...secp256k1, crv: 'P-256' }, 'ES256', /off the curve/, 1);
  await badKey(a, { ...p256, x: '', y: '' }, 'ES256', /needs "x"/);
  await badKey(a, secp256k1, 'ES256', /"crv"/);
  await badKey(a, p521, 'ES256', /"crv"/);
  await badKey(a, { ...p521, crv: 'P-256' }, 'ES256', /32 bytes/);
  await badKey(a, { ...p256, crv: 'constructor' }, 'ES256', /"crv"/);
  await badKey(a, { kty: 'oct', k: 'AAAA' }, 'ES256', /private member "k"/);
  const neutral = Buffer.concat([Buffer.of(1), Buffer.alloc(31)]);
  await badKey(a, { kty: 'OKP', crv: 'Ed25519', x: base64url(neutral) }, 'EdDSA', /anyone/);
});

const rsa = createSigningKey('RS256').jwk;
const modulus = Buffer.from(rsa['n'] ?? '', 'base64url');
const modulusOf = (n: bigint): string => {
  const hex = n.toString(16);
  return base64url(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
};

/** A 2,048-bit number with the fingerprint of the ROCA fault: a power of 65537 modulo every small prime. */
function rocaModulus(): bigint {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < 126; n++) if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
  const product = primes.reduce((a, b) => a * b, 1n);
  const further = Array.from({ length: 300 }, (_, index) => BigInt(701 + index));
  let n = (product << BigInt(2048 - product.toString(2).length)) + (65_537n ** 12_345n % product);
  while (further.some((divisor) => n % divisor === 0n)) n += product;
  return n;
}

input(18, 'an RSA account key that is short, long, even, with a bad exponent or a known fault', async (a) => {
  await badKey(a, createSigningKey('RS256', 1024).jwk, 'RS256', /1024 bits is too short/);
  for (const e of [1n, 2n, 3n, 65_536n, (1n << 32n) + 1n])
    await badKey(a, { ...rsa, e: modulusOf(e) }, 'RS256', /2\^32/);
  await badKey(a, { ...rsa, e: modulusOf(65_538n) }, 'RS256', /exponent is odd/);
  await badKey(a, { ...rsa, e: modulusOf((1n << 8000n) + 1n) }, 'RS256', /"e" is too long/);
  const even = Buffer.from(modulus);
  even[255] = (even[255] ?? 0) & 0xfe;
  await badKey(a, { ...rsa, n: base64url(even) }, 'RS256', /modulus is odd/);
  await badKey(a, { ...rsa, n: base64url(Buffer.alloc(513, 0xff)) }, 'RS256', /too long/);
  for (const bytes of [2048, 30_000])
    await badKey(a, { ...rsa, n: base64url(Buffer.alloc(bytes, 0xff)) }, 'RS256', /"n" is too long/);
  const prime = generatePrimeSync(1024, { bigint: true });
  await badKey(a, { ...rsa, n: modulusOf(prime * (prime + 2n)) }, 'RS256', /too close|divisible/);
  await badKey(a, { ...rsa, n: modulusOf(prime * prime) }, 'RS256', /too close/);
  await badKey(a, { ...rsa, n: modulusOf(rocaModulus()) }, 'RS256', /ROCA/);
  await badKey(a, { ...rsa, n: modulusOf(3n * generatePrimeSync(2047, { bigint: true })) }, 'RS256', /divisible by 3/);
});

input(19, 'an account key with private members: refused by their name, never shown or logged', async (a) => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const secret = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  for (const [jwk, alg] of [
    [ec, 'ES256'],
    [secret, 'RS256'],
  ] as const) {
    a.secrets.add(jwk.d ?? '');
    const reply = await newAccount(a, jwk, alg);
    await refused(a, reply, 'badPublicKey/400');
    expect(reply.problem.detail).toContain('"d"');
    expect(reply.text).not.toContain(jwk.d);
  }
});

// ---- JSON ----------------------------------------------------------------------------------------------------------

input(20, 'a key twice in a JSON object: body, header or payload', async (a) => {
  const { acme } = a;
  const twice = (jws: Jws, member: keyof Jws) =>
    JSON.stringify(jws).replace(/\}$/, `,${JSON.stringify(member)}:${JSON.stringify(jws[member])}}`);
  for (const member of ['protected', 'payload', 'signature'] as const)
    await refused(a, await post(a, { tamper: (jws) => twice(jws, member) }), 'malformed/400');
  for (const extra of ['"alg":"none"', '"alg":"ES256"', '"nonce":"AAAA"', '"\\u0061lg":"ES256"']) {
    const tamper = withHeader(acme, (header) => header.replace(/\}$/, `,${extra}}`));
    await refused(a, await post(a, { tamper }), 'malformed/400');
  }
  const name = JSON.stringify(identifiersOf([freshName()]));
  for (const payload of [
    `{"identifiers":${name},"identifiers":${name}}`,
    `{"identifiers":${name},"\\u0069dentifiers":${name}}`,
    `{"identifiers":[{"type":"dns","value":"a.example.test","value":"b.example.test"}]}`,
  ]) {
    await refused(a, await post(a, { tamper: withPayload(acme, payload) }), 'malformed/400');
  }
});

input(21, '__proto__ as a key anywhere', async (a) => {
  const { acme } = a;
  const pollution = '"__proto__":{"polluted":true,"alg":"none","kid":"x"}';
  const replies = [
    await post(a, { tamper: (jws) => JSON.stringify(jws).replace(/\}$/, `,${pollution}}`) }),
    await post(a, { tamper: withHeader(acme, (header) => header.replace(/\}$/, `,${pollution}}`)) }),
    await post(a, { tamper: withPayload(acme, `{"identifiers":[{"type":"dns","value":"a.test",${pollution}}]}`) }),
    await post(a, { tamper: withPayload(acme, `{${pollution}}`) }),
    await post(a, { tamper: withPayload(acme, '{"\\u005f_proto__":{"polluted":true}}') }),
    await newAccount(a, JSON.parse(`{"__proto__":${JSON.stringify(p256)},"kty":"EC"}`), 'ES256'),
  ];
  for (const reply of replies) await refused(a, reply, 'malformed/400', 'badPublicKey/400');
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

input(21, 'names of what objects inherit, as keys, values, headers and parameters, mean nothing', async (a) => {
  const { acme } = a;
  const names = ['constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'then', 'toJSON'];
  const members = Object.fromEntries(names.map((name) => [name, { polluted: true, prototype: { polluted: true } }]));
  const reply = await acme.post(acme.directory.newOrder, { ...goodPayload(), ...members }, { header: members });
  expect(reply.status).toBe(201);
  for (const name of [...names, '__proto__']) {
    await refused(
      a,
      await acme.post(acme.directory.newOrder, { identifiers: [{ type: name, value: 'a.test' }] }),
      'unsupportedIdentifier/400',
    );
    await refused(
      a,
      await acme.post(acme.directory.newOrder, { ...goodPayload(), profile: name }),
      'invalidProfile/400',
    );
    await refused(a, await post(a, { header: { alg: name } }), 'badSignatureAlgorithm/400');
    const elsewhere = await a.transport.request('GET', `${a.operator.origin}/acme/${name}/directory`);
    await refused(a, elsewhere, 'malformed/404');
  }
  const directory =
    '/acme/main/directory?__proto__[polluted]=1&constructor.prototype.polluted=1&__proto__=1&cursor=1&cursor=2';
  const raw = await sendRaw(
    a,
    request(`GET ${directory} HTTP/1.1`, '__proto__: polluted', 'constructor: polluted', 'Cookie: __proto__=polluted'),
  );
  expect(raw.status).toBe(200);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

/** Fits into the body limit. */
const keys = (count: number, name: (index: number) => string) =>
  `{${Array.from({ length: count }, (_, index) => `${JSON.stringify(name(index))}:1`).join(',')}}`;
const bombs: Record<string, { text: string | Buffer; values: number }> = {
  'nested arrays': { text: '['.repeat(48_000), values: 17 },
  'nested objects': { text: '{"a":'.repeat(9_000), values: 17 },
  'nested arrays that end': { text: '['.repeat(20_000) + ']'.repeat(20_000), values: 17 },
  'many keys': { text: keys(4_200, (index) => `k${index}`), values: 4_097 },
  'integer-like keys that collide': { text: keys(4_110, (index) => String(index * 256)), values: 4_097 },
  'a number beyond a double': { text: '{"a":1e400}', values: 2 },
  'a number of many digits': { text: `{"a":${'9'.repeat(40_000)}}`, values: 2 },
  'lone surrogates': { text: String.raw`{"a":"\ud800"}`, values: 2 },
  'a byte order mark': { text: Buffer.from('\ufeff{}'), values: 1 },
  'UTF-16': { text: Buffer.from('{"a":1}', 'utf16le'), values: 1 },
  'UTF-16 with a byte order mark': { text: Buffer.from('\ufeff{"a":1}', 'utf16le'), values: 0 },
  'bytes that are not UTF-8': { text: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), values: 0 },
  'an escape without end': { text: `{"a":"${'\\'.repeat(40_001)}`, values: 2 },
};
for (const [what, { text, values }] of Object.entries(bombs)) {
  input(22, `JSON with ${what}: body, header or payload`, async (a) => {
    await refused(a, await post(a, { tamper: () => text }), 'malformed/400');
    await refused(a, await post(a, { tamper: withPayload(a.acme, text) }), 'malformed/400');
    const tamper = withHeader(a.acme, (header) =>
      typeof text === 'string' ? header.replace(/\}$/, `,"x":${text}}`) : text,
    );
    await refused(a, await post(a, { tamper }), 'malformed/400');
    const work = { values: 0, keys: 0 };
    expect(() => parseJson(Buffer.from(text), {}, work)).toThrow();
    expect(work.values).toBeLessThanOrEqual(values);
    expect(work.keys).toBeLessThanOrEqual(4_097);
  });
}

// ---- Bodies --------------------------------------------------------------------------------------------------------

/** What a socket may have buffered when the limit is noticed. */
const READ_AHEAD = 192 * 1024;
const JOSE = 'Content-Type: application/jose+json';

input(23, 'a body of the limit is read, one of a byte more is not', async (a) => {
  await refused(a, await post(a, { tamper: () => Buffer.alloc(65_536, 0x20) }), 'malformed/400');
  await refused(a, await post(a, { tamper: () => Buffer.alloc(65_537, 0x20) }), 'malformed/413');
  await refused(a, await post(a, { tamper: () => '['.repeat(200_000) }), 'malformed/413');
});

input(23, 'a body declared as 1 GB is refused by its header', async (a) => {
  const target = 'POST /acme/main/new-order HTTP/1.1';
  for (const more of [[], ['Expect: 100-continue']]) {
    const reply = await sendRaw(a, `${request(target, JOSE, 'Content-Length: 1073741824', ...more)}{"payload":"`);
    await refusedRaw(a, reply, 'malformed/413');
    expect(reply.bytesRead).toBeLessThan(1024);
  }
});

input(23, 'a body poured without end, chunked or declared, is cut off at the limit', async (a) => {
  const piece = Buffer.alloc(16_384, 0x20);
  const chunk = Buffer.concat([Buffer.from('4000\r\n'), piece, Buffer.from('\r\n')]);
  const target = 'POST /acme/main/new-order HTTP/1.1';
  const chunked = await sendRaw(a, request(target, JOSE, 'Transfer-Encoding: chunked'), { endless: () => chunk });
  await refusedRaw(a, chunked, 'malformed/413');
  expect(chunked.bytesRead).toBeLessThan(65_536 + READ_AHEAD);
  const declared = await sendRaw(a, request(target, JOSE, 'Content-Length: 1073741824'), { endless: () => piece });
  await refusedRaw(a, declared, 'malformed/413');
  expect(declared.bytesRead).toBeLessThan(65_536 + READ_AHEAD);
});

input(23, 'chunks with endless extensions or sizes beyond a number', async (a) => {
  const start = request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Transfer-Encoding: chunked');
  const extension = await sendRaw(a, `${start}1;`, { endless: () => Buffer.alloc(4096, 0x61) });
  expect(extension.status).toBeGreaterThanOrEqual(400);
  expect(extension.status).toBeLessThan(500);
  expect(extension.bytesRead).toBeLessThan(65_536 + READ_AHEAD);
  for (const size of ['ffffffffffffffffff', '-1', '0x10', 'g', '']) {
    await refusedRaw(a, await sendRaw(a, `${start}${size}\r\n`), 'malformed/400', { nonce: false });
  }
});

input(23, 'another Content-Type', async (a) => {
  for (const contentType of [
    'application/json',
    'text/plain',
    'application/jose',
    'multipart/form-data; boundary=x',
    'a/b',
  ])
    await refused(a, await post(a, { contentType }), 'malformed/415');
  const none = await sendRaw(a, `${request('POST /acme/main/new-order HTTP/1.1', 'Content-Length: 2')}{}`);
  await refusedRaw(a, none, 'malformed/415');
});

input(23, 'a compressed body: a bomb of 106 bytes, or a good request, is not decoded', async (a) => {
  const bomb = brotliCompressSync(Buffer.alloc(64 * 1024 * 1024));
  expect(bomb.length).toBeLessThan(200);
  const bodies: [string, (jws: Jws) => Buffer][] = [
    ['br', () => bomb],
    ['gzip', () => gzipSync(Buffer.alloc(1024 * 1024))],
    ['br', (jws) => brotliCompressSync(JSON.stringify(jws))],
    ['gzip', (jws) => gzipSync(JSON.stringify(jws))],
    ['deflate', (jws) => Buffer.from(JSON.stringify(jws))],
    ['identity', (jws) => Buffer.from(JSON.stringify(jws))],
    ['gzip, br, gzip, br', () => bomb],
  ];
  for (const [encoding, tamper] of bodies) {
    await refused(a, await post(a, { headers: { 'content-encoding': encoding }, tamper }), 'malformed/415');
  }
  const reply = await sendRaw(
    a,
    Buffer.concat([
      Buffer.from(
        request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Content-Encoding: br', `Content-Length: ${bomb.length}`),
      ),
      bomb,
    ]),
  );
  await refusedRaw(a, reply, 'malformed/415');
  const transfer = request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Transfer-Encoding: gzip, chunked');
  const encoded = await sendRaw(
    a,
    Buffer.concat([Buffer.from(`${transfer}${bomb.length.toString(16)}\r\n`), bomb, Buffer.from('\r\n0\r\n\r\n')]),
  );
  await refusedRaw(a, encoded, 'malformed/400');
});

// ---- HTTP ----------------------------------------------------------------------------------------------------------

input(24, 'methods that a resource does not have', async (a) => {
  const { origin } = a.operator;
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']) {
    for (const url of [a.acme.directory.newOrder, a.acme.directory.newAccount, a.acme.account.url]) {
      const reply = await a.transport.request(method, url);
      expect(reply.status).toBe(405);
      expect(reply.headers.allow).toBe('POST');
      await usableNonce(a, reply.nonce);
    }
  }
  for (const url of [a.acme.directoryUrl, a.acme.directory.newNonce])
    await refused(a, await a.transport.request('PUT', url), 'malformed/405');
  for (const method of ['TRACE', 'PROPFIND', 'PURGE', 'QUERY', 'SEARCH'])
    await refused(a, await a.transport.request(method, a.acme.directory.newOrder), 'malformed/404', 'malformed/400');
  await refused(a, await a.transport.request('POST', `${origin}/`), 'malformed/404');
  const tunnel = await sendRaw(a, request('CONNECT 127.0.0.1:22 HTTP/1.1'));
  expect(tunnel).toMatchObject({ status: 0, closed: true });
});

const badRequests: Record<string, { bytes: string | Buffer; status: number }> = {
  'headers of 17 kB': { bytes: request('GET /acme/main/directory HTTP/1.1', `X: ${'a'.repeat(17_000)}`), status: 431 },
  'thousands of headers': {
    bytes: request('GET /acme/main/directory HTTP/1.1', ...Array<string>(4000).fill('a: 1')),
    status: 431,
  },
  'a request line of 17 kB': { bytes: request(`GET /acme/main/${'a'.repeat(17_000)} HTTP/1.1`), status: 431 },
  'Content-Length and Transfer-Encoding': {
    bytes: `${request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
    status: 400,
  },
  'two lengths': {
    bytes: `${request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Content-Length: 5', 'Content-Length: 6')}hello`,
    status: 400,
  },
  'a negative length': {
    bytes: request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Content-Length: -1'),
    status: 400,
  },
  'an unknown transfer coding': {
    bytes: request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Transfer-Encoding: chunked, magic'),
    status: 400,
  },
  'the HTTP/2 preface': { bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400 },
  'NUL in the path': { bytes: request('GET /acme/main\0/directory HTTP/1.1'), status: 400 },
  'NUL in a header': { bytes: request('GET /acme/main/directory HTTP/1.1', 'X: a\0b'), status: 400 },
  'a bare line feed': { bytes: 'GET /acme/main/directory HTTP/1.1\nHost: x\n\n', status: 400 },
  'a folded header': { bytes: request('GET /acme/main/directory HTTP/1.1', 'X: a\r\n b'), status: 400 },
  'a space before a colon': { bytes: request('GET /acme/main/directory HTTP/1.1', 'Content-Length : 5'), status: 400 },
  'an unknown version': { bytes: request('GET /acme/main/directory HTTP/9.9'), status: 400 },
  'an unknown method': { bytes: request('HELLO /acme/main/directory HTTP/1.1'), status: 400 },
  'TLS within TLS': { bytes: Buffer.from('16030100a5010000a1', 'hex'), status: 400 },
};
for (const [what, { bytes, status }] of Object.entries(badRequests)) {
  input(24, `${what}: no HTTP request, and the answer repeats nothing of it`, async (a) => {
    const reply = await sendRaw(a, bytes);
    await refusedRaw(a, reply, `malformed/${status}`, { nonce: false });
    expect(JSON.parse(reply.body)).toMatchObject({ detail: 'this is not an HTTP request for this server' });
    expect(reply.bytesRead).toBeLessThan(READ_AHEAD);
  });
}

const badPaths: Record<string, { path: string; status: number }> = {
  '//': { path: '//acme/main/directory', status: 404 },
  '// in the middle': { path: '/acme//main/directory', status: 404 },
  'an empty issuer': { path: '/acme//directory', status: 404 },
  '..': { path: '/acme/x/../main/directory', status: 404 },
  '%2e%2e': { path: '/acme/%2e%2e/main/directory', status: 404 },
  '%2e%2e as issuer': { path: '/acme/%2e%2e/directory', status: 404 },
  '%2f': { path: '/acme%2fmain%2fdirectory', status: 404 },
  '%2f in the issuer': { path: '/acme/..%2f..%2fmain/directory', status: 404 },
  '%00': { path: '/acme/main%00/directory', status: 404 },
  '%0d%0a': { path: '/acme/main%0d%0aSet-Cookie:%20a=b/directory', status: 404 },
  'an encoding cut short': { path: '/acme/%z/directory', status: 400 },
  'an encoding of no UTF-8': { path: '/acme/%ff%fe/directory', status: 400 },
  'a backslash': { path: '/acme\\main\\directory', status: 404 },
  'a semicolon': { path: '/acme/main/directory;a=b', status: 404 },
  'a trailing slash': { path: '/acme/main/directory/', status: 404 },
  'another case': { path: '/ACME/main/directory', status: 404 },
  'a sealed part of 9 kB': { path: `/acme/main/order/${'a'.repeat(9000)}`, status: 414 },
};
for (const [what, { path, status }] of Object.entries(badPaths)) {
  input(24, `a path with ${what}: refused, and not repeated`, async (a) => {
    for (const method of ['GET', 'POST']) {
      const reply = await sendRaw(a, request(`${method} ${path} HTTP/1.1`, 'Content-Length: 0'));
      await refusedRaw(a, reply, `malformed/${status}`);
      expect(reply.body).not.toContain(path.slice(-20));
      expect(reply.headers).not.toHaveProperty('set-cookie');
    }
  });
}

input(
  24,
  'an absolute-form target names no other server: RFC 9112 has it read, and the URL still has to match',
  async (a) => {
    const read = await sendRaw(a, request('GET http://evil.example/acme/main/directory HTTP/1.1'));
    expect(read.status).toBe(200);
    expect(read.body).not.toContain('evil.example');
    const { key, url: kid } = a.acme.account;
    for (const url of [a.acme.directory.newOrder, 'http://evil.example/acme/main/new-order']) {
      const jws = JSON.stringify(signJws(key, { alg: key.alg, kid, url, nonce: await a.acme.nonce() }, goodPayload()));
      const target = 'POST http://evil.example/acme/main/new-order HTTP/1.1';
      const reply = await sendRaw(a, request(target, JOSE, `Content-Length: ${jws.length}`) + jws);
      await refusedRaw(a, reply, 'unauthorized/401');
    }
  },
);

input(24, 'an upgrade to HTTP/2 or WebSocket is not taken up', async (a) => {
  for (const protocol of ['h2c', 'websocket']) {
    const reply = await sendRaw(
      a,
      request('GET /acme/main/directory HTTP/1.1', 'Connection: Upgrade', `Upgrade: ${protocol}`),
    );
    expect(reply.status).toBe(200);
    expect(reply.headers).not.toHaveProperty('upgrade');
  }
});

input(24, 'a request without Host, and an expectation nobody can meet', async (a) => {
  const bare = await sendRaw(a, 'GET /acme/main/directory HTTP/1.1\r\n\r\n');
  expect(bare.status).toBe(400);
  const expecting = await sendRaw(
    a,
    request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Expect: magic', 'Content-Length: 2'),
  );
  expect(expecting.status).toBe(417);
});

input(24, 'a sender that is slow with headers or body is cut off with 408', async (a) => {
  const { server } = a.operator.operator.acme;
  const { headersTimeout, requestTimeout } = server;
  expect([headersTimeout, requestTimeout]).toEqual([10_000, 20_000]);
  const piece = () => Buffer.from('a');
  try {
    [server.headersTimeout, server.requestTimeout] = [300, 600];
    const slow = { endless: piece, everyMs: 50 };
    const headers = await sendRaw(a, `${head('GET /acme/main/directory HTTP/1.1')}X: `, slow);
    await refusedRaw(a, headers, 'malformed/408', { nonce: false });
    const body = await sendRaw(a, request('POST /acme/main/new-order HTTP/1.1', JOSE, 'Content-Length: 60000'), slow);
    await refusedRaw(a, body, 'malformed/408', { nonce: false });
    expect(body.closed || body.headers['connection'] === 'close').toBe(true);
  } finally {
    [server.headersTimeout, server.requestTimeout] = [headersTimeout, requestTimeout];
  }
});

input(24, 'the plain HTTP listener: methods, paths and bodies it has no use for', async (a) => {
  const json = { 'content-type': 'application/json' };
  const requests: [method: string, path: string, status: number, options?: HttpOptions][] = [
    ['POST', '/crl/main.crl', 404, { headers: { 'content-type': 'a/b' }, body: 'x' }],
    ['POST', '/crl/main.crl', 400, { headers: json, body: '{' }],
    ['POST', '/crl/main.crl', 413, { headers: json, body: 'x'.repeat(5_000) }],
    ['DELETE', '/crl/main.crl', 400, { headers: json, body: '' }],
    ['PUT', '/metrics', 404],
    ['TRACE', '/', 404],
    ['GET', '/crl/__proto__', 404],
    ['GET', '/crl/__proto__.crl', 404],
    ['GET', '/crl/constructor.crl', 404],
    ['GET', '/ca/..%2f..%2fmain.cer', 404],
    ['GET', '/crl/../../etc/passwd', 404],
    ['GET', '/crl/%zz', 400],
    ['GET', `/crl/${'a'.repeat(3_000)}`, 414],
    ['GET', '/acme/main/directory', 404],
  ];
  for (const [method, path, status, options] of requests) {
    const reply = await a.transport.request(method, a.operator.distribution + path, options);
    expect(reply.status, `${method} ${path}`).toBe(status);
    expect(reply.text.length).toBeLessThan(100);
    expect(reply.nonce).toBeUndefined();
  }
  expect((await a.transport.request('GET', `${a.operator.distribution}/crl/main.crl`)).status).toBe(200);
});

// ---- Payloads ------------------------------------------------------------------------------------------------------

input(25, '{} instead of the empty payload where only reading is meant', async (a) => {
  const order = await post(a);
  const record = `${a.operator.origin}/acme/main/certificate/ic-${'a'.repeat(52)}`;
  for (const url of [order.location, record]) {
    for (const payload of [{}, 'null', '[]', ' ']) await refused(a, await a.acme.post(url, payload), 'malformed/400');
  }
});

input(25, 'an empty payload, or one that is no object, where an object is needed', async (a) => {
  const { newOrder, newAccount, keyChange, revokeCert } = a.acme.directory;
  const { finalize } = (await post(a)).json;
  for (const payload of [undefined, 'null', '[]', '"text"', '7', '{', ' ']) {
    for (const url of [newOrder, keyChange, revokeCert, finalize])
      await refused(a, await a.acme.post(url, payload), 'malformed/400');
    await refused(a, await a.acme.post(newAccount, payload, { jwkOf: createSigningKey() }), 'malformed/400');
  }
});

input.finish();
