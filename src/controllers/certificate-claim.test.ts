import { createPrivateKey, X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type CertificateClaim, CertificateClaimKind, type CertificateClaimSpec } from '../api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { EventKind, NamespaceKind, type Secret, SecretKind } from '../api/core.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { parseCsr } from '../domain/csr.ts';
import { findCondition } from '../domain/conditions.ts';
import { Problem } from '../domain/problem.ts';
import { settle } from '../../test/fakes/clock.ts';
import { createFakeEngine } from '../../test/fakes/issuance.ts';
import { observeCluster } from '../../test/fakes/observed-cluster.ts';
import {
  anIssuer,
  createFakeStore,
  OPERATOR_NAMESPACE,
  recordsOf,
  startWorld,
  type World,
} from '../../test/fakes/world.ts';
import { buildCsr } from '../../test/support/csr-builder.ts';
import { SecretAnnotation } from './claim-secret.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;
const REF = { namespace: 'default', name: 'web' };

const aClaim = (spec: Partial<CertificateClaimSpec> = {}, name = 'web') => ({
  metadata: { namespace: 'default', name },
  spec: {
    secretName: 'web-tls',
    issuerRef: { kind: 'ClusterCAIssuer' as const, name: 'corporate' },
    dnsNames: ['web.example', 'www.web.example'],
    ...spec,
  },
});

/** A world whose issuer is ready. */
async function aWorld(...args: Parameters<typeof startWorld>): Promise<World> {
  const world = await startWorld(...args);
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  world.writes();
  return world;
}

async function withClaim(spec: Partial<CertificateClaimSpec> = {}): Promise<World> {
  const world = await aWorld();
  await world.store.cluster.create(CertificateClaimKind, aClaim(spec));
  await world.quiet();
  return world;
}

const claimOf = async (world: World, name = 'web') =>
  (await world.store.cluster.get(CertificateClaimKind, { namespace: 'default', name })) as CertificateClaim;
const secretOf = (world: World, name = 'web-tls') =>
  world.store.cluster.get(SecretKind, { namespace: 'default', name });

async function conditionOf(world: World, type = 'Ready', name = 'web') {
  const { status, reason, message } = findCondition((await claimOf(world, name)).status?.conditions, type) ?? {};
  return { status, reason, message };
}

async function changeClaim(world: World, change: Partial<CertificateClaimSpec>, name = 'web'): Promise<void> {
  const claim = await claimOf(world, name);
  await world.store.cluster.replace(CertificateClaimKind, { ...claim, spec: { ...claim.spec, ...change } });
  await world.quiet();
}

function contentOf(secret: Secret | undefined) {
  const text = (key: string) => Buffer.from(secret?.data?.[key] ?? '', 'base64').toString();
  const chain = text('tls.crt').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? [];
  return {
    leaf: new X509Certificate(chain[0] ?? ''),
    chain,
    key: createPrivateKey(text('tls.key')),
    keyPem: text('tls.key'),
    root: text('ca.crt'),
  };
}

/** What must hold of a claim at rest: a matching pair in its Secret, and no live record but those of certificates that were there. */
async function expectDelivered(world: World): Promise<void> {
  const { leaf, key } = contentOf(await secretOf(world));
  expect(leaf.checkPrivateKey(key)).toBe(true);
  expect(leaf.subjectAltName).toBe('DNS:web.example, DNS:www.web.example');
  const live = (await recordsOf(world.store.cluster)).filter(({ spec }) => !spec.revocation);
  expect(live.map(({ status }) => status.certificate)).toEqual([leaf.raw.toString('base64')]);
  expect(await conditionOf(world)).toMatchObject({ status: 'True', reason: 'Issued' });
  expect((await claimOf(world)).status?.record).toBe(live[0]?.metadata.name);
}

test('a claim costs four writes: record, Secret, status, Event; then none', async () => {
  const world = await aWorld();
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  expect(world.writes()).toEqual([
    'create IssuedCertificate',
    'create Secret',
    'replaceStatus CertificateClaim',
    'create Event',
  ]);
  await expectDelivered(world);
  await world.pass(40 * DAY, 8);
  expect(world.writes()).toEqual([]);
  expect(world.engine.requests).toHaveLength(1);
  await world.stop();
});

test('a Secret seen before the status that was just written brings no second status', async () => {
  const store = createFakeStore();
  const release = Promise.withResolvers<void>();
  let written = false;
  const cluster = observeCluster(store.cluster);
  cluster.watch = async function* (kind, options) {
    for await (const event of store.cluster.watch(kind, options)) {
      if (written && kind.kind === 'CertificateClaim') await release.promise;
      yield event;
    }
  };
  const world = await aWorld({ ...store, cluster });
  const statuses = () =>
    world.cluster.calls.filter((call) => call.verb === 'replaceStatus' && call.kind === 'CertificateClaim');
  world.cluster.intercept = ({ verb, kind }) => {
    if (verb === 'replaceStatus' && kind === 'CertificateClaim') written = true;
  };
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  const secret = await secretOf(world);
  if (!secret) throw new Error('there is no Secret');
  await world.store.cluster.replace(SecretKind, { ...secret, metadata: { ...secret.metadata, labels: { a: 'b' } } });
  await world.pass(MINUTE, 4);
  expect(statuses()).toHaveLength(1);
  release.resolve();
  await world.pass(MINUTE, 4);
  expect(statuses()).toHaveLength(1);
  await expectDelivered(world);
  await world.stop();
});

