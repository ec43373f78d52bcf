// Checklist section B: nonces, lines 23 to 30 (31 is a test of several replicas).
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { complete, finalize, identifiersOf, newOrder, provision, readyOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { base64url, createSigningKey, type Jws } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { readCertificate } from './certificates.ts';
import { expectProblem, expectReply, problemOf } from './expectations.ts';
import { conformance } from './line.ts';
import { resources } from './resources.ts';

const line = conformance(import.meta.filename);

const NONCE = /^[A-Za-z0-9_-]+$/;

line(23, 'HEAD newNonce is 200 with a nonce and no body', async (t) => {
  const { directory } = await t.connect();
  const reply = await t.transport.request('HEAD', directory.newNonce);
  expectReply(reply, 200);
  expect(reply.nonce).toMatch(NONCE);
  expect(reply.body).toHaveLength(0);
});

line(23, 'HEAD newNonce is not to be stored', async (t) => {
  const { directory } = await t.connect();
  const reply = await t.transport.request('HEAD', directory.newNonce);
  expect(reply.headers['cache-control']?.split(/,\s*/)).toContain('no-store');
});

line(24, 'GET newNonce is 204 with a nonce and no body', async (t) => {
  const { directory } = await t.connect();
  const reply = await t.transport.request('GET', directory.newNonce);
  expectReply(reply, 204);
  expect(reply.nonce).toMatch(NONCE);
  expect(reply.body).toHaveLength(0);
});

line(24, 'GET newNonce is not to be stored', async (t) => {
  const { directory } = await t.connect();
  const reply = await t.transport.request('GET', directory.newNonce);
  expect(reply.headers['cache-control']?.split(/,\s*/)).toContain('no-store');
});

line(24, 'the nonce of a GET works, and so does that of a HEAD', async (t) => {
  const acme = await t.shared();
  for (const method of ['GET', 'HEAD']) {
    const { nonce = '' } = await t.transport.request(method, acme.directory.newNonce);
    expectReply(await acme.get(acme.account.url, { nonce }), 200);
  }
});

line(25, 'POST-as-GET newNonce is 200 or 204 with a nonce that works', async (t) => {
  const acme = await t.shared();
  const reply = await acme.get(acme.directory.newNonce);
  expect([200, 204]).toContain(reply.status);
  expect(reply.nonce).toMatch(NONCE);
  expectReply(await acme.get(acme.account.url, { nonce: reply.nonce ?? '' }), 200);
});

/** Replies to every kind of POST that succeeds. */
async function successes(acme: AcmeWire, t: Parameters<typeof readyOrder>[1]): Promise<Reply[]> {
  const replies: Reply[] = [await register(acme)];
  const order = await newOrder(acme, [freshName()]);
  const [authorization = ''] = order.object.authorizations;
  const read = await acme.get(authorization);
  const challenge = read.json.challenges.find(({ type }) => type === 'http-01');
  if (!challenge) throw new Error('no http-01');
  provision(t, challenge, read.json.identifier, acme.account.key);
  replies.push(read, await acme.get(challenge.url), await acme.post(challenge.url, {}));
  const ready = await readyOrder(acme, t, [freshName()]);
  const { der } = buildCsr({ names: ready.object.identifiers.map(({ value }) => value) });
  replies.push(await finalize(acme, ready, der));
  const issued = await complete(acme, await readyOrder(acme, t, [freshName()]));
  replies.push(await acme.get(issued.certificateUrl), await acme.get(issued.order.url));
  const leaf = await readCertificate(acme, issued);
  replies.push(
    await acme.post(acme.directory.revokeCert, { certificate: base64url(leaf.raw) }),
    await acme.post(acme.account.url, { contact: ['mailto:a@example.test'] }),
    await acme.get(acme.account.url),
    await acme.get(acme.directoryUrl),
  );
  return replies;
}

line(26, 'every successful POST carries a new nonce', async (t) => {
  const replies = await successes(await t.connect(), t);
  for (const reply of replies) {
    expect(reply.status, reply.text).toBeLessThan(300);
    expect(reply.nonce, reply.text).toMatch(NONCE);
  }
  expect(new Set(replies.map(({ nonce }) => nonce)).size).toBe(replies.length);
});

line(26, 'every refused POST carries a nonce that works', async (t) => {
  const { acme, urls } = await resources(t);
  const { newOrder: orders, newAccount, revokeCert } = acme.directory;
  const zero = (jws: Jws): Jws => ({ ...jws, signature: base64url(Buffer.alloc(64)) });
  const refusals = [
    () => acme.post(orders, {}, { contentType: 'text/plain' }),
    () => acme.post(orders, {}, { tamper: () => 'not JSON' }),
    () => acme.post(orders, {}, { tamper: zero }),
    () => acme.post(orders, {}, { nonce: 'AAAA' }),
    () => acme.post(orders, {}, { header: { url: 'https://acme.example/' } }),
    () => acme.post(orders, {}, { header: { alg: 'none' } }),
    () => acme.post(orders, {}),
    () => acme.post(newAccount, { onlyReturnExisting: true }, { jwkOf: createSigningKey() }),
    () => acme.post(revokeCert, { certificate: 'AAAA' }),
    () => acme.get(`${urls['order']}x`),
  ];
  for (const refuse of refusals) {
    const reply = await refuse();
    expect(reply.status, reply.text).toBeGreaterThanOrEqual(400);
    expect(reply.nonce, problemOf(reply)).toMatch(NONCE);
    expectReply(await acme.get(acme.account.url, { nonce: reply.nonce ?? '' }), 200);
  }
});

line(26, 'the 404 of an unknown path and the 405 of a GET carry a nonce', async (t) => {
  const acme = await t.shared();
  const replies = [
    await acme.get(`${acme.directory.newOrder}/x`),
    await t.transport.request('GET', acme.directory.newOrder),
  ];
  for (const reply of replies) {
    expect(reply.status).toBeGreaterThanOrEqual(404);
    expect(typeof reply.nonce, `nonce of ${problemOf(reply)}`).toBe('string');
  }
});

line(27, 'nonces are base64url, at least 128 bits, and unique', async (t) => {
  const { directory } = await t.connect();
  const nonces = new Set<string>();
  for (let count = 0; count < 300; count++) {
    const { nonce = '' } = await t.transport.request('HEAD', directory.newNonce);
    expect(nonce).toMatch(NONCE);
    expect(Buffer.from(nonce, 'base64url').length).toBeGreaterThanOrEqual(16);
    nonces.add(nonce);
  }
  expect(nonces.size).toBe(300);
});

/** The nonce is refused, and the one in the refusal works at once. */
async function expectRefused(acme: AcmeWire, send: () => Promise<Reply>): Promise<void> {
  const reply = await send();
  expectProblem(reply, 'badNonce/400');
  expect(reply.nonce).toMatch(NONCE);
  expectReply(await acme.get(acme.account.url, { nonce: reply.nonce ?? '' }), 200);
}

line(28, 'reused nonce is badNonce with a fresh nonce that works', async (t) => {
  const acme = await t.shared();
  const nonce = await acme.nonce();
  expectReply(await acme.get(acme.account.url, { nonce }), 200);
  await expectRefused(acme, () => acme.get(acme.account.url, { nonce }));
});

line(28, 'forged nonce is badNonce: random, or an issued one with any byte changed', async (t) => {
  const acme = await t.shared();
  const issued = Buffer.from(await acme.nonce(), 'base64url');
  await expectRefused(acme, () => acme.get(acme.account.url, { nonce: base64url(randomBytes(issued.length)) }));
  for (let index = 0; index < issued.length; index++) {
    const forged = Buffer.from(issued);
    forged[index] = (forged[index] ?? 0) ^ 1;
    await expectRefused(acme, () => acme.get(acme.account.url, { nonce: base64url(forged) }));
  }
  for (const nonce of ['AA', base64url(issued.subarray(0, -1)), base64url(Buffer.alloc(7500))]) {
    await expectRefused(acme, () => acme.get(acme.account.url, { nonce }));
  }
});

line(28, 'missing nonce is badNonce', async (t) => {
  const acme = await t.shared();
  await expectRefused(acme, () => acme.get(acme.account.url, { header: { nonce: undefined } }));
});

line(28, 'a nonce of newAccount cannot be used again by the new account', async (t) => {
  const acme = await t.connect();
  const nonce = await acme.nonce();
  const key = createSigningKey();
  const reply = await acme.post(acme.directory.newAccount, { termsOfServiceAgreed: true }, { jwkOf: key, nonce });
  expectReply(reply, 201);
  acme.account = { key, url: reply.location };
  await expectRefused(acme, () => acme.get(acme.account.url, { nonce }));
});

line(28, 'of 20 parallel uses of one nonce exactly one is accepted', async (t) => {
  const acme = await t.shared();
  for (let round = 0; round < 5; round++) {
    const nonce = await acme.nonce();
    const uses = Array.from({ length: 20 }, () => acme.get(acme.account.url, { nonce }));
    const replies = await Promise.all(uses);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const reply of replies) if (reply.status !== 200) expectProblem(reply, 'badNonce/400');
  }
});

