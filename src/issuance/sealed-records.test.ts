// What is no record of ours, or not as we wrote it, is not there.
import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { record } from '../../test/contract/cluster.ts';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { ALL_KINDS } from '../api/index.ts';
import { type CertificateRecord, IssuedCertificateKind } from '../api/issued-certificate.ts';
import { metadataOf } from '../api/kind.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import type { WatchEvent } from '../ports.ts';
import { sealRecord, sealRecords, type RecordMarks } from './sealed-records.ts';

const NAMESPACE = 'countersign-system';

/** MACs by one key, which is not known until it is asked for anew where `late`. */
function marksOf(key: string, late = false): RecordMarks & { reloads: number } {
  let known = !late;
  const mac = (purpose: string, parts: readonly string[]) =>
    `1.${createHmac('sha256', key)
      .update(JSON.stringify([purpose, parts]))
      .digest('base64url')}`;
  const marks = {
    reloads: 0,
    mac,
    verifyMac: (purpose: string, parts: readonly string[], given: string) => known && given === mac(purpose, parts),
    knowsKeyOf: () => known,
    reload: async () => {
      marks.reloads++;
      known = true;
    },
  };
  return marks;
}

function setUp(marks: RecordMarks = marksOf('ours')) {
  const store = createEmbeddedCluster({
    storage: memoryStorage(),
    clock: createFakeClock(),
    random: createFakeRandom(),
    kinds: ALL_KINDS,
    namespaces: [NAMESPACE],
  });
  const forged: string[] = [];
  const onForged = ({ metadata }: CertificateRecord) => void forged.push(metadata.name);
  return { store, forged, cluster: sealRecords(store, { marks, onForged }) };
}

const KIND = IssuedCertificateKind;
const at = (name: string) => ({ namespace: NAMESPACE, name });
const REVOCATION = { reason: 1, revokedAt: '2030-01-02T00:00:00Z', by: 'security' };

test('what is written through it is there, also changed by us, revoked and labelled by others', async () => {
  const { store, cluster, forged } = setUp();
  const made = await cluster.create(KIND, record(NAMESPACE, 'ic-a'));
  expect(await cluster.get(KIND, at('ic-a'))).toEqual(made);
  const labels = { 'countersign.dev/names': 'x' };
  await cluster.replace(KIND, { ...made, metadata: { ...made.metadata, labels } });
  const stored = await store.get(KIND, at('ic-a'));
  if (!stored) throw new Error('no record');
  const others = { ...stored.metadata.labels, team: 'security', 'countersign.dev/revoked': 'true' };
  const revoked = await store.replace(KIND, {
    ...stored,
    metadata: { ...stored.metadata, labels: others },
    spec: { ...stored.spec, revocation: REVOCATION },
  });
  expect(await cluster.get(KIND, at('ic-a'))).toEqual(revoked);
  expect((await cluster.list(KIND, { namespace: NAMESPACE })).items).toEqual([revoked]);
  expect(forged).toEqual([]);
});

const genuine = sealRecord(marksOf('ours'), record(NAMESPACE, 'ic-a'));
const withMetadata = (metadata: object) => ({ ...genuine, metadata: { ...genuine.metadata, ...metadata } });
const { status } = genuine;

test.each([
  ['without a MAC', withMetadata({ annotations: {} })],
  ['with a MAC of another key', sealRecord(marksOf('theirs'), record(NAMESPACE, 'ic-a'))],
  ['with the MAC of another record', withMetadata({ name: 'ic-b' })],
  ['with a label more', withMetadata({ labels: { 'countersign.dev/account': 'mine' } })],
  [
    'with an annotation more',
    withMetadata({ annotations: { ...genuine.metadata.annotations, 'countersign.dev/handle': 'x' } }),
  ],
  ['with another requester', { ...genuine, spec: { ...genuine.spec, requester: { account: 'mine' } } }],
  ['with other names', { ...genuine, spec: { ...genuine.spec, names: ['dns:b.example.test'] } }],
  ['with another request', { ...genuine, spec: { ...genuine.spec, csr: 'BBBB' } }],
  ['with another certificate', { ...genuine, status: { ...status, certificate: 'BBBB' } }],
  ['with a longer life', { ...genuine, status: { ...status, notAfter: '2031-01-01T00:00:00Z' } }],
])('a record %s is not there, whichever way one looks, and is told of', async (_, planted) => {
  const { store, cluster, forged } = setUp();
  const { resourceVersion } = await cluster.list(KIND);
  const made = await store.create(KIND, planted);
  const { name } = made.metadata;
  expect(await cluster.get(KIND, at(name))).toBeUndefined();
  expect((await cluster.list(KIND)).items).toEqual([]);
  const stop = new AbortController();
  const events: WatchEvent<CertificateRecord>[] = [];
  for await (const event of cluster.watch(KIND, { resourceVersion, signal: stop.signal })) {
    events.push(event);
    stop.abort();
  }
  expect(events).toEqual([{ type: 'DELETED', object: made }]);
  expect(forged).toEqual([name, name, name]);
  expect(await store.get(KIND, at(name))).toEqual(made);
});