test('the Secret holds leaf and chain, a PKCS#8 key and the root; the status says what is in it', async () => {
  const world = await withClaim({ privateKey: { algorithm: 'ECDSA', size: 384 } });
  const secret = await secretOf(world);
  const { chain, key, keyPem, root, leaf } = contentOf(secret);
  expect(secret?.type).toBe('kubernetes.io/tls');
  expect(chain).toHaveLength(2);
  expect(new X509Certificate(chain[1] ?? '').raw).toEqual(world.engine.ca);
  expect(new X509Certificate(root).raw).toEqual(world.engine.ca);
  expect(keyPem).toMatch(/^-----BEGIN PRIVATE KEY-----/);
  expect(key.asymmetricKeyDetails?.namedCurve).toBe('secp384r1');
  const { status } = await claimOf(world);
  expect(status).toMatchObject({ revision: 1, notAfter: leaf.validToDate.toISOString().replace('.000', '') });
  expect(BigInt(`0x${status?.serial}`)).toBe(BigInt(`0x${leaf.serialNumber}`));
  expect(status).not.toHaveProperty('failures');
  const events = (await world.store.cluster.list(EventKind)).items.filter(
    ({ regarding }) => regarding.kind === 'CertificateClaim',
  );
  expect(events.map(({ type, reason, metadata }) => [type, reason, metadata.namespace])).toEqual([
    ['Normal', 'Issued', 'default'],
  ]);
  await world.stop();
});

test('the engine is told who asks, for what, and with which labels', async () => {
  const world = await aWorld();
  await world.store.cluster.create(NamespaceKind, { metadata: { name: 'shop', labels: { team: 'shop' } } });
  await world.store.cluster.create(CertificateClaimKind, {
    ...aClaim({
      ipAddresses: ['2001:db8::1', '10.0.0.1'],
      duration: '24h',
      usages: ['client auth'],
      profile: 'short',
      commonName: 'web.example',
    }),
    metadata: { namespace: 'shop', name: 'web' },
  });
  await world.quiet();
  const [request] = world.engine.requests;
  expect(request?.requester).toEqual({
    namespace: 'shop',
    namespaceLabels: { team: 'shop', 'kubernetes.io/metadata.name': 'shop' },
    claim: 'web',
    claimUID: (await world.store.cluster.get(CertificateClaimKind, { namespace: 'shop', name: 'web' }))?.metadata.uid,
  });
  expect(request?.identifiers.map(({ type, value }) => `${type}:${value}`)).toEqual([
    'dns:web.example',
    'dns:www.web.example',
    'ip:10.0.0.1',
    'ip:2001:db8::1',
  ]);
  expect(request?.wanted).toEqual({ durationMs: DAY, usages: ['client auth'], profile: 'short' });
  expect(request?.door).toBe('CertificateClaim');
  await world.stop();
});

test('a process may die before or after any call: the next one delivers one matching pair and leaves one live record', async () => {
  // The calls of a claim from its creation to rest, counted on an undisturbed run.
  const calm = await aWorld();
  const offset = calm.cluster.calls.length;
  await calm.store.cluster.create(CertificateClaimKind, aClaim());
  await calm.quiet();
  const count = calm.cluster.calls.length - offset;
  await calm.stop();
  expect(count).toBeGreaterThanOrEqual(6);
  const superseded: number[] = [];
  for (let dies = 0; dies < count; dies++) {
    for (const at of ['before', 'after'] as const) {
      const store = createFakeStore();
      const first = await aWorld(store);
      const start = first.cluster.calls.length;
      const dead = Promise.withResolvers<void>();
      first.cluster.intercept = (_call, phase, index) => {
        if (index !== start + dies || phase !== at) return;
        first.die();
        dead.resolve();
        throw new Error('killed');
      };
      await store.cluster.create(CertificateClaimKind, aClaim());
      await dead.promise;
      await settle();
      const second = await startWorld(store);
      await second.quiet();
      await expectDelivered(second);
      superseded.push((await recordsOf(store.cluster)).filter(({ spec }) => spec.revocation?.reason === 4).length);
      await second.stop();
    }
  }
  // Only dying between record and Secret costs a certificate, and it costs one.
  expect(Math.max(...superseded)).toBe(1);
  expect(superseded.filter((n) => n === 1).length).toBeLessThan(superseded.length);
});

test('a refusal is none where another process got the certificate a moment before', async () => {
  const world = await aWorld();
  const another = createFakeEngine({ ...world.store, namespace: OPERATOR_NAMESPACE });
  world.engine.behave = (request) => {
    if (world.engine.requests.length > 1) return 'sign';
    const { der: csr } = buildCsr({ names: ['web.example', 'www.web.example'] });
    void another.issue({ ...request, csr }, AbortSignal.timeout(60_000));
    return new Problem('rejectedIdentifier', 'denied since');
  };
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  await world.pass(MINUTE, 10);
  await expectDelivered(world);
  const records = await recordsOf(world.store.cluster);
  expect(records).toHaveLength(2);
  expect(records.filter(({ spec }) => spec.revocation?.reason === 4)).toHaveLength(1);
  expect(world.engine.requests.map(({ id }) => id.split('/')[1])).toEqual(['1', '2']);
  await world.stop();
});

