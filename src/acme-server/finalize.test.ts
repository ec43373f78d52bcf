// CAA is asked for all names of an order at once: a hundred look-ups one after the other could outlast every deadline.
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { Order } from '../domain/order.ts';
import { Problem } from '../domain/problem.ts';
import type { CaaResult } from './caa-checks.ts';
import type { Authenticated } from './exchange.ts';
import { createFinalizations } from './finalize.ts';
import type { OrderFacts } from './order.ts';

const names = ['a.example.test', 'b.example.test', 'c.example.test'];
const facts: OrderFacts = { record: undefined, found: [], authorizations: [], status: 'ready' };
const order: Order = {
  id: 'order',
  account: 'ac',
  issuerUID: 'uid',
  created: new Date(0),
  expires: new Date(86_400_000),
  identifiers: names.map((value) => ({ type: 'dns', value })),
  reused: new Map(),
  tokenKey: 1,
};
const exchange = {
  issuer: {
    metadata: { name: 'main', uid: 'uid' },
    spec: { acme: { caa: { enforce: true, identities: ['ca.test'] } } },
  },
  payload: Buffer.from(JSON.stringify({ csr: 'AAAA' })),
  account: { metadata: { name: 'ac' }, spec: {} },
  userAgent: '',
} as unknown as Authenticated & { issuer: ClusterCAIssuer };

const nobody = async () => ({ requester: {}, later: false });

/** Finalizes an order whose names have these answers, in their order. */
async function finalize(...answers: CaaResult[]) {
  const given = [...answers];
  const finalizations = createFinalizations({
    clock: createFakeClock(),
    random: createFakeRandom(),
    log: createCapturingLog(),
    attribution: { atNewOrder: nobody, of: async () => ({ requester: {} }) },
    lateAnswers: { expect: () => undefined },
    issue: async () => ({ kind: 'pending', retryAfterMs: 1000 }),
    caa: { check: async () => given.shift() ?? { permitted: true } },
  });
  return finalizations.finalize(exchange, order, facts);
}

const silent: CaaResult = { permitted: false, problem: new Problem('dns', 'SERVFAIL'), retryable: true };
const forbidden: CaaResult = { permitted: false, problem: new Problem('caa', 'forbidden'), retryable: false };

test('a DNS that does not tell the CAA is no refusal: the client is told to come back', async () => {
  await expect(finalize({ permitted: true }, silent)).rejects.toMatchObject({
    type: 'serverInternal',
    status: 503,
    options: { headers: { 'Retry-After': '10' } },
  });
});

test('a refusal is told even where the DNS does not tell the CAA of another name', async () => {
  await expect(finalize(silent, forbidden)).rejects.toMatchObject({ type: 'caa', status: 403 });
});

test('the CAA of every name is asked for at once; the first that forbids is told, and nothing is issued', async () => {
  const asked = new Map<string, (result: CaaResult) => void>();
  let issued = 0;
  const finalizations = createFinalizations({
    clock: createFakeClock(),
    random: createFakeRandom(),
    log: createCapturingLog(),
    attribution: { atNewOrder: nobody, of: async () => ({ requester: {} }) },
    lateAnswers: { expect: () => undefined },
    issue: async () => {
      issued++;
      return { kind: 'pending', retryAfterMs: 1000 };
    },
    caa: { check: ({ identifier }) => new Promise((resolve) => void asked.set(identifier.value, resolve)) },
  });
  const reply = finalizations.finalize(exchange, order, facts);
  await settle();
  expect([...asked.keys()]).toEqual(names);
  for (const [name, answer] of asked) {
    if (name.startsWith('a')) answer({ permitted: true });
    else answer({ permitted: false, problem: new Problem('caa', `${name} forbids it`), retryable: false });
  }
  await expect(reply).rejects.toThrow('caa: b.example.test forbids it');
  expect(issued).toBe(0);
});
