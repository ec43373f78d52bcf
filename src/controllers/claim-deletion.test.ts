import { expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type CertificateClaim, CertificateClaimKind, type CertificateClaimSpec } from '../api/certificate-claim.ts';
import { EventKind, SecretKind } from '../api/core.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { anIssuer, createFakeStore, recordsOf, startWorld, type World } from '../../test/fakes/world.ts';
import { REVOKE_FINALIZER } from './claim-deletion.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const REF = { namespace: 'default', name: 'web' };

const aClaim = (spec: Partial<CertificateClaimSpec> = {}, name = 'web') => ({
  metadata: { namespace: 'default', name },
  spec: {
    secretName: `${name}-tls`,
    issuerRef: { kind: 'ClusterCAIssuer' as const, name: 'corporate' },
    dnsNames: [`${name}.example`],
    revokeOnDelete: true,
    ...spec,
  },
});

async function withClaim(spec: Partial<CertificateClaimSpec> = {}, store = createFakeStore()): Promise<World> {
  const world = await startWorld(store);
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  world.writes();
  await world.store.cluster.create(CertificateClaimKind, aClaim(spec));
  await world.quiet();
  return world;
}

const byText = (a: string, b: string) => (a < b ? -1 : 1);
const claimOf = (world: World) => world.store.cluster.get(CertificateClaimKind, REF);

async function remove(world: World): Promise<void> {
  await world.store.cluster.delete(CertificateClaimKind, REF);
  await world.quiet();
}

async function change(world: World, more: (claim: CertificateClaim) => CertificateClaim): Promise<void> {
  await world.store.cluster.replace(CertificateClaimKind, more((await claimOf(world)) as CertificateClaim));
  await world.quiet();
}

const revocations = async (world: World) =>
  (await recordsOf(world.store.cluster)).map(({ spec }) => spec.revocation?.reason);
const reasons = async (world: World) =>
  (await world.store.cluster.list(EventKind)).items
    .filter(({ regarding }) => regarding.name === 'web')
    .map(({ reason }) => reason);

test('a claim with revokeOnDelete costs one write more, before anything is issued', async () => {
  const world = await withClaim();
  expect(world.writes()).toEqual([
    'replace CertificateClaim',
    'create IssuedCertificate',
    'create Secret',
    'replaceStatus CertificateClaim',
    'create Event',
  ]);
  expect((await claimOf(world))?.metadata.finalizers).toEqual([REVOKE_FINALIZER]);
  expect((await claimOf(world))?.metadata.generation).toBe(1);
  await world.stop();
});

test('when it is deleted all its certificates that are valid are revoked, then it goes; those of others stay', async () => {
  const world = await withClaim();
  await world.store.cluster.create(CertificateClaimKind, aClaim({}, 'other'));
  await change(world, (claim) => ({ ...claim, spec: { ...claim.spec, dnsNames: ['second.example'] } }));
  world.writes();
  await remove(world);
  expect(await claimOf(world)).toBeUndefined();
  expect(world.writes().toSorted()).toEqual([
    'create Event',
    'replace CertificateClaim',
    'replace IssuedCertificate',
    'replace IssuedCertificate',
  ]);
  const records = await recordsOf(world.store.cluster);
  expect(records.map(({ spec }) => `${spec.requester.claim} ${spec.revocation?.reason}`).toSorted(byText)).toEqual([
    'other undefined',
    'web 5',
    'web 5',
  ]);
  expect(world.audit.entries.filter(({ event }) => event === 'revocation')).toHaveLength(2);
  expect(await reasons(world)).toContain('Revoked');
  // The Secret stays, as without revokeOnDelete.
  expect(await world.store.cluster.get(SecretKind, { namespace: 'default', name: 'web-tls' })).toBeDefined();
  await world.stop();
});

test('certificates that have expired or are revoked already are left as they are', async () => {
  const world = await withClaim();
  await world.pass(95 * DAY, 4);
  const now = world.clock.now().toISOString();
  await remove(world);
  const records = await recordsOf(world.store.cluster);
  expect(
    records.map(({ spec, status }) => `${status.notAfter > now} ${spec.revocation?.reason}`).toSorted(byText),
  ).toEqual(['false undefined', 'true 5']);
  await world.stop();
});

