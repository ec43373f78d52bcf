// What the embedded store promises beyond the Cluster contract.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { claim, record } from '../../test/contract/cluster.ts';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../api/core.ts';
import { ALL_KINDS } from '../api/index.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import type { NewObject } from '../api/kind.ts';
import type { WatchEvent } from '../ports.ts';
import { createEmbeddedCluster, type EmbeddedCluster, type EmbeddedOptions } from './embedded.ts';
import { readStore, sqliteStorage } from './sqlite-storage.ts';
import { memoryStorage, type Storage } from './storage.ts';

let folder: string;
const opened: EmbeddedCluster[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-store-'));
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((cluster) => cluster.close().catch(() => {})));
  rmSync(folder, { recursive: true });
});

function open(storage: Storage = memoryStorage(), options: Partial<EmbeddedOptions> = {}): EmbeddedCluster {
  const clock = createFakeClock();
  const cluster = createEmbeddedCluster({ storage, clock, random: createFakeRandom(), kinds: ALL_KINDS, ...options });
  opened.push(cluster);
  return cluster;
}

const file = () => join(folder, 'data', 'store.sqlite');
const secret = (name: string, value = 'x') => ({
  metadata: { namespace: 'default', name },
  stringData: { key: value },
});

// ---- Objects --------------------------------------------------------------------------------------------------------

test('objects handed out are frozen through and through, and shared', async () => {
  const cluster = open();
  const created = await cluster.create(IssuedCertificateKind, record('default', 'one'));
  expect(() => created.spec.names.push('dns:b')).toThrow(TypeError);
  expect(() => Object.assign(created.metadata, { name: 'other' })).toThrow(TypeError);
  expect(await cluster.get(IssuedCertificateKind, { namespace: 'default', name: 'one' })).toBe(created);
});

test('what JSON has no word for is refused by its path', async () => {
  const cluster = open();
  for (const value of [new Date(0), Buffer.from('x'), () => {}, Number.NaN, Symbol('x'), 1n]) {
    const wanted = { metadata: { namespace: 'default', name: 'one' }, data: { a: value } } as never;
    await expect(cluster.create(SecretKind, wanted)).rejects.toMatchObject({
      reason: 'Invalid',
      fields: [{ path: 'data.a' }],
    });
  }
});

test('members without a value are left out, and __proto__ is a key like any other', async () => {
  const cluster = open();
  const data = JSON.parse('{"__proto__": "AA=="}') as Record<string, string>;
  const wanted = { metadata: { namespace: 'default', name: 'one' }, data, immutable: undefined };
  const created = await cluster.create(SecretKind, wanted as never);
  expect('immutable' in created).toBe(false);
  expect(Object.entries(created.data ?? {})).toEqual([['__proto__', 'AA==']]);
  expect(Object.getPrototypeOf(created.data)).toBe(Object.prototype);
});

test('a namespaced object needs a namespace, a cluster-wide one has none', async () => {
  const cluster = open();
  await expect(cluster.create(SecretKind, { metadata: { name: 'x' } })).rejects.toMatchObject({ reason: 'Invalid' });
  await expect(cluster.get(SecretKind, { name: 'x' })).rejects.toMatchObject({ reason: 'Invalid' });
  await expect(cluster.get(NamespaceKind, { namespace: 'a', name: 'x' })).rejects.toMatchObject({ reason: 'Invalid' });
});

// ---- Namespaces -----------------------------------------------------------------------------------------------------

