import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type CertificateClaim, CertificateClaimKind, type CertificateClaimSpec } from '../api/certificate-claim.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { findCondition } from '../domain/conditions.ts';
import { anIssuer, recordsOf, startWorld, type World } from '../../test/fakes/world.ts';
import { OutputAnnotation } from './claim-outputs.ts';

const DAY = 86_400_000;
const REF = { namespace: 'default', name: 'web' };
const STORES = { pkcs12: { create: true, passwordSecretRef: { name: 'pw', key: 'password' } } };

const spec = (more: Partial<CertificateClaimSpec> = {}): CertificateClaimSpec => ({
  secretName: 'web-tls',
  issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
  dnsNames: ['web.example'],
  ...more,
});

async function withClaim(more: Partial<CertificateClaimSpec> = {}, password?: string): Promise<World> {
  const world = await startWorld();
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  if (password !== undefined) await setPassword(world, password);
  await world.quiet();
  world.writes();
  await world.store.cluster.create(CertificateClaimKind, { metadata: REF, spec: spec(more) });
  await world.quiet();
  return world;
}

async function setPassword(world: World, password: string, type = 'Opaque'): Promise<void> {
  const metadata = { namespace: 'default', name: 'pw' };
  await world.store.cluster.delete(SecretKind, metadata);
  const data = { password: Buffer.from(password).toString('base64') };
  await world.store.cluster.create(SecretKind, { metadata, type, data });
  await world.quiet();
}

const claimOf = async (world: World) => (await world.store.cluster.get(CertificateClaimKind, REF)) as CertificateClaim;

async function secretOf(world: World): Promise<Secret> {
  const secret = await world.store.cluster.get(SecretKind, { namespace: 'default', name: 'web-tls' });
  if (!secret) throw new Error('no Secret');
  return secret;
}

/** Sets the spec, members with undefined left out; returns the writes that follow. */
async function change(world: World, more: object): Promise<string[]> {
  const claim = await claimOf(world);
  world.writes();
  const next = JSON.parse(JSON.stringify({ ...claim.spec, ...more })) as CertificateClaimSpec;
  await world.store.cluster.replace(CertificateClaimKind, { ...claim, spec: next });
  await world.quiet();
  return world.writes();
}

const value = ({ data }: Secret, key: string) => Buffer.from(data?.[key] ?? '', 'base64');

function opens(secret: Secret, password: string): boolean {
  try {
    createSecureContext({ pfx: value(secret, 'keystore.p12'), passphrase: password });
    return true;
  } catch {
    return false;
  }
}