test('a row of deaths between record and Secret leaves every lost certificate revoked', async () => {
  const store = createFakeStore();
  const issuerMaker = await aWorld(store);
  await issuerMaker.stop();
  await store.cluster.create(CertificateClaimKind, aClaim());
  for (let life = 0; life < 3; life++) {
    const world = await startWorld(store);
    const dead = Promise.withResolvers<void>();
    world.cluster.intercept = (call, phase) => {
      if (call.kind !== 'Secret' || call.verb !== 'create' || phase !== 'before') return;
      world.die();
      dead.resolve();
      throw new Error('killed');
    };
    await dead.promise;
    await settle();
  }
  const last = await startWorld(store);
  await last.quiet();
  await expectDelivered(last);
  const records = await recordsOf(store.cluster);
  expect(records).toHaveLength(4);
  expect(records.filter(({ spec }) => spec.revocation?.reason === 4)).toHaveLength(3);
  expect(last.audit.entries.map(({ event }) => event)).toEqual(['revocation']);
  await last.stop();
});

test('a certificate made for an earlier spec is not delivered for a later one, even where key and names are the same', async () => {
  const store = createFakeStore();
  const first = await aWorld(store);
  await store.cluster.create(CertificateClaimKind, aClaim({ rotationPolicy: 'Never' }));
  await first.quiet();
  const dead = Promise.withResolvers<void>();
  first.cluster.intercept = (call, phase) => {
    if (call.kind !== 'Secret' || call.verb !== 'replace' || phase !== 'before') return;
    first.die();
    dead.resolve();
    throw new Error('killed');
  };
  await store.clock.advance(61 * DAY);
  await dead.promise;
  await settle();
  const claim = await claimOf(first);
  await store.cluster.replace(CertificateClaimKind, { ...claim, spec: { ...claim.spec, usages: ['client auth'] } });
  const second = await startWorld(store);
  await second.quiet();
  expect(second.engine.requests.map(({ wanted }) => wanted.usages)).toEqual([['client auth']]);
  const { status } = await claimOf(second);
  expect(status?.revision).toBe(3);
  const records = await recordsOf(store.cluster);
  const lost = records.filter(({ spec }) => spec.revocation?.reason === 4);
  expect([records.length, lost.map(({ spec }) => spec.requestID)]).toEqual([3, [`${claim.metadata.uid}/2`]]);
  await second.stop();
});

test('two processes at once deliver one matching pair, and what was issued in vain is revoked', async () => {
  const store = createFakeStore();
  const worlds = [await aWorld(store), await startWorld(store)] as const;
  await store.cluster.create(CertificateClaimKind, aClaim());
  for (let round = 0; round < 6; round++) {
    await store.clock.advance(10_000);
    for (const world of worlds) await world.quiet();
  }
  await expectDelivered(worlds[0]);
  for (const world of worlds) await world.stop();
});

test('a write that fails is tried again without another certificate', async () => {
  const world = await aWorld();
  let failures = 0;
  world.cluster.intercept = (call, phase) => {
    if (phase === 'before' && call.verb === 'create' && call.kind === 'Secret' && failures++ < 3)
      throw new ClusterError('Unavailable', 'not now');
  };
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  await world.pass(MINUTE, 6);
  expect(failures).toBe(4);
  await expectDelivered(world);
  expect(await recordsOf(world.store.cluster)).toHaveLength(1);
  await world.stop();
});

test('a Secret that a quota refuses is said in the words of the API, and made once there is room', async () => {
  const world = await aWorld();
  const words =
    'secrets "web-tls" is forbidden: exceeded quota: small, requested: count/secrets=1, limited: count/secrets=3';
  world.cluster.intercept = ({ verb, kind }, phase) => {
    if (kind === 'Secret' && verb === 'create' && phase === 'before') throw new ClusterError('Forbidden', words);
  };
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  expect(await conditionOf(world)).toMatchObject({
    status: 'False',
    message: expect.stringContaining(words) as string,
  });
  await world.pass(10 * MINUTE, 10);
  expect((await claimOf(world)).status).toMatchObject({ failures: 4 });
  world.cluster.intercept = () => undefined;
  await world.pass(10 * MINUTE, 10);
  await expectDelivered(world);
  expect(await recordsOf(world.store.cluster)).toHaveLength(1);
  await world.stop();
});

test('an answer lost on its way back gives the same certificate', async () => {
  const world = await aWorld();
  let lost = 0;
  world.cluster.intercept = (call, phase) => {
    if (phase === 'after' && call.verb === 'create' && call.kind === 'IssuedCertificate' && lost++ === 0)
      throw new ClusterError('Unavailable', 'connection reset');
  };
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  await world.pass(MINUTE, 6);
  expect(lost).toBe(1);
  await expectDelivered(world);
  expect(await recordsOf(world.store.cluster)).toHaveLength(1);
  await world.stop();
});