test('a namespace goes with what is in it, once finalizers are gone', async () => {
  const cluster = open();
  const namespace = 'team';
  await cluster.create(NamespaceKind, { metadata: { name: namespace } });
  await cluster.create(SecretKind, { metadata: { namespace, name: 'plain' } });
  const held = await cluster.create(SecretKind, { metadata: { namespace, name: 'held', finalizers: ['a.test/b'] } });
  expect(await cluster.delete(NamespaceKind, { name: namespace })).toBe(true);
  expect(await cluster.get(SecretKind, { namespace, name: 'plain' })).toBeUndefined();
  expect((await cluster.get(NamespaceKind, { name: namespace }))?.metadata.deletionTimestamp).toBeDefined();
  await expect(cluster.create(SecretKind, { metadata: { namespace, name: 'late' } })).rejects.toMatchObject({
    reason: 'Forbidden',
  });
  const marked = await cluster.get(SecretKind, { namespace, name: 'held' });
  expect(marked?.metadata.uid).toBe(held.metadata.uid);
  if (marked) await cluster.replace(SecretKind, { ...marked, metadata: { ...marked.metadata, finalizers: [] } });
  expect(await cluster.get(NamespaceKind, { name: namespace })).toBeUndefined();
});

test('a namespace that was going when the process ended goes after the next start', async () => {
  const first = open(sqliteStorage(file()));
  await first.create(NamespaceKind, { metadata: { name: 'team' } });
  const held = { metadata: { namespace: 'team', name: 'held', finalizers: ['a.test/b'] } };
  await first.create(SecretKind, held);
  await first.delete(NamespaceKind, { name: 'team' });
  await first.close();
  const second = open(sqliteStorage(file()));
  const marked = await second.get(SecretKind, { namespace: 'team', name: 'held' });
  if (marked) await second.replace(SecretKind, { ...marked, metadata: { ...marked.metadata, finalizers: [] } });
  expect(await second.get(NamespaceKind, { name: 'team' })).toBeUndefined();
});

test('the namespaces it starts with cannot be deleted', async () => {
  const cluster = open();
  for (const name of ['default', 'countersign-system'])
    await expect(cluster.delete(NamespaceKind, { name })).rejects.toMatchObject({ reason: 'Forbidden' });
});

test('an object being deleted takes no new finalizers', async () => {
  const cluster = open();
  const ref = { namespace: 'default', name: 'one' };
  await cluster.create(SecretKind, { metadata: { ...ref, finalizers: ['a.test/b'] } });
  await cluster.delete(SecretKind, ref);
  const marked = await cluster.get(SecretKind, ref);
  if (!marked) throw new Error('gone');
  const finalizers = ['a.test/b', 'a.test/c'];
  const more = cluster.replace(SecretKind, { ...marked, metadata: { ...marked.metadata, finalizers } });
  await expect(more).rejects.toMatchObject({ reason: 'Invalid', fields: [{ path: 'metadata.finalizers' }] });
  expect(await cluster.delete(SecretKind, ref)).toBe(true);
  expect(await cluster.get(SecretKind, ref)).toEqual(marked);
});

// ---- Lists and watches ----------------------------------------------------------------------------------------------

test('pages are of one moment, and their tokens grow old', async () => {
  const cluster = open();
  for (const name of ['a', 'b', 'c']) await cluster.create(SecretKind, secret(name));
  const first = await cluster.list(SecretKind, { limit: 2 });
  await cluster.delete(SecretKind, { namespace: 'default', name: 'c' });
  await cluster.create(SecretKind, secret('d'));
  const token = first.continue ?? '';
  const second = await cluster.list(SecretKind, { limit: 2, continue: token });
  expect(second.items.map(({ metadata }) => metadata.name)).toEqual(['c']);
  expect(second.resourceVersion).toBe(first.resourceVersion);
  await expect(cluster.list(CertificateClaimKind, { continue: token })).rejects.toMatchObject({ reason: 'Expired' });
  for (const bad of ['', 'x', 'x.1', `${token}x`, '.', '__proto__.1'])
    await expect(cluster.list(SecretKind, { continue: bad })).rejects.toMatchObject({ reason: 'Expired' });
  for (let i = 0; i < 64; i++) await cluster.list(SecretKind, { limit: 1 });
  await expect(cluster.list(SecretKind, { continue: token })).rejects.toMatchObject({ reason: 'Expired' });
});

async function next<T>(events: AsyncIterator<T>): Promise<T | undefined> {
  const { value, done } = await events.next();
  return done ? undefined : value;
}

