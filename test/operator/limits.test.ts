// The limits of finalize, revokeCert and keyChange, each used up on a server that allows next to nothing.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/acme-server/rate-limits.ts';
import { type Responders, issue, readyOrder, finalize, register } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { startResponders } from '../support/responders.ts';
import { startOperator } from './harness.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;

beforeAll(async () => {
  responders = await startResponders();
  const one = { burst: 1, perSecond: 1e-6 };
  operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    overrides: {
      limits: {
        ...DEFAULT_LIMITS,
        refusedFinalize: { ...DEFAULT_LIMITS.refusedFinalize, ...one },
        revokeCert: one,
        keyChange: one,
      },
    },
  });
});

afterAll(async () => {
  await operator.stop();
});

async function account(): Promise<AcmeWire> {
  const acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
  return acme;
}

test('an account whose finalizes are refused is held back, and leaves no more lines in the audit log; another is served', async () => {
  const acme = await account();
  const order = await readyOrder(acme, responders, ['limits.a.test']);
  const refusals = () => operator.audit.filter(({ audit }) => audit === 'refusal').length;
  expect((await finalize(acme, order, Buffer.from('no CSR'))).problem.type).toMatch(/badCSR$/);
  const before = refusals();
  for (let i = 0; i < 3; i++) {
    const reply = await finalize(acme, order, Buffer.from('no CSR'));
    expect([reply.status, reply.problem.type]).toEqual([503, 'urn:ietf:params:acme:error:rateLimited']);
  }
  expect([before, refusals()]).toEqual([1, 1]);
  await issue(await account(), responders, ['limits.b.test']);
});

test.each(['revokeCert', 'keyChange'] as const)('%s has its limit for each account', async (resource) => {
  const acme = await account();
  const url = acme.directory[resource];
  const first = await acme.post(url, {});
  expect(first.problem.type).toMatch(/malformed$/);
  const second = await acme.post(url, {});
  expect([second.status, second.problem.type]).toEqual([429, 'urn:ietf:params:acme:error:rateLimited']);
  const other = await account();
  expect((await other.post(url, {})).problem.type).toMatch(/malformed$/);
});
