// A refused binding must not tell which key identifiers exist.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createSigningKey, macJws } from '../../test/support/jws.ts';
import { importJwk } from '../domain/jwk.ts';
import { Problem } from '../domain/problem.ts';
import type { Signed } from './exchange.ts';
import { createKeyring } from './keyring.ts';
import { createExternalAccountBindings } from './external-account-binding.ts';

const KEY = Buffer.alloc(48, 7);
const URL = 'https://acme.test/acme/main/new-account';
const key = createSigningKey();
const exchange = {
  issuer: {
    metadata: { uid: 'uid' },
    spec: {
      acme: {
        externalAccountBinding: {
          mode: 'Required',
          keys: ['good', 'short', 'absent'].map((keyID) => ({ keyID, secretRef: { name: 'eab', key: keyID } })),
        },
      },
    },
  },
  urls: { newAccount: URL },
  key: importJwk(key.jwk),
} as unknown as Signed;

let reads: string[] = [];
const bindings = createExternalAccountBindings({
  secretsOf: () => ({
    read: async (name) => {
      reads.push(name);
      return {
        good: Buffer.from(KEY.toString('base64url')),
        short: Buffer.from(Buffer.alloc(16, 1).toString('base64url')),
      };
    },
    create: async () => false,
  }),
  accounts: { byIndex: () => [] } as never,
  objects: {
    createAccount: () => Promise.reject(new Error('nothing is to be made')),
    liveAccount: async () => undefined,
  },
  minted: {
    keys: createKeyring([{ id: 1, secret: Buffer.alloc(32, 1) }], () => Promise.resolve([])),
    namespace: async () => undefined,
    clock: createFakeClock(),
  },
});

async function refusal(kid: string, mac: Buffer, alg = 'HS256'): Promise<Problem> {
  const sent = macJws(mac, { alg, kid, url: URL }, key.jwk);
  const error: unknown = await bindings.verify(exchange, sent).catch((caught: unknown) => caught);
  if (error instanceof Problem) return error;
  throw new Error('the binding was taken');
}

test('whether the key is unknown, without a Secret, too short, or not the one that made the MAC, the answer is the same', async () => {
  const refusals = [
    await refusal('nobody', KEY),
    await refusal('absent', KEY),
    await refusal('short', Buffer.alloc(16, 1)),
    await refusal('good', Buffer.alloc(48, 8)),
    await refusal('good', KEY, 'HS512'),
  ];
  expect(new Set(refusals.map((problem) => JSON.stringify(problem))).size).toBe(1);
  expect(refusals[0]).toMatchObject({ type: 'unauthorized', status: 403 });
});

test('a Secret is read for an unknown key as for a known one, so that time does not tell either', async () => {
  const readsFor = async (...given: Parameters<typeof refusal>) => {
    reads = [];
    await refusal(...given);
    return reads;
  };
  for (const kid of ['good', 'nobody', 'absent', 'short'])
    expect(await readsFor(kid, Buffer.alloc(48, 8)), kid).toEqual(['eab']);
});

test('a MAC made with the key of another identifier, or with none to speak of, proves nothing', async () => {
  for (const [kid, mac] of [
    ['nobody', KEY],
    ['nobody', Buffer.alloc(64)],
    ['absent', Buffer.alloc(64)],
  ] as const)
    expect((await refusal(kid, mac)).type).toBe('unauthorized');
});

test('the key that the issuer lists is taken', async () => {
  const sent = macJws(KEY, { alg: 'HS256', kid: 'good', url: URL }, key.jwk);
  expect((await bindings.verify(exchange, sent))?.keyID).toBe('good');
});
