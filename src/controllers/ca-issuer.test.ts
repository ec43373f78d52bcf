import { expect, test } from 'vitest';
import { anIssuer, OPERATOR_NAMESPACE, startWorld, type World } from '../../test/fakes/world.ts';
import {
  basicConstraints,
  buildCaCertificate,
  buildCertificate,
  createKeyPair,
  keyUsage,
} from '../../test/support/certificate-builder.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { EventKind, SecretKind } from '../api/core.ts';
import { chainFingerprint, parsePemCertificates } from '../domain/chain.ts';
import { findCondition } from '../domain/conditions.ts';

const DAY = 86_400_000;

function aCa(subject: string, clock: World['clock'], days: number): Buffer {
  return buildCertificate({
    subject,
    keys: createKeyPair(),
    notBefore: new Date(clock.now().getTime() - DAY),
    notAfter: new Date(clock.now().getTime() + days * DAY),
    extensions: [basicConstraints(true), keyUsage(5, 6)],
  });
}

const show = (world: World, ...chains: Buffer[][]) => {
  const [first = []] = chains;
  world.backend.health = {
    ready: true,
    reason: 'Ready',
    message: 'signs',
    ca: { certificate: first[0] ?? Buffer.alloc(0), chains },
  };
};

const issuerOf = async (world: World) =>
  (await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' })) as ClusterCAIssuer;

async function conditions(world: World) {
  const { status } = await issuerOf(world);
  return Object.fromEntries(
    (status?.conditions ?? []).map(({ type, status, reason }) => [type, `${status} ${reason}`]),
  );
}

async function reasons(world: World): Promise<string[]> {
  const { items } = await world.store.cluster.list(EventKind);
  return items
    .filter(({ regarding }) => regarding.kind === 'ClusterCAIssuer')
    .map(({ type, reason }) => `${type} ${reason}`)
    .sort();
}

async function change(world: World, spec: object): Promise<void> {
  const issuer = await issuerOf(world);
  await world.store.cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, ...spec } });
  await world.quiet();
}

test('an issuer that signs says so once, with its CA, chains and directory; then nothing is written', async () => {
  const world = await startWorld();
  const ca = aCa('Corporate CA', world.clock, 400);
  show(world, [ca]);
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  expect(await conditions(world)).toEqual({
    Ready: 'True Ready',
    BackendReachable: 'True Ready',
    CAValid: 'True Valid',
  });
  const { status } = await issuerOf(world);
  expect(status?.acme).toEqual({ directoryURL: 'https://ca.test/acme/corporate/directory' });
  expect(status?.ca?.subject).toBe('CN=Corporate CA');
  expect(status?.chains).toEqual([
    { fingerprint: chainFingerprint([ca]), pem: expect.stringContaining('BEGIN CERTIFICATE') as string },
  ]);
  expect(parsePemCertificates(status?.chains?.[0]?.pem ?? '')).toEqual([ca]);
  expect(world.writes()).toEqual(['replaceStatus ClusterCAIssuer', 'create Event']);
  await world.pass(5 * DAY, 10);
  expect(world.writes()).toEqual([]);
  await world.stop();
});

test('a backend that does not answer makes the issuer not Ready, is asked again soon, and its errors stay in the log', async () => {
  let works = false;
  const world = await startWorld(undefined, {
    backends: {
      of: () =>
        ({
          check: async () => {
            if (!works) throw new Error('ECONNREFUSED ejbca.internal:8443');
            return { ready: true, reason: 'Ready', message: 'signs' };
          },
        }) as never,
    },
  });
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  expect(await conditions(world)).toEqual({
    Ready: 'False CheckFailed',
    BackendReachable: 'False CheckFailed',
    CAValid: 'Unknown NotKnown',
  });
  expect(JSON.stringify(await issuerOf(world))).not.toContain('ejbca.internal');
  expect(world.log.lines.some(({ fields }) => String(fields.error).includes('ejbca.internal'))).toBe(true);
  works = true;
  await world.pass(15_000);
  expect(await conditions(world)).toMatchObject({ Ready: 'True Ready' });
  expect(await reasons(world)).toEqual(['Normal Ready', 'Warning CheckFailed']);
  await world.stop();
});

