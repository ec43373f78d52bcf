// A chain is kept for each issuer that hands it out.
import { expect, test } from 'vitest';
import { anIssuer, createFakeStore } from '../../test/fakes/world.ts';
import { buildCaCertificate, createKeyPair } from '../../test/support/certificate-builder.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { NamespaceKind } from '../api/core.ts';
import { CAIssuerKind } from '../api/issuer.ts';

import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { ALL_KINDS } from '../api/index.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { chainFingerprint } from '../domain/chain.ts';
import type { IssuedCertificate } from '../api/issued-certificate.ts';
import type { Cache } from '../ports.ts';
import { createChainStore, createChainsInUse, MAX_CHAINS } from './chains.ts';

const { spec } = anIssuer();
const chain = [buildCaCertificate('A CA', createKeyPair())];

async function setUp() {
  const { cluster } = createFakeStore();
  await cluster.create(NamespaceKind, { metadata: { name: 'team-a' } });
  const ref = { namespace: 'team-a', name: 'corporate' };
  const issuers = [
    await cluster.create(ClusterCAIssuerKind, anIssuer()),
    await cluster.create(CAIssuerKind, { metadata: ref, spec }),
  ] as const;
  const kept = async () => ({
    cluster: (await cluster.get(ClusterCAIssuerKind, { name: 'corporate' }))?.status?.chains?.length ?? 0,
    tenant: (await cluster.get(CAIssuerKind, ref))?.status?.chains?.length ?? 0,
  });
  return { cluster, ref, issuers, kept, store: createChainStore({ cluster, inUse: () => new Set() }) };
}

test('a chain is kept in the status of the issuer that used it, of either kind, once', async () => {
  const { store, issuers, kept } = await setUp();
  const [ofCluster, ofTenant] = issuers;
  await store.keep(ofTenant, chain);
  expect(await kept()).toEqual({ cluster: 0, tenant: 1 });
  await store.keep(ofTenant, chain);
  expect(await kept()).toEqual({ cluster: 0, tenant: 1 });
  // Another issuer with the same CA needs it in its own status.
  await store.keep(ofCluster, chain);
  expect(await kept()).toEqual({ cluster: 1, tenant: 1 });
});

test('nothing is written to another issuer that has taken the name', async () => {
  const { cluster, ref, store, issuers, kept } = await setUp();
  await cluster.delete(CAIssuerKind, ref);
  await cluster.create(CAIssuerKind, { metadata: ref, spec });
  await expect(store.keep(issuers[1], chain)).rejects.toThrow('the issuer is gone');
  expect(await kept()).toEqual({ cluster: 0, tenant: 0 });
});

/** An issuer whose status is full, its oldest chain last; live records name the chains of these places in the list. */
async function full(...live: number[]) {
  const [clock, random] = [createFakeClock(), createFakeRandom()];
  const cluster = createEmbeddedCluster({ storage: memoryStorage(), clock, random, kinds: ALL_KINDS });
  const spec = { backend: { ca: { secretRef: { name: 'ca' } } } };
  const issuer = await cluster.create<ClusterCAIssuer>(ClusterCAIssuerKind, { metadata: { name: 'main' }, spec });
  const { uid } = issuer.metadata;
  const chainOf = (i: number) => [Buffer.from(`the certificate of CA ${i}`)];
  const record = (i: number, notAfter: string, issuerUID = uid) => ({
    spec: { issuerUID },
    status: { certificate: 'AAAA', chain: chainFingerprint(chainOf(MAX_CHAINS - 1 - i)), notAfter },
  });
  const records = [
    ...live.map((i) => record(i, '2099-01-01T00:00:00.000Z')),
    // Expired, and of another issuer: these need no chain here.
    record(14, '2000-01-01T00:00:00.000Z'),
    record(14, '2099-01-01T00:00:00.000Z', 'another'),
  ];
  const cache = { each: () => records } as unknown as Cache<IssuedCertificate>;
  const chains = createChainStore({ cluster, inUse: createChainsInUse({ records: cache, clock }) });
  for (let i = 0; i < MAX_CHAINS; i++) await chains.keep(issuer, chainOf(i));
  const shown = async () =>
    (await cluster.get(ClusterCAIssuerKind, { name: 'main' }))?.status?.chains?.map(({ fingerprint }) => fingerprint);
  return { shown, keep: () => chains.keep(issuer, chainOf(MAX_CHAINS)) };
}

test('one chain too many takes the place of the oldest that no live certificate needs', async () => {
  const { shown, keep } = await full(15, 13);
  const before = (await shown()) ?? [];
  const added = await keep();
  expect(await shown()).toEqual([added, ...before.filter((_, i) => i !== 14)]);
});

test('where live certificates need them all, one more is refused for now and nothing is lost', async () => {
  const { shown, keep } = await full(...Array.from({ length: MAX_CHAINS }, (_, i) => i));
  const before = await shown();
  await expect(keep()).rejects.toMatchObject({ type: 'serverInternal', status: 503 });
  expect(await shown()).toEqual(before);
});
