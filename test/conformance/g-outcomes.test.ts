// Checklist section G, what becomes of challenges: lines 92 to 95.
import { expect } from 'vitest';
import { attempt, challengeOf, complete, poll, provision, readyOrder } from '../support/acme-flow.ts';
import type { AcmeWire, ChallengeObject } from '../support/acme-wire.ts';
import { keyAuthorization } from '../support/jws.ts';
import { expectInstant } from './expectations.ts';
import { conformance } from './line.ts';
import { barrier, firstSign, pendingChallenge } from './pending.ts';
import type { Target } from './target.ts';

const line = conformance(import.meta.filename);

line(92, 'a valid challenge has validated, and no error', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'http-01');
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  const end = await attempt(acme, challenge);
  expectInstant(end.validated);
  expect(Math.abs(Date.parse(end.validated ?? '') - Date.now())).toBeLessThan(600_000);
  expect(end).not.toHaveProperty('error');
});

line(92, 'a failed challenge is invalid with an error, and so is its authorization', async (t) => {
  const acme = await t.shared();
  const { challenge, authorization } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, { body: 'wrong' });
  const end = await attempt(acme, challenge);
  expect(end.status).toBe('invalid');
  expect(end.error?.type).toMatch(/^urn:ietf:params:acme:error:/);
  expect(end.error?.detail).toMatch(/\w/);
  expect((await acme.get(authorization)).json.status).toBe('invalid');
});

line(
  93,
  'a try that may yet succeed keeps the challenge processing, with error and Retry-After, until it does',
  async (t) => {
    const acme = await t.shared();
    const { name, challenge } = await pendingChallenge(acme, 'http-01');
    t.http01.set(challenge.token, { status: 503, body: 'not yet' });
    await firstSign(acme, challenge);
    const reply = await acme.get(challenge.url);
    expect(reply.json.status).toBe('processing');
    expect(reply.headers['retry-after']).toMatch(/\w/);
    provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
    expect((await poll(acme, challenge.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  },
);

line(94, 'a valid challenge makes its authorization valid, and no sibling takes that back', async (t) => {
  const acme = await t.shared();
  const { name, challenge, authorization, orderUrl } = await pendingChallenge(acme, 'http-01');
  const sibling = await challengeOf(acme, authorization, 'dns-01');
  t.dns.set(`_acme-challenge.${name}`, 'TXT', ['wrong']);
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  expect((await attempt(acme, challenge)).status).toBe('valid');
  const reply = await acme.post(sibling.url, {});
  expect(reply.status).toBeLessThan(500);
  await barrier(t, acme);
  const order = await poll(acme, orderUrl, ({ status }) => status !== 'pending');
  expect(order.status).toBe('ready');
  expect((await acme.get(authorization)).json.status).toBe('valid');
});

/** `type/status` of the error that a challenge shows first. */
async function errorOf(acme: AcmeWire, challenge: ChallengeObject): Promise<string> {
  const { error, status } = await firstSign(acme, challenge);
  expect(status).not.toBe('valid');
  return `${error?.type.replace('urn:ietf:params:acme:error:', '')}/${error?.status}`;
}

line(95, 'a connection that breaks is connection/400', async (t) => {
  const acme = await t.shared();
  const { challenge } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, (request) => void request.socket.destroy());
  expect(await errorOf(acme, challenge)).toBe('connection/400');
});

line(95, 'a name without addresses, or that DNS cannot answer, is dns/400', async (t) => {
  const acme = await t.shared();
  for (const failure of ['NXDOMAIN', 'SERVFAIL'] as const) {
    const { name, challenge } = await pendingChallenge(acme, 'http-01');
    t.dns.fail(name, failure);
    expect(await errorOf(acme, challenge), failure).toBe('dns/400');
  }
});

line(95, 'a missing TXT record is dns/400', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'dns-01');
  t.dns.fail(`_acme-challenge.${name}`, 'NXDOMAIN');
  expect(await errorOf(acme, challenge)).toBe('dns/400');
});

line(95, 'a TLS handshake that fails is tls/400', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'tls-alpn-01');
  const answer = keyAuthorization(challenge.token, acme.account.key);
  t.tlsAlpn.set(name, { name, keyAuthorization: answer, variant: 'wrong-protocol' });
  expect(await errorOf(acme, challenge)).toBe('tls/400');
});

const wrongAnswers: Record<string, (t: Target, name: string, challenge: ChallengeObject) => void> = {
  'http-01': (t, _name, challenge) => t.http01.set(challenge.token, { body: `${challenge.token}.wrong` }),
  'dns-01': (t, name) => t.dns.set(`_acme-challenge.${name}`, 'TXT', ['wrong']),
  'tls-alpn-01': (t, name) => t.tlsAlpn.set(name, { name, keyAuthorization: 'wrong' }),
};
for (const [type, answer] of Object.entries(wrongAnswers)) {
  line(95, `a wrong value is incorrectResponse/403: ${type}`, async (t) => {
    const acme = await t.shared();
    const { name, challenge } = await pendingChallenge(acme, type);
    answer(t, name, challenge);
    expect(await errorOf(acme, challenge)).toBe('incorrectResponse/403');
    expect((await acme.get(challenge.url)).json.status).toBe('invalid');
  });
}

line(95, 'after a failure a new order begins anew', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, { body: 'wrong' });
  expect((await attempt(acme, challenge)).status).toBe('invalid');
  await complete(acme, await readyOrder(acme, t, [name]));
});
