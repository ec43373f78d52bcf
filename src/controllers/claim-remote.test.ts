// Claims whose CA is elsewhere: the key is staged, outlives the process, and meets its certificate.
import { createPublicKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { away } from '../../test/fakes/remote-backend.ts';
import { type RemoteWorld, startRemoteWorld } from '../../test/fakes/remote-world.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { eventually } from '../../test/support/eventually.ts';
import { type CertificateClaim, CertificateClaimKind } from '../api/certificate-claim.ts';
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued, isRefused } from '../api/issued-certificate.ts';
import { findCondition } from '../domain/conditions.ts';
import { Problem } from '../domain/problem.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

async function claim(world: RemoteWorld, spec: Partial<CertificateClaim['spec']> = {}): Promise<void> {
  await world.store.cluster.create(CertificateClaimKind, {
    metadata: { namespace: 'default', name: 'web' },
    spec: {
      secretName: 'web-tls',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      dnsNames: ['web.example.test'],
      ...spec,
    },
  });
  await world.clock.advance(1);
}

const claimOf = async ({ store }: RemoteWorld) =>
  (await store.cluster.get(CertificateClaimKind, { namespace: 'default', name: 'web' })) as CertificateClaim;
const secretOf = ({ store }: RemoteWorld): Promise<Secret | undefined> =>
  store.cluster.get(SecretKind, { namespace: 'default', name: 'web-tls' });
const recordsOf = async ({ store }: RemoteWorld): Promise<CertificateRecord[]> =>
  (await store.cluster.list(IssuedCertificateKind)).items;
const value = (secret: Secret | undefined, key: string) => Buffer.from(secret?.data?.[key] ?? '', 'base64').toString();
const ready = async (world: RemoteWorld) => {
  const { status, reason } = findCondition((await claimOf(world)).status?.conditions, 'Ready') ?? {};
  return `${status} ${reason}`;
};

/** The key waiting in the Secret, once the CA is asked: keys are made aside, in time that no test controls. */
function staged(world: RemoteWorld): Promise<string> {
  return eventually('the CA is asked', async () => {
    await world.clock.advance(1);
    return world.remote.active > 0 ? value(await secretOf(world), 'next-tls.key') : undefined;
  });
}

function expectPair(secret: Secret | undefined): X509Certificate {
  const certificate = new X509Certificate(value(secret, 'tls.crt'));
  expect(certificate.publicKey.equals(createPublicKey(value(secret, 'tls.key')))).toBe(true);
  expect(secret?.data).not.toHaveProperty('next-tls.key');
  expect(secret?.metadata.annotations).not.toHaveProperty('countersign.dev/staged');
  return certificate;
}

const deleteClaim = (world: RemoteWorld) =>
  world.store.cluster.delete(CertificateClaimKind, { namespace: 'default', name: 'web' });
const signCalls = ({ remote }: RemoteWorld) => remote.calls.filter((call) => call.startsWith('sign'));

async function changeNames(world: RemoteWorld, dnsNames: string[]): Promise<void> {
  const live = await claimOf(world);
  await world.store.cluster.replace(CertificateClaimKind, { ...live, spec: { ...live.spec, dnsNames } });
  await world.clock.advance(1);
}

test('the key of a process that died while the CA was asked meets its certificate in the Secret', async () => {
  const store = createFakeStore();
  const first = await startRemoteWorld({ store });
  const gate = Promise.withResolvers<undefined>();
  first.remote.behave = () => gate.promise;
  await claim(first);
  const key = await staged(first);
  expect(key).toContain('PRIVATE KEY');
  first.die();
  first.remote.behave = () => undefined;
  const world = await startRemoteWorld({ store, remote: first.remote });
  await world.pass(MINUTE, 4);
  expectPair(await secretOf(world));
  expect(value(await secretOf(world), 'tls.key')).toBe(key);
  expect(await recordsOf(world)).toHaveLength(1);
  expect(await ready(world)).toBe('True Issued');
  gate.resolve(undefined);
  await world.stop();
});

