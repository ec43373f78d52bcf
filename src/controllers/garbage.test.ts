import { expect, test } from 'vitest';
import { observeCluster } from '../../test/fakes/observed-cluster.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { anIssuer, createFakeStore, OPERATOR_NAMESPACE, startWorld, type World } from '../../test/fakes/world.ts';
import { type Account, AccountKind, type AccountSpec, type Authorization, AuthorizationKind } from '../api/acme.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { EventKind } from '../api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, RecordLabel } from '../api/issued-certificate.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Cache, Clock, Cluster } from '../ports.ts';
import { sweepEvents } from './event-garbage.ts';
import { createGarbage } from './garbage.ts';

const [HOUR, DAY] = [3_600_000, 86_400_000];
const namespace = OPERATOR_NAMESPACE;

async function withIssuer(
  spec: Partial<ClusterCAIssuer['spec']> = {},
): Promise<{ world: World; issuer: ClusterCAIssuer }> {
  const store = createFakeStore();
  const issuer = await store.cluster.create(ClusterCAIssuerKind, anIssuer(spec));
  const world = await startWorld(store);
  await world.quiet();
  return { world, issuer };
}

const after = (clock: Clock, ms: number) => new Date(clock.now().getTime() + ms).toISOString();

function aRecord(
  world: World,
  issuer: ClusterCAIssuer,
  more: { name: string; notAfterMs: number; orderExpiresMs?: number; account?: string },
) {
  const { clock } = world;
  return world.store.cluster.create(IssuedCertificateKind, {
    metadata: {
      namespace,
      name: more.name,
      ...(more.account === undefined ? {} : { labels: { [RecordLabel.account]: more.account } }),
    },
    spec: {
      requestID: more.name,
      door: 'ACME',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      issuerUID: issuer.metadata.uid,
      requester: {},
      names: ['dns:a.example'],
      csr: 'AAAA',
      policy: 'p',
      decisionID: 'd',
      ...(more.orderExpiresMs === undefined ? {} : { orderExpires: after(clock, more.orderExpiresMs) }),
    },
    status: {
      certificate: 'AAAA',
      serial: '01',
      notBefore: after(clock, -DAY),
      notAfter: after(clock, more.notAfterMs),
      issuedAt: after(clock, 0),
      chain: 'c',
    },
  });
}

const anAccount = (
  world: World,
  name: string,
  spec: Pick<AccountSpec, 'aliasOf' | 'externalAccountBinding' | 'deactivated'> = {},
) =>
  world.store.cluster.create<Account>(AccountKind, {
    metadata: { namespace, name },
    spec: { issuerUID: 'u', thumbprint: 't', spkiHash: 'h', jwk: { kty: 'OKP' }, mac: 'm', ...spec },
  });

const anAuthorization = (world: World, name: string, spec: { account: string; expiresMs: number; issuerUID: string }) =>
  world.store.cluster.create<Authorization>(AuthorizationKind, {
    metadata: { namespace, name },
    spec: {
      orderID: 'o',
      index: 0,
      account: spec.account,
      issuerUID: spec.issuerUID,
      identifier: { type: 'dns', value: 'a.example' },
      wildcard: false,
      outcome: 'valid',
      expires: after(world.clock, spec.expiresMs),
      mac: 'm',
    },
  });

const namesOf = async (
  world: World,
  kind: typeof IssuedCertificateKind | typeof AccountKind | typeof AuthorizationKind,
) => (await world.store.cluster.list(kind as typeof AccountKind)).items.map(({ metadata }) => metadata.name);

test('a reservation stays while its certificate could come; what was refused goes after order and grace', async () => {
  const { world, issuer } = await withIssuer({ recordGrace: '48h' });
  const { clock, store } = world;
  const make = async (name: string, orderExpiresMs?: number) => {
    const { metadata, spec } = await aRecord(world, issuer, {
      name,
      notAfterMs: 0,
      ...(orderExpiresMs ? { orderExpiresMs } : {}),
    });
    await store.cluster.delete(IssuedCertificateKind, metadata);
    const approved = {
      subject: '',
      usages: ['server auth' as const],
      notBefore: after(clock, 0),
      notAfter: after(clock, 20 * DAY),
    };
    return { metadata: { namespace, name }, spec: { ...spec, approved } };
  };
  const refusal = { type: 'badCSR', detail: 'no', status: 400, refusedAt: after(clock, 0) };
  await store.cluster.create(IssuedCertificateKind, await make('reserved'));
  await store.cluster.create(IssuedCertificateKind, { ...(await make('refused')), status: { refusal } });
  await store.cluster.create(IssuedCertificateKind, { ...(await make('order-lives', 3 * DAY)), status: { refusal } });
  await world.pass(3 * DAY, 4);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['order-lives', 'reserved']);
  await world.pass(3 * DAY, 4);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['reserved']);
  await world.stop();
});