function watcher(cluster: EmbeddedCluster, resourceVersion: string, signal = new AbortController().signal) {
  return cluster.watch(SecretKind, { resourceVersion, signal })[Symbol.asyncIterator]();
}

test('history is bounded: what fell out of it is Expired, for new watches and for slow ones', async () => {
  const cluster = open(memoryStorage(), { history: 10 });
  const { resourceVersion: start } = await cluster.list(SecretKind);
  const slow = watcher(cluster, start);
  await cluster.create(SecretKind, secret('first'));
  expect(((await next(slow)) as { object: { metadata: object } }).object.metadata).toMatchObject({ name: 'first' });
  for (let i = 0; i < 30; i++) await cluster.create(SecretKind, secret(`s${i}`));
  await expect(next(slow)).rejects.toMatchObject({ reason: 'Expired' });
  await expect(next(watcher(cluster, start))).rejects.toMatchObject({ reason: 'Expired' });
  const last = await cluster.get(SecretKind, { namespace: 'default', name: 's28' });
  const recent = watcher(cluster, last?.metadata.resourceVersion ?? '');
  expect(((await next(recent)) as { object: { metadata: object } }).object.metadata).toMatchObject({ name: 's29' });
});

test('versions that were never given out are Expired', async () => {
  const cluster = open();
  for (const version of ['999999', '-1', 'x', '', '1e3', '9'.repeat(30)])
    await expect(next(watcher(cluster, version))).rejects.toMatchObject({ reason: 'Expired' });
});

test('an idle watch is told how far it may resume, and only when there is news', async () => {
  const clock = createFakeClock();
  const cluster = open(memoryStorage(), { clock });
  const { resourceVersion } = await cluster.list(SecretKind);
  const stop = new AbortController();
  const seen: WatchEvent<unknown>[] = [];
  const events = cluster.watch(SecretKind, { resourceVersion, signal: stop.signal });
  const reading = (async () => {
    for await (const event of events) seen.push(event);
  })();
  await settle();
  await clock.advance(120_000);
  expect(seen).toEqual([]);
  const { metadata } = await cluster.create(CertificateClaimKind, claim('default', 'one'));
  await clock.advance(60_000);
  expect(seen).toEqual([{ type: 'BOOKMARK', resourceVersion: metadata.resourceVersion }]);
  await clock.advance(600_000);
  expect(seen).toHaveLength(1);
  stop.abort();
  await reading;
  expect(clock.sleeping()).toBe(0);
});

test('a watch left early leaves nothing behind', async () => {
  const clock = createFakeClock();
  const cluster = open(memoryStorage(), { clock });
  const { resourceVersion } = await cluster.list(SecretKind);
  await cluster.create(SecretKind, secret('one'));
  const { signal } = new AbortController();
  for await (const event of cluster.watch(SecretKind, { resourceVersion, signal })) if (event) break;
  await settle();
  expect(clock.sleeping()).toBe(0);
});

// ---- Storage --------------------------------------------------------------------------------------------------------

test('everything is there after a restart, versions go on, and older ones are Expired', async () => {
  const first = open(sqliteStorage(file()));
  const created = await first.create(CertificateClaimKind, claim('default', 'one'));
  const applied = await first.apply(SecretKind, secret('two'), { fieldManager: 'left' });
  await first.create(SecretKind, secret('gone'));
  await first.delete(SecretKind, { namespace: 'default', name: 'gone' });
  const { resourceVersion } = await first.list(SecretKind);
  await first.close();

  const second = open(sqliteStorage(file()));
  expect(await second.get(CertificateClaimKind, { namespace: 'default', name: 'one' })).toEqual(created);
  expect((await second.list(SecretKind)).items).toEqual([applied]);
  expect((await second.list(SecretKind)).resourceVersion).toBe(resourceVersion);
  const next1 = await second.create(SecretKind, secret('three'));
  expect(Number(next1.metadata.resourceVersion)).toBeGreaterThan(Number(resourceVersion));
  await expect(next(watcher(second, created.metadata.resourceVersion))).rejects.toMatchObject({ reason: 'Expired' });
  expect(await next(watcher(second, resourceVersion))).toEqual({ type: 'ADDED', object: next1 });
  // Ownership survives as well: what the manager leaves out goes.
  const bare = await second.apply(
    SecretKind,
    { metadata: { namespace: 'default', name: 'two' } },
    { fieldManager: 'left' },
  );
  expect(bare.data).toBeUndefined();
});