test('what the backend says of itself is passed on; a change of its Secret is noticed at once', async () => {
  const world = await startWorld();
  world.backend.health = { ready: false, reason: 'SecretMissing', message: 'there is no Secret corporate-ca' };
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  expect(await conditions(world)).toMatchObject({
    Ready: 'False SecretMissing',
    BackendReachable: 'False SecretMissing',
  });
  show(world, [aCa('CA', world.clock, 400)]);
  await world.store.cluster.create(SecretKind, {
    metadata: { namespace: 'default', name: 'corporate-ca' },
    type: 'Opaque',
  });
  await world.quiet();
  expect(await conditions(world)).toMatchObject({ Ready: 'False SecretMissing' });
  await world.store.cluster.create(SecretKind, {
    metadata: { namespace: OPERATOR_NAMESPACE, name: 'corporate-ca' },
    type: 'Opaque',
  });
  await world.quiet();
  expect(await conditions(world)).toMatchObject({ Ready: 'True Ready' });
  await world.stop();
});

test('a CA certificate that runs out is warned of a month before, and ends the issuer to the minute', async () => {
  const world = await startWorld();
  show(world, [aCa('CA', world.clock, 40)]);
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  await world.pass(10 * DAY - 60_000, 2);
  expect(await conditions(world)).toMatchObject({ CAValid: 'True Valid' });
  await world.pass(120_000);
  expect(await conditions(world)).toMatchObject({ Ready: 'True Ready', CAValid: 'True ExpiringSoon' });
  world.writes();
  await world.pass(30 * DAY - 180_000, 3);
  expect(world.writes()).toEqual([]);
  await world.pass(240_000);
  expect(await conditions(world)).toMatchObject({ Ready: 'False CAExpired', CAValid: 'False Expired' });
  expect(await reasons(world)).toEqual(['Normal Ready', 'Warning CAExpired', 'Warning CAExpiringSoon']);
  await world.stop();
});

test('an expired certificate above the CA counts too, and so does one that is not valid yet', async () => {
  const world = await startWorld();
  const [root, ca] = [aCa('Root', world.clock, -0.5), aCa('CA', world.clock, 400)];
  show(world, [ca, root]);
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer());
  await world.quiet();
  expect(findCondition((await issuerOf(world)).status?.conditions, 'Ready')).toMatchObject({
    reason: 'CAExpired',
    message: expect.stringContaining('CN=Root') as string,
  });
  const early = buildCertificate({
    subject: 'Early',
    keys: createKeyPair(),
    notBefore: new Date(world.clock.now().getTime() + DAY),
    notAfter: new Date(world.clock.now().getTime() + 90 * DAY),
    extensions: [basicConstraints(true)],
  });
  show(world, [early]);
  await world.pass(60_000);
  expect(await conditions(world)).toMatchObject({ Ready: 'False CANotYetValid', CAValid: 'False NotYetValid' });
  await world.stop();
});

test('a suspended issuer is not Ready, whatever its backend says', async () => {
  const world = await startWorld();
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer({ suspend: true }));
  await world.quiet();
  expect(await conditions(world)).toMatchObject({ Ready: 'False Suspended', BackendReachable: 'True Ready' });
  await change(world, { suspend: false });
  expect(await conditions(world)).toMatchObject({ Ready: 'True Ready' });
  expect((await issuerOf(world)).status?.conditions?.[0]?.observedGeneration).toBe(2);
  await world.stop();
});

test('the preferred chain stands first; after a change of the CA the old chains stay behind the new, sixteen in all', async () => {
  const world = await startWorld();
  const keys = createKeyPair();
  const [one, two] = [buildCaCertificate('Root One', keys), buildCaCertificate('Root Two', keys)];
  show(world, [one], [two]);
  await world.store.cluster.create(ClusterCAIssuerKind, anIssuer({ chain: { preferred: ['Root Two'] } }));
  await world.quiet();
  const shown = async () => ((await issuerOf(world)).status?.chains ?? []).map(({ fingerprint }) => fingerprint);
  expect(await shown()).toEqual([chainFingerprint([two]), chainFingerprint([one])]);
  const later = Array.from({ length: 20 }, (_, n) => aCa(`CA ${n}`, world.clock, 400));
  for (const ca of later) {
    show(world, [ca]);
    await world.pass(600_000);
  }
  const chains = await shown();
  expect(chains).toHaveLength(16);
  expect(chains).toEqual(
    later
      .slice(4)
      .toReversed()
      .map((ca) => chainFingerprint([ca])),
  );
  // A backend that cannot tell just now does not make its chains forgotten.
  world.backend.health = { ready: false, reason: 'Down', message: 'down' };
  await world.pass(600_000);
  expect(await shown()).toEqual(chains);
  expect((await issuerOf(world)).status?.ca?.subject).toBe('CN=CA 19');
  await world.stop();
});
