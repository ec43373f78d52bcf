import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createNonces, type Nonces } from './nonces.ts';

const random = { bytes: (length: number) => randomBytes(length) };

test('a nonce is accepted once', () => {
  const nonces = createNonces({ random });
  const nonce = nonces.issue();
  expect(nonce).toMatch(/^[A-Za-z0-9_-]{38}$/);
  expect([nonces.redeem(nonce), nonces.redeem(nonce)]).toEqual(['accepted', 'used']);
});

test('nonces may come back in any order', () => {
  const nonces = createNonces({ random });
  const issued = Array.from({ length: 1000 }, () => nonces.issue());
  expect(new Set(issued).size).toBe(1000);
  for (const nonce of issued.toReversed()) expect(nonces.redeem(nonce)).toBe('accepted');
});

test('a nonce older than the window is refused, even if it was never used', () => {
  const nonces = createNonces({ random });
  const oldest = nonces.issue();
  for (let i = 0; i < 65_535; i++) nonces.issue();
  expect(nonces.redeem(oldest)).toBe('accepted');
  const next = nonces.issue();
  for (let i = 0; i < 65_536; i++) nonces.issue();
  expect(nonces.redeem(next)).toBe('unknown');
});

test('a nonce whose slot was taken by a later one is refused, and does not spend the later one', () => {
  const nonces = createNonces({ random });
  const old = nonces.issue();
  for (let i = 0; i < 65_535; i++) nonces.issue();
  const later = nonces.issue();
  expect(nonces.redeem(old)).toBe('unknown');
  expect(nonces.redeem(later)).toBe('accepted');
});

test('a nonce of another process, of the future, or changed in any byte is refused and spends nothing', () => {
  const nonces = createNonces({ random });
  const nonce = nonces.issue();
  expect(nonces.redeem(createNonces({ random }).issue())).toBe('unknown');
  const bytes = Buffer.from(nonce, 'base64url');
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes);
    changed[i] = (changed[i] ?? 0) ^ 1;
    expect(nonces.redeem(changed.toString('base64url'))).toBe('unknown');
  }
  expect(nonces.redeem(nonce)).toBe('accepted');
});

test.each(['', 'a', 'aa', 'A'.repeat(10_000), `${'A'.repeat(37)}=`, 'a b', 'ä'])(
  'text that is no nonce: %j',
  (text) => {
    expect(['malformed', 'unknown']).toContain(createNonces({ random }).redeem(text));
  },
);

/** Replicas that ask each other at made-up addresses. */
function replicas(count: number) {
  const all: Nonces[] = [];
  const asked: number[] = [];
  for (let i = 0; i < count; i++) {
    const address = Buffer.alloc(16, i);
    const ask = async (to: Buffer, nonce: string) => {
      const owner = to[0] ?? 0;
      asked.push(owner);
      await Promise.resolve();
      return all[owner]?.redeemOwn(nonce) ?? 'unknown';
    };
    all.push(createNonces({ random, replica: { address, ask } }));
  }
  return { all, asked };
}

test("a replica's nonce is accepted once, by whichever replica, and asks nobody for one of its own", async () => {
  const { all, asked } = replicas(3);
  const [a, b, c] = all as [Nonces, Nonces, Nonces];
  const nonce = a.issue();
  expect(nonce).toMatch(/^[A-Za-z0-9_-]{59}$/);
  const outcomes = await Promise.all([b, c, b, a, c].map(async (replica) => replica.redeem(nonce)));
  expect(outcomes.sort()).toEqual(['accepted', 'used', 'used', 'used', 'used']);
  asked.length = 0;
  expect([b.redeem(b.issue()), asked]).toEqual(['accepted', []]);
});

test('the owner accepts for others what is its own alone', async () => {
  const [a, b] = replicas(2).all as [Nonces, Nonces];
  const nonce = a.issue();
  expect([b.redeemOwn(nonce), b.redeemOwn('='), b.redeemOwn('AAAA')]).toEqual(['unknown', 'malformed', 'unknown']);
  expect([a.redeemOwn(nonce), await b.redeem(nonce)]).toEqual(['accepted', 'used']);
});
