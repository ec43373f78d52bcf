// A process for the store's kill test: writes pairs of records without end and tells each name once its create was answered.
import { ALL_KINDS } from '../../src/api/index.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { sqliteStorage } from '../../src/cluster/sqlite-storage.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';

const [file = '', round = ''] = process.argv.slice(2);
const cluster = createEmbeddedCluster({
  storage: sqliteStorage(file),
  clock: createClock(),
  random: createRandom(),
  kinds: ALL_KINDS,
});

async function write(name: string): Promise<void> {
  await cluster.create(IssuedCertificateKind, {
    metadata: { namespace: 'default', name },
    spec: {
      requestID: name,
      door: 'ACME',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      issuerUID: '00000000-0000-4000-8000-000000000000',
      requester: { account: 'someone' },
      names: ['dns:a.example.test'],
      csr: 'AAAA',
      policy: 'open',
      decisionID: 'decision-1',
    },
    status: {
      certificate: 'AAAA',
      serial: '0a',
      notBefore: '2030-01-01T00:00:00Z',
      notAfter: '2030-04-01T00:00:00Z',
      issuedAt: '2030-01-01T00:00:00Z',
      chain: 'ab',
    },
  });
  process.send?.(name);
}

for (let i = 0; ; i++) await Promise.all(['a', 'b'].map((half) => write(`r${round}-${i}-${half}`)));