for (const nonce of ['a=', 'a+b/', 'a b', 'ä', 'a.b', '\u0000']) {
  line(29, `a nonce that is not base64url is malformed: ${JSON.stringify(nonce)}`, async (t) => {
    const acme = await t.shared();
    expectProblem(await acme.get(acme.account.url, { nonce }), 'malformed/400');
  });
}

line(29, 'a nonce that is no text is malformed', async (t) => {
  const acme = await t.shared();
  for (const nonce of [7, ['AAAA'], { nonce: 'AAAA' }, true]) {
    expectProblem(await acme.get(acme.account.url, { header: { nonce } }), 'malformed/400');
  }
});

line(30, 'a refused request burns its nonce', async (t) => {
  const acme = await t.shared();
  const other = await t.client();
  const refusals: ((nonce: string) => Promise<Reply>)[] = [
    (nonce) => acme.post(acme.directory.newOrder, { identifiers: [] }, { nonce }),
    (nonce) => acme.post(acme.directory.newOrder, 'not JSON', { nonce }),
    (nonce) => acme.post(acme.directory.newOrder, { identifiers: identifiersOf(['a.denied.test']) }, { nonce }),
    (nonce) => acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { nonce, jwkOf: createSigningKey() }),
    async (nonce) => acme.get((await newOrder(other, [freshName()])).url, { nonce }),
    (nonce) => acme.post(acme.account.url, { contact: ['tel:+1'] }, { nonce }),
  ];
  for (const refuse of refusals) {
    const nonce = await acme.nonce();
    expect((await refuse(nonce)).status).toBeGreaterThanOrEqual(400);
    expectProblem(await acme.get(acme.account.url, { nonce }), 'badNonce/400');
  }
});

line(30, 'a request refused for its url burns its nonce', async (t) => {
  const acme = await t.shared();
  const nonce = await acme.nonce();
  const reply = await acme.get(acme.account.url, { nonce, header: { url: acme.directory.newOrder } });
  expect(reply.status).toBeGreaterThanOrEqual(400);
  expectProblem(await acme.get(acme.account.url, { nonce }), 'badNonce/400');
});
