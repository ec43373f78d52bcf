import { afterAll, beforeAll, expect, test } from 'vitest';
import { identifiersOf, register } from '../support/acme-flow.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { startOperator } from './harness.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;

beforeAll(async () => {
  operator = await startOperator();
});

afterAll(async () => {
  await operator.stop();
});

test('an order that no certificate could follow, because it starts in the past, is not made', async () => {
  const acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
  const order = (ago: number) =>
    acme.post(acme.directory.newOrder, {
      identifiers: identifiersOf(['www.a.test']),
      notBefore: new Date(Date.now() - ago).toISOString(),
    });
  expect((await order(30 * 60_000)).status).toBe(201);
  const refused = await order(2 * 3600_000);
  expect([refused.status, refused.json.type]).toEqual([400, 'urn:ietf:params:acme:error:malformed']);
});