test('renewal comes after two thirds of the actual lifetime, with a new key, and replaces the record', async () => {
  const world = await withClaim();
  const before = contentOf(await secretOf(world));
  const { renewalTime, record } = (await claimOf(world)).status ?? {};
  const age = (Date.parse(renewalTime ?? '') - world.clock.now().getTime()) / DAY;
  expect(age).toBeGreaterThan(54);
  expect(age).toBeLessThanOrEqual(60.1);
  world.writes();
  await world.pass(age * DAY - MINUTE);
  expect(world.writes()).toEqual([]);
  await world.pass(2 * MINUTE);
  expect(world.writes()).toEqual([
    'create IssuedCertificate',
    'replace Secret',
    'replaceStatus CertificateClaim',
    'create Event',
  ]);
  const after = contentOf(await secretOf(world));
  expect(after.leaf.checkPrivateKey(after.key)).toBe(true);
  expect(after.leaf.serialNumber).not.toBe(before.leaf.serialNumber);
  expect(after.keyPem).not.toBe(before.keyPem);
  expect(world.engine.requests[1]?.replaces).toBe(record);
  expect((await claimOf(world)).status?.revision).toBe(2);
  await world.stop();
});

test('rotationPolicy Never keeps the key, until the certificate is revoked as compromised', async () => {
  const world = await withClaim({ rotationPolicy: 'Never' });
  const first = contentOf(await secretOf(world));
  await world.pass(61 * DAY, 4);
  const second = contentOf(await secretOf(world));
  expect(second.leaf.serialNumber).not.toBe(first.leaf.serialNumber);
  expect(second.keyPem).toBe(first.keyPem);
  const [record] = (await recordsOf(world.store.cluster)).filter(
    ({ status }) => status.certificate === second.leaf.raw.toString('base64'),
  );
  if (!record) throw new Error('no record');
  const revocation = { reason: 1, revokedAt: world.clock.now().toISOString(), by: 'test' };
  await world.store.cluster.replace(IssuedCertificateKind, { ...record, spec: { ...record.spec, revocation } });
  await world.quiet();
  const third = contentOf(await secretOf(world));
  expect(third.leaf.serialNumber).not.toBe(second.leaf.serialNumber);
  expect(third.keyPem).not.toBe(second.keyPem);
  expect(third.leaf.checkPrivateKey(third.key)).toBe(true);
  await world.stop();
});

test('renewBefore counts from expiry; a short lifetime renews by its own measure', async () => {
  const world = await withClaim({ renewBefore: '720h' });
  const renewal = async () =>
    (Date.parse((await claimOf(world)).status?.renewalTime ?? '') - world.clock.now().getTime()) / DAY;
  expect(await renewal()).toBeLessThanOrEqual(60.1);
  world.engine.lifetimeMs = DAY;
  await changeClaim(world, { dnsNames: ['short.example'] });
  expect(await renewal()).toBeLessThan(0.7);
  expect(await renewal()).toBeGreaterThan(0.6);
  await world.pass(3 * DAY, 30);
  const { leaf } = contentOf(await secretOf(world));
  expect(leaf.validToDate.getTime()).toBeGreaterThan(world.clock.now().getTime());
  expect(world.engine.requests.length).toBeLessThan(8);
  await world.stop();
});

test.each<[string, Partial<CertificateClaimSpec>]>([
  ['names', { dnsNames: ['other.example'] }],
  ['key', { privateKey: { algorithm: 'Ed25519' } }],
  ['usages', { usages: ['client auth'] }],
  ['duration', { duration: '48h' }],
  ['subject', { subject: { organizations: ['Example'] } }],
])('a change of the %s reissues at once, without a failure in between', async (_what, change) => {
  const world = await withClaim();
  world.writes();
  await changeClaim(world, change);
  expect(world.writes()).toEqual([
    'create IssuedCertificate',
    'replace Secret',
    'replaceStatus CertificateClaim',
    'create Event',
  ]);
  expect((await claimOf(world)).status?.revision).toBe(2);
  expect((await claimOf(world)).status?.conditions?.[0]?.observedGeneration).toBe(2);
  await world.stop();
});

test.each<[string, Partial<CertificateClaimSpec>]>([
  ['order of names', { dnsNames: ['www.web.example', 'web.example'] }],
  ['rotation policy', { rotationPolicy: 'Never' }],
  ['spelling of a name', { dnsNames: ['WEB.example', 'www.web.example'] }],
])('a change of the %s issues nothing', async (_what, change) => {
  const world = await withClaim();
  world.writes();
  await changeClaim(world, change);
  expect(world.writes()).toEqual(['replaceStatus CertificateClaim']);
  await world.stop();
});

test('a new default of the issuer reissues nothing; reissueBefore reissues all, once', async () => {
  const world = await withClaim();
  const change = async (spec: object) => {
    const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
    if (!issuer) throw new Error('no issuer');
    await world.store.cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, ...spec } });
    await world.quiet();
  };
  await change({ defaults: { privateKey: { algorithm: 'RSA', size: 2048 }, duration: '24h' } });
  expect(world.engine.requests).toHaveLength(1);
  await world.pass(DAY);
  await change({ reissueBefore: world.clock.now().toISOString() });
  expect(world.engine.requests).toHaveLength(2);
  await world.pass(10 * DAY, 10);
  expect(world.engine.requests).toHaveLength(2);
  // One that lies ahead: nothing now, one certificate when it comes.
  await change({ reissueBefore: new Date(world.clock.now().getTime() + DAY).toISOString() });
  expect(world.engine.requests).toHaveLength(2);
  await world.pass(2 * DAY, 4);
  expect(world.engine.requests).toHaveLength(3);
  await world.pass(10 * DAY, 10);
  expect(world.engine.requests).toHaveLength(3);
  await world.stop();
});

