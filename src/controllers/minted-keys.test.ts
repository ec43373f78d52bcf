// Keys of namespaces in their Secrets, over time.
import { expect, test } from 'vitest';
import { anIssuer, createFakeStore, startWorld, type World } from '../../test/fakes/world.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { EventKind, NamespaceKind, SecretKind } from '../api/core.ts';
import type { NewObject } from '../api/kind.ts';

const DAY = 86_400_000;
const WEB = { namespace: 'web', name: 'acme-key' };

function minting(name = 'corporate', more: object = {}): NewObject<ClusterCAIssuer> {
  const mint = {
    namespaceSelector: { matchLabels: { acme: 'yes' } },
    secretName: 'acme-key',
    rotateAfter: '240h',
    ...more,
  };
  const { spec } = anIssuer({ acme: { externalAccountBinding: { mode: 'Required', mint } } });
  return { metadata: { name }, spec };
}

async function start(): Promise<World> {
  const world = await startWorld(createFakeStore('2026-01-01T00:00:00Z'));
  const { cluster } = world.store;
  await cluster.create(NamespaceKind, { metadata: { name: 'web', labels: { acme: 'yes' } } });
  await cluster.create(NamespaceKind, { metadata: { name: 'db' } });
  return world;
}

const textsOf = async (world: World, ref = WEB): Promise<Record<string, string> | undefined> => {
  const secret = await world.store.cluster.get(SecretKind, ref);
  const entries = Object.entries(secret?.data ?? {});
  return secret && Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
};

test('each selected namespace has a key of its own in the encoding of cert-manager, and no other has one', async () => {
  const world = await start();
  await world.store.cluster.create(ClusterCAIssuerKind, minting());
  await world.quiet();
  const texts = await textsOf(world);
  expect(texts).toEqual({
    keyID: 'ns.web',
    secret: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    directory: 'https://ca.test/acme/corporate/directory',
  });
  await world.store.cluster.create(NamespaceKind, { metadata: { name: 'api', labels: { acme: 'yes' } } });
  await world.quiet();
  const other = await textsOf(world, { ...WEB, namespace: 'api' });
  expect(other?.secret).not.toBe(texts?.secret);
  expect(await textsOf(world, { ...WEB, namespace: 'db' })).toBeUndefined();
  world.writes();
  await world.pass(60_000, 2);
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('a key is made anew once a period, and what tenants do to the Secret is mended', async () => {
  const world = await start();
  const { cluster } = world.store;
  await cluster.create(ClusterCAIssuerKind, minting());
  await world.quiet();
  const first = await textsOf(world);
  const secret = await cluster.get(SecretKind, WEB);
  if (!secret) throw new Error('no Secret');
  await cluster.replace(SecretKind, { ...secret, data: { ...secret.data, secret: 'eA==' } });
  await world.quiet();
  expect(await textsOf(world)).toEqual(first);
  await world.pass(11 * DAY, 4);
  const second = await textsOf(world);
  expect(second?.secret).not.toBe(first?.secret);
  await cluster.delete(SecretKind, WEB);
  await world.quiet();
  expect(await textsOf(world)).toEqual(second);
  await world.stop();
});

test('the Secret goes when the namespace is selected no more, or the issuer mints no more, or is gone', async () => {
  const world = await start();
  const { cluster } = world.store;
  const withdrawals: (() => Promise<unknown>)[] = [
    async () => {
      const namespace = await cluster.get(NamespaceKind, { name: 'web' });
      if (namespace)
        await cluster.replace(NamespaceKind, { ...namespace, metadata: { ...namespace.metadata, labels: {} } });
    },
    async () => {
      const issuer = await cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
      if (issuer) await cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: anIssuer().spec });
    },
    () => cluster.delete(ClusterCAIssuerKind, { name: 'corporate' }),
  ];
  for (const withdraw of withdrawals) {
    await cluster.delete(ClusterCAIssuerKind, { name: 'corporate' });
    await cluster.apply(
      NamespaceKind,
      { metadata: { name: 'web', labels: { acme: 'yes' } } },
      { fieldManager: 'test' },
    );
    await cluster.create(ClusterCAIssuerKind, minting());
    await world.quiet();
    expect(await textsOf(world)).toBeDefined();
    await withdraw();
    await world.quiet();
    expect(await textsOf(world)).toBeUndefined();
  }
  await world.stop();
});

test('a Secret of somebody else stays as it is, whatever its annotations say, and people hear of it', async () => {
  const world = await start();
  const { cluster } = world.store;
  const annotations = { 'countersign.dev/kept-for': 'x', 'countersign.dev/marker': '1.AAAA' };
  await cluster.create(SecretKind, {
    metadata: { ...WEB, annotations },
    type: 'Opaque',
    stringData: { secret: 'mine' },
  });
  await cluster.create(ClusterCAIssuerKind, minting());
  await world.quiet();
  expect(await textsOf(world)).toEqual({ secret: 'mine' });
  const { items } = await cluster.list(EventKind);
  expect(items.filter(({ reason }) => reason === 'SecretNotOurs').map(({ note }) => note)).toEqual([
    'Secret acme-key in namespace web was made by somebody else: it gets no key',
  ]);
  await cluster.delete(ClusterCAIssuerKind, { name: 'corporate' });
  await world.quiet();
  expect(await textsOf(world)).toEqual({ secret: 'mine' });
  await world.stop();
});

test('of two issuers with one name for their Secrets the first keeps it, and the second has it once the first is gone', async () => {
  const world = await start();
  const { cluster } = world.store;
  await cluster.create(ClusterCAIssuerKind, minting());
  await world.quiet();
  const first = await textsOf(world);
  await cluster.create(ClusterCAIssuerKind, minting('second'));
  await world.quiet();
  expect(await textsOf(world)).toEqual(first);
  await cluster.delete(ClusterCAIssuerKind, { name: 'corporate' });
  await world.quiet();
  expect((await textsOf(world))?.directory).toBe('https://ca.test/acme/second/directory');
  await world.stop();
});
