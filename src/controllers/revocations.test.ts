import { expect, test } from 'vitest';
import { anIssuer, OPERATOR_NAMESPACE, recordsOf, startWorld, type World } from '../../test/fakes/world.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { type IssuedCertificate, IssuedCertificateKind, RecordLabel } from '../api/issued-certificate.ts';
import { ClusterError } from '../domain/cluster-error.ts';

const REVOCATION = { reason: 4, revokedAt: '2030-01-01T00:00:00Z', by: 'security team' };

/** With one certificate. */
async function withRecord(): Promise<{ world: World; record: IssuedCertificate }> {
  const world = await startWorld();
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.store.cluster.create(CertificateClaimKind, {
    metadata: { namespace: 'default', name: 'web' },
    spec: { secretName: 'web-tls', issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' }, dnsNames: ['a.example'] },
  });
  await world.quiet();
  const [record] = await recordsOf(world.store.cluster);
  if (!record) throw new Error('nothing was issued');
  world.writes();
  return { world, record };
}

/** As a person does, past the operator. */
const revoke = ({ store }: World, record: IssuedCertificate) =>
  store.cluster.replace(IssuedCertificateKind, { ...record, spec: { ...record.spec, revocation: REVOCATION } });

const stored = async ({ store }: World, { metadata: { name } }: IssuedCertificate) =>
  store.cluster.get(IssuedCertificateKind, { namespace: OPERATOR_NAMESPACE, name });
const lines = ({ audit }: World) => audit.entries.filter(({ event }) => event === 'revocation');

test('a revocation that somebody set at a record is told in the audit log once, and gets its label by one write', async () => {
  const { world, record } = await withRecord();
  await revoke(world, record);
  await world.quiet();
  const { name } = record.metadata;
  expect(lines(world).map(({ fields }) => fields)).toEqual([
    { record: name, serial: record.status.serial, ...REVOCATION, via: 'record' },
  ]);
  expect((await stored(world, record))?.metadata.labels?.[RecordLabel.revoked]).toBe('true');
  expect((await stored(world, record))?.spec.revocation).toEqual(REVOCATION);
  expect(world.writes().filter((write) => write === 'replace IssuedCertificate')).toHaveLength(1);
  await world.stop();
});

test('one set while nobody led is told by the process that leads next, and not by one after that', async () => {
  const { world, record } = await withRecord();
  await world.stop();
  await revoke(world, record);
  const next = await startWorld(world.store);
  await next.quiet();
  expect(lines(next)).toHaveLength(1);
  await next.stop();
  const last = await startWorld(world.store);
  await last.quiet();
  expect(lines(last)).toHaveLength(0);
  await last.stop();
});

test('a label that cannot be written is tried again, and the line stays the only one', async () => {
  const { world, record } = await withRecord();
  let failures = 0;
  world.cluster.intercept = ({ kind, verb }, phase) => {
    if (kind !== 'IssuedCertificate' || verb !== 'replace' || phase !== 'before' || failures === 3) return;
    failures++;
    throw new ClusterError('Unavailable', 'not now');
  };
  await revoke(world, record);
  await world.pass(120_000, 60);
  expect(failures).toBe(3);
  expect(lines(world)).toHaveLength(1);
  expect((await stored(world, record))?.metadata.labels?.[RecordLabel.revoked]).toBe('true');
  await world.stop();
});

test('what the operator revokes itself has both from the start', async () => {
  const { world, record } = await withRecord();
  const claim = { namespace: 'default', name: 'web' };
  const before = await world.store.cluster.get(CertificateClaimKind, claim);
  if (!before) throw new Error('no claim');
  await world.store.cluster.replace(CertificateClaimKind, {
    ...before,
    spec: { ...before.spec, revokeOnDelete: true },
  });
  await world.quiet();
  await world.store.cluster.delete(CertificateClaimKind, claim);
  await world.quiet();
  expect(lines(world)).toHaveLength(1);
  expect(lines(world)[0]?.fields).not.toHaveProperty('via');
  expect((await stored(world, record))?.metadata.labels?.[RecordLabel.revoked]).toBe('true');
  await world.stop();
});
