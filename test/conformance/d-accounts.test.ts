// Checklist section D, accounts: lines 36 to 42 and 47 to 51.
import { expect } from 'vitest';
import {
  attempt,
  challengeOf,
  complete,
  finalize,
  issue,
  newOrder,
  readyOrder,
  register,
} from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { createSigningKey, type SigningKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { certificateID, readCertificate } from './certificates.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const newAccount = (acme: AcmeWire, key: SigningKey, payload: object = {}): Promise<Reply> =>
  acme.post(acme.directory.newAccount, { termsOfServiceAgreed: true, ...payload }, { jwkOf: key });

line(36, 'a new key makes an account: 201, Location, valid, with an orders URL', async (t) => {
  const acme = await t.connect();
  const reply = await newAccount(acme, createSigningKey(), { contact: ['mailto:a@example.test'] });
  expectReply(reply, 201);
  expect(new URL(reply.location).origin).toBe(new URL(acme.directoryUrl).origin);
  expect(reply.headers['content-type']).toMatch(/^application\/json\b/);
  expect(reply.json.status).toBe('valid');
  expect(reply.json.contact).toEqual(['mailto:a@example.test']);
  expect(new URL(String(reply.json.orders)).origin).toBe(new URL(acme.directoryUrl).origin);
});

line(37, 'a known key gets its account back, unchanged by the request', async (t) => {
  const acme = await t.connect();
  const key = createSigningKey();
  const made = await newAccount(acme, key, { contact: ['mailto:a@example.test'] });
  const again = await newAccount(acme, key, { contact: ['mailto:b@example.test'], status: 'deactivated' });
  expectReply(again, 200);
  expect(again.location).toBe(made.location);
  expect(again.json.contact).toEqual(['mailto:a@example.test']);
  expect(again.json.status).toBe('valid');
  acme.account = { key, url: made.location };
  expect((await acme.get(made.location)).json.contact).toEqual(['mailto:a@example.test']);
});

line(37, 'of 20 parallel newAccounts with one key exactly one makes the account', async (t) => {
  const acme = await t.connect();
  const key = createSigningKey('RS256');
  const replies = await Promise.all(Array.from({ length: 20 }, () => newAccount(acme, key)));
  expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
  expect(replies.filter(({ status }) => status === 200)).toHaveLength(19);
  expect(new Set(replies.map(({ location }) => location)).size).toBe(1);
});

line(
  38,
  'onlyReturnExisting with an unknown key is accountDoesNotExist, also where a binding is required',
  async (t) => {
    for (const issuer of ['main', 'eab'] as const) {
      const acme = await t.connect(issuer);
      const key = createSigningKey();
      for (let count = 0; count < 2; count++) {
        const reply = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
        expectProblem(reply, 'accountDoesNotExist/400');
      }
    }
  },
);

line(39, 'onlyReturnExisting with a known key is 200 with Location', async (t) => {
  const acme = await t.shared();
  const { key, url } = acme.account;
  const reply = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
  expectReply(reply, 200);
  expect(reply.location).toBe(url);
  expect(reply.json.status).toBe('valid');
});

line(40, 'orders, status and unknown fields of the client are ignored and not reflected', async (t) => {
  const acme = await t.connect();
  const orders = 'https://attacker.example/orders';
  const reply = await newAccount(acme, createSigningKey(), {
    orders,
    status: 'revoked',
    example: 1,
    onlyReturnExisting: false,
  });
  expectReply(reply, 201);
  expect(reply.json.status).toBe('valid');
  expect(reply.json.orders).not.toBe(orders);
  expect(reply.json).not.toHaveProperty('example');
  expect(reply.json).not.toHaveProperty('onlyReturnExisting');
});

line(41, 'a contact that is no mailto is unsupportedContact', async (t) => {
  const acme = await t.connect();
  for (const contact of ['tel:+12025550100', 'https://example.test/', 'MAILTOO:a@example.test']) {
    expectProblem(await newAccount(acme, createSigningKey(), { contact: [contact] }), 'unsupportedContact/400');
  }
});

line(41, 'unsupportedContact says which schemes are accepted', async (t) => {
  const acme = await t.connect();
  const reply = await newAccount(acme, createSigningKey(), { contact: ['tel:+12025550100'] });
  expect(reply.problem.detail).toContain('mailto');
});

const badContacts = {
  'no address': 'mailto:',
  'no at sign': 'mailto:example.test',
  'two addresses': 'mailto:a@example.test,b@example.test',
  'a header field': 'mailto:a@example.test?subject=x',
  'two addresses, one in a header field': 'mailto:a@example.test?to=b@example.test',
  'a line break': 'mailto:a@example.test\r\nBcc: b@example.test',
};
for (const [name, contact] of Object.entries(badContacts)) {
  line(41, `a broken mailto is invalidContact: ${name}`, async (t) => {
    const acme = await t.connect();
    expectProblem(await newAccount(acme, createSigningKey(), { contact: [contact] }), 'invalidContact/400');
    const shared = await t.shared();
    expectProblem(await shared.post(shared.account.url, { contact: [contact] }), 'invalidContact/400');
  });
}

line(41, 'contacts of the wrong type are malformed or invalidContact', async (t) => {
  const acme = await t.connect();
  for (const contact of ['mailto:a@example.test', [7], { 0: 'mailto:a@example.test' }]) {
    expectProblem(await newAccount(acme, createSigningKey(), { contact }), 'malformed/400', 'invalidContact/400');
  }
});

line(42, 'terms of service not agreed to are userActionRequired, and no account is made', async (t) => {
  const acme = await t.connect('tos');
  const key = createSigningKey();
  for (const payload of [{}, { termsOfServiceAgreed: false }]) {
    expectProblem(await acme.post(acme.directory.newAccount, payload, { jwkOf: key }), 'userActionRequired/403');
  }
  const existing = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
  expectProblem(existing, 'accountDoesNotExist/400');
  expectReply(await newAccount(acme, key), 201);
});

line(42, 'where there are no terms, none need be agreed to', async (t) => {
  const acme = await t.connect();
  expectReply(await acme.post(acme.directory.newAccount, {}, { jwkOf: createSigningKey() }), 201);
});

line(47, 'POST-as-GET of the account is 200', async (t) => {
  const acme = await t.shared();
  const reply = await acme.get(acme.account.url);
  expectReply(reply, 200);
  expect(reply.json.status).toBe('valid');
  expect(reply.json.orders).toMatch(/^https:/);
});

line(47, "another account's URL is unauthorized, for reading, writing and deactivating", async (t) => {
  const acme = await t.shared();
  const other = await t.client();
  expectProblem(await acme.get(other.account.url), 'unauthorized/403');
  expectProblem(await acme.post(other.account.url, { contact: ['mailto:x@example.test'] }), 'unauthorized/403');
  expectProblem(await acme.post(other.account.url, { status: 'deactivated' }), 'unauthorized/403');
  const intact = await other.get(other.account.url);
  expect(intact.json.status).toBe('valid');
  expect(intact.json.contact ?? []).toEqual([]);
});

line(48, 'an update of the contact is 200 with the new value', async (t) => {
  const acme = await t.client();
  const reply = await acme.post(acme.account.url, { contact: ['mailto:new@example.test'] });
  expectReply(reply, 200);
  expect(reply.json.contact).toEqual(['mailto:new@example.test']);
  expect((await acme.get(acme.account.url)).json.contact).toEqual(['mailto:new@example.test']);
});

line(48, 'an empty array clears the contact', async (t) => {
  const acme = await t.connect();
  await register(acme, createSigningKey(), { contact: ['mailto:a@example.test'] });
  expectReply(await acme.post(acme.account.url, { contact: [] }), 200);
  expect((await acme.get(acme.account.url)).json.contact ?? []).toEqual([]);
});

line(48, 'terms, bindings, orders and status other than deactivated cannot be written', async (t) => {
  const acme = await t.client('tos');
  const before = (await acme.get(acme.account.url)).json;
  const change = {
    contact: ['mailto:a@example.test'],
    termsOfServiceAgreed: false,
    orders: 'https://attacker.example/',
    externalAccountBinding: {},
  };
  const reply = await acme.post(acme.account.url, change);
  expectReply(reply, 200);
  const { contact, ...after } = (await acme.get(acme.account.url)).json;
  const { contact: _contact, ...rest } = before;
  expect(contact).toEqual(['mailto:a@example.test']);
  expect(after).toEqual(rest);
  for (const status of ['revoked', 'pending', 'example', 7]) {
    const refused = await acme.post(acme.account.url, { status });
    if (refused.status !== 200) expectProblem(refused, 'malformed/400');
    expect((await acme.get(acme.account.url)).json.status).toBe('valid');
  }
});

line(49, 'deactivation is 200 with status deactivated', async (t) => {
  const acme = await t.client();
  const reply = await acme.post(acme.account.url, { status: 'deactivated' });
  expectReply(reply, 200);
  expect(reply.json.status).toBe('deactivated');
});

line(49, 'every later request of a deactivated account is unauthorized/401', async (t) => {
  const acme = await t.client();
  const order = await newOrder(acme, [freshName()]);
  const { url } = await challengeOf(acme, order.object.authorizations[0] ?? '', 'http-01');
  await acme.post(acme.account.url, { status: 'deactivated' });
  for (const each of [
    acme.account.url,
    order.url,
    url,
    order.object.authorizations[0] ?? '',
    acme.directory.newNonce,
  ]) {
    expectProblem(await acme.get(each), 'unauthorized/401');
  }
  const { newOrder: orders, keyChange, revokeCert } = acme.directory;
  for (const each of [orders, keyChange, revokeCert, url, acme.account.url]) {
    expectProblem(await acme.post(each, {}), 'unauthorized/401');
  }
});

line(49, 'newAccount with the key of a deactivated account does not bring it back', async (t) => {
  const acme = await t.client();
  const { key } = acme.account;
  await acme.post(acme.account.url, { status: 'deactivated' });
  for (const payload of [{}, { onlyReturnExisting: true }]) {
    const reply = await newAccount(acme, key, payload);
    expectProblem(reply, 'unauthorized/401', 'unauthorized/403');
  }
});

line(50, 'an order of a deactivated account can no longer be finalized', async (t) => {
  const acme = await t.client();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  await acme.post(acme.account.url, { status: 'deactivated' });
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  expectProblem(reply, 'unauthorized/401', 'unauthorized/403');
});

line(50, 'certificates of a deactivated account are not revoked', async (t) => {
  const acme = await t.client();
  const leaf = await readCertificate(acme, await issue(acme, t, [freshName()]));
  await acme.post(acme.account.url, { status: 'deactivated' });
  const reply = await t.transport.request('GET', `${acme.directory.renewalInfo}/${certificateID(leaf)}`);
  expectReply(reply, 200);
  expect(Date.parse(reply.json.suggestedWindow.end), 'renewal is not due').toBeGreaterThan(Date.now());
});

/** Follows `next` to the end; there must be one. */
async function allOrders(acme: AcmeWire): Promise<string[]> {
  const orders: string[] = [];
  let pages = 0;
  let page: string | undefined = String((await acme.get(acme.account.url)).json.orders);
  while (page !== undefined) {
    const reply: Reply = await acme.get(page);
    expectReply(reply, 200);
    if (!Array.isArray(reply.json.orders)) throw new Error(`no list of orders: ${reply.text}`);
    orders.push(...reply.json.orders);
    page = reply.links['next']?.[0];
    pages++;
  }
  expect(pages, 'pages').toBeGreaterThan(1);
  return orders;
}

line(51, 'the orders list has every issued order once, through all pages, and no invalid one', async (t) => {
  const acme = await t.client();
  const issued: string[] = [];
  const name = freshName();
  for (let count = 0; count < 55; count++) {
    issued.push((await complete(acme, await readyOrder(acme, t, [name]))).order.url);
  }
  const failed = await newOrder(acme, [freshName()]);
  const challenge = await challengeOf(acme, failed.object.authorizations[0] ?? '', 'http-01');
  t.http01.set(challenge.token, { body: 'wrong' });
  expect((await attempt(acme, challenge)).status).toBe('invalid');
  const listed = await allOrders(acme);
  expect(new Set(listed).size, 'no order twice').toBe(listed.length);
  expect(listed).toEqual(expect.arrayContaining(issued));
  expect(listed).not.toContain(failed.url);
});

line(51, "another account's orders list is unauthorized", async (t) => {
  const other = await t.client();
  const orders = String((await other.get(other.account.url)).json.orders);
  expectProblem(await (await t.shared()).get(orders), 'unauthorized/403');
});
