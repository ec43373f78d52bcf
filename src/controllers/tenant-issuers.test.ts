// Controllers where issuers of one name stand in the cluster and in namespaces.
import { expect, test } from 'vitest';
import { anIssuer, OPERATOR_NAMESPACE, recordsOf, startWorld, type World } from '../../test/fakes/world.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { EventKind, NamespaceKind, SecretKind } from '../api/core.ts';
import { CAIssuerKind } from '../api/issuer.ts';
import type { IssuerRef } from '../api/kind.ts';
import { findCondition } from '../domain/conditions.ts';

const { spec } = anIssuer();

async function aWorld(): Promise<World> {
  const world = await startWorld();
  for (const name of ['team-a', 'team-b']) await world.store.cluster.create(NamespaceKind, { metadata: { name } });
  return world;
}

const aTenantIssuer = (world: World, namespace: string) =>
  world.store.cluster.create(CAIssuerKind, { metadata: { namespace, name: 'corporate' }, spec });

const aClaim = (world: World, namespace: string, kind: IssuerRef['kind'] = 'CAIssuer') =>
  world.store.cluster.create(CertificateClaimKind, {
    metadata: { namespace, name: 'web' },
    spec: { secretName: 'web-tls', issuerRef: { kind, name: 'corporate' }, dnsNames: ['web.example'] },
  });

async function claimReady(world: World, namespace: string) {
  const claim = await world.store.cluster.get(CertificateClaimKind, { namespace, name: 'web' });
  const { status, reason, message } = findCondition(claim?.status?.conditions, 'Ready') ?? {};
  return { status, reason, message };
}

test('each has a status of its own, which is written once', async () => {
  const world = await aWorld();
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await aTenantIssuer(world, 'team-a');
  await world.quiet();
  expect(world.writes().sort()).toEqual([
    'create Event',
    'create Event',
    'replaceStatus CAIssuer',
    'replaceStatus ClusterCAIssuer',
  ]);
  const issuer = await world.store.cluster.get(CAIssuerKind, { namespace: 'team-a', name: 'corporate' });
  expect(findCondition(issuer?.status?.conditions, 'Ready')).toMatchObject({ status: 'True' });
  const events = (await world.store.cluster.list(EventKind)).items.map(({ metadata, regarding }) => ({
    in: metadata.namespace,
    about: `${regarding.kind} ${regarding.namespace ?? ''}/${regarding.name}`,
  }));
  expect(events).toContainEqual({ in: 'team-a', about: 'CAIssuer team-a/corporate' });
  await world.pass(86_400_000, 20);
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('the Secret of an issuer is one of its namespace, of the operator for a ClusterCAIssuer', async () => {
  const checked: string[] = [];
  const world = await startWorld(undefined, {
    backends: {
      of: ({ metadata }) =>
        ({
          check: async () => {
            checked.push(metadata.namespace ?? 'the cluster');
            return { ready: true, reason: 'Ready', message: 'signs' };
          },
        }) as never,
    },
  });
  for (const name of ['team-a', 'team-b', OPERATOR_NAMESPACE])
    if (!(await world.store.cluster.get(NamespaceKind, { name })))
      await world.store.cluster.create(NamespaceKind, { metadata: { name } });
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await aTenantIssuer(world, 'team-a');
  await aTenantIssuer(world, 'team-b');
  await world.quiet();
  const checkedAfter = async (namespace: string): Promise<string[]> => {
    checked.length = 0;
    await world.store.cluster.create(SecretKind, { metadata: { namespace, name: 'corporate-ca' } });
    await world.quiet();
    return [...new Set(checked)];
  };
  expect(await checkedAfter('team-a')).toEqual(['team-a']);
  expect(await checkedAfter(OPERATOR_NAMESPACE)).toEqual(['the cluster']);
  expect(await checkedAfter('default')).toEqual([]);
  await world.stop();
});

test('a claim waits for the CAIssuer of its own namespace, whatever others of that name there are', async () => {
  const world = await aWorld();
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await aTenantIssuer(world, 'team-b');
  await aClaim(world, 'team-a');
  await world.quiet();
  expect(await claimReady(world, 'team-a')).toEqual({
    status: 'False',
    reason: 'IssuerNotFound',
    message: 'there is no CAIssuer team-a/corporate: a claim may name a CAIssuer of its own namespace only',
  });
  expect(world.engine.requests).toEqual([]);
  await aTenantIssuer(world, 'team-a');
  await world.quiet();
  expect(await claimReady(world, 'team-a')).toMatchObject({ status: 'True', reason: 'Issued' });
  expect(world.engine.requests.map(({ issuer }) => `${issuer.kind} ${issuer.metadata.namespace}`)).toEqual([
    'CAIssuer team-a',
  ]);
  const [record] = await recordsOf(world.store.cluster);
  expect(record?.spec.issuerRef).toEqual({ kind: 'CAIssuer', namespace: 'team-a', name: 'corporate' });
  await world.stop();
});

test('what happens to one issuer is news for its own claims alone', async () => {
  const world = await aWorld();
  const { cluster } = world.store;
  await cluster.create(ClusterCAIssuerKind, anIssuer());
  await aTenantIssuer(world, 'team-a');
  await aTenantIssuer(world, 'team-b');
  await aClaim(world, 'team-a');
  await aClaim(world, 'team-b');
  await aClaim(world, 'default', 'ClusterCAIssuer');
  await world.quiet();
  expect(world.engine.requests).toHaveLength(3);
  const issuer = await cluster.get(CAIssuerKind, { namespace: 'team-a', name: 'corporate' });
  await world.pass(3_600_000);
  const reissueBefore = world.clock.now().toISOString();
  if (issuer) await cluster.replace(CAIssuerKind, { ...issuer, spec: { ...issuer.spec, reissueBefore } });
  await world.quiet();
  expect(world.engine.requests.slice(3).map(({ requester }) => requester.namespace)).toEqual(['team-a']);
  await world.stop();
});

test('a suspended CAIssuer and one that cannot sign are named with their namespace', async () => {
  const world = await aWorld();
  const { cluster } = world.store;
  world.backend.health = { ready: false, reason: 'SecretNotFound', message: 'there is no Secret corporate-ca' };
  await aTenantIssuer(world, 'team-a');
  await aClaim(world, 'team-a');
  await world.quiet();
  expect(await claimReady(world, 'team-a')).toMatchObject({
    reason: 'IssuerNotReady',
    message: 'CAIssuer team-a/corporate is not ready: there is no Secret corporate-ca',
  });
  const issuer = await cluster.get(CAIssuerKind, { namespace: 'team-a', name: 'corporate' });
  if (issuer) await cluster.replace(CAIssuerKind, { ...issuer, spec: { ...issuer.spec, suspend: true } });
  await world.quiet();
  expect(await claimReady(world, 'team-a')).toMatchObject({
    reason: 'IssuerSuspended',
    message: 'CAIssuer team-a/corporate is suspended',
  });
  await world.stop();
});