test.each<[string, (secret: Secret, other: Secret) => Secret['data']]>([
  ['the key', ({ data }, other) => ({ ...data, 'tls.key': other.data?.['tls.key'] ?? '' })],
  ['the certificate', ({ data }, other) => ({ ...data, 'tls.crt': other.data?.['tls.crt'] ?? '' })],
  ['both, with another claim’s', (_secret, other) => other.data ?? {}],
  [
    'the certificate by garbage',
    ({ data }) => ({
      ...data,
      'tls.crt': Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----').toString('base64'),
    }),
  ],
  ['the key by nothing', ({ data }) => ({ ...data, 'tls.key': '' })],
])('a Secret with %s replaced is made right', async (_what, tamper) => {
  const world = await withClaim();
  await world.store.cluster.create(
    CertificateClaimKind,
    aClaim({ secretName: 'other-tls', dnsNames: ['other.example'] }, 'other'),
  );
  await world.quiet();
  const [secret, other] = [await secretOf(world), await secretOf(world, 'other-tls')];
  if (!secret || !other) throw new Error('no Secrets');
  await world.store.cluster.replace(SecretKind, { ...secret, data: tamper(secret, other) ?? {} });
  await world.quiet();
  const { leaf, key } = contentOf(await secretOf(world));
  expect(leaf.checkPrivateKey(key)).toBe(true);
  expect(leaf.subjectAltName).toBe('DNS:web.example, DNS:www.web.example');
  expect((await claimOf(world)).status?.revision).toBe(2);
  await world.stop();
});

test('a Secret that is damaged again and again is made right ever more rarely, and the claim says so', async () => {
  const world = await withClaim();
  const ruin = async () => {
    const secret = await secretOf(world);
    if (secret) await world.store.cluster.replace(SecretKind, { ...secret, data: { ...secret.data, 'tls.key': '' } });
    await world.quiet();
  };
  await ruin();
  expect(world.engine.requests).toHaveLength(2);
  await ruin();
  expect(world.engine.requests).toHaveLength(2);
  expect(await conditionOf(world)).toMatchObject({ status: 'False', reason: 'SecretDamaged' });
  await world.pass(MINUTE + 1000);
  expect(world.engine.requests).toHaveLength(3);
  expect(await conditionOf(world)).toMatchObject({ status: 'True' });
  // Deleting it is no other matter, and neither is passing it off as somebody else's in between.
  const secret = await secretOf(world);
  await world.store.cluster.replace(SecretKind, {
    ...(secret as Secret),
    metadata: { ...(secret as Secret).metadata, annotations: {} },
  });
  await world.quiet();
  await world.store.cluster.delete(SecretKind, { namespace: 'default', name: 'web-tls' });
  await world.pass(MINUTE + 1000);
  expect(world.engine.requests).toHaveLength(3);
  await world.pass(MINUTE);
  expect(world.engine.requests).toHaveLength(4);
  for (let minute = 0; minute < 24 * 60; minute += 5) {
    await ruin();
    await world.pass(5 * MINUTE);
  }
  expect(world.engine.requests.length).toBeLessThan(4 + 6 + 24);
  await world.stop();
});