test('everything a claim wants in its Secret costs no write more', async () => {
  const world = await withClaim(
    {
      secretTemplate: { labels: { team: 'shop' }, annotations: { 'example.com/sync': 'yes' } },
      additionalOutputFormats: ['tls-combined.pem', 'key.der', 'fullchain.pem', 'chain.pem'],
      keystores: STORES,
    },
    'secret',
  );
  expect(world.writes()).toEqual([
    'create IssuedCertificate',
    'create Secret',
    'replaceStatus CertificateClaim',
    'create Event',
  ]);
  const secret = await secretOf(world);
  expect(secret.metadata.labels).toEqual({ team: 'shop' });
  expect(secret.metadata.annotations).toMatchObject({ 'example.com/sync': 'yes' });
  const [key, chain] = [value(secret, 'tls.key').toString(), value(secret, 'tls.crt').toString()];
  expect(value(secret, 'tls-combined.pem').toString()).toBe(key + chain);
  const der = createPrivateKey({ key: value(secret, 'key.der'), format: 'der', type: 'pkcs8' });
  expect(der.equals(createPrivateKey(key))).toBe(true);
  expect(value(secret, 'fullchain.pem').toString()).toBe(chain);
  expect(new X509Certificate(value(secret, 'chain.pem')).raw).toEqual(world.engine.ca);
  expect(chain.endsWith(value(secret, 'chain.pem').toString())).toBe(true);
  expect([opens(secret, 'secret'), opens(secret, 'other')]).toEqual([true, false]);
  expect(value(secret, 'truststore.p12').length).toBeGreaterThan(500);
  await world.pass(40 * DAY, 8);
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('what a claim drops goes from the Secret, what others put there stays, and nothing is issued', async () => {
  const world = await withClaim({
    secretTemplate: { labels: { team: 'shop', tier: 'front' }, annotations: { 'example.com/sync': 'yes' } },
    additionalOutputFormats: ['key.der', 'chain.pem'],
  });
  const made = await secretOf(world);
  const { labels, annotations } = made.metadata;
  await world.store.cluster.replace(SecretKind, {
    ...made,
    metadata: { ...made.metadata, labels: { ...labels, mine: '1' }, annotations: { ...annotations, note: 'mine' } },
    data: { ...made.data, 'keystore.p12': 'bWluZQ==', extra: 'eA==' },
  });
  await world.quiet();
  const less = { secretTemplate: { labels: { team: 'store' } }, additionalOutputFormats: ['chain.pem'] };
  expect(await change(world, less)).toEqual(['replace Secret', 'replaceStatus CertificateClaim']);
  const secret = await secretOf(world);
  expect(secret.metadata.labels).toEqual({ team: 'store', mine: '1' });
  expect(secret.metadata.annotations).not.toHaveProperty('example.com/sync');
  expect(secret.metadata.annotations?.note).toBe('mine');
  expect(Object.keys(secret.data ?? {}).toSorted()).toEqual([
    'ca.crt',
    'chain.pem',
    'extra',
    'keystore.p12',
    'tls.crt',
    'tls.key',
  ]);
  await change(world, { secretTemplate: undefined, additionalOutputFormats: undefined });
  const bare = await secretOf(world);
  expect(bare.metadata.labels).toEqual({ mine: '1' });
  expect(bare.metadata.annotations).not.toHaveProperty(OutputAnnotation.managed);
  expect(bare.data).not.toHaveProperty('chain.pem');
  expect(value(bare, 'tls.key')).toEqual(value(made, 'tls.key'));
  expect(await recordsOf(world.store.cluster)).toHaveLength(1);
  await world.stop();
});

test('labels and formats that somebody changes are put right, without another certificate', async () => {
  const world = await withClaim({ secretTemplate: { labels: { team: 'shop' } }, additionalOutputFormats: ['key.der'] });
  const made = await secretOf(world);
  world.writes();
  const { 'key.der': _gone, ...data } = made.data ?? {};
  const metadata = { ...made.metadata, labels: { team: 'thief' } };
  await world.store.cluster.replace(SecretKind, { ...made, metadata, data });
  await world.quiet();
  expect(world.writes()).toEqual(['replace Secret']);
  const again = await secretOf(world);
  expect([again.data, again.metadata.labels]).toEqual([made.data, { team: 'shop' }]);
  await world.stop();
});

test('a forged list of what is ours takes nothing out but what a claim could have put there', async () => {
  const world = await withClaim({ additionalOutputFormats: ['key.der'] });
  const made = await secretOf(world);
  for (const forged of [
    'null',
    '[]',
    '{',
    '{"data":"tls.key","labels":7}',
    JSON.stringify({
      data: ['tls.key', 'tls.crt', 'extra', '__proto__', 'key.der'],
      annotations: Object.keys(made.metadata.annotations ?? {}),
      labels: ['kubernetes.io/x', 'constructor'],
    }),
  ]) {
    const now = await secretOf(world);
    const annotations = { ...now.metadata.annotations, [OutputAnnotation.managed]: forged };
    const metadata = { ...now.metadata, annotations, labels: { 'kubernetes.io/x': 'stays' } };
    await world.store.cluster.replace(SecretKind, { ...now, metadata, data: { ...now.data, extra: 'eA==' } });
    await world.quiet();
    const after = await secretOf(world);
    expect(after.data).toEqual({ ...made.data, extra: 'eA==' });
    expect(after.metadata.annotations).toEqual(made.metadata.annotations);
    expect(after.metadata.labels).toEqual({ 'kubernetes.io/x': 'stays' });
  }
  expect(await recordsOf(world.store.cluster)).toHaveLength(1);
  await world.stop();
});

test('stores are made again when certificate, password or name change or somebody tampers with them, and else never', async () => {
  const world = await withClaim({ keystores: STORES }, 'first');
  const store = async () => (await secretOf(world)).data?.['keystore.p12'];
  const first = await store();
  const made = await secretOf(world);
  await world.store.cluster.replace(SecretKind, { ...made, data: { ...made.data, extra: 'eA==' } });
  await world.quiet();
  expect(await store()).toBe(first);

  world.writes();
  await setPassword(world, 'second');
  expect(world.writes()).toEqual(['replace Secret']);
  expect([opens(await secretOf(world), 'first'), opens(await secretOf(world), 'second')]).toEqual([false, true]);

  const second = await store();
  await change(world, { keystores: { pkcs12: { ...STORES.pkcs12, friendlyName: 'web' } } });
  const third = await store();
  expect(third).not.toBe(second);

  const now = await secretOf(world);
  await world.store.cluster.replace(SecretKind, { ...now, data: { ...now.data, 'keystore.p12': first ?? '' } });
  await world.quiet();
  expect(opens(await secretOf(world), 'second')).toBe(true);

  const before = await store();
  await change(world, { dnsNames: ['other.example'] });
  expect(await store()).not.toBe(before);
  expect(opens(await secretOf(world), 'second')).toBe(true);

  await change(world, { keystores: { pkcs12: { ...STORES.pkcs12, create: false } } });
  const { data, metadata } = await secretOf(world);
  expect(Object.keys(data ?? {}).toSorted()).toEqual(['ca.crt', 'extra', 'tls.crt', 'tls.key']);
  expect(metadata.annotations).not.toHaveProperty(OutputAnnotation.keystores);
  expect(await recordsOf(world.store.cluster)).toHaveLength(2);
  await world.stop();
});

test('a mark copied from other stores does not make them pass for these', async () => {
  const world = await withClaim({ keystores: STORES }, 'secret');
  const { metadata, ...other } = {
    metadata: { namespace: 'default', name: 'other' },
    spec: spec({ secretName: 'other-tls', keystores: STORES }),
  };
  await world.store.cluster.create(CertificateClaimKind, { metadata, ...other });
  await world.quiet();
  const [mine, theirs] = [
    await secretOf(world),
    await world.store.cluster.get(SecretKind, { namespace: 'default', name: 'other-tls' }),
  ];
  const key = OutputAnnotation.keystores;
  const annotations = { ...mine.metadata.annotations, [key]: theirs?.metadata.annotations?.[key] ?? '' };
  const data = { ...mine.data, 'keystore.p12': theirs?.data?.['keystore.p12'] ?? '' };
  await world.store.cluster.replace(SecretKind, { ...mine, metadata: { ...mine.metadata, annotations }, data });
  await world.quiet();
  const after = await secretOf(world);
  expect(after.data?.['keystore.p12']).not.toBe(theirs?.data?.['keystore.p12']);
  expect(opens(after, 'secret')).toBe(true);
  await world.stop();
});

test.each<[string, (world: World) => Promise<unknown>, string]>([
  ['missing', async () => undefined, 'there is no Secret pw with the password of the stores'],
  ['empty', (world) => setPassword(world, ''), 'the password of the stores in Secret pw is empty'],
  ['with a line break', (world) => setPassword(world, 'x\n'), 'a line break at its end'],
  ['of a token', (world) => setPassword(world, 'x', 'kubernetes.io/service-account-token'), 'not of a type'],
  [
    'under another key',
    (world) =>
      world.store.cluster.create(SecretKind, {
        metadata: { namespace: 'default', name: 'pw' },
        type: 'Opaque',
        data: { other: 'eA==' },
      }),
    'has no key of the name given',
  ],
])('a password that is %s is waited for before a certificate is spent', async (_what, prepare, message) => {
  const world = await withClaim();
  await prepare(world);
  await change(world, { keystores: STORES, dnsNames: ['other.example'] });
  const ready = () => claimOf(world).then(({ status }) => findCondition(status?.conditions, 'Ready'));
  expect(await ready()).toMatchObject({
    status: 'False',
    reason: 'PasswordUnusable',
    message: expect.stringContaining(message) as string,
  });
  expect(world.engine.requests).toHaveLength(1);
  await setPassword(world, 'good', 'kubernetes.io/basic-auth');
  expect(await ready()).toMatchObject({ status: 'True' });
  expect(opens(await secretOf(world), 'good')).toBe(true);
  expect(world.engine.requests).toHaveLength(2);
  await world.stop();
});

test('a password that goes leaves Secret and certificate as they are, and the claim says so', async () => {
  const world = await withClaim({ keystores: STORES }, 'secret');
  const before = await secretOf(world);
  await world.store.cluster.delete(SecretKind, { namespace: 'default', name: 'pw' });
  await world.quiet();
  const { status } = await claimOf(world);
  expect(findCondition(status?.conditions, 'Ready')?.status).toBe('True');
  expect(findCondition(status?.conditions, 'Issuing')).toMatchObject({ status: 'False', reason: 'PasswordUnusable' });
  expect(await secretOf(world)).toEqual(before);
  await setPassword(world, 'secret');
  expect(await secretOf(world)).toEqual(before);
  expect(findCondition((await claimOf(world)).status?.conditions, 'Issuing')).toBeUndefined();
  await world.stop();
});

test('a Secret taken over from a claim that went is brought to what this one wants in the same write', async () => {
  const world = await withClaim({ secretTemplate: { labels: { team: 'shop' } } });
  await world.store.cluster.delete(CertificateClaimKind, REF);
  await world.quiet();
  world.writes();
  const template = { labels: { tier: 'front' } };
  await world.store.cluster.create(CertificateClaimKind, { metadata: REF, spec: spec({ secretTemplate: template }) });
  await world.quiet();
  expect(world.writes()).toEqual(['replace Secret', 'replaceStatus CertificateClaim', 'create Event']);
  expect((await secretOf(world)).metadata.labels).toEqual({ tier: 'front' });
  await world.stop();
});
