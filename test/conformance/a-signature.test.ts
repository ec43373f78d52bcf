// Checklist section A, the signature: lines 9 to 17.
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { expect } from 'vitest';
import { identifiersOf, newOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire, PostOptions } from '../support/acme-wire.ts';
import { integer, sequence } from '../support/der-writer.ts';
import { base64url, createSigningKey, type Jws, rawSignature, type SigningKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const orderFor = (name: string) => ({ identifiers: identifiersOf([name]) });
const signedParts = (jws: Jws): string => `${jws.protected}.${jws.payload}`;

line(9, 'alg none is badSignatureAlgorithm', async (t) => {
  const acme = await t.shared();
  for (const signature of ['', 'AAAA']) {
    const options = { header: { alg: 'none' }, tamper: (jws: Jws) => ({ ...jws, signature }) };
    expectProblem(
      await acme.post(acme.directory.newOrder, orderFor(freshName()), options),
      'badSignatureAlgorithm/400',
    );
  }
});

line(9, 'HS256 with the public key as the secret is badSignatureAlgorithm', async (t) => {
  const acme = await t.shared();
  const secret = acme.account.key.publicKey.export({ type: 'spki', format: 'pem' });
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    const mac = (jws: Jws): Jws => ({
      ...jws,
      signature: createHmac(`sha${alg.slice(2)}`, secret)
        .update(signedParts(jws))
        .digest('base64url'),
    });
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { alg }, tamper: mac });
    expectProblem(reply, 'badSignatureAlgorithm/400');
  }
});

line(10, 'an unsupported algorithm is badSignatureAlgorithm', async (t) => {
  const acme = await t.shared();
  for (const alg of ['ES256K', 'PS256', 'RS1', 'example']) {
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { alg } });
    expectProblem(reply, 'badSignatureAlgorithm/400');
  }
});

line(10, 'badSignatureAlgorithm lists the supported algorithms', async (t) => {
  const acme = await t.shared();
  const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { alg: 'ES256K' } });
  expect(reply.problem.algorithms).toEqual(expect.arrayContaining(['ES256', 'RS256']));
  expect(reply.problem.algorithms).not.toContain('none');
});

line(10, 'an absent or non-text alg is malformed or badSignatureAlgorithm', async (t) => {
  const acme = await t.shared();
  for (const alg of [undefined, 7, null]) {
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { alg } });
    expectProblem(reply, 'malformed/400', 'badSignatureAlgorithm/400');
  }
});

for (const alg of ['ES256', 'ES384', 'RS256', 'EdDSA'] as const) {
  line(11, `${alg} signs for an account and for its orders`, async (t) => {
    const acme = await t.connect();
    const reply = await register(acme, createSigningKey(alg));
    expectReply(reply, 201);
    await newOrder(acme, [freshName()]);
  });
}

const newAccountWith = (acme: AcmeWire, key: SigningKey, options: PostOptions = {}) =>
  acme.post(acme.directory.newAccount, { termsOfServiceAgreed: true }, { jwkOf: key, ...options });

line(12, 'RSA of 1024 bits is badPublicKey', async (t) => {
  const acme = await t.connect();
  expectProblem(await newAccountWith(acme, createSigningKey('RS256', 1024)), 'badPublicKey/400');
});

line(12, 'a point off the curve is badPublicKey', async (t) => {
  const acme = await t.connect();
  const key = createSigningKey();
  const y = Buffer.from(key.jwk['y'] ?? '', 'base64url');
  y[31] = (y[31] ?? 0) ^ 1;
  const jwk = { ...key.jwk, y: base64url(y) };
  expectProblem(await newAccountWith(acme, key, { header: { jwk } }), 'badPublicKey/400');
});

line(12, 'an algorithm that does not fit the key is badPublicKey with the reason', async (t) => {
  const acme = await t.connect();
  const es384 = await newAccountWith(acme, createSigningKey('ES256'), { header: { alg: 'ES384' } });
  expectProblem(es384, 'badPublicKey/400');
  const rs256 = await newAccountWith(acme, createSigningKey('ES256'), { header: { alg: 'RS256' } });
  expectProblem(rs256, 'badPublicKey/400');
  expect(rs256.problem.detail.length).toBeGreaterThan(0);
});

line(12, 'a key of an unsupported type or with missing members is badPublicKey or malformed', async (t) => {
  const acme = await t.connect();
  const key = createSigningKey();
  const { x, ...withoutX } = key.jwk;
  const ed448 = generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' });
  for (const jwk of [
    withoutX,
    { ...key.jwk, crv: 'P-521' },
    { kty: 'oct', k: x },
    { kty: 'example' },
    ed448,
    {},
    'text',
  ]) {
    const reply = await newAccountWith(acme, key, { header: { jwk } });
    expectProblem(reply, 'badPublicKey/400', 'malformed/400');
  }
});

line(13, 'jwk and kid together are malformed, on every resource', async (t) => {
  const acme = await t.shared();
  const { key, url } = acme.account;
  const both = { header: { kid: url, jwk: key.jwk } };
  const { newAccount, newOrder: orders, revokeCert, keyChange } = acme.directory;
  for (const each of [newAccount, orders, revokeCert, keyChange, url]) {
    expectProblem(await acme.post(each, {}, both), 'malformed/400');
  }
});

line(13, 'neither jwk nor kid is malformed, on every resource', async (t) => {
  const acme = await t.shared();
  const { newAccount, newOrder: orders, revokeCert, keyChange } = acme.directory;
  for (const each of [newAccount, orders, revokeCert, keyChange, acme.account.url]) {
    expectProblem(await acme.post(each, {}, { header: { kid: undefined } }), 'malformed/400');
  }
});

