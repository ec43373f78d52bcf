// An account is what the store has: neither what it was nor what it has become of is forgotten or kept too long.
import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { AccountKind } from '../api/acme.ts';
import { ALL_KINDS } from '../api/index.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { createReflector } from '../runtime/reflector.ts';
import { unsigned } from './account.ts';
import { createKeyring } from './keyring.ts';
import { createAcmeObjects } from './objects.ts';

const NAMESPACE = 'countersign-system';

async function start() {
  const [clock, random] = [createFakeClock(), createFakeRandom()];
  const cluster = createEmbeddedCluster({ storage: memoryStorage(), clock, random, kinds: ALL_KINDS });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const accounts = createReflector({ cluster, kind: AccountKind, clock, random, log });
  const objects = createAcmeObjects({
    cluster,
    keyring: createKeyring([{ id: 1, secret: Buffer.alloc(32, 1) }], () => Promise.resolve([])),
    namespace: NAMESPACE,
    accounts,
    authorizations: {
      get: () => undefined,
      list: () => [],
      each: () => [],
      byIndex: () => [],
      has: () => false,
      hasSynced: () => true,
      onChange: () => () => {},
    },
  });
  const spec = { issuerUID: 'uid', thumbprint: 'first', spkiHash: 'hash', jwk: {} };
  const { account } = await objects.createAccount(spec);
  return { cluster, accounts, objects, account, name: account.metadata.name };
}

test('a write of its own counts at once, before the cache shows it', async () => {
  const { objects, account, name } = await start();
  await objects.replaceAccount(account, { ...unsigned(account.spec), deactivated: true });
  expect((await objects.account(name))?.spec.deactivated).toBe(true);
});

test('an account that was changed and then deleted is gone', async () => {
  const { cluster, accounts, objects, account, name } = await start();
  const stop = new AbortController();
  const running = accounts.run(stop.signal);
  await accounts.synced();
  await objects.replaceAccount(account, { ...unsigned(account.spec), contact: ['mailto:a@example.test'] });
  await cluster.delete(AccountKind, { namespace: NAMESPACE, name });
  await settle();
  expect(accounts.get({ namespace: NAMESPACE, name })).toBeUndefined();
  expect(await objects.account(name)).toBeUndefined();
  stop.abort();
  await running;
});