test('file and folder are for their owner alone', async () => {
  await open(sqliteStorage(file())).create(SecretKind, secret('one'));
  expect(statSync(join(folder, 'data')).mode & 0o777).toBe(0o700);
  for (const name of readdirSync(join(folder, 'data')))
    expect([name, statSync(join(folder, 'data', name)).mode & 0o777]).toEqual([name, 0o600]);
});

test('a second writer is refused, readers are not, and the lock goes with the holder', async () => {
  const first = open(sqliteStorage(file()));
  await first.create(SecretKind, secret('one'));
  expect(() => sqliteStorage(file())).toThrow(/cannot use the store .*: another process is using it/);
  expect(readStore(file(), 'secrets').map(({ metadata }) => metadata.name)).toEqual(['one']);
  await first.close();
  expect(readStore(file(), 'secrets')).toHaveLength(1);
  expect((await open(sqliteStorage(file())).list(SecretKind)).items).toHaveLength(1);
});

test('files that are no store, of a newer format, or damaged are told from each other', async () => {
  const attempt = (name: string) => () => sqliteStorage(join(folder, name)).load();
  writeFileSync(join(folder, 'text'), 'not a database at all, but long enough to be taken for one'.repeat(99));
  expect(attempt('text')).toThrow(/store .*text: it is no Countersign store, or it is corrupt$/);

  const foreign = new DatabaseSync(join(folder, 'foreign'));
  foreign.exec('CREATE TABLE t (a)');
  foreign.close();
  expect(attempt('foreign')).toThrow(/store .*foreign: it is no Countersign store$/);

  await open(sqliteStorage(join(folder, 'newer'))).close();
  const newer = new DatabaseSync(join(folder, 'newer'));
  newer.exec('PRAGMA user_version = 2');
  newer.close();
  expect(attempt('newer')).toThrow(/a newer Countersign wrote it \(format 2, this one reads up to 1\)$/);

  const cluster = open(sqliteStorage(join(folder, 'broken')));
  for (let i = 0; i < 50; i++) await cluster.create(SecretKind, secret(`s${i}`, 'x'.repeat(3000)));
  await cluster.close();
  const { size } = statSync(join(folder, 'broken'));
  const damaged = Buffer.alloc(size - 8192, 0xaa);
  const descriptor = await import('node:fs/promises').then((fs) => fs.open(join(folder, 'broken'), 'r+'));
  await descriptor.write(damaged, 0, damaged.length, 8192);
  await descriptor.close();
  expect(attempt('broken')).toThrow(/store .*broken: it is corrupt/);
});

test('a folder that cannot be is told', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => sqliteStorage(join(folder, 'file', 'store.sqlite'))).toThrow(
    /cannot use the store .*file\/store\.sqlite/,
  );
  expect(() => readStore(join(folder, 'none', 'store.sqlite'), 'secrets')).toThrow(/it cannot be opened$/);
});

/** A storage that fails when told, and counts commits. */
function flaky(): Storage & { fail: boolean; commits: number } {
  const storage = {
    fail: false,
    commits: 0,
    load: () => ({ resourceVersion: 0, rows: [] }),
    commit: () => {
      storage.commits++;
      if (storage.fail) throw new Error('no space left');
    },
    close: () => {},
  };
  return storage;
}