line(14, 'jwk where kid is needed is malformed', async (t) => {
  const acme = await t.shared();
  const { key, url } = acme.account;
  const order = await newOrder(acme, [freshName()]);
  for (const each of [acme.directory.keyChange, order.object.finalize]) {
    expectProblem(await acme.post(each, {}, { jwkOf: key }), 'malformed/400');
  }
  expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { jwkOf: key }), 'malformed/400');
  for (const each of [url, order.url, ...order.object.authorizations]) {
    expectProblem(await acme.get(each, { jwkOf: key }), 'malformed/400');
  }
});

line(14, 'kid on newAccount is malformed', async (t) => {
  const acme = await t.shared();
  expectProblem(await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }), 'malformed/400');
});

line(15, 'an unknown kid is accountDoesNotExist', async (t) => {
  const acme = await t.shared();
  const last = acme.account.url.at(-1);
  const kid = acme.account.url.slice(0, -1) + (last === 'a' ? 'b' : 'a');
  const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { kid } });
  expectProblem(reply, 'accountDoesNotExist/400');
});

line(15, 'a kid that is no account URL of this directory is refused as such', async (t) => {
  const acme = await t.shared();
  const path = new URL(acme.account.url).pathname;
  const elsewhere = await t.client('profiles');
  const kids: unknown[] = [
    `https://acme.example${path}`,
    `http://127.0.0.1${path}`,
    elsewhere.account.url,
    acme.directoryUrl,
    acme.directory.newOrder,
    path,
    'account',
    '__proto__',
    '',
    7,
    null,
    { url: acme.account.url },
    [acme.account.url],
  ];
  for (const kid of kids) {
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { kid } });
    expectProblem(reply, 'malformed/400', 'accountDoesNotExist/400');
  }
});

const badSignatures: Record<string, (jws: Jws, key: SigningKey) => string> = {
  'one bit changed': (jws) => {
    const bytes = Buffer.from(jws.signature, 'base64url');
    bytes[10] = (bytes[10] ?? 0) ^ 4;
    return base64url(bytes);
  },
  empty: () => '',
  'all zero': () => base64url(Buffer.alloc(64)),
  'cut short': (jws) => base64url(Buffer.from(jws.signature, 'base64url').subarray(0, 63)),
  'too long': (jws) => base64url(Buffer.concat([Buffer.from(jws.signature, 'base64url'), Buffer.alloc(1)])),
  'over another payload': (jws, key) => base64url(rawSignature(key, `${jws.protected}.${base64url('{}')}`)),
  'in DER instead of r and s': (jws, key) => {
    const raw = rawSignature(key, signedParts(jws));
    return base64url(sequence(integer(trimmed(raw.subarray(0, 32))), integer(trimmed(raw.subarray(32)))));
  },
};
function trimmed(bytes: Buffer): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  return bytes.subarray(start);
}
for (const [name, signature] of Object.entries(badSignatures)) {
  line(16, `a bad signature is malformed: ${name}`, async (t) => {
    const acme = await t.shared();
    const tamper = (jws: Jws): Jws => ({ ...jws, signature: signature(jws, acme.account.key) });
    expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper }), 'malformed/400');
  });
}

line(16, "another account's kid under one's own signature is a bad signature", async (t) => {
  const acme = await t.shared();
  const other = await t.client();
  const header = { kid: other.account.url };
  expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { header }), 'malformed/400');
  expectProblem(await acme.get(other.account.url, { header }), 'malformed/400');
});

line(16, 'a bad signature burns the nonce', async (t) => {
  const acme = await t.shared();
  const nonce = await acme.nonce();
  const tamper = (jws: Jws): Jws => ({ ...jws, signature: base64url(Buffer.alloc(64, 1)) });
  expectProblem(await acme.get(acme.account.url, { nonce, tamper }), 'malformed/400');
  expectProblem(await acme.get(acme.account.url, { nonce }), 'badNonce/400');
});

line(17, 'a missing or non-text url is malformed', async (t) => {
  const acme = await t.shared();
  for (const url of [undefined, null, 7, [acme.account.url]]) {
    expectProblem(await acme.get(acme.account.url, { header: { url } }), 'malformed/400');
  }
});

const otherUrls: Record<string, (url: URL) => string> = {
  'another resource': (url) => `${url.origin}/elsewhere`,
  'another host': (url) => url.href.replace(url.hostname, 'acme.example'),
  'another port': (url) => url.href.replace(`:${url.port}`, ':1'),
  'another scheme': (url) => url.href.replace('https:', 'http:'),
  'a query': (url) => `${url.href}?`,
  'a trailing slash': (url) => `${url.href}/`,
  'a fragment': (url) => `${url.href}#`,
  'percent-encoding': (url) =>
    url.origin + url.pathname.replace(/[a-z]$/i, (last) => `%${last.charCodeAt(0).toString(16)}`),
  'an upper-case scheme': (url) => url.href.replace('https:', 'HTTPS:'),
  'the path alone': (url) => url.pathname,
};
for (const [name, change] of Object.entries(otherUrls)) {
  line(17, `a url other than the one handed out is unauthorized/401: ${name}`, async (t) => {
    const acme = await t.shared();
    const url = change(new URL(acme.directory.newOrder));
    expect(url).not.toBe(acme.directory.newOrder);
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { url } });
    expectProblem(reply, 'unauthorized/401');
  });
}
