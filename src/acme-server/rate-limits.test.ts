// What the limits hold back, and what they let pass.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { Problem } from '../domain/problem.ts';
import type { Authenticated, Reply, Signed } from './exchange.ts';
import { createRateLimits, limited, limitedRefusals } from './rate-limits.ts';

const by = (name: string) => ({ account: { metadata: { name } }, source: '192.0.2.1' }) as Authenticated;
const from = (source: string) => ({ source }) as Signed;
const ok: Reply = { status: 200 };

function start() {
  const clock = createFakeClock();
  return { clock, limits: createRateLimits({ clock, limited: { inc: () => undefined } }) };
}

/** How many of so many requests are answered by the handler. */
async function passed(count: number, request: () => Promise<Reply>): Promise<number> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, request));
  const isLimited = (it: (typeof outcomes)[number]) =>
    it.status === 'rejected' && it.reason instanceof Problem && it.reason.type === 'rateLimited';
  return outcomes.filter((it) => !isLimited(it)).length;
}

test('hundreds of orders finalized at once are not held back', async () => {
  const { limits } = start();
  const finalize = limited(
    limits,
    'finalize',
    limitedRefusals(limits, 'refusedFinalize', async () => ok),
  );
  expect(await passed(1500, () => finalize(by('fleet')))).toBe(1500);
});

test('refused finalizes are bounded for each account, by a 503 that clients come back after', async () => {
  const { limits, clock } = start();
  let looks = 0;
  const refuse = limitedRefusals(limits, 'refusedFinalize', async () => {
    looks++;
    throw new Problem('badCSR', 'no');
  });
  for (let i = 0; i < 500; i++) await expect(refuse(by('busy'))).rejects.toMatchObject({ type: 'badCSR' });
  await expect(refuse(by('busy'))).rejects.toMatchObject({ type: 'rateLimited', status: 503 });
  expect(looks).toBe(500);
  await expect(refuse(by('other'))).rejects.toMatchObject({ type: 'badCSR' });
  await clock.advance(1000);
  await expect(refuse(by('busy'))).rejects.toMatchObject({ type: 'badCSR' });
});

test('what fails on our side costs a client nothing', async () => {
  const { limits } = start();
  const fail = limitedRefusals(limits, 'refusedFinalize', async () => {
    throw new Problem('serverInternal', 'not now', { status: 503 });
  });
  expect(await passed(1000, () => fail(by('patient')))).toBe(1000);
});

test('revocations count by account, and by source where no account asks: keys cost nothing', async () => {
  const { limits } = start();
  const revoke = limited<Signed>(limits, 'revokeCert', async () => ok);
  expect(await passed(1100, () => revoke(from('192.0.2.7')))).toBe(1000);
  expect(await passed(1, () => revoke(from('192.0.2.8')))).toBe(1);
  expect(await passed(1, () => revoke(by('ac')))).toBe(1);
});

test('key changes count by account', async () => {
  const { limits } = start();
  const change = limited<Authenticated>(limits, 'keyChange', async () => ok);
  expect(await passed(101, () => change(by('ac')))).toBe(100);
});