test('a record goes when certificate and order are over and the grace is past', async () => {
  const { world, issuer } = await withIssuer({ recordGrace: '48h' });
  await aRecord(world, issuer, { name: 'short', notAfterMs: DAY });
  await aRecord(world, issuer, { name: 'order-lives', notAfterMs: HOUR, orderExpiresMs: 3 * DAY });
  await aRecord(world, issuer, { name: 'long', notAfterMs: 90 * DAY });
  await world.pass(3 * DAY - HOUR, 4);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['long', 'order-lives', 'short']);
  await world.pass(2 * HOUR);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['long', 'order-lives']);
  await world.pass(2 * DAY, 4);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['long']);
  expect(world.collected).toEqual(['IssuedCertificate', 'IssuedCertificate']);
  await world.stop();
});

test('records of an issuer that is gone have the default grace of a week', async () => {
  const { world, issuer } = await withIssuer({ recordGrace: '1h' });
  await aRecord(world, issuer, { name: 'left', notAfterMs: HOUR });
  await world.store.cluster.delete(ClusterCAIssuerKind, { name: 'corporate' });
  await world.pass(7 * DAY, 4);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['left']);
  await world.pass(2 * HOUR);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual([]);
  await world.stop();
});

test('an authorization outlives its expiry by the life of an order', async () => {
  const { world, issuer } = await withIssuer({ acme: { orderDuration: '6h' } });
  await anAuthorization(world, 'known', { account: 'a', expiresMs: HOUR, issuerUID: issuer.metadata.uid });
  await anAuthorization(world, 'other', { account: 'a', expiresMs: HOUR, issuerUID: 'elsewhere' });
  await world.pass(6.5 * HOUR);
  expect(await namesOf(world, AuthorizationKind)).toEqual(['known', 'other']);
  await world.pass(HOUR);
  expect(await namesOf(world, AuthorizationKind)).toEqual(['other']);
  await world.pass(24 * HOUR, 4);
  expect(await namesOf(world, AuthorizationKind)).toEqual([]);
  await world.stop();
});

test('an account without certificate goes after 30 days, and its alias after it; one with anything to its name stays', async () => {
  const { world, issuer } = await withIssuer();
  await anAccount(world, 'idle');
  await anAccount(world, 'alias-of-idle', { aliasOf: 'idle' });
  await anAccount(world, 'issued');
  await anAccount(world, 'alias-of-issued', { aliasOf: 'issued' });
  await anAccount(world, 'bound', { externalAccountBinding: { keyID: 'k', jws: '{}' } });
  await anAccount(world, 'busy');
  await aRecord(world, issuer, { name: 'r', notAfterMs: 90 * DAY, account: 'issued' });
  await world.pass(29 * DAY, 8);
  expect(await namesOf(world, AccountKind)).toHaveLength(6);
  await anAuthorization(world, 'az', { account: 'busy', expiresMs: 5 * DAY, issuerUID: 'u' });
  await world.pass(2 * DAY, 4);
  expect(await namesOf(world, AccountKind)).toEqual(['alias-of-issued', 'bound', 'busy', 'issued']);
  await world.stop();
});

test('an account that its owner deactivated stays, with its aliases, so that its keys register no account again', async () => {
  const { world } = await withIssuer();
  await anAccount(world, 'deactivated', { deactivated: true });
  await anAccount(world, 'alias-of-deactivated', { aliasOf: 'deactivated' });
  await anAccount(world, 'idle');
  await world.pass(40 * DAY, 8);
  expect(await namesOf(world, AccountKind)).toEqual(['alias-of-deactivated', 'deactivated']);
  await world.stop();
});

/** A collector over copies that never hear of a change. */
function overCopies(
  world: World,
  copies: { issuers: ClusterCAIssuer[]; records?: CertificateRecord[]; accounts?: Account[] },
  cluster: Partial<Cluster> = {},
) {
  const cache = (items: readonly KubeObject[] = []) => {
    const has = (_index: string, account: string) =>
      items.some(({ metadata }) => metadata.labels?.[RecordLabel.account] === account);
    return { list: () => items, each: () => items, has, get: () => undefined } as unknown as Cache<never>;
  };
  const { store, clock, log } = world;
  const whole = observeCluster(store.cluster);
  return createGarbage({
    cluster: { ...whole, ...cluster },
    clock,
    log,
    namespace,
    random: createFakeRandom(),
    issuers: cache(copies.issuers),
    claims: cache(),
    records: cache(copies.records),
    accounts: cache(copies.accounts),
    authorizations: cache(),
    collected: { inc: () => undefined },
  });
}

