// Checklist section G, challenges: lines 87 to 91.
import { expect } from 'vitest';
import { attempt, poll, provision } from '../support/acme-flow.ts';
import type { ChallengeObject } from '../support/acme-wire.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import { barrier, holdAnswer, pendingChallenge } from './pending.ts';

const line = conformance(import.meta.filename);

line(87, 'POST {} is 200 with the challenge and a link up to its authorization', async (t) => {
  const acme = await t.shared();
  const { name, authorization, challenge } = await pendingChallenge(acme, 'http-01');
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  const reply = await acme.post(challenge.url, {});
  expectReply(reply, 200);
  const { type, url, token, status } = reply.json as unknown as ChallengeObject;
  expect({ type, url, token }).toEqual({ type: 'http-01', url: challenge.url, token: challenge.token });
  expect(['pending', 'processing', 'valid']).toContain(status);
  expect(reply.links['up']).toEqual([authorization]);
});

line(88, 'unknown fields of the response are ignored', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'http-01');
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  expectReply(await acme.post(challenge.url, { example: 1, status: 'valid' }), 200);
  expect(
    (await poll(acme, challenge.url, ({ status }) => status !== 'processing' && status !== 'pending')).status,
  ).toBe('valid');
});

line(88, 'a payload that is no JSON object is malformed and starts nothing', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'http-01');
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  for (const payload of ['[]', '7', '"text"', 'not JSON'])
    expectProblem(await acme.post(challenge.url, payload), 'malformed/400');
  await barrier(t, acme);
  expect(t.http01.requestsFor(challenge.token)).toHaveLength(0);
});

line(89, 'POST-as-GET of a challenge is 200 and starts no validation', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'http-01');
  provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
  const reply = await acme.get(challenge.url);
  expectReply(reply, 200);
  await barrier(t, acme);
  expect(t.http01.requestsFor(challenge.token)).toHaveLength(0);
  expect((await acme.get(challenge.url)).json.status).toBe('pending');
});

line(90, 'posting again while validation runs is safe and adds at most one try', async (t) => {
  const acme = await t.shared();
  const plain = await pendingChallenge(acme, 'http-01');
  provision(t, plain.challenge, { type: 'dns', value: plain.name }, acme.account.key);
  await attempt(acme, plain.challenge);
  const oneTry = t.http01.requestsFor(plain.challenge.token).length;
  expect(oneTry).toBeGreaterThan(0);

  const pending = await pendingChallenge(acme, 'http-01');
  const { challenge } = pending;
  const { asked, release } = holdAnswer(t, pending);
  const started = acme.post(challenge.url, {});
  await asked;
  const again = Array.from({ length: 5 }, () => acme.post(challenge.url, {}));
  // Answers may wait for the outcome, so the responder is let go before they are read.
  await acme.get(acme.account.url);
  release();
  for (const reply of await Promise.all([started, ...again])) expect(reply.status, reply.text).toBeLessThan(500);
  expect((await poll(acme, challenge.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  await barrier(t, acme);
  expect(t.http01.requestsFor(challenge.token).length).toBeLessThanOrEqual(2 * oneTry);
});

for (const outcome of ['valid', 'invalid'] as const) {
  line(91, `posting to a challenge that is ${outcome} starts nothing`, async (t) => {
    const acme = await t.shared();
    const { name, challenge, authorization } = await pendingChallenge(acme, 'http-01');
    provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
    if (outcome === 'invalid') t.http01.set(challenge.token, { body: 'wrong' });
    expect((await attempt(acme, challenge)).status).toBe(outcome);
    const requests = t.http01.requestsFor(challenge.token).length;
    provision(t, challenge, { type: 'dns', value: name }, acme.account.key);
    const reply = await acme.post(challenge.url, {});
    if (reply.status === 200) expect(reply.json.status).toBe(outcome);
    else expectProblem(reply, 'malformed/400');
    await barrier(t, acme);
    expect(t.http01.requestsFor(challenge.token)).toHaveLength(requests);
    expect((await acme.get(authorization)).json.status).toBe(outcome);
  });
}