test('a process that died between staging and reservation leaves a key that is used', async () => {
  const store = createFakeStore();
  const first = await startRemoteWorld({ store });
  first.cluster.intercept = ({ verb, kind }, phase) => {
    if (phase === 'before' && verb === 'create' && kind === 'IssuedCertificate') throw new Error('dead');
  };
  await claim(first);
  await first.quiet();
  const key = value(await secretOf(first), 'next-tls.key');
  expect(key).toContain('PRIVATE KEY');
  first.die();
  const world = await startRemoteWorld({ store, remote: first.remote });
  await world.pass(5 * MINUTE, 10);
  expectPair(await secretOf(world));
  expect(value(await secretOf(world), 'tls.key')).toBe(key);
  await world.stop();
});

test('a claim whose CA answers soon never says Pending; one that waits says so, and keeps what serves', async () => {
  const world = await startRemoteWorld();
  await claim(world);
  await world.quiet();
  const before = expectPair(await secretOf(world));
  const gate = Promise.withResolvers<undefined>();
  world.remote.behave = () => gate.promise;
  world.writes();
  await changeNames(world, ['web.example.test', 'www.example.test']);
  await staged(world);
  await world.clock.advance(9_000);
  expect(world.writes()).toEqual(['replace Secret', 'create IssuedCertificate']);
  await world.clock.advance(30_000);
  expect(world.writes()).toEqual(['replaceStatus CertificateClaim']);
  expect(await ready(world)).toBe('False Pending');
  const waiting = await secretOf(world);
  expect(value(waiting, 'tls.crt')).toContain(before.toString());
  expect(value(waiting, 'next-tls.key')).not.toBe('');
  gate.resolve(undefined);
  await world.pass(1_000);
  expect(expectPair(await secretOf(world)).subjectAltName).toBe('DNS:web.example.test, DNS:www.example.test');
  expect(await ready(world)).toBe('True Issued');
  await world.stop();
});

test('a claim that changes while the CA is asked withdraws the request; what is signed for it is revoked', async () => {
  const world = await startRemoteWorld();
  const gate = Promise.withResolvers<undefined>();
  world.remote.behave = () => gate.promise;
  await claim(world);
  await staged(world);
  world.remote.behave = () => undefined;
  await changeNames(world, ['other.example.test']);
  gate.resolve(undefined);
  await world.pass(MINUTE, 4);
  const records = await recordsOf(world);
  const [withdrawn, issued] = [records.filter(isRefused), records.filter(isIssued)];
  expect(withdrawn.map(({ spec }) => spec.names)).toEqual([['dns:web.example.test']]);
  expect(issued.map(({ spec }) => spec.names)).toEqual([['dns:other.example.test']]);
  expect(world.remote.revoked).toHaveLength(1);
  expect(world.remote.revoked).not.toContain(issued[0]?.status.serial);
  expect(expectPair(await secretOf(world)).subjectAltName).toBe('DNS:other.example.test');
  await world.stop();
});

test('a refusal is told, waited out, and tried again as another revision', async () => {
  const world = await startRemoteWorld();
  world.remote.behave = () => ({
    kind: 'refused',
    problem: new Problem('unauthorized', 'the CA refused the request: no'),
  });
  await claim(world);
  await world.pass(30_000, 3);
  expect(await ready(world)).toBe('False Denied');
  expect((await claimOf(world)).status).toMatchObject({ failures: 1, refusedRevision: 1 });
  expect(await recordsOf(world)).toHaveLength(1);
  await world.pass(70_000, 4);
  expect((await claimOf(world)).status).toMatchObject({ failures: 2, refusedRevision: 2 });
  expect(await recordsOf(world)).toHaveLength(2);
  world.remote.behave = () => undefined;
  await world.pass(5 * MINUTE, 10);
  expect(await ready(world)).toBe('True Issued');
  expect((await claimOf(world)).status).toMatchObject({ revision: 3 });
  expect((await claimOf(world)).status).not.toHaveProperty('refusedRevision');
  await world.stop();
});

test('an outage of the CA costs a claim nothing but time', async () => {
  const world = await startRemoteWorld();
  world.remote.down = away();
  await claim(world);
  await world.pass(10 * MINUTE, 20);
  expect(await recordsOf(world)).toHaveLength(1);
  world.remote.down = undefined;
  await world.pass(MINUTE, 10);
  expectPair(await secretOf(world));
  expect(await recordsOf(world)).toHaveLength(1);
  await world.stop();
});

