import { expect, test } from 'vitest';
import { keyIdOf } from '../acme-server/keyring.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cluster } from '../ports.ts';
import { settle } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { loadKeyring, rotateKeys, rotateOnce, SEALING_KEYS_SECRET } from './sealing-keys.ts';

const NAMESPACE = 'pki';
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = { namespace: NAMESPACE, name: SEALING_KEYS_SECRET };

function world() {
  const { cluster, clock } = createFakeStore(undefined, [NAMESPACE]);
  const random = createFakeRandom('keys');
  const deps = { cluster, namespace: NAMESPACE, clock, random };
  const stored = async () => {
    const secret = await cluster.get(SecretKind, at);
    const data = secret?.data ?? {};
    return {
      keys: Object.keys(data)
        .filter((name) => name.startsWith('key-'))
        .sort(),
      current: Buffer.from(data.current ?? '', 'base64').toString(),
    };
  };
  return { ...deps, deps, stored };
}

async function rotating(macs: string[] = []) {
  const { deps, ...rest } = world();
  const keyring = await loadKeyring(deps);
  const log = createCapturingLog();
  const rotation = { ...deps, log, keyring, rotateAfterMs: 90 * DAY, longestOrderMs: () => DAY, macs: () => macs };
  return { ...rest, deps, rotation, keyring, step: () => rotateOnce(rotation) };
}

test('of several that come first at once, all have the same key', async () => {
  const { deps, stored } = world();
  const rings = await Promise.all([loadKeyring(deps), loadKeyring(deps), loadKeyring(deps)]);
  const macs = rings.map((ring) => ring.mac('p', ['x']));
  expect(new Set(macs).size).toBe(1);
  expect(await stored()).toEqual({ keys: ['key-1'], current: '1' });
});

test('a Secret without a key is refused by name', async () => {
  const { deps, cluster } = world();
  await cluster.create(SecretKind, { metadata: at, type: 'Opaque', data: { 'key-1': 'c2hvcnQ=' } });
  await expect(loadKeyring(deps)).rejects.toThrow(`the Secret ${SEALING_KEYS_SECRET} holds no key`);
});

test('a rotation publishes a key, takes it up ten minutes later, and drops the old one when nothing needs it any more', async () => {
  const { step, stored, clock, keyring } = await rotating();
  await step();
  expect(await stored()).toEqual({ keys: ['key-1'], current: '1' });
  await clock.advance(90 * DAY);
  await step();
  expect(await stored()).toEqual({ keys: ['key-1', 'key-2'], current: '1' });
  expect(keyring.currentKey()).toBe(1);
  await clock.advance(HOUR / 12);
  await step();
  expect((await stored()).current).toBe('1');
  await clock.advance(HOUR / 12);
  await step();
  expect(await stored()).toEqual({ keys: ['key-1', 'key-2'], current: '2' });
  expect(keyring.currentKey()).toBe(2);
  await clock.advance(29 * DAY);
  await step();
  expect((await stored()).keys).toEqual(['key-1', 'key-2']);
  await clock.advance(DAY);
  await step();
  expect(await stored()).toEqual({ keys: ['key-2'], current: '2' });
});

test('keys that need nothing are read once a day, and when somebody writes them; a rotation runs its course', async () => {
  const { deps, rotation, stored, clock } = await rotating();
  let reads = 0;
  const told = new Set<(secret: Secret) => void>();
  const { cluster } = deps;
  const counted: Pick<Cluster, 'get' | 'create' | 'replace'> = {
    get: (kind, ref) => {
      reads += 1;
      return cluster.get(kind, ref);
    },
    create: (kind, object) => cluster.create(kind, object),
    replace: (kind, object) => cluster.replace(kind, object),
  };
  const secrets = {
    onChange: (listener: (secret: Secret, type: 'MODIFIED') => void) => {
      const tell = (secret: Secret) => listener(secret, 'MODIFIED');
      told.add(tell);
      return () => void told.delete(tell);
    },
  };
  const over = new AbortController();
  const running = rotateKeys({ ...rotation, cluster: counted, secrets }, over.signal);
  await settle();
  reads = 0;
  for (let hours = 0; hours < 10 * 24; hours++) await clock.advance(HOUR);
  expect(reads).toBe(10);
  const change = (name: string) => {
    for (const tell of told) tell({ metadata: { ...at, name } } as Secret);
    return settle();
  };
  await change('another');
  expect(reads).toBe(10);
  await change(SEALING_KEYS_SECRET);
  expect(reads).toBe(11);
  for (let hours = 0; hours < 80 * 24 + 1; hours++) await clock.advance(HOUR);
  expect(await stored()).toEqual({ keys: ['key-1', 'key-2'], current: '2' });
  for (let hours = 0; hours < 31 * 24; hours++) await clock.advance(HOUR);
  expect(await stored()).toEqual({ keys: ['key-2'], current: '2' });
  over.abort();
  await running;
  expect(told.size).toBe(0);
});

