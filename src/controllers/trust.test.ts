// What is published, where, and until when.
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { buildCaCertificate, createKeyPair, type KeyPair, pemOf } from '../../test/support/certificate-builder.ts';
import { anIssuer, createFakeStore, startWorld, type World } from '../../test/fakes/world.ts';
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type ConfigMap, ConfigMapKind, NamespaceKind, SecretKind } from '../api/core.ts';
import { clusterTrustBundleKind } from '../api/foreign.ts';
import { CAIssuerKind } from '../api/issuer.ts';
import { findCondition } from '../domain/conditions.ts';

const BUNDLE = clusterTrustBundleKind('v1');
const PASS = 15 * 60_000;

interface Authority {
  keys: KeyPair;
  der: Buffer;
  pem: string;
}

function authority(name: string): Authority {
  const keys = createKeyPair();
  const der = buildCaCertificate(name, keys);
  return { keys, der, pem: pemOf('CERTIFICATE', der) };
}

const serving = authority('Serving CA');

/** MAC keys by number, of which the last one is used. */
function keys() {
  const known = [1];
  const make = (key: number, purpose: string, parts: readonly string[]): string =>
    `${key}.${createHash('sha256')
      .update(JSON.stringify([key, purpose, parts]))
      .digest('base64url')}`;
  return {
    known,
    marks: {
      mac: (purpose: string, parts: readonly string[]) => make(known.at(-1) ?? 0, purpose, parts),
      verifyMac: (purpose: string, parts: readonly string[], mac: string) =>
        known.some((key) => make(key, purpose, parts) === mac),
      derive: () => undefined,
      currentKey: () => known.at(-1) ?? 0,
      keys: () => known,
    },
  };
}

async function start(
  publishTrust: CAIssuerSpec['publishTrust'],
  root = authority('Root 1'),
  { marks } = keys(),
): Promise<World> {
  const own = { servingCA: async () => serving.pem, marks };
  const world = await startWorld(createFakeStore(new Date().toISOString()), own);
  show(world, root);
  const { cluster } = world.store;
  await cluster.create(NamespaceKind, { metadata: { name: 'web', labels: { tier: 'web' } } });
  await cluster.create(NamespaceKind, { metadata: { name: 'db', labels: { tier: 'db' } } });
  if (publishTrust) await cluster.create(ClusterCAIssuerKind, anIssuer({ publishTrust }));
  await world.quiet();
  return world;
}

function show(world: World, { der }: Authority): void {
  world.backend.health = { ready: true, reason: 'Ready', message: 'signs', ca: { certificate: der, chains: [[der]] } };
}

const mapIn = (world: World, namespace: string, name = 'trust') =>
  world.store.cluster.get(ConfigMapKind, { namespace, name });

async function condition(world: World) {
  const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
  const { status, reason, message } = findCondition(issuer?.status?.conditions, 'TrustPublished') ?? {};
  return status && { status, reason, message };
}

async function change(world: World, spec: Partial<CAIssuerSpec>): Promise<void> {
  const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
  if (!issuer) throw new Error('no issuer');
  await world.store.cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...anIssuer().spec, ...spec } });
  await world.quiet();
}