test('the finalizer comes and goes with the field, whoever else holds the claim', async () => {
  const world = await withClaim({ revokeOnDelete: false });
  expect((await claimOf(world))?.metadata.finalizers).toBeUndefined();
  await change(world, (claim) => ({ ...claim, metadata: { ...claim.metadata, finalizers: ['example.com/mine'] } }));
  await change(world, (claim) => ({ ...claim, spec: { ...claim.spec, revokeOnDelete: true } }));
  expect((await claimOf(world))?.metadata.finalizers).toEqual(['example.com/mine', REVOKE_FINALIZER]);
  await change(world, (claim) => ({ ...claim, spec: { ...claim.spec, revokeOnDelete: false } }));
  expect((await claimOf(world))?.metadata.finalizers).toEqual(['example.com/mine']);
  await remove(world);
  expect(await revocations(world)).toEqual([undefined]);
  await world.stop();
});

test('a claim of the same name made later is another', async () => {
  const world = await withClaim({ revokeOnDelete: false });
  await remove(world);
  await world.store.cluster.create(CertificateClaimKind, aClaim({ secretName: 'new-tls' }));
  await world.quiet();
  await remove(world);
  expect(new Set(await revocations(world))).toEqual(new Set([undefined, 5]));
  await world.stop();
});

test('a claim that others hold while it is deleted has its certificates revoked at once and gets no new one', async () => {
  const world = await withClaim();
  const finalizers = ['example.com/mine', REVOKE_FINALIZER];
  await change(world, (claim) => ({ ...claim, metadata: { ...claim.metadata, finalizers } }));
  await remove(world);
  expect(await revocations(world)).toEqual([5]);
  expect((await claimOf(world))?.metadata.finalizers).toEqual(['example.com/mine']);
  world.writes();
  await world.pass(100 * DAY, 10);
  expect(world.writes().filter((write) => !write.startsWith('delete'))).toEqual([]);
  expect(world.engine.requests).toHaveLength(1);
  await world.stop();
});

test('a process that dies in between is followed by one that finishes', async () => {
  for (const phase of ['before', 'after'] as const) {
    const store = createFakeStore();
    const first = await withClaim({}, store);
    const dead = Promise.withResolvers<void>();
    first.cluster.intercept = (call, when) => {
      if (call.kind !== 'IssuedCertificate' || call.verb !== 'replace' || when !== phase) return;
      first.die();
      dead.resolve();
      throw new Error('killed');
    };
    await store.cluster.delete(CertificateClaimKind, REF);
    await dead.promise;
    const second = await startWorld(store);
    await second.quiet();
    expect(await claimOf(second)).toBeUndefined();
    expect(await revocations(second)).toEqual([5]);
    await second.stop();
  }
});

test.each(['Forbidden', 'Invalid', 'Unavailable'] as const)(
  'a revocation that fails (%s) is tried again, and after ten minutes holds the claim no longer',
  async (reason) => {
    const world = await withClaim();
    let tries = 0;
    world.cluster.intercept = (call, phase) => {
      if (call.kind !== 'IssuedCertificate' || call.verb !== 'replace' || phase !== 'before') return;
      tries++;
      throw new ClusterError(reason, 'no');
    };
    await remove(world);
    await world.pass(8 * MINUTE, 32);
    expect(await claimOf(world)).toBeDefined();
    expect(tries).toBeGreaterThan(10);
    await world.pass(1.75 * MINUTE, 7);
    expect(await claimOf(world)).toBeUndefined();
    expect(await revocations(world)).toEqual([undefined]);
    expect(await reasons(world)).toContain('RevocationGivenUp');
    await world.stop();
  },
);

test('a revocation that is possible again in time is made', async () => {
  const world = await withClaim();
  world.cluster.intercept = (call, phase) => {
    if (call.kind === 'IssuedCertificate' && call.verb === 'replace' && phase === 'before')
      throw new ClusterError('Unavailable', 'no');
  };
  await remove(world);
  await world.pass(5 * MINUTE, 5);
  world.cluster.intercept = () => undefined;
  await world.pass(MINUTE, 4);
  expect(await claimOf(world)).toBeUndefined();
  expect(await revocations(world)).toEqual([5]);
  await world.stop();
});