test('a key with which something stored is signed stays', async () => {
  const macs: string[] = [];
  const { step, stored, clock, keyring } = await rotating(macs);
  const mac = keyring.mac('account', ['a']);
  macs.push(mac);
  for (let days = 0; days < 400; days += 15) {
    await clock.advance(15 * DAY);
    await step();
  }
  expect(keyIdOf(mac)).toBe(1);
  expect((await stored()).keys).toContain('key-1');
  expect(keyring.verifyMac('account', ['a'], mac)).toBe(true);
  macs.length = 0;
  // One step at a time: a key that waits to seal comes first.
  for (let steps = 0; steps < 3; steps++) {
    await clock.advance(HOUR);
    await step();
  }
  expect((await stored()).keys).not.toContain('key-1');
});

test('another replica reads what it does not know when it meets it, at most once a second', async () => {
  const { step, deps, clock, keyring, cluster } = await rotating();
  let reads = 0;
  const counted = {
    ...deps,
    cluster: {
      ...cluster,
      get: (...args: Parameters<Cluster['get']>) => {
        reads++;
        return cluster.get(...args);
      },
    } as Cluster,
  };
  const other = await loadKeyring(counted);
  await clock.advance(90 * DAY);
  await step();
  await clock.advance(HOUR);
  await step();
  const sealed = keyring.seal('order', 'x');
  expect(other.open('order', sealed)).toEqual({ state: 'unknown-key' });
  const before = reads;
  await other.reload();
  await other.reload();
  await Promise.all([other.reload(), other.reload()]);
  expect(reads - before).toBe(1);
  expect(other.open('order', sealed)).toEqual({ state: 'open', plaintext: 'x' });
  expect(other.seal('order', 'y')).toBe(keyring.seal('order', 'y'));
});

test('while the cluster does not answer it is asked once a second, however many requests name an unknown key', async () => {
  const { deps, clock, cluster } = await rotating();
  let reads = 0;
  let down = false;
  const get = async (...args: Parameters<Cluster['get']>) => {
    reads++;
    if (down) throw new ClusterError('Unavailable', 'down');
    return cluster.get(...args);
  };
  const keyring = await loadKeyring({ ...deps, cluster: { ...cluster, get } as Cluster });
  await clock.advance(HOUR);
  [reads, down] = [0, true];
  const ask = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < 20; i++) await expect(keyring.reload()).rejects.toThrow('down');
      await expect(Promise.allSettled([keyring.reload(), keyring.reload()])).resolves.toMatchObject([
        { status: 'rejected' },
        { status: 'rejected' },
      ]);
      await clock.advance(1_000);
    }
  };
  await ask(10);
  expect(reads).toBe(10);
  down = false;
  await keyring.reload();
  expect(reads).toBe(11);
});

test('of two that rotate at once, one does', async () => {
  const { step, stored, clock } = await rotating();
  await clock.advance(90 * DAY);
  const results = await Promise.allSettled([step(), step()]);
  expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
  expect((await stored()).keys).toEqual(['key-1', 'key-2']);
});

test('a Secret from before times were kept is taken as it is: the highest key seals', async () => {
  const { deps, cluster, clock, stored } = world();
  const key = (byte: number) => Buffer.alloc(32, byte).toString('base64');
  await cluster.create(SecretKind, { metadata: at, type: 'Opaque', data: { 'key-1': key(1), 'key-3': key(3) } });
  const keyring = await loadKeyring(deps);
  expect(keyring.currentKey()).toBe(3);
  const step = () =>
    rotateOnce({
      ...deps,
      log: createCapturingLog(),
      keyring,
      rotateAfterMs: 90 * DAY,
      longestOrderMs: () => DAY,
      macs: () => [],
    });
  await step();
  expect(await stored()).toEqual({ keys: ['key-1', 'key-3'], current: '3' });
  await clock.advance(90 * DAY);
  await step();
  expect(await stored()).toEqual({ keys: ['key-1', 'key-3', 'key-4'], current: '3' });
});