test('what could not be committed never was: not for the writer, not for readers, not for watchers', async () => {
  const storage = flaky();
  const cluster = open(storage);
  const kept = await cluster.create(SecretKind, secret('kept'));
  const { resourceVersion } = await cluster.list(SecretKind);
  const events = watcher(cluster, resourceVersion);
  storage.fail = true;
  const outcomes = await Promise.allSettled([
    cluster.create(SecretKind, secret('lost')),
    cluster.create(SecretKind, secret('lost')),
    cluster.delete(SecretKind, { namespace: 'default', name: 'kept' }),
    cluster.get(SecretKind, { namespace: 'default', name: 'lost' }),
  ]);
  const unavailable = {
    status: 'rejected',
    reason: { reason: 'Unavailable', message: 'the store cannot be written: no space left' },
  };
  expect(outcomes).toMatchObject([unavailable, unavailable, unavailable, unavailable]);
  storage.fail = false;
  expect((await cluster.list(SecretKind)).items).toEqual([kept]);
  const after = await cluster.create(SecretKind, secret('after'));
  expect(await next(events)).toEqual({ type: 'ADDED', object: after });
});

test('writes of one turn share a commit', async () => {
  const storage = flaky();
  const cluster = open(storage);
  const before = storage.commits;
  await Promise.all(Array.from({ length: 50 }, (_, i) => cluster.create(SecretKind, secret(`s${i}`))));
  expect(storage.commits).toBe(before + 1);
});

test('after close every call is Unavailable, and what was under way is kept', async () => {
  const cluster = open(sqliteStorage(file()));
  const pending = cluster.create(SecretKind, secret('one'));
  await cluster.close();
  expect((await pending).metadata.name).toBe('one');
  await expect(cluster.get(SecretKind, { namespace: 'default', name: 'one' })).rejects.toMatchObject({
    reason: 'Unavailable',
  });
  expect(readStore(file(), 'secrets')).toHaveLength(1);
});

test('killed at any moment: what was answered is there, nothing is torn, and it goes on', async () => {
  const answered = new Set<string>();
  for (let round = 0; round < 6; round++) {
    const child = fork(join(import.meta.dirname, '../../test/support/store-writer.ts'), [file(), String(round)], {
      stdio: 'inherit',
    });
    const enough = 40 + round * 37;
    child.on('message', (name) => {
      answered.add(name as string);
      if (answered.size >= enough * (round + 1)) child.kill('SIGKILL');
    });
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');

    const cluster = open(sqliteStorage(file()));
    const { items, resourceVersion } = await cluster.list(IssuedCertificateKind);
    const names = new Set(items.map(({ metadata }) => metadata.name));
    expect([...answered].filter((name) => !names.has(name))).toEqual([]);
    for (const { metadata, spec, status } of items) {
      const { spec: wanted, status: result } = record('default', metadata.name);
      expect({ spec, status }).toEqual({ spec: { ...wanted, requestID: metadata.name }, status: result });
      expect(Number(metadata.resourceVersion)).toBeLessThanOrEqual(Number(resourceVersion));
    }
    // Pairs are written in one turn of the event loop, hence in one commit: both or none.
    const halves = new Map<string, number>();
    for (const name of names) halves.set(name.slice(0, -2), (halves.get(name.slice(0, -2)) ?? 0) + 1);
    expect([...halves].filter(([, count]) => count !== 2)).toEqual([]);
    await cluster.close();
  }
});

test('label look-ups follow every change', async () => {
  const cluster = open();
  const labelled = (name: string, team: string): NewObject<CertificateClaim> => ({
    ...claim('default', name),
    metadata: { namespace: 'default', name, labels: { team } },
  });
  const members = async (team: string) =>
    (await cluster.list(CertificateClaimKind, { labels: { team } })).items.map(({ metadata }) => metadata.name);
  expect(await members('a')).toEqual([]);
  for (const name of ['z', 'y', 'x']) await cluster.create(CertificateClaimKind, labelled(name, 'a'));
  expect(await members('a')).toEqual(['x', 'y', 'z']);
  const y = await cluster.get(CertificateClaimKind, { namespace: 'default', name: 'y' });
  if (y) await cluster.replace(CertificateClaimKind, { ...y, metadata: { ...y.metadata, labels: { team: 'b' } } });
  await cluster.delete(CertificateClaimKind, { namespace: 'default', name: 'x' });
  expect([await members('a'), await members('b')]).toEqual([['z'], ['y']]);
});