test('a Secret that goes while the CA is asked takes its key along: the record is ended, and another revision begins', async () => {
  const store = createFakeStore();
  const first = await startRemoteWorld({ store });
  const gate = Promise.withResolvers<undefined>();
  first.remote.behave = () => gate.promise;
  await claim(first);
  await staged(first);
  first.die();
  await store.cluster.delete(SecretKind, { namespace: 'default', name: 'web-tls' });
  first.remote.behave = () => undefined;
  const world = await startRemoteWorld({ store, remote: first.remote });
  await world.pass(2 * MINUTE, 8);
  const certificate = expectPair(await secretOf(world));
  const live = (await recordsOf(world)).filter(isIssued).filter(({ spec }) => !spec.revocation);
  expect(live.map(({ status }) => status.certificate)).toEqual([certificate.raw.toString('base64')]);
  gate.resolve(undefined);
  await world.stop();
});

test('a refused revision that no record tells of is not believed', async () => {
  const world = await startRemoteWorld();
  world.remote.behave = () => ({ kind: 'refused', problem: new Problem('unauthorized', 'no') });
  await claim(world);
  await world.pass(30_000, 3);
  const live = await claimOf(world);
  const status = { ...live.status, refusedRevision: 1_000_000 };
  await world.store.cluster.replaceStatus(CertificateClaimKind, { ...live, status });
  world.remote.behave = () => undefined;
  await world.pass(5 * MINUTE, 10);
  expect(await ready(world)).toBe('True Issued');
  expect((await claimOf(world)).status?.revision).toBe(2);
  await world.stop();
});

async function changeIssuer(world: RemoteWorld, spec: Partial<CAIssuerSpec>): Promise<void> {
  const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
  if (!issuer) throw new Error('no issuer');
  await world.store.cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, ...spec } });
  await world.quiet();
}

test.each(['refused', 'issued'])('what was %s is never asked again, however long ago it was', async (outcome) => {
  const world = await startRemoteWorld();
  const refused = () => ({ kind: 'refused' as const, problem: new Problem('unauthorized', 'no') });
  world.remote.behave = () => (outcome === 'refused' ? refused() : undefined);
  await changeIssuer(world, { recordGrace: '1h' });
  await claim(world, { duration: '2h' });
  await world.pass(30_000, 3);
  expect(signCalls(world)).toHaveLength(1);
  await changeIssuer(world, { suspend: true });
  await world.pass(4 * HOUR, 8);
  await world.store.cluster.delete(SecretKind, { namespace: 'default', name: 'web-tls' });
  world.remote.behave = () => undefined;
  await changeIssuer(world, { suspend: false });
  await world.pass(MINUTE, 4);
  expect(await ready(world)).toBe('True Issued');
  expect(signCalls(world)).toEqual([...new Set(signCalls(world))]);
  // Once the claim is gone, so are its records in time.
  await deleteClaim(world);
  await world.pass(8 * HOUR, 8);
  expect(await recordsOf(world)).toEqual([]);
  await world.stop();
});

test('a claim that is deleted while the CA is asked withdraws its request, where it wants revocation', async () => {
  const world = await startRemoteWorld();
  const gate = Promise.withResolvers<undefined>();
  world.remote.behave = () => gate.promise;
  await claim(world, { revokeOnDelete: true });
  await staged(world);
  await world.store.cluster.delete(CertificateClaimKind, { namespace: 'default', name: 'web' });
  await eventually('the claim goes', async () => {
    await world.clock.advance(1);
    return (await claimOf(world)) ? undefined : true;
  });
  const [record, ...others] = await recordsOf(world);
  expect(others).toEqual([]);
  expect(record?.status?.refusal?.detail).toBe('withdrawn: the claim is deleted');
  gate.resolve(undefined);
  await world.pass(MINUTE, 4);
  expect((await recordsOf(world)).filter(isIssued)).toEqual([]);
  await world.stop();
});

