// A chain is kept for each issuer that hands it out.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { ALL_KINDS } from '../api/index.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { createChainStore } from './chains.ts';

test('two issuers with one CA each have its chain', async () => {
  const [clock, random] = [createFakeClock(), createFakeRandom()];
  const cluster = createEmbeddedCluster({ storage: memoryStorage(), clock, random, kinds: ALL_KINDS });
  const chains = createChainStore({ cluster });
  const spec = { backend: { ca: { secretRef: { name: 'shared-ca' } } } };
  for (const name of ['first', 'second']) {
    const issuer = await cluster.create<ClusterCAIssuer>(ClusterCAIssuerKind, { metadata: { name }, spec });
    const fingerprint = await chains.keep(issuer, [Buffer.from('the certificate of the CA')]);
    const stored = await cluster.get(ClusterCAIssuerKind, { name });
    expect(stored?.status?.chains?.map((chain) => chain.fingerprint)).toEqual([fingerprint]);
  }
});
