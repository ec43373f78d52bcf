// Checklist section D, key change: lines 52 to 55.
import { expect } from 'vitest';
import { attempt, authorize, challengeOf, newOrder, provision } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { base64url, createSigningKey, type Jws, type SigningKey, signJws } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

/** The inner JWS, RFC 8555 section 7.3.5. */
function inner(acme: AcmeWire, next: SigningKey, header: object = {}, payload: object = {}): Jws {
  const { key, url } = acme.account;
  return signJws(
    next,
    { alg: next.alg, jwk: next.jwk, url: acme.directory.keyChange, ...header },
    { account: url, oldKey: key.jwk, ...payload },
  );
}

const changeKey = (acme: AcmeWire, content: unknown): Promise<Reply> =>
  acme.post(acme.directory.keyChange, content as object);

line(52, 'key change is 200; the new key works and the old one does not', async (t) => {
  const acme = await t.client();
  const [old, next] = [acme.account.key, createSigningKey()];
  const reply = await changeKey(acme, inner(acme, next));
  expectReply(reply, 200);
  expectProblem(await acme.get(acme.account.url), 'malformed/400', 'unauthorized/401', 'unauthorized/403');
  acme.account = { key: next, url: acme.account.url };
  expectReply(await acme.get(acme.account.url), 200);
  await newOrder(acme, [freshName()]);
  const byNewKey = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: next });
  expect(byNewKey.location).toBe(acme.account.url);
  const byOldKey = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: old });
  expectProblem(byOldKey, 'accountDoesNotExist/400', 'unauthorized/401', 'unauthorized/403');
});

line(52, 'a second key change, and the account URL, orders and authorizations stay', async (t) => {
  const acme = await t.client();
  const { url } = acme.account;
  const order = await newOrder(acme, [freshName()]);
  const [authorization = ''] = order.object.authorizations;
  const before = (await acme.get(authorization)).json;
  for (const next of [createSigningKey(), createSigningKey('RS256')]) {
    expectReply(await changeKey(acme, inner(acme, next)), 200);
    acme.account = { key: next, url };
  }
  const { authorizations, identifiers, status } = (await acme.get(order.url)).json;
  expect(authorizations).toEqual(order.object.authorizations);
  expect(identifiers).toEqual(order.object.identifiers);
  expect(status).toBe('pending');
  const after = (await acme.get(authorization)).json;
  const byType = (object: typeof after) => object.challenges.map(({ type, token }) => `${type} ${token}`).sort();
  expect(byType(after)).toEqual(byType(before));
});

const refusals: Record<string, (acme: AcmeWire, next: SigningKey) => unknown> = {
  'the payload is no JWS': (acme) => ({ account: acme.account.url }),
  'the payload is empty': () => undefined,
  'the inner JWS has no jwk': (acme, next) => inner(acme, next, { jwk: undefined, kid: acme.account.url }),
  'the inner JWS has a kid beside the jwk': (acme, next) => inner(acme, next, { kid: acme.account.url }),
  'the inner signature is bad': (acme, next) => ({ ...inner(acme, next), signature: base64url(Buffer.alloc(64, 1)) }),
  'the inner signature is of the old key': (acme, next) => {
    const { key, url } = acme.account;
    const header = { alg: key.alg, jwk: next.jwk, url: acme.directory.keyChange };
    return signJws(key, header, { account: url, oldKey: key.jwk });
  },
  'the inner JWS has a nonce': (acme, next) => inner(acme, next, { nonce: 'AAAA' }),
  'the inner url is another': (acme, next) => inner(acme, next, { url: acme.directory.newOrder }),
  'the inner url is missing': (acme, next) => inner(acme, next, { url: undefined }),
  'the account is another': (acme, next) => inner(acme, next, {}, { account: `${acme.account.url}x` }),
  'the account is missing': (acme, next) => inner(acme, next, {}, { account: undefined }),
  'the old key is another': (acme, next) => inner(acme, next, {}, { oldKey: createSigningKey().jwk }),
  'the old key is missing': (acme, next) => inner(acme, next, {}, { oldKey: undefined }),
  'the new key is the old one': (acme) => inner(acme, acme.account.key),
  'the inner JWS has an unprotected header': (acme, next) => ({ ...inner(acme, next), header: {} }),
};
for (const [name, make] of Object.entries(refusals)) {
  line(53, `key change is malformed and changes nothing where ${name}`, async (t) => {
    const acme = await t.client();
    const next = createSigningKey();
    expectProblem(await changeKey(acme, make(acme, next)), 'malformed/400');
    expectReply(await acme.get(acme.account.url), 200);
    const byNewKey = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: next });
    expectProblem(byNewKey, 'accountDoesNotExist/400');
  });
}

line(54, 'key change to the key of another account is 409 with its Location', async (t) => {
  const acme = await t.client();
  const other = await t.client();
  const reply = await changeKey(acme, inner(acme, other.account.key));
  expectReply(reply, 409);
  expect(reply.location).toBe(other.account.url);
  expectReply(await acme.get(acme.account.url), 200);
  expectReply(await other.get(other.account.url), 200);
});

line(54, 'of two accounts that change to one key at once, one gets it', async (t) => {
  const [first, second] = [await t.client(), await t.client()];
  const next = createSigningKey();
  const replies = await Promise.all([first, second].map((acme) => changeKey(acme, inner(acme, next))));
  expect(replies.map(({ status }) => String(status)).sort()).toEqual(['200', '409']);
});

line(55, 'after key change pending challenges want the new thumbprint', async (t) => {
  const acme = await t.client();
  const order = await newOrder(acme, [freshName()]);
  const next = createSigningKey();
  expectReply(await changeKey(acme, inner(acme, next)), 200);
  acme.account = { key: next, url: acme.account.url };
  await authorize(acme, t, order.object.authorizations[0] ?? '');
  expect((await acme.get(order.url)).json.status).toBe('ready');
});

line(55, 'after key change the old thumbprint is wrong', async (t) => {
  const acme = await t.client();
  const old = acme.account.key;
  const order = await newOrder(acme, [freshName()]);
  const next = createSigningKey();
  expectReply(await changeKey(acme, inner(acme, next)), 200);
  acme.account = { key: next, url: acme.account.url };
  const challenge = await challengeOf(acme, order.object.authorizations[0] ?? '', 'http-01');
  provision(t, challenge, order.object.identifiers[0] ?? { type: 'dns', value: '' }, old);
  expect((await attempt(acme, challenge)).status).toBe('invalid');
});
