import { afterAll, beforeAll, expect, test } from 'vitest';
import { register } from '../support/acme-flow.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { createSigningKey, signJws } from '../support/jws.ts';
import { startOperator } from './harness.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;

beforeAll(async () => {
  operator = await startOperator();
});

afterAll(async () => {
  await operator.stop();
});

test('no key that an account had before is taken for a new account, the first as little as those between', async () => {
  const acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
  const { url } = acme.account;
  const former = [];
  for (const next of [createSigningKey(), createSigningKey()]) {
    const { key } = acme.account;
    const header = { alg: next.alg, jwk: next.jwk, url: acme.directory.keyChange };
    const inner = signJws(next, header, { account: url, oldKey: key.jwk });
    expect((await acme.post(acme.directory.keyChange, inner)).status).toBe(200);
    former.push(key);
    acme.account = { key: next, url };
  }
  for (const key of former) {
    const reply = await acme.post(acme.directory.newAccount, {}, { jwkOf: key });
    expect([reply.status, reply.json.type]).toEqual([403, 'urn:ietf:params:acme:error:unauthorized']);
  }
});