test('every namespace selected has the roots and what signed the certificate of the ACME server, a new one soon too', async () => {
  const root = authority('Root 1');
  const world = await start(
    { configMap: { name: 'trust', namespaceSelector: { matchLabels: { tier: 'web' } } } },
    root,
  );
  const data = { 'ca.crt': root.pem, 'acme-ca.crt': serving.pem };
  expect((await mapIn(world, 'web'))?.data).toEqual(data);
  expect(await mapIn(world, 'db')).toBeUndefined();
  await world.store.cluster.create(NamespaceKind, { metadata: { name: 'web-2', labels: { tier: 'web' } } });
  await world.quiet();
  expect((await mapIn(world, 'web-2'))?.data).toEqual(data);
  expect(await condition(world)).toEqual({
    status: 'True',
    reason: 'Published',
    message: 'published as ConfigMap trust in 2 namespaces',
  });
  world.writes();
  await world.pass(PASS, 2);
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('another CA of the ACME server is published when its Secret says so, without waiting for the next look', async () => {
  const of = { namespace: 'countersign-system', name: 'serving' };
  let pem = serving.pem;
  const own = { servingCA: async () => pem, servingSecret: of };
  const world = await startWorld(createFakeStore(new Date().toISOString()), own);
  show(world, authority('Root 1'));
  const { cluster } = world.store;
  await cluster.create(NamespaceKind, { metadata: { name: 'web' } });
  await cluster.create(ClusterCAIssuerKind, anIssuer({ publishTrust: { configMap: { name: 'trust' } } }));
  const secret = await cluster.create(SecretKind, { metadata: of, type: 'Opaque', data: {} });
  await world.quiet();
  expect((await mapIn(world, 'web'))?.data?.['acme-ca.crt']).toBe(serving.pem);
  pem = authority('Next').pem;
  await cluster.replace(SecretKind, { ...secret, data: { 'ca.crt': 'bmV4dA==' } });
  await world.quiet();
  expect((await mapIn(world, 'web'))?.data?.['acme-ca.crt']).toBe(pem);
  // Of others nothing is made.
  world.writes();
  await cluster.create(SecretKind, { metadata: { ...of, name: 'other' }, type: 'Opaque', data: {} });
  await world.quiet();
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('a new root joins the old one, which stays while certificates under it are handed out', async () => {
  const [first, second] = [authority('Root 1'), authority('Root 2')];
  const world = await start({ configMap: { name: 'trust' } }, first);
  await change(world, { publishTrust: { configMap: { name: 'trust' }, additional: second.pem } });
  expect((await mapIn(world, 'web'))?.data?.['ca.crt']).toBe(first.pem + second.pem);
  show(world, second);
  await world.pass(PASS, 2);
  expect((await mapIn(world, 'web'))?.data?.['ca.crt']).toBe(second.pem + first.pem);
  await change(world, { publishTrust: { configMap: { name: 'trust' } } });
  expect((await mapIn(world, 'web'))?.data?.['ca.crt']).toBe(second.pem + first.pem);
  await world.stop();
});

test('what tenants change is mended, what nobody wants any more goes, and the condition with it', async () => {
  const world = await start({ configMap: { name: 'trust' }, clusterTrustBundle: true });
  const { cluster } = world.store;
  const made = (await mapIn(world, 'web')) as ConfigMap;
  await cluster.replace(ConfigMapKind, {
    ...made,
    metadata: { ...made.metadata, labels: {} },
    data: { 'ca.crt': 'mine' },
  });
  await world.pass(PASS, 2);
  expect((await mapIn(world, 'web'))?.data).toEqual(made.data);
  await change(world, { publishTrust: { configMap: { name: 'other' }, clusterTrustBundle: true } });
  expect(await mapIn(world, 'web')).toBeUndefined();
  expect((await mapIn(world, 'web', 'other'))?.data).toEqual(made.data);
  expect((await cluster.list(BUNDLE)).items).toHaveLength(2);
  await change(world, {});
  expect((await cluster.list(ConfigMapKind)).items).toEqual([]);
  expect((await cluster.list(BUNDLE)).items).toEqual([]);
  // Another controller writes the same status: whoever is late tries again.
  await world.pass(PASS, 2);
  expect(await condition(world)).toBeUndefined();
  await world.stop();
});

test('with the issuer goes what was published for it', async () => {
  const world = await start({ configMap: { name: 'trust' }, clusterTrustBundle: true });
  await world.store.cluster.delete(ClusterCAIssuerKind, { name: 'corporate' });
  await world.quiet();
  expect((await world.store.cluster.list(ConfigMapKind)).items).toEqual([]);
  expect((await world.store.cluster.list(BUNDLE)).items).toEqual([]);
  await world.stop();
});

test('a ConfigMap of somebody else stays, and the condition says so', async () => {
  const world = await start(undefined);
  const { cluster } = world.store;
  const labels = { 'countersign.dev/publishes': 'trust' };
  const annotations = { 'countersign.dev/marker': '1.AAAA', 'countersign.dev/kept-for': 'x' };
  const metadata = { namespace: 'web', name: 'trust', labels, annotations };
  await cluster.create(ConfigMapKind, { metadata, data: { a: 'b' } });
  await cluster.create(ClusterCAIssuerKind, anIssuer({ publishTrust: { configMap: { name: 'trust' } } }));
  await world.quiet();
  expect((await mapIn(world, 'web'))?.data).toEqual({ a: 'b' });
  expect((await mapIn(world, 'db'))?.data).toBeDefined();
  expect(await condition(world)).toEqual({
    status: 'False',
    reason: 'NotOurs',
    message: 'ConfigMap trust in namespace web was made by somebody else',
  });
  await change(world, {});
  expect((await mapIn(world, 'web'))?.data).toEqual({ a: 'b' });
  await world.stop();
});

test('bundles are named and signed for as the API server demands; that of the ACME server is shared', async () => {
  const root = authority('Root 1');
  const world = await start({ clusterTrustBundle: true }, root);
  await world.store.cluster.create(ClusterCAIssuerKind, {
    ...anIssuer({ publishTrust: { clusterTrustBundle: true } }),
    metadata: { name: 'second' },
  });
  await world.quiet();
  const { items } = await world.store.cluster.list(BUNDLE);
  expect(items.map(({ metadata, spec }) => [metadata.name, spec])).toEqual([
    [
      'clustercaissuers.countersign.dev:corporate:roots',
      { signerName: 'clustercaissuers.countersign.dev/corporate', trustBundle: root.pem },
    ],
    [
      'clustercaissuers.countersign.dev:second:roots',
      { signerName: 'clustercaissuers.countersign.dev/second', trustBundle: root.pem },
    ],
    ['countersign.dev:acme:serving', { signerName: 'countersign.dev/acme', trustBundle: serving.pem }],
  ]);
  await world.stop();
});

test('objects stay ours when the keys of the operator turn over', async () => {
  const { known, marks } = keys();
  const world = await start({ configMap: { name: 'trust' } }, undefined, { known, marks });
  known.push(2);
  await world.pass(PASS, 2);
  known.shift();
  await world.pass(PASS, 2);
  expect(await condition(world)).toMatchObject({ status: 'True', reason: 'Published' });
  await change(world, {});
  expect((await world.store.cluster.list(ConfigMapKind)).items).toEqual([]);
  await world.stop();
});

test('what a tenant publishes stays in the namespace of the issuer', async () => {
  const world = await start(undefined);
  const spec = { backend: { ca: { secretRef: { name: 'ca' } } }, publishTrust: { configMap: { name: 'trust' } } };
  await world.store.cluster.create(CAIssuerKind, { metadata: { namespace: 'web', name: 'team' }, spec });
  await world.quiet();
  const { items } = await world.store.cluster.list(ConfigMapKind);
  expect(items.map(({ metadata }) => metadata.namespace)).toEqual(['web']);
  await world.stop();
});