describe('a claim that is deleted without revokeOnDelete while the CA', () => {
  test('is away: its request is withdrawn, and the CA, once back, is not asked', async () => {
    const world = await startRemoteWorld();
    world.remote.down = away();
    await claim(world);
    await world.pass(MINUTE, 4);
    await deleteClaim(world);
    await world.pass(MINUTE, 4);
    const [record, ...others] = await recordsOf(world);
    expect(others).toEqual([]);
    expect(record?.status?.refusal?.detail).toBe('withdrawn: the claim is deleted');
    const asked = signCalls(world);
    world.remote.down = undefined;
    await world.pass(30 * MINUTE, 10);
    expect(signCalls(world)).toEqual(asked);
    await world.stop();
  });

  test('had signed and its answer was lost: what it signed is found and revoked', async () => {
    const world = await startRemoteWorld();
    world.remote.lose = away();
    await claim(world);
    await eventually('the CA has signed', async () => {
      await world.clock.advance(1);
      return world.remote.signed.size > 0 || undefined;
    });
    await deleteClaim(world);
    await world.pass(MINUTE, 8);
    expect((await recordsOf(world)).map((record) => record.status?.refusal?.detail)).toEqual([
      'withdrawn: the claim is deleted',
    ]);
    expect(world.remote.revoked).toHaveLength(1);
    await world.stop();
  });

  test.each(['is asked', 'is at work'])('%s: what it signs is on record and revoked', async (state) => {
    const world = await startRemoteWorld();
    const gate = Promise.withResolvers<undefined>();
    world.remote.behave = () =>
      state === 'is asked' ? gate.promise : { kind: 'pending', retryAfterMs: 1_000, handle: 'h' };
    await claim(world);
    await eventually('the CA is asked', async () => {
      await world.clock.advance(1);
      return signCalls(world).length > 0 || undefined;
    });
    await deleteClaim(world);
    for (let seconds = 0; seconds < 5; seconds++) await world.clock.advance(1_000);
    world.remote.behave = () => undefined;
    gate.resolve(undefined);
    await world.pass(MINUTE, 4);
    const records = await recordsOf(world);
    expect(records.filter(isIssued).map(({ spec }) => spec.revocation?.reason)).toEqual([4]);
    expect(world.remote.revoked).toEqual(records.map(({ status }) => status?.serial));
    await world.stop();
  });

  test('is to be asked anew, nothing being under way there: its request is withdrawn', async () => {
    const world = await startRemoteWorld();
    world.remote.behave = () => ({ kind: 'pending', retryAfterMs: 1_000, handle: '' });
    await claim(world);
    await world.pass(MINUTE, 4);
    await deleteClaim(world);
    await world.pass(MINUTE, 4);
    expect((await recordsOf(world)).map((record) => record.status?.refusal?.detail)).toEqual([
      'withdrawn: the claim is deleted',
    ]);
    const asked = signCalls(world);
    await world.pass(30 * MINUTE, 10);
    expect(signCalls(world)).toEqual(asked);
    await world.stop();
  });

  test('is asked, and so is the next process: the request is withdrawn there', async () => {
    const store = createFakeStore();
    const first = await startRemoteWorld({ store });
    first.remote.down = away();
    await claim(first);
    await first.pass(MINUTE, 4);
    first.die();
    await deleteClaim(first);
    first.remote.down = undefined;
    const asked = signCalls(first);
    const world = await startRemoteWorld({ store, remote: first.remote });
    await world.pass(MINUTE, 4);
    expect((await recordsOf(world)).every(isRefused)).toBe(true);
    expect(signCalls(world)).toEqual(asked);
    await world.stop();
  });

  test('has answered: the certificate stays good', async () => {
    const world = await startRemoteWorld();
    await claim(world);
    await world.pass(MINUTE, 4);
    await deleteClaim(world);
    await world.pass(30 * MINUTE, 10);
    expect((await recordsOf(world)).map(({ spec }) => spec.revocation)).toEqual([undefined]);
    expect(world.remote.revoked).toEqual([]);
    await world.stop();
  });
});

test('an issuer that wants a subject which its CA would not follow is not ready', async () => {
  const world = await startRemoteWorld();
  const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
  if (!issuer) throw new Error('no issuer');
  const subject = { template: 'CN={dnsNames[0]},O=Example' };
  await world.store.cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, subject } });
  await world.quiet();
  const judged = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
  expect(findCondition(judged?.status?.conditions, 'Ready')).toMatchObject({
    status: 'False',
    reason: 'SubjectNotControlled',
  });
  await world.stop();
});
