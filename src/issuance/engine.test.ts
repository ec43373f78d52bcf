// What the engine does around its commit: the audit log tells of every certificate on record, whatever happens at that moment.
import { beforeEach, expect, test } from 'vitest';
import { type CapturingAudit, createCapturingAudit } from '../../test/fakes/log.ts';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { type ObservedCluster, observeCluster } from '../../test/fakes/observed-cluster.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { buildCsr } from '../../test/support/csr-builder.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { ALL_KINDS } from '../api/index.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import { createBackends } from '../backends/index.ts';
import { createEmbeddedCluster } from '../cluster/embedded.ts';
import { createSecretReader } from '../cluster/secret-reader.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { createReflector } from '../runtime/reflector.ts';
import { createChainStore } from './chains.ts';
import { createIssue } from './engine.ts';
import { createNewestRecords, createRecords, RECORD_INDEXES } from './records.ts';
import type { IssuanceOutcome, IssuanceRequest } from './types.ts';

const NAMESPACE = 'countersign-system';

let cluster: ObservedCluster;
let audit: CapturingAudit;
let counted: number;
let request: IssuanceRequest;
let issue: () => Promise<IssuanceOutcome>;

beforeEach(async () => {
  const [clock, random] = [createFakeClock(), createFakeRandom()];
  const storage = memoryStorage();
  cluster = observeCluster(
    createEmbeddedCluster({ storage, clock, random, kinds: ALL_KINDS, namespaces: [NAMESPACE] }),
  );
  audit = createCapturingAudit();
  counted = 0;
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const cache = createReflector({ cluster, kind: IssuedCertificateKind, clock, random, log, indexes: RECORD_INDEXES });
  const issuer = await cluster.create<ClusterCAIssuer>(ClusterCAIssuerKind, {
    metadata: { name: 'main' },
    spec: { backend: { ca: { secretRef: { name: 'main-ca' }, selfSigned: { commonName: 'Test CA' } } } },
  });
  const engine = createIssue({
    cluster,
    namespace: NAMESPACE,
    backends: createBackends({
      secretsOf: () => createSecretReader(cluster, NAMESPACE),
      clock,
      random,
      urls: () => undefined,
    }),
    judge: {
      atNewOrder: async () => undefined,
      atAuthorization: async () => undefined,
      atValidation: async () => undefined,
      atFinalize: async () => ({ allowed: true, policy: 'open', decisionID: 'decision' }),
    },
    records: createRecords({ cluster, cache, newest: createNewestRecords(cache, NAMESPACE), namespace: NAMESPACE }),
    chains: createChainStore({ cluster, inUse: () => new Set() }),
    refuseKey: () => undefined,
    awaitRecord: async (record) => record,
    clock,
    audit,
    issued: { inc: () => void counted++ },
    refused: { inc: () => undefined },
  });
  request = {
    id: 'order',
    door: 'ACME',
    issuer,
    requester: { account: 'account' },
    identifiers: [{ type: 'dns', value: 'www.example.test' }],
    csr: buildCsr({ names: ['www.example.test'] }).der,
    wanted: {},
  };
  issue = () => engine(request, AbortSignal.timeout(60_000));
});

const serials = (event: string) =>
  audit.entries.filter((entry) => entry.event === event).map(({ fields }) => fields.serial);

async function recorded(): Promise<string[]> {
  return (await cluster.list(IssuedCertificateKind)).items.map(({ status }) => status?.serial ?? '');
}

/** What the next create of a record does before or after it is done. */
function atCommit(phase: 'before' | 'after', act: () => void): void {
  cluster.intercept = (call, when) => {
    if (call.verb !== 'create' || call.kind !== 'IssuedCertificate' || when !== phase) return;
    cluster.intercept = () => undefined;
    act();
  };
}

const lost = (): never => {
  throw new ClusterError('Unavailable', 'no answer');
};

test('the line is written before the record is', async () => {
  const before: unknown[] = [];
  atCommit('before', () => before.push(...serials('issuance')));
  await issue();
  expect(before).toEqual(await recorded());
  expect(serials('issuance')).toEqual(before);
  expect(counted).toBe(1);
  expect(audit.entries.at(-1)?.fields).toMatchObject({
    id: 'order',
    decisionID: 'decision',
    names: ['dns:www.example.test'],
  });
});

test('a record whose create was done but not answered has its line, and the next attempt returns it', async () => {
  atCommit('after', lost);
  await expect(issue()).rejects.toThrow('no answer');
  const [serial] = await recorded();
  expect(serials('issuance')).toEqual([serial]);
  const outcome = await issue();
  expect(outcome.kind === 'issued' && outcome.record.status.serial).toBe(serial);
  expect(await recorded()).toEqual([serial]);
  const [, second] = serials('issuance');
  expect(serials('discard')).toEqual([second]);
  expect(audit.entries.at(-1)).toMatchObject({ event: 'discard', fields: { id: 'order', kept: serial } });
});

test('a certificate whose record could not be created is told of and never released', async () => {
  atCommit('before', lost);
  await expect(issue()).rejects.toThrow('no answer');
  expect(await recorded()).toEqual([]);
  expect(serials('issuance')).toHaveLength(1);
  expect(counted).toBe(0);
  await issue();
  expect(await recorded()).toEqual([serials('issuance')[1]]);
  expect(counted).toBe(1);
});
