// Checklist section G, authorizations: lines 81 to 86.
import { expect } from 'vitest';
import {
  authorize,
  expectStatus,
  finalize,
  identifiersOf,
  newOrder,
  poll,
  provision,
  readyOrder,
} from '../support/acme-flow.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { freshName } from '../support/names.ts';
import { expectInstant, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import { barrier, holdAnswer, pendingChallenge } from './pending.ts';

const line = conformance(import.meta.filename);

line(81, 'newAuthz is absent: not advertised, and no authorization outside an order', async (t) => {
  const acme = await t.shared();
  expect(acme.directory).not.toHaveProperty('newAuthz');
  for (const path of ['new-authz', 'newAuthz', 'new-authorization']) {
    const url = new URL(path, acme.directoryUrl).href;
    const reply = await acme.post(url, { identifier: identifiersOf([freshName()])[0] });
    expectReply(reply, 404);
    expect(reply.headers).not.toHaveProperty('location');
  }
});

line(82, 'newAuthz is absent for wildcards and denied names, too', async (t) => {
  const acme = await t.shared();
  const url = new URL('new-authz', acme.directoryUrl).href;
  for (const name of [`*.${freshName()}`, 'www.denied.test']) {
    const reply = await acme.post(url, { identifier: identifiersOf([name])[0] });
    expectReply(reply, 404);
    expect(reply.headers).not.toHaveProperty('location');
  }
});

line(83, 'an authorization has identifier, status and challenges, and expires once valid', async (t) => {
  const acme = await t.shared();
  const { name, authorization } = await pendingChallenge(acme, 'http-01');
  const before = (await acme.get(authorization)).json;
  expect(before.identifier).toEqual({ type: 'dns', value: name });
  expect(before.status).toBe('pending');
  expect(before.challenges.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['http-01', 'dns-01', 'tls-alpn-01']),
  );
  await authorize(acme, t, authorization);
  const after = (await acme.get(authorization)).json;
  expect(after.identifier).toEqual(before.identifier);
  expect(after.status).toBe('valid');
  expectInstant(after.expires);
  expect(Date.parse(after.expires)).toBeGreaterThan(Date.now());
  expect(after.challenges.map(({ type, status }) => `${type} ${status}`)).toContain('http-01 valid');
});

line(
  84,
  'while validation runs, the authorization is pending with Retry-After and the challenge processing',
  async (t) => {
    const acme = await t.shared();
    const pending = await pendingChallenge(acme, 'http-01');
    const { authorization, challenge } = pending;
    const { asked, release } = holdAnswer(t, pending);
    const started = acme.post(challenge.url, {});
    await asked;
    const [authorizationReply, challengeReply] = [await acme.get(authorization), await acme.get(challenge.url)];
    release();
    expectStatus(await started, 200, 'challenge');
    expectReply(authorizationReply, 200);
    expect(authorizationReply.json.status).toBe('pending');
    expect(authorizationReply.headers['retry-after']).toMatch(/^(\d+|\w{3}, .* GMT)$/);
    expect(challengeReply.json.status).toBe('processing');
    expect((await poll(acme, challenge.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  },
);

line(85, 'a pending authorization can be deactivated; its order is invalid', async (t) => {
  const acme = await t.shared();
  const { authorization, orderUrl } = await pendingChallenge(acme, 'http-01');
  const reply = await acme.post(authorization, { status: 'deactivated' });
  expectReply(reply, 200);
  expect(reply.json.status).toBe('deactivated');
  expect((await acme.get(authorization)).json.status).toBe('deactivated');
  expect((await acme.get(orderUrl)).json.status).toBe('invalid');
});

line(85, 'a deactivated authorization serves neither its order nor a later one', async (t) => {
  const acme = await t.client();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  await acme.post(order.object.authorizations[0] ?? '', { status: 'deactivated' });
  expectProblem(await finalize(acme, order, buildCsr({ names: [name] }).der), 'orderNotReady/403');
  const later = await newOrder(acme, [name]);
  expect(later.object.status).toBe('pending');
  expect((await acme.get(later.object.authorizations[0] ?? '')).json.status).toBe('pending');
});

line(85, 'a deactivated authorization cannot be validated any more', async (t) => {
  const acme = await t.shared();
  const { name, authorization, challenge } = await pendingChallenge(acme, 'http-01');
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  await acme.post(authorization, { status: 'deactivated' });
  const reply = await acme.post(challenge.url, {}, { timeoutSeconds: 45 });
  expect(reply.status).toBeLessThan(500);
  await barrier(t, acme);
  expect((await acme.get(authorization)).json.status).toBe('deactivated');
});

line(85, "another account's authorization is unauthorized, for reading and deactivating", async (t) => {
  const acme = await t.shared();
  const other = await t.client();
  const { authorization } = await pendingChallenge(other, 'http-01');
  expectProblem(await acme.get(authorization), 'unauthorized/403');
  expectProblem(await acme.post(authorization, { status: 'deactivated' }), 'unauthorized/403');
  expect((await other.get(authorization)).json.status).toBe('pending');
});

line(85, 'an update to any other status is malformed', async (t) => {
  const acme = await t.shared();
  const { authorization } = await pendingChallenge(acme, 'http-01');
  for (const payload of [{ status: 'valid' }, { status: 'invalid' }, {}, { status: 7 }, []]) {
    expectProblem(await acme.post(authorization, payload), 'malformed/400');
  }
  expect((await acme.get(authorization)).json.status).toBe('pending');
});

line(85, 'an unknown authorization is malformed/404', async (t) => {
  const acme = await t.shared();
  const { authorization, challenge } = await pendingChallenge(acme, 'http-01');
  for (const url of [`${authorization}x`, authorization.replace(/[^/]+$/, 'x'), `${challenge.url}x`]) {
    expectProblem(await acme.get(url), 'malformed/404');
  }
});

line(86, 'a challenge has type, url, status and a token of at least 128 bits', async (t) => {
  const acme = await t.shared();
  const tokens = new Set<string>();
  for (let count = 0; count < 10; count++) {
    const { authorization } = await pendingChallenge(acme, 'http-01');
    for (const { type, url, status, token } of (await acme.get(authorization)).json.challenges) {
      if (!['http-01', 'dns-01', 'tls-alpn-01'].includes(type)) continue;
      expect(url).toMatch(/^https:/);
      expect(status).toBe('pending');
      expect(token).toMatch(/^[A-Za-z0-9_-]{22,}$/);
      if (type === 'http-01') tokens.add(token);
    }
  }
  expect(tokens.size, 'tokens are not repeated').toBe(10);
});