test('a record that is changed by somebody else goes from a watch', async () => {
  const { store, cluster } = setUp();
  const made = await cluster.create(KIND, record(NAMESPACE, 'ic-a'));
  const { resourceVersion } = await cluster.list(KIND);
  const labels = { 'countersign.dev/account': 'mine' };
  await store.replace(KIND, { ...made, metadata: { ...made.metadata, labels } });
  const stop = new AbortController();
  for await (const event of cluster.watch(KIND, { resourceVersion, signal: stop.signal })) {
    expect(event).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'ic-a' } } });
    stop.abort();
  }
});

test('a key that is not known here is asked for before a record is taken for forged', async () => {
  const marks = marksOf('ours', true);
  const { store, cluster, forged } = setUp(marks);
  await store.create(KIND, genuine);
  expect(await cluster.get(KIND, at('ic-a'))).toBeDefined();
  expect([marks.reloads, forged]).toEqual([1, []]);
});

test('metadata alone is passed on: it cannot be told', async () => {
  const { store, cluster, forged } = setUp();
  await store.create(KIND, withMetadata({ annotations: {} }));
  expect((await cluster.list(metadataOf(KIND))).items).toHaveLength(1);
  expect(forged).toEqual([]);
});

/** What a MAC is over. */
function sealedText(change: object): string {
  let text = '';
  const mac = (_purpose: string, parts: readonly string[]) => {
    text = JSON.stringify(parts);
    return '';
  };
  sealRecord({ mac }, { ...record(NAMESPACE, 'ic-a'), ...change });
  return text;
}

test('a MAC is over the same text whichever version of the program wrote it, and in whatever order members come', () => {
  const { spec } = record(NAMESPACE, 'ic-a');
  const labels = { 'countersign.dev/serial': '0a', team: 'theirs', 'countersign.dev/door': 'ACME' };
  const annotations = { 'countersign.dev/handle': 'h"1\n', 'countersign.dev/mac': 'x' };
  const metadata = { namespace: NAMESPACE, name: 'ic-a', labels, annotations };
  const parts = [
    '[{"countersign.dev/door":"ACME","countersign.dev/serial":"0a"},{"countersign.dev/handle":"h\\"1\\n"}',
    '{"decisionID":"decision-1","door":"ACME","issuerRef":{"kind":"ClusterCAIssuer","name":"corporate"},"issuerUID":"00000000-0000-4000-8000-000000000000","names":["dns:a.example.test"],"policy":"open","requestID":"request-1","requester":{"account":"someone"}}',
    '{"chain":"ab","issuedAt":"2030-01-01T00:00:00Z","notAfter":"2030-04-01T00:00:00Z","notBefore":"2030-01-01T00:00:00Z","serial":"0a"}]',
  ];
  const wanted = JSON.stringify(['ic-a', 'AAAA', 'AAAA', parts.join()]);
  expect(sealedText({ metadata })).toBe(wanted);
  const turned = Object.fromEntries(Object.entries(spec).toReversed());
  expect(sealedText({ metadata, spec: turned })).toBe(wanted);
});

test('members whose names hold line ends are never taken for others', () => {
  const { spec } = record(NAMESPACE, 'ic-a');
  const texts = [
    { a: 1, 'b\nc': 2 },
    { a: 1, b: 2, c: 3 },
    { 'a\nb': 1, c: 2 },
    { a: 1, 'b\nc': 2 },
  ].map((requester) => sealedText({ spec: { ...spec, requester } }));
  expect(new Set(texts).size).toBe(3);
  expect(texts[0]).toBe(texts[3]);
  expect(texts.map((text) => text.includes(String.raw`{\"a\":1,\"b\":2,\"c\":3}`))).toEqual([
    false,
    true,
    false,
    false,
  ]);
});
