// New accounts are counted by whoever asks, not by the address that is asked from.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createSigningKey } from '../../test/support/jws.ts';
import type { Account } from '../api/acme.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { importJwk } from '../domain/jwk.ts';
import { type AccountDeps, createAccountHandlers } from './account.ts';
import type { Signed } from './exchange.ts';
import { createRateLimits, DEFAULT_LIMITS } from './rate-limits.ts';
import { createUrls } from './urls.ts';

function signed(source: string): Signed {
  return {
    issuer: { metadata: { uid: 'uid' }, spec: {} } as ClusterCAIssuer,
    urls: createUrls('https://acme.test', { name: 'main' }),
    params: {},
    source,
    peer: source,
    userAgent: '',
    header: { alg: 'ES256' },
    payload: Buffer.from('{}'),
    key: importJwk(createSigningKey().jwk),
  };
}

/** An account from each source in turn, where each may have one; the statuses. */
async function register(...sources: string[]): Promise<number[]> {
  const created = { account: { metadata: { name: 'ac' }, spec: {} } as Account, created: true };
  const { newAccount } = createAccountHandlers({
    limits: createRateLimits({
      clock: createFakeClock(),
      limited: { inc: () => undefined },
      limits: { ...DEFAULT_LIMITS, newAccount: { burst: 1, perSecond: 0.001 } },
    }),
    objects: { accountOfKey: async () => undefined, createAccount: async () => created },
    bindings: { verify: async () => undefined },
  } as unknown as AccountDeps);
  const statuses: number[] = [];
  for (const source of sources) {
    const reply = await newAccount(signed(source)).catch((error: { status: number }) => error);
    statuses.push(reply.status);
  }
  return statuses;
}

test.each([
  ['the same IPv4 address', ['192.0.2.1', '192.0.2.1'], [201, 429]],
  ['two IPv4 addresses', ['192.0.2.1', '192.0.2.2'], [201, 201]],
  ['two IPv6 addresses of one /64', ['2001:db8::1', '2001:db8:0:0:ffff::2'], [201, 429]],
  ['two IPv6 addresses of two /64', ['2001:db8::1', '2001:db8:0:1::1'], [201, 201]],
])('newAccount from %s', async (_title, sources, statuses) => {
  expect(await register(...sources)).toEqual(statuses);
});
