// A chain is kept for each issuer that hands it out.
import { expect, test } from 'vitest';
import { anIssuer, createFakeStore } from '../../test/fakes/world.ts';
import { buildCaCertificate, createKeyPair } from '../../test/support/certificate-builder.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { NamespaceKind } from '../api/core.ts';
import { CAIssuerKind } from '../api/issuer.ts';
import { createChainStore } from './chains.ts';

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
  return { cluster, ref, issuers, kept, store: createChainStore({ cluster }) };
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
