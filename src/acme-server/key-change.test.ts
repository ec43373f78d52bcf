// Key changes that meet: whoever signs with a key that is no longer the account's changes nothing, however late it was noticed.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createSigningKey, type SigningKey, signJws } from '../../test/support/jws.ts';
import type { Account } from '../api/acme.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { ALL_KINDS } from '../api/index.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { importJwk } from '../domain/jwk.ts';
import type { Cache } from '../ports.ts';
import { unsigned } from './account.ts';
import type { Authenticated } from './exchange.ts';
import { createKeyChangeHandler } from './key-change.ts';
import { createKeyring } from './keyring.ts';
import { createAcmeObjects } from './objects.ts';
import { createUrls } from './urls.ts';

const NAMESPACE = 'countersign-system';
const urls = createUrls('https://acme.test', { name: 'main' });

/** A replica whose caches know of nothing yet. */
const EMPTY: Cache<never> = {
  get: () => undefined,
  list: () => [],
  each: () => [],
  byIndex: () => [],
  has: () => false,
  hasSynced: () => true,
  onChange: () => () => undefined,
};

async function start() {
  const [clock, random] = [createFakeClock(), createFakeRandom()];
  const objects = createAcmeObjects({
    cluster: createEmbeddedCluster({ storage: memoryStorage(), clock, random, kinds: ALL_KINDS }),
    keyring: createKeyring([{ id: 1, secret: Buffer.alloc(32, 1) }], () => Promise.resolve([])),
    namespace: NAMESPACE,
    accounts: EMPTY,
    authorizations: EMPTY,
  });
  const key = createSigningKey();
  const { jwk, thumbprint, spkiHash } = importJwk(key.jwk);
  const spec = { issuerUID: 'uid', thumbprint, spkiHash: spkiHash.toString('base64url'), jwk: { ...jwk } };
  const { account } = await objects.createAccount(spec);
  return { objects, key, account, keyChange: createKeyChangeHandler({ objects }) };
}

/** A request signed by `key` while `account` was as given. */
function request(account: Account, key: SigningKey, next: SigningKey): Authenticated {
  const header = { alg: next.alg, jwk: next.jwk, url: urls.keyChange };
  const inner = signJws(next, header, { account: urls.account(account.metadata.name), oldKey: key.jwk });
  return {
    issuer: {} as ClusterCAIssuer,
    urls,
    params: {},
    source: '127.0.0.1',
    peer: '127.0.0.1',
    userAgent: '',
    header: { alg: 'ES256' },
    payload: Buffer.from(JSON.stringify(inner)),
    key: importJwk(key.jwk),
    account,
  };
}

test('of two key changes by one key the second changes nothing, even where it was let in before the first', async () => {
  const { objects, key, account, keyChange } = await start();
  const [owner, thief] = [createSigningKey(), createSigningKey()];
  await keyChange(request(account, key, owner));
  await expect(keyChange(request(account, key, thief))).rejects.toMatchObject({ type: 'unauthorized', status: 401 });
  expect((await objects.liveAccount(account.metadata.name))?.spec.thumbprint).toBe(owner.thumbprint);
});

test('a key change that was let in before the account was deactivated changes nothing', async () => {
  const { objects, key, account, keyChange } = await start();
  await objects.replaceAccount(account, { ...unsigned(account.spec), deactivated: true });
  const late = keyChange(request(account, key, createSigningKey()));
  await expect(late).rejects.toMatchObject({ type: 'unauthorized', status: 401 });
  expect((await objects.liveAccount(account.metadata.name))?.spec.thumbprint).toBe(key.thumbprint);
});
