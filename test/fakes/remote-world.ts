// The controllers and the engine of one process over a store that outlives it, with a CA elsewhere.
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { type CertificateRecord, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { createIssue } from '../../src/issuance/engine.ts';
import { createChainStore } from '../../src/issuance/chains.ts';
import { createNewestRecords, createRecords, recordName } from '../../src/issuance/records.ts';
import type { IssuanceOutcome, IssuanceRequest } from '../../src/issuance/types.ts';
import { createAwaitRecord } from '../../src/issuance/waiting.ts';
import type { Backend } from '../../src/ports.ts';
import { buildCsr, type Csr } from '../support/csr-builder.ts';
import { createFakeRemote, type FakeRemote } from './remote-backend.ts';
import { anIssuer, createFakeStore, OPERATOR_NAMESPACE, startWorld } from './world.ts';

export type Store = ReturnType<typeof createFakeStore>;
export type RemoteWorld = Awaited<ReturnType<typeof startRemoteWorld>>;

export interface RemoteOptions {
  store?: Store;
  remote?: FakeRemote;
  backend?: Partial<Backend>;
  /** CAs of further issuers, by name. */
  others?: Readonly<Record<string, FakeRemote>>;
}

export async function startRemoteWorld(options: RemoteOptions = {}) {
  const store = options.store ?? createFakeStore();
  const remote = options.remote ?? createFakeRemote(store.clock, options.backend);
  const counted: string[] = [];
  const counter = (name: string) => ({
    inc: (labels?: Readonly<Record<string, string>>) =>
      void counted.push([name, ...Object.values(labels ?? {}).filter((value) => value !== '')].join(' ')),
  });
  const backends = {
    of: ({ metadata }: ClusterCAIssuer) => (options.others?.[metadata.name] ?? remote).backend,
  };
  const counters = {
    issued: counter('issued'),
    refused: counter('refused'),
    rejected: counter('rejected'),
    orphaned: counter('orphaned'),
    backendCalls: { inc: () => undefined },
    breakerOpened: counter('opened'),
  };
  const world = await startWorld(store, { backends, counters }, ({ cluster, caches, audit, clock }) => {
    const namespace = OPERATOR_NAMESPACE;
    const newest = createNewestRecords(caches.records, namespace);
    const records = createRecords({ cluster, cache: caches.records, newest, namespace });
    const chains = createChainStore({ cluster, inUse: () => new Set() });
    const issue = createIssue({
      cluster,
      namespace: OPERATOR_NAMESPACE,
      backends,
      judge: {
        atNewOrder: async () => undefined,
        atAuthorization: async () => undefined,
        atValidation: async () => undefined,
        atFinalize: async () => ({ allowed: true, policy: 'open', decisionID: 'decision' }),
      },
      records,
      chains,
      refuseKey: () => undefined,
      awaitRecord: createAwaitRecord({ cluster, cache: caches.records, namespace: OPERATOR_NAMESPACE, clock }),
      clock,
      audit,
      issued: counters.issued,
      refused: counters.refused,
    });
    return { issue, records, chains };
  });
  const stored = () => store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
  if (!(await stored())) await store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.clock.advance(1);
  const issuer = (await stored()) as ClusterCAIssuer;
  world.writes();
  const signal = new AbortController().signal;

  function request(
    id: string,
    given: Partial<IssuanceRequest> = {},
    csr: Csr = buildCsr({ names: [`${id}.test`] }),
  ): IssuanceRequest {
    return {
      id,
      door: 'ACME',
      issuer,
      requester: { account: 'account' },
      identifiers: [{ type: 'dns', value: `${id}.test` }],
      csr: csr.der,
      wanted: {},
      order: { encoded: id, expires: new Date(store.clock.now().getTime() + 24 * 3_600_000) },
      ...given,
    };
  }

  return {
    ...world,
    remote,
    counted,
    issuer,
    request,
    ask: (asked: IssuanceRequest): Promise<IssuanceOutcome> => world.issue(asked, signal),
    record: (id: string): Promise<CertificateRecord | undefined> =>
      store.cluster.get(IssuedCertificateKind, { namespace: OPERATOR_NAMESPACE, name: recordName('ACME', id) }),
    name: (id: string) => recordName('ACME', id),
  };
}
