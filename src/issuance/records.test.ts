// What this process wrote or read of records is known here before the watch brings it.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { type ObservedCluster, observeCluster } from '../../test/fakes/observed-cluster.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { ALL_KINDS } from '../api/index.ts';
import { type CertificateRecord, IssuedCertificateKind } from '../api/issued-certificate.ts';
import type { NewObject } from '../api/kind.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { createReflector } from '../runtime/reflector.ts';
import { createNewestRecords, createRecords, RECORD_INDEXES, recordName } from './records.ts';

const NAMESPACE = 'pki';
const name = recordName('ACME', 'order');
const refusal = { type: 'rejectedIdentifier', detail: 'no', status: 403, refusedAt: '2026-01-01T00:00:00.000Z' };

const reservation: NewObject<CertificateRecord> = {
  metadata: { name, namespace: NAMESPACE },
  spec: {
    requestID: 'order',
    door: 'ACME',
    issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
    issuerUID: 'uid',
    requester: { account: 'account' },
    names: ['dns:www.example.test'],
    csr: 'AAAA',
    policy: 'open',
    decisionID: 'decision',
    approved: {
      subject: 'MAA=',
      usages: ['server auth'],
      notBefore: '2026-01-01T00:00:00.000Z',
      notAfter: '2026-02-01T00:00:00.000Z',
    },
  },
};

/** Records of a process whose watch has brought nothing yet, and the same of another. */
function records() {
  const [clock, random] = [createFakeClock(), createFakeRandom()];
  const store = createEmbeddedCluster({
    storage: memoryStorage(),
    clock,
    random,
    kinds: ALL_KINDS,
    namespaces: [NAMESPACE],
  });
  const cluster = observeCluster(store);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const cache = createReflector({ cluster, kind: IssuedCertificateKind, clock, random, log, indexes: RECORD_INDEXES });
  const of = (cluster: ObservedCluster) =>
    createRecords({ cluster, cache, newest: createNewestRecords(cache, NAMESPACE), namespace: NAMESPACE });
  return { cluster, own: of(cluster), other: of(observeCluster(store)) };
}

const reads = ({ calls }: ObservedCluster) => calls.filter(({ verb }) => verb === 'get').length;

test('a record finished here is not read', async () => {
  const { cluster, own } = records();
  const reserved = await cluster.create(IssuedCertificateKind, reservation);
  await own.refuse(reserved, refusal);
  expect((await own.get(name))?.status?.refusal).toEqual(refusal);
  expect(reads(cluster)).toBe(0);
});

test('a finished record of another process is read once', async () => {
  const { cluster, own, other } = records();
  await other.refuse(await cluster.create(IssuedCertificateKind, reservation), refusal);
  for (let i = 0; i < 3; i++) expect((await own.get(name))?.status?.refusal).toEqual(refusal);
  expect(reads(cluster)).toBe(1);
});

test('a reservation is read each time, since another process may have finished it', async () => {
  const { cluster, own, other } = records();
  const reserved = await cluster.create(IssuedCertificateKind, reservation);
  own.saw(reserved);
  expect((await own.get(name))?.status).toBeUndefined();
  await other.refuse(reserved, refusal);
  expect((await own.get(name))?.status?.refusal).toEqual(refusal);
});