test('what a copy shows as due is judged again on the live object before it goes', async () => {
  const { world, issuer } = await withIssuer({ recordGrace: '1h' });
  const record = await aRecord(world, issuer, { name: 'made-anew', notAfterMs: HOUR });
  const account = await anAccount(world, 'late-bloomer');
  await world.store.cluster.delete(IssuedCertificateKind, record.metadata);
  await aRecord(world, issuer, { name: 'made-anew', notAfterMs: HOUR });
  await aRecord(world, issuer, { name: 'of-bloomer', notAfterMs: 400 * DAY, account: 'late-bloomer' });
  const sweep = overCopies(world, { issuers: [issuer], records: [record], accounts: [account] });
  world.clock.setWall(new Date(world.clock.now().getTime() + 31 * DAY));
  expect(await sweep(new AbortController().signal)).toBe(0);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['made-anew', 'of-bloomer']);
  expect(await namesOf(world, AccountKind)).toEqual(['late-bloomer']);
  await world.stop();
});

test('the cluster is not asked about accounts that the copies show in use', async () => {
  const { world, issuer } = await withIssuer();
  const account = await anAccount(world, 'issued');
  const alias = await anAccount(world, 'alias', { aliasOf: 'issued' });
  const record = await aRecord(world, issuer, { name: 'r', notAfterMs: 90 * DAY, account: 'issued' });
  const asked: string[] = [];
  const sweep = overCopies(
    world,
    { issuers: [issuer], records: [record], accounts: [account, alias] },
    {
      get: (kind, { name }) => {
        asked.push(`${kind.kind} ${name}`);
        return Promise.resolve(undefined);
      },
    },
  );
  world.clock.setWall(new Date(world.clock.now().getTime() + 31 * DAY));
  expect(await sweep(new AbortController().signal)).toBe(0);
  expect(asked).toEqual([]);
  await world.stop();
});

test('an object that changes between judgement and deletion stays', async () => {
  const { world, issuer } = await withIssuer({ recordGrace: '1h' });
  const record = await aRecord(world, issuer, { name: 'contested', notAfterMs: HOUR });
  const { cluster } = world.store;
  const sweep = overCopies(
    world,
    { issuers: [issuer], records: [record] },
    {
      async delete(kind, ref, precondition) {
        await cluster.replace(IssuedCertificateKind, {
          ...record,
          metadata: { ...record.metadata, labels: { touched: 'yes' } },
        });
        return cluster.delete(kind, ref, precondition);
      },
    },
  );
  world.clock.setWall(new Date(world.clock.now().getTime() + DAY));
  expect(await sweep(new AbortController().signal)).toBe(0);
  expect(await namesOf(world, IssuedCertificateKind)).toEqual(['contested']);
  await world.stop();
});

test('a sweep that is told to stop stops', async () => {
  const { world, issuer } = await withIssuer({ recordGrace: '1h' });
  const record = await aRecord(world, issuer, { name: 'due', notAfterMs: HOUR });
  world.clock.setWall(new Date(world.clock.now().getTime() + DAY));
  const sweep = overCopies(world, { issuers: [issuer], records: [record] });
  expect(await sweep(AbortSignal.abort())).toBe(0);
  expect(await sweep(new AbortController().signal)).toBe(1);
  await world.stop();
});

test('Events go after an hour, others’ writes and later ones stay', async () => {
  const { world } = await withIssuer();
  await world.store.cluster.create(CertificateClaimKind, {
    metadata: { namespace: 'default', name: 'web' },
    spec: {
      secretName: 'web-tls',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      dnsNames: ['web.example'],
    },
  });
  await world.quiet();
  const signal = new AbortController().signal;
  const collected = { inc: () => undefined };
  expect((await world.store.cluster.list(EventKind)).items.length).toBeGreaterThan(0);
  expect(await sweepEvents({ cluster: world.store.cluster, clock: world.clock, collected }, signal)).toBe(0);
  await world.pass(61 * 60_000);
  const count = (await world.store.cluster.list(EventKind)).items.length;
  expect(await sweepEvents({ cluster: world.store.cluster, clock: world.clock, collected }, signal)).toBe(count);
  expect((await world.store.cluster.list(EventKind)).items).toEqual([]);
  await world.stop();
});