test('a namespace that is being deleted loses its Secret before its claim, and no other is made', async () => {
  const store = createFakeStore();
  const cluster = observeCluster(store.cluster);
  // The store here marks all that is in a namespace at once; Kubernetes goes through it kind by kind.
  cluster.watch = async function* (kind, options) {
    for await (const event of store.cluster.watch(kind, options)) {
      const isGoing = 'object' in event && event.object.metadata.labels?.['going'] === 'yes';
      if (isGoing && kind.kind === 'Namespace') {
        const metadata = { ...event.object.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' };
        yield { ...event, object: { ...event.object, metadata } };
      } else yield event;
    }
  };
  const world = await aWorld({ ...store, cluster });
  await store.cluster.create(NamespaceKind, { metadata: { name: 'shop' } });
  await store.cluster.create(CertificateClaimKind, { ...aClaim(), metadata: { namespace: 'shop', name: 'web' } });
  await world.quiet();
  const before = await recordsOf(store.cluster);
  expect(before).toHaveLength(1);
  const namespace = await store.cluster.get(NamespaceKind, { name: 'shop' });
  if (!namespace) throw new Error('there is no namespace');
  await store.cluster.replace(NamespaceKind, {
    ...namespace,
    metadata: { ...namespace.metadata, labels: { going: 'yes' } },
  });
  await world.quiet();
  await store.cluster.delete(SecretKind, { namespace: 'shop', name: 'web-tls' });
  await world.pass(MINUTE, 4);
  expect(await recordsOf(store.cluster)).toEqual(before);
  expect(await store.cluster.get(SecretKind, { namespace: 'shop', name: 'web-tls' })).toBeUndefined();
  await world.stop();
});

test('what is damaged once in a while is made right at once', async () => {
  const world = await withClaim();
  for (let day = 1; day <= 5; day++) {
    await world.store.cluster.delete(SecretKind, { namespace: 'default', name: 'web-tls' });
    await world.quiet();
    expect(world.engine.requests).toHaveLength(1 + day);
    await world.pass(1.5 * DAY);
  }
  await world.stop();
});

test('a deleted Secret is made again; what others added to a Secret stays', async () => {
  const world = await withClaim();
  await world.store.cluster.delete(SecretKind, { namespace: 'default', name: 'web-tls' });
  await world.quiet();
  const made = await secretOf(world);
  expect(contentOf(made).leaf.subjectAltName).toContain('web.example');
  if (!made) throw new Error('no Secret');
  const metadata = {
    ...made.metadata,
    labels: { mine: 'yes' },
    annotations: { ...made.metadata.annotations, note: 'keep' },
  };
  await world.store.cluster.replace(SecretKind, { ...made, metadata, data: { ...made.data, extra: 'eA==' } });
  await changeClaim(world, { duration: '24h' });
  const renewed = await secretOf(world);
  expect(renewed?.data?.extra).toBe('eA==');
  expect(renewed?.metadata.labels).toEqual({ mine: 'yes' });
  expect(renewed?.metadata.annotations?.note).toBe('keep');
  expect((await claimOf(world)).status?.revision).toBe(3);
  await world.stop();
});

test('a denial shows, is tried again ever more rarely, and at once when spec or policies change', async () => {
  const world = await aWorld();
  world.engine.behave = () => new Problem('rejectedIdentifier', 'policy team-a: "web.example" is not allowed');
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  expect(await conditionOf(world)).toEqual({
    status: 'False',
    reason: 'Denied',
    message: 'policy team-a: "web.example" is not allowed',
  });
  expect(await secretOf(world)).toBeUndefined();
  expect((await claimOf(world)).status).toMatchObject({ failures: 1 });
  await world.pass(59_000);
  expect(world.engine.requests).toHaveLength(1);
  await world.pass(12 * 3_600_000, 720);
  // 1, 2, 4, 8, 16, 32 minutes, then an hour each: 6 + 11 or so in twelve hours.
  expect(world.engine.requests.length).toBeGreaterThan(14);
  expect(world.engine.requests.length).toBeLessThan(19);
  expect(world.engine.requests.every(({ id }) => id.endsWith('/1'))).toBe(true);
  const tries = world.engine.requests.length;
  const policy = { metadata: { name: 'all' }, spec: { selector: {}, allowed: { dnsNames: { values: ['**'] } } } };
  await world.store.cluster.create(CertificateRequestPolicyKind, policy);
  await world.quiet();
  expect(world.engine.requests).toHaveLength(tries + 1);
  await changeClaim(world, { dnsNames: ['third.example'] });
  expect(world.engine.requests).toHaveLength(tries + 2);
  expect((await claimOf(world)).status).toMatchObject({ failures: 1 });
  world.engine.behave = () => 'sign';
  await changeClaim(world, { dnsNames: ['web.example', 'www.web.example'] });
  await expectDelivered(world);
  expect((await claimOf(world)).status).not.toHaveProperty('failures');
  await world.stop();
});

test('the back-off outlives the process', async () => {
  const store = createFakeStore();
  const first = await aWorld(store);
  first.engine.behave = () => new Problem('rejectedIdentifier', 'no');
  await store.cluster.create(CertificateClaimKind, aClaim());
  await first.quiet();
  await first.pass(5 * MINUTE, 10);
  const { failures } = (await claimOf(first)).status ?? {};
  expect(failures).toBe(3);
  await first.stop();
  const second = await startWorld(store);
  second.engine.behave = () => new Problem('rejectedIdentifier', 'no');
  await second.quiet();
  expect(second.writes()).toEqual([]);
  expect(second.engine.requests).toHaveLength(0);
  await second.pass(5 * MINUTE, 10);
  expect(second.engine.requests).toHaveLength(1);
  expect((await claimOf(second)).status?.failures).toBe(4);
  await second.stop();
});

test('a renewal that is denied leaves the certificate Ready until it expires', async () => {
  const world = await withClaim();
  const before = (await secretOf(world))?.data;
  world.engine.behave = () => new Problem('rejectedIdentifier', 'no longer');
  await world.pass(61 * DAY, 61);
  expect(await conditionOf(world)).toMatchObject({ status: 'True', reason: 'Issued' });
  expect(await conditionOf(world, 'Issuing')).toEqual({ status: 'False', reason: 'Denied', message: 'no longer' });
  expect((await secretOf(world))?.data).toEqual(before);
  await world.pass(30 * DAY, 30);
  expect(await conditionOf(world)).toEqual({ status: 'False', reason: 'Denied', message: 'no longer' });
  expect(await conditionOf(world, 'Issuing')).toEqual({});
  world.engine.behave = () => 'sign';
  await world.pass(2 * 3_600_000, 2);
  expect(await conditionOf(world)).toMatchObject({ status: 'True' });
  await world.stop();
});

test('an engine that throws is a failure without details; one that waits is asked again with the same request', async () => {
  const world = await aWorld();
  world.engine.behave = () => {
    throw new Error('secret-host.internal refused');
  };
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  const failed = await conditionOf(world);
  expect(failed).toMatchObject({ status: 'False', reason: 'Failed' });
  expect(failed.message).not.toContain('secret-host');
  expect(world.log.lines.some(({ level, message }) => level === 'warn' && message === 'issuance failed')).toBe(true);
  world.engine.behave = () => 'pending';
  await world.pass(2 * MINUTE, 4);
  expect(await conditionOf(world)).toMatchObject({ status: 'False', reason: 'Pending' });
  world.engine.behave = () => 'sign';
  await world.pass(MINUTE, 2);
  await expectDelivered(world);
  // One key and one request throughout.
  expect(
    new Set(world.engine.requests.map(({ csr, id }) => id + parseCsr(csr).publicKey.spki.toString('hex'))).size,
  ).toBe(1);
  await world.stop();
});

test('without its issuer, or with one that cannot sign, a claim waits and costs nothing more', async () => {
  const world = await startWorld();
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  expect(await conditionOf(world)).toMatchObject({ status: 'False', reason: 'IssuerNotFound' });
  world.backend.health = { ready: false, reason: 'SecretMissing', message: 'there is no Secret corporate-ca' };
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  expect(await conditionOf(world)).toMatchObject({
    reason: 'IssuerNotReady',
    message: expect.stringContaining('corporate-ca') as string,
  });
  world.writes();
  await world.pass(DAY, 48);
  expect(world.writes()).toEqual([]);
  world.backend.health = { ready: true, reason: 'Ready', message: 'signs' };
  await world.pass(MINUTE, 2);
  await expectDelivered(world);
  expect(world.engine.requests).toHaveLength(1);
  await world.stop();
});

test.each<[string, Partial<Secret>, string]>([
  ['somebody else’s', { type: 'Opaque', data: { a: 'YQ==' } }, 'SecretNotOurs'],
  ['a token', { type: 'kubernetes.io/service-account-token', data: {} }, 'SecretNotOurs'],
])('a Secret that is %s is left alone', async (_what, content, reason) => {
  const world = await aWorld();
  const made = await world.store.cluster.create(SecretKind, {
    metadata: { namespace: 'default', name: 'web-tls' },
    ...content,
  });
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  expect(await conditionOf(world)).toMatchObject({ status: 'False', reason });
  expect(await secretOf(world)).toEqual(made);
  expect(world.engine.requests).toHaveLength(0);
  await world.stop();
});

test('a marker copied from another Secret, or made up, gives nothing away', async () => {
  const world = await withClaim();
  const ours = await secretOf(world);
  const victim = {
    metadata: { namespace: 'default', name: 'victim', annotations: { ...ours?.metadata.annotations } },
    type: 'Opaque',
    data: { a: 'YQ==' },
  };
  const made = await world.store.cluster.create(SecretKind, victim);
  await world.store.cluster.create(CertificateClaimKind, aClaim({ secretName: 'victim' }, 'thief'));
  await world.quiet();
  expect(await conditionOf(world, 'Ready', 'thief')).toMatchObject({ status: 'False', reason: 'SecretNotOurs' });
  expect(await secretOf(world, 'victim')).toEqual(made);
  await world.stop();
});

test('a Secret handed over by annotation is adopted, its other values kept; a token never is', async () => {
  const world = await aWorld();
  const annotations = { [SecretAnnotation.adopt]: 'true' };
  await world.store.cluster.create(SecretKind, {
    metadata: { namespace: 'default', name: 'web-tls', annotations },
    type: 'Opaque',
    data: { a: 'YQ==' },
  });
  await world.store.cluster.create(SecretKind, {
    metadata: { namespace: 'default', name: 'token', annotations },
    type: 'helm.sh/release.v1',
    data: { a: 'YQ==' },
  });
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.store.cluster.create(CertificateClaimKind, aClaim({ secretName: 'token' }, 'thief'));
  await world.quiet();
  const adopted = await secretOf(world);
  expect(adopted?.type).toBe('Opaque');
  expect(adopted?.data?.a).toBe('YQ==');
  expect(contentOf(adopted).leaf.subjectAltName).toContain('web.example');
  expect(await conditionOf(world, 'Ready', 'thief')).toMatchObject({
    reason: 'SecretNotOurs',
    message: expect.stringContaining('helm.sh') as string,
  });
  await world.stop();
});

test('an immutable Secret of ours is not fought over', async () => {
  const world = await withClaim();
  const secret = await secretOf(world);
  if (!secret) throw new Error('no Secret');
  await world.store.cluster.replace(SecretKind, { ...secret, immutable: true });
  await changeClaim(world, { dnsNames: ['new.example'] });
  expect(await conditionOf(world)).toMatchObject({ status: 'False', reason: 'SecretImmutable' });
  expect(world.engine.requests).toHaveLength(1);
  await world.stop();
});

test('of two claims for one Secret the first keeps it; the other gets it when the first lets go', async () => {
  const world = await withClaim();
  await world.pass(5000);
  await world.store.cluster.create(CertificateClaimKind, aClaim({ dnsNames: ['second.example'] }, 'second'));
  await world.quiet();
  expect(await conditionOf(world, 'Ready', 'second')).toMatchObject({
    reason: 'SecretInUse',
    message: expect.stringContaining('CertificateClaim web') as string,
  });
  await world.pass(100 * DAY, 20);
  expect(contentOf(await secretOf(world)).leaf.subjectAltName).toContain('web.example');
  expect(world.engine.requests.every(({ requester }) => requester.claim === 'web')).toBe(true);
  await changeClaim(world, { secretName: 'elsewhere' });
  expect(await conditionOf(world, 'Ready', 'second')).toMatchObject({ status: 'True' });
  expect(contentOf(await secretOf(world)).leaf.subjectAltName).toBe('DNS:second.example');
  expect(contentOf(await secretOf(world, 'elsewhere')).leaf.subjectAltName).toContain('web.example');
  // Coming back later does not win it back, although this claim is older.
  await changeClaim(world, { secretName: 'web-tls' });
  expect(await conditionOf(world)).toMatchObject({ reason: 'SecretInUse' });
  await world.store.cluster.delete(CertificateClaimKind, { namespace: 'default', name: 'second' });
  await world.quiet();
  expect(await conditionOf(world)).toMatchObject({ status: 'True' });
  await world.stop();
});

test('of two claims that appear together the older gets the Secret', async () => {
  const store = createFakeStore();
  const maker = await aWorld(store);
  await maker.stop();
  await store.cluster.create(CertificateClaimKind, aClaim({ dnsNames: ['older.example'] }, 'zz-older'));
  await store.clock.advance(2000);
  await store.cluster.create(CertificateClaimKind, aClaim({ dnsNames: ['younger.example'] }, 'aa-younger'));
  const world = await startWorld(store);
  await world.quiet();
  expect(contentOf(await secretOf(world)).leaf.subjectAltName).toBe('DNS:older.example');
  expect(await conditionOf(world, 'Ready', 'aa-younger')).toMatchObject({ reason: 'SecretInUse' });
  await world.stop();
});

test('claims for one Secret that appear while one of them is being served get no certificate beside its own', async () => {
  const store = createFakeStore();
  const engine = createFakeEngine({ ...store, namespace: OPERATOR_NAMESPACE });
  const signed = Promise.withResolvers<void>();
  const world = await aWorld(store, {}, () => ({
    issue: async (request, signal) => {
      await signed.promise;
      return engine.issue(request, signal);
    },
  }));
  await store.cluster.create(CertificateClaimKind, aClaim());
  await settle();
  // Of the same second: some of them come before the first by their uid.
  for (let i = 0; i < 6; i++) await store.cluster.create(CertificateClaimKind, aClaim({}, `later-${i}`));
  await settle();
  signed.resolve();
  await world.quiet();
  await world.pass(MINUTE, 10);
  expect(await recordsOf(store.cluster)).toHaveLength(1);
  await expectDelivered(world);
  await world.stop();
});

test('a claim made anew finds its certificate still good', async () => {
  const world = await withClaim();
  const before = await secretOf(world);
  await world.store.cluster.delete(CertificateClaimKind, REF);
  await world.quiet();
  expect((await secretOf(world))?.data).toEqual(before?.data);
  await world.store.cluster.create(CertificateClaimKind, aClaim());
  await world.quiet();
  expect((await secretOf(world))?.data).toEqual(before?.data);
  expect(world.engine.requests).toHaveLength(1);
  await expectDelivered(world);
  expect((await secretOf(world))?.metadata.annotations?.[SecretAnnotation.owner]).toBe(
    (await claimOf(world)).metadata.uid,
  );
  await world.stop();
});

/** How the reconciles of an object ended, by their lines in the log, each of which has an id. */
const resultsOf = ({ log }: World, object: string) =>
  log.lines
    .filter(({ message, fields }) => message === 'reconciled' && fields.object === object && fields.reconcileID)
    .map(({ fields }) => fields.result);

test('a spec that no certificate can meet is said and never asked for', async () => {
  const world = await aWorld();
  await world.store.cluster.create(CertificateClaimKind, aClaim({ subject: { organizations: ['Bell\u0007'] } }));
  await world.quiet();
  expect(await conditionOf(world)).toEqual({
    status: 'False',
    reason: 'InvalidRequest',
    message: 'subject: O has control characters',
  });
  expect(resultsOf(world, 'default/web')).toContain('terminal');
  world.writes();
  await world.pass(DAY, 4);
  expect(world.engine.requests).toHaveLength(0);
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('annotations of tenants lead nowhere', async () => {
  const world = await withClaim();
  const secret = await secretOf(world);
  if (!secret) throw new Error('no Secret');
  const annotations = {
    ...secret.metadata.annotations,
    [SecretAnnotation.record]: `../../${OPERATOR_NAMESPACE}/x`,
    [SecretAnnotation.revision]: '-5e300',
  };
  await world.store.cluster.replace(SecretKind, { ...secret, metadata: { ...secret.metadata, annotations } });
  await world.quiet();
  await expect.poll(async () => (await claimOf(world)).status?.revision).toBe(2);
  expect(world.cluster.calls.filter(({ name }) => name.includes('/'))).toEqual([]);
  const { leaf, key } = contentOf(await secretOf(world));
  expect(leaf.checkPrivateKey(key)).toBe(true);
  await world.stop();
});
