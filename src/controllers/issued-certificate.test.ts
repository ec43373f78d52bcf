// Reservations, resumption, breaker and orphans, with a CA elsewhere and time in the test's hands.
import { describe, expect, test } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { away, createFakeRemote } from '../../test/fakes/remote-backend.ts';
import { type RemoteWorld, startRemoteWorld, type Store } from '../../test/fakes/remote-world.ts';
import { anIssuer, createFakeStore } from '../../test/fakes/world.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued, isRefused } from '../api/issued-certificate.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { findCondition } from '../domain/conditions.ts';
import { parseCertificate } from '../domain/certificate.ts';
import { Problem } from '../domain/problem.ts';
import { Unavailable } from '../domain/unavailable.ts';
import { signingRequestOf } from '../issuance/record.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const serialsOf = ({ remote, name }: RemoteWorld, id: string) =>
  (remote.signed.get(name(id)) ?? []).map((leaf) => parseCertificate(leaf).serial);

async function serialOf(world: RemoteWorld, id: string): Promise<string | undefined> {
  return (await world.record(id))?.status?.serial;
}

const callsOf = ({ remote, name }: RemoteWorld, id: string) =>
  remote.calls.filter((call) => call.endsWith(name(id))).map((call) => call.split(' ')[0]);

const events = ({ audit }: RemoteWorld, ...wanted: string[]) =>
  audit.entries
    .filter(({ event }) => wanted.includes(event))
    .map(({ event, fields }) => [event, ...(typeof fields.serial === 'string' ? [fields.serial] : [])].join(' '));

describe('a reservation', () => {
  test('is one create; its end is one replace, whose line in the audit log comes first', async () => {
    const world = await startRemoteWorld();
    const before: string[] = [];
    world.cluster.intercept = ({ verb, kind }, phase) => {
      if (phase === 'before' && verb === 'replace' && kind === 'IssuedCertificate')
        before.push(...events(world, 'issuance'));
    };
    expect(await world.ask(world.request('a'))).toMatchObject({ kind: 'pending' });
    expect((await world.record('a'))?.status).toBeUndefined();
    await world.quiet();
    const [serial] = serialsOf(world, 'a');
    expect(await serialOf(world, 'a')).toBe(serial);
    expect(before).toEqual([`issuance ${serial}`]);
    expect(world.writes()).toEqual(['create IssuedCertificate', 'replace IssuedCertificate']);
    await world.ask(world.request('b'));
    await world.quiet();
    expect(world.counted).toEqual(['issued corporate ACME', 'issued corporate ACME']);
    expect(callsOf(world, 'b').filter((call) => call === 'sign')).toHaveLength(1);
    await world.stop();
  });

  test('that is waited for is handed out as soon as it is finished', async () => {
    const world = await startRemoteWorld();
    const asked = world.ask(world.request('a', { patienceMs: 10_000 }));
    await world.quiet();
    const outcome = await asked;
    expect(outcome).toMatchObject({ kind: 'issued', record: { status: { serial: serialsOf(world, 'a')[0] } } });
    expect(outcome.kind === 'issued' && outcome.chain[1]?.equals(world.remote.ca)).toBe(true);
    await world.stop();
  });

  test('is waited for no longer than the caller can, and is there for the next who asks', async () => {
    const world = await startRemoteWorld();
    const answer = Promise.withResolvers<undefined>();
    world.remote.behave = () => answer.promise;
    const asked = world.ask(world.request('a', { patienceMs: 10_000 }));
    await world.clock.advance(9_999);
    expect(await Promise.race([asked.then(() => 'over'), Promise.resolve('waiting')])).toBe('waiting');
    await world.clock.advance(2);
    expect(await asked).toMatchObject({ kind: 'pending' });
    answer.resolve(undefined);
    await world.quiet();
    const audited = world.audit.entries.length;
    expect(await world.ask(world.request('a'))).toMatchObject({ kind: 'issued' });
    expect(world.audit.entries).toHaveLength(audited);
    expect(callsOf(world, 'a').filter((call) => call === 'sign')).toHaveLength(1);
    await world.stop();
  });

  test('that is refused says so for good, to everybody who asks', async () => {
    const world = await startRemoteWorld();
    world.remote.behave = () => ({ kind: 'refused', problem: new Problem('badCSR', 'the CA refused the request: no') });
    await world.ask(world.request('a'));
    await world.quiet();
    for (let round = 0; round < 2; round++)
      expect(await world.ask(world.request('a'))).toMatchObject({
        kind: 'refused',
        problem: { type: 'badCSR', status: 400 },
      });
    expect((await world.record('a'))?.metadata.labels).toMatchObject({ 'countersign.dev/state': 'refused' });
    expect(world.counted).toEqual(['refused corporate ACME badCSR']);
    expect(events(world, 'refusal')).toEqual(['refusal']);
    await world.pass(HOUR, 4);
    expect(callsOf(world, 'a').filter((call) => call === 'sign')).toHaveLength(1);
    await world.stop();
  });

  test('nobody waits for any longer ends when its order would, CA or no CA', async () => {
    const world = await startRemoteWorld();
    world.remote.down = away();
    const expires = new Date(world.clock.now().getTime() + HOUR);
    await world.ask(world.request('a', { order: { encoded: 'a', expires } }));
    await world.pass(59 * MINUTE, 10);
    expect((await world.record('a'))?.status).toBeUndefined();
    await world.pass(15 * MINUTE, 10);
    expect(await world.ask(world.request('a'))).toMatchObject({
      kind: 'refused',
      problem: { detail: 'the CA did not answer before the request expired: make a new one' },
    });
    await world.stop();
  });

  test('of a suspended issuer waits', async () => {
    const world = await startRemoteWorld();
    const suspend = async (value: boolean) => {
      const live = await world.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
      if (live) await world.cluster.replace(ClusterCAIssuerKind, { ...live, spec: { ...live.spec, suspend: value } });
      await world.quiet();
    };
    await suspend(true);
    await world.ask(world.request('a'));
    await world.pass(5 * MINUTE, 5);
    expect(world.remote.calls.filter((call) => call.startsWith('sign'))).toEqual([]);
    await suspend(false);
    await world.pass(MINUTE);
    expect(await serialOf(world, 'a')).toBeDefined();
    await world.stop();
  });
});

/** The first process dies when it has come so far; the second one finds what it left. */
async function resumed(
  setUp: (world: RemoteWorld) => void,
): Promise<{ world: RemoteWorld; store: Store; first: RemoteWorld }> {
  const store = createFakeStore();
  const first = await startRemoteWorld({ store });
  setUp(first);
  await first.ask(first.request('a'));
  await first.clock.advance(1);
  first.die();
  const { remote } = first;
  remote.calls.length = 0;
  remote.lose = undefined;
  remote.down = undefined;
  remote.behave = () => undefined;
  const world = await startRemoteWorld({ store, remote });
  await world.pass(MINUTE);
  return { world, store, first };
}

function diesAtReplace(phase: 'before' | 'after') {
  return (world: RemoteWorld): void => {
    world.cluster.intercept = ({ verb, kind }, when) => {
      if (verb === 'replace' && kind === 'IssuedCertificate' && when === phase) {
        world.cluster.intercept = () => {
          throw new Error('dead');
        };
        throw new Error('dead');
      }
    };
  };
}

describe('after a crash', () => {
  test('between signature and record, the certificate is found and no other is signed', async () => {
    const { world } = await resumed(diesAtReplace('before'));
    expect(callsOf(world, 'a')[0]).toBe('search');
    expect(callsOf(world, 'a')).not.toContain('sign');
    const serials = serialsOf(world, 'a');
    expect(serials).toHaveLength(1);
    expect(await serialOf(world, 'a')).toBe(serials[0]);
    expect(world.counted).toEqual(['issued corporate ACME']);
    await world.stop();
  });

  test('after the record was written, nothing is asked again', async () => {
    const { world } = await resumed(diesAtReplace('after'));
    expect(callsOf(world, 'a')).not.toContain('sign');
    expect(await serialOf(world, 'a')).toBe(serialsOf(world, 'a')[0]);
    await world.stop();
  });

  test('before the CA was asked, it is searched and then asked', async () => {
    const { world } = await resumed((first) => {
      first.remote.behave = () => new Promise(() => undefined);
    });
    expect(callsOf(world, 'a').slice(0, 2)).toEqual(['search', 'sign']);
    expect(await serialOf(world, 'a')).toBe(serialsOf(world, 'a')[0]);
    await world.stop();
  });

  test('of the certificates a CA has for it, the oldest that is as approved is released, the others are revoked and counted', async () => {
    const { world } = await resumed((first) => {
      first.remote.lose = away();
      first.remote.behave = (request) => {
        first.remote.sign(request);
        first.remote.sign(request);
        first.remote.behave = () => undefined;
        return undefined;
      };
    });
    const serials = serialsOf(world, 'a');
    expect(serials).toHaveLength(2);
    expect(await serialOf(world, 'a')).toBe(serials[0]);
    expect(world.remote.revoked).toEqual([serials[1]]);
    expect(world.counted.filter((entry) => entry.startsWith('orphaned'))).toEqual(['orphaned corporate']);
    expect(events(world, 'orphan', 'revocation')).toEqual([`orphan ${serials[1]}`, `revocation ${serials[1]}`]);
    await world.stop();
  });

  test('a CA that signs again and cannot be searched has one certificate released, and the audit log tells of the other', async () => {
    const store = createFakeStore();
    const remote = createFakeRemote(store.clock, { signsAgain: true });
    delete remote.backend.search;
    remote.forgetful = true;
    const first = await startRemoteWorld({ store, remote });
    remote.lose = away();
    await first.ask(first.request('a'));
    await first.clock.advance(1);
    first.die();
    remote.lose = undefined;
    const world = await startRemoteWorld({ store, remote });
    await world.pass(MINUTE);
    const serials = serialsOf(world, 'a');
    expect(serials).toHaveLength(2);
    expect(await serialOf(world, 'a')).toBe(serials[1]);
    expect(world.counted).toEqual(['issued corporate ACME']);
    const told = world.audit.entries.find(({ event }) => event === 'repetition');
    const record = await world.record('a');
    expect(told?.fields).toMatchObject({
      record: record?.metadata.name,
      names: record?.spec.names,
      publicKey: record?.metadata.labels?.['countersign.dev/public-key'],
    });
    await world.stop();
  });

  test('of a CA that knows a request again nothing of the kind is said', async () => {
    const { world } = await resumed((first) => {
      first.remote.lose = away();
    });
    expect(events(world, 'repetition')).toEqual([]);
    await world.stop();
  });

  test('a certificate that is older than the reservation is not taken for its own', async () => {
    const store = createFakeStore();
    const remote = createFakeRemote(store.clock);
    const first = await startRemoteWorld({ store, remote });
    const asked = first.request('a');
    first.remote.behave = () => new Promise(() => undefined);
    await first.ask(asked);
    const record = (await first.record('a')) as CertificateRecord;
    first.die();
    const wall = store.clock.now();
    store.clock.setWall(new Date(wall.getTime() - HOUR));
    remote.sign(signingRequestOf(record));
    store.clock.setWall(wall);
    remote.forgetful = true;
    remote.behave = () => undefined;
    const world = await startRemoteWorld({ store, remote });
    await world.pass(MINUTE);
    expect(await serialOf(world, 'a')).toBe(serialsOf(world, 'a')[1]);
    expect(remote.revoked).toEqual([]);
    await world.stop();
  });
});

describe('a lost answer', () => {
  test('of the CA costs no second certificate', async () => {
    const world = await startRemoteWorld();
    world.remote.forgetful = true;
    world.remote.lose = away();
    await world.ask(world.request('a'));
    await world.quiet();
    world.remote.lose = undefined;
    await world.pass(MINUTE, 4);
    expect(serialsOf(world, 'a')).toHaveLength(1);
    expect(await serialOf(world, 'a')).toBe(serialsOf(world, 'a')[0]);
    await world.stop();
  });

  test.each(['before', 'after'] as const)('of the cluster, %s it wrote, neither', async (phase) => {
    const world = await startRemoteWorld();
    let lost = 0;
    world.cluster.intercept = ({ verb, kind }, when) => {
      if (verb === 'replace' && kind === 'IssuedCertificate' && when === phase && lost++ === 0)
        throw new ClusterError('Unavailable', 'no answer');
    };
    await world.ask(world.request('a'));
    await world.pass(MINUTE, 4);
    expect(lost).toBeGreaterThan(0);
    expect(callsOf(world, 'a').filter((call) => call === 'sign')).toHaveLength(1);
    expect(await serialOf(world, 'a')).toBe(serialsOf(world, 'a')[0]);
    expect(world.remote.revoked).toEqual([]);
    await world.stop();
  });
});

describe('a record that changes while the CA signs', () => {
  async function changedMeanwhile(change: (record: CertificateRecord) => CertificateRecord) {
    const world = await startRemoteWorld();
    const answer = Promise.withResolvers<undefined>();
    world.remote.behave = () => answer.promise;
    await world.ask(world.request('a'));
    await world.clock.advance(1);
    const record = (await world.record('a')) as CertificateRecord;
    await world.store.cluster.replace(IssuedCertificateKind, change(record));
    world.remote.behave = () => undefined;
    answer.resolve(undefined);
    await world.pass(MINUTE);
    return world;
  }

  test('otherwise gets its certificate', async () => {
    const world = await changedMeanwhile((record) => ({
      ...record,
      metadata: { ...record.metadata, annotations: { note: 'touched' } },
    }));
    expect(await serialOf(world, 'a')).toBe(serialsOf(world, 'a')[0]);
    expect((await world.record('a'))?.metadata.annotations).toEqual({ note: 'touched' });
    await world.stop();
  });

  test('to say that it is withdrawn stays so, and the certificate is revoked', async () => {
    const refusal = { type: 'malformed', detail: 'withdrawn', status: 400, refusedAt: '2026-01-01T00:00:00Z' };
    const world = await changedMeanwhile((record) => ({ ...record, status: { refusal } }));
    expect((await world.record('a'))?.status).toEqual({ refusal });
    expect(world.remote.revoked).toEqual(serialsOf(world, 'a'));
    expect(world.remote.revoked).toHaveLength(1);
    await world.stop();
  });
});

test('a certificate other than approved is not released: refused, told of with its reasons, revoked, counted', async () => {
  const world = await startRemoteWorld();
  world.remote.behave = (request) => {
    const other = {
      ...request,
      model: { ...request.model, names: { ...request.model.names, dnsNames: ['evil.test'] } },
    };
    return { kind: 'issued', chain: [world.remote.sign(other), world.remote.ca] };
  };
  await world.ask(world.request('a'));
  await world.quiet();
  const record = (await world.record('a')) as CertificateRecord;
  const [serial = ''] = serialsOf(world, 'a');
  expect(isRefused(record) && record.status.refusal.detail).toContain(serial);
  expect(JSON.stringify(record)).not.toContain('evil.test');
  expect(world.audit.entries.find(({ event }) => event === 'rejection')?.fields).toMatchObject({
    serial,
    reasons: expect.arrayContaining([expect.stringContaining('evil.test')]) as unknown,
  });
  expect(world.remote.revoked).toEqual([serial]);
  expect(world.counted).toEqual(['rejected corporate', 'refused corporate ACME unauthorized', 'orphaned corporate']);
  await world.stop();
});

test('a CA that answers wrongly to several requesters makes its issuer not ready, until it answers rightly', async () => {
  const world = await startRemoteWorld();
  const ready = async () => {
    const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
    return issuer?.status?.conditions?.find(({ type }) => type === 'Ready')?.reason;
  };
  const wrongly: typeof world.remote.behave = (request) => {
    const other = {
      ...request,
      model: { ...request.model, names: { ...request.model.names, dnsNames: ['evil.test'] } },
    };
    return { kind: 'issued', chain: [world.remote.sign(other), world.remote.ca] };
  };
  const ask = async (id: string, account: string) => {
    await world.ask(world.request(id, { requester: { account } }));
    await world.quiet();
  };
  world.remote.behave = wrongly;
  for (const id of ['a', 'b', 'c', 'd']) await ask(id, 'first');
  await ask('e', 'second');
  expect(await ready()).toBe('Ready');
  await ask('f', 'third');
  expect(await ready()).toBe('WrongCertificates');
  world.remote.behave = () => undefined;
  await ask('g', 'first');
  expect(await ready()).toBe('Ready');
  await world.stop();
});

describe('a CA that takes its time', () => {
  test('is polled as it says, with the handle it gave, which costs a write only once it takes long', async () => {
    const world = await startRemoteWorld();
    const handles: (string | undefined)[] = [];
    let ready = false;
    world.remote.behave = ({ handle }) => {
      handles.push(handle);
      return ready ? undefined : { kind: 'pending', retryAfterMs: 20_000, handle: 'job-7' };
    };
    await world.ask(world.request('a'));
    await world.pass(50_000, 10);
    expect(handles).toEqual([undefined, 'job-7', 'job-7']);
    expect(world.writes()).toEqual(['create IssuedCertificate']);
    await world.pass(40_000, 8);
    expect(world.writes()).toEqual(['replace IssuedCertificate']);
    expect((await world.record('a'))?.metadata.annotations).toEqual({ 'countersign.dev/handle': 'job-7' });
    ready = true;
    await world.pass(MINUTE, 6);
    expect(await serialOf(world, 'a')).toBeDefined();
    expect((await world.record('a'))?.metadata.annotations).toBeUndefined();
    expect(world.writes()).toEqual(['replace IssuedCertificate']);
    await world.stop();
  });

  test('gets its handle back from the process that comes after', async () => {
    const store = createFakeStore();
    const first = await startRemoteWorld({ store });
    const { remote } = first;
    remote.behave = () => ({ kind: 'pending', retryAfterMs: 20_000, handle: 'job-7' });
    await first.ask(first.request('a'));
    await first.pass(2 * MINUTE, 20);
    first.die();
    const handles: (string | undefined)[] = [];
    remote.behave = ({ handle }) => void handles.push(handle);
    const world = await startRemoteWorld({ store, remote });
    await world.pass(MINUTE);
    expect(handles).toEqual(['job-7']);
    expect(await serialOf(world, 'a')).toBeDefined();
    await world.stop();
  });
});

describe('a CA that is away', () => {
  const ids = Array.from({ length: 40 }, (_, n) => `n${n}`);

  test('is left alone but for probes, and all is done within a minute once it is back', async () => {
    const world = await startRemoteWorld();
    world.remote.down = away();
    for (const id of ids) await world.ask(world.request(id));
    await world.pass(5_000, 5);
    expect(world.remote.calls.length).toBeLessThanOrEqual(10);
    expect(world.counted).toEqual(['opened corporate']);
    world.remote.calls.length = 0;
    await world.pass(10 * MINUTE, 60);
    // A probe every 15 to 30 seconds.
    expect(world.remote.calls.length).toBeGreaterThanOrEqual(15);
    expect(world.remote.calls.length).toBeLessThanOrEqual(45);
    world.remote.down = undefined;
    await world.pass(MINUTE, 30);
    for (const id of ids) expect(serialsOf(world, id), id).toHaveLength(1);
    const { items } = await world.cluster.list(IssuedCertificateKind);
    expect(items.filter(isIssued)).toHaveLength(ids.length);
    await world.stop();
  });

  test('makes its issuer not Ready as soon as the breaker opens, and Ready as soon as a request is answered', async () => {
    const world = await startRemoteWorld();
    const readiness = async () => {
      const issuer = await world.store.cluster.get(ClusterCAIssuerKind, { name: 'corporate' });
      const { status, reason } = findCondition(issuer?.status?.conditions, 'Ready') ?? {};
      return `${status} ${reason}`;
    };
    expect(await readiness()).toBe('True Ready');
    world.remote.down = away();
    for (const id of ids) await world.ask(world.request(id));
    await world.pass(5_000, 5);
    expect(await readiness()).toBe('False Unreachable');
    world.remote.down = undefined;
    await eventually('a request is answered', async () => {
      await world.pass(250);
      return world.counted.some((counted) => counted.startsWith('issued')) || undefined;
    });
    expect(await readiness()).toBe('True Ready');
    await world.stop();
  });

  test('is asked again no sooner than it said', async () => {
    const world = await startRemoteWorld();
    world.remote.down = new Unavailable('busy', { retryAfterMs: 5 * MINUTE });
    await world.ask(world.request('a'));
    await world.quiet();
    world.remote.down = undefined;
    world.remote.calls.length = 0;
    await world.pass(4 * MINUTE, 8);
    expect(world.remote.calls).toEqual([]);
    await world.pass(2 * MINUTE, 4);
    expect(await serialOf(world, 'a')).toBeDefined();
    await world.stop();
  });

  test('does not keep the requests of another issuer waiting', async () => {
    const store = createFakeStore();
    const [good, bad] = [createFakeRemote(store.clock), createFakeRemote(store.clock)];
    const other = await store.cluster.create(ClusterCAIssuerKind, { ...anIssuer(), metadata: { name: 'other' } });
    const world = await startRemoteWorld({ store, remote: bad, others: { other: good } });
    const gate = Promise.withResolvers<undefined>();
    bad.behave = () => gate.promise;
    for (const id of ids) await world.ask(world.request(id));
    await world.ask(world.request('quick', { issuer: other }));
    await world.clock.advance(1_000);
    expect(await serialOf(world, 'quick')).toBeDefined();
    expect(bad.active).toBe(2);
    gate.resolve(undefined);
    await world.stop();
  });
});

test('so many requests at a time as the backend takes, one at a time in a lane', async () => {
  const world = await startRemoteWorld({ backend: { concurrency: 3 } });
  let peak = 0;
  const gate = Promise.withResolvers<undefined>();
  world.remote.behave = () => {
    peak = Math.max(peak, world.remote.active);
    return gate.promise;
  };
  for (let n = 0; n < 10; n++) await world.ask(world.request(`n${n}`));
  await world.clock.advance(1);
  expect(peak).toBe(3);
  gate.resolve(undefined);
  await world.pass(1_000);
  expect(world.remote.mostActive).toBe(3);
  expect(world.counted.filter((entry) => entry.startsWith('issued'))).toHaveLength(10);
  await world.stop();

  const laned = await startRemoteWorld({ backend: { concurrency: 8, lane: () => 'one' } });
  for (let n = 0; n < 5; n++) await laned.ask(laned.request(`n${n}`));
  await laned.pass(1_000);
  expect(laned.counted.filter((entry) => entry.startsWith('issued'))).toHaveLength(5);
  expect(laned.remote.mostActive).toBe(1);
  await laned.stop();
});

describe('the orphan sweep', () => {
  test('finds, a while later, what a slow CA signed for a request that was given up', async () => {
    const world = await startRemoteWorld();
    await world.ask(world.request('a'));
    await world.quiet();
    const record = (await world.record('a')) as CertificateRecord;
    world.remote.sign(signingRequestOf(record));
    world.writes();
    await world.pass(2 * HOUR, 24);
    const [released, extra] = serialsOf(world, 'a');
    expect(world.remote.revoked).toEqual([extra]);
    expect(await serialOf(world, 'a')).toBe(released);
    expect(world.writes()).toEqual([]);
    expect(callsOf(world, 'a').filter((call) => call === 'search').length).toBeLessThanOrEqual(3);
    await world.stop();
  });

  test('leaves alone what is in another record, such as the renewal with the same key', async () => {
    const world = await startRemoteWorld();
    const first = world.request('a');
    await world.ask(first);
    await world.quiet();
    await world.ask({ ...first, id: 'b' });
    await world.quiet();
    // A CA that is searched by key finds both for each.
    const all = [...world.remote.signed.values()].flat();
    for (const id of ['a', 'b']) world.remote.signed.set(world.name(id), all);
    await world.pass(2 * HOUR, 24);
    expect(world.remote.revoked).toEqual([]);
    await world.stop();
  });
});

describe('a revocation', () => {
  async function revoked() {
    const world = await startRemoteWorld();
    await world.ask(world.request('a'));
    await world.quiet();
    return world;
  }

  const annotation = async (world: RemoteWorld) =>
    (await world.record('a'))?.metadata.annotations?.['countersign.dev/revocation'];

  async function revoke(world: RemoteWorld): Promise<void> {
    const record = (await world.record('a')) as CertificateRecord;
    const revocation = { reason: 1, revokedAt: world.clock.now().toISOString(), by: 'test' };
    await world.store.cluster.replace(IssuedCertificateKind, { ...record, spec: { ...record.spec, revocation } });
    await world.quiet();
  }

  test('is carried to the CA once, by this process or the next', async () => {
    const world = await revoked();
    world.writes();
    await revoke(world);
    expect(world.remote.revoked).toEqual(serialsOf(world, 'a'));
    expect(await annotation(world)).toBe('Done');
    // What the CA said, and the label of a revocation that somebody else has set.
    expect(world.writes()).toEqual(['replace IssuedCertificate', 'replace IssuedCertificate']);
    expect(events(world, 'revocation at CA')).toEqual([`revocation at CA ${serialsOf(world, 'a')[0]}`]);
    await world.stop();
    const next = await startRemoteWorld({ store: world.store, remote: world.remote });
    await next.pass(HOUR, 4);
    expect(next.remote.revoked).toHaveLength(1);
    await next.stop();
  });

  test('is carried once, however often what the CA said could not be written', async () => {
    const world = await revoked();
    let failures = 0;
    world.cluster.intercept = ({ kind, verb }, phase) => {
      if (kind !== 'IssuedCertificate' || verb !== 'replace' || phase !== 'before' || failures === 4) return;
      failures++;
      throw new ClusterError('Unavailable', 'not now');
    };
    await revoke(world);
    await world.pass(10 * MINUTE, 60);
    expect(failures).toBe(4);
    expect(await annotation(world)).toBe('Done');
    expect(world.remote.revoked).toEqual(serialsOf(world, 'a'));
    expect(events(world, 'revocation at CA')).toHaveLength(1);
    await world.stop();
  });

  test('waits for a CA that is away', async () => {
    const world = await revoked();
    world.remote.down = away();
    await revoke(world);
    expect(await annotation(world)).toBeUndefined();
    world.remote.down = undefined;
    await world.pass(MINUTE, 4);
    expect(await annotation(world)).toBe('Done');
    await world.stop();
  });

  test.each([
    [{ kind: 'unsupported' }, 'Unsupported'],
    [
      { kind: 'refused', problem: new Problem('unauthorized', 'the CA refused the request: no') },
      'Refused: the CA refused the request: no',
    ],
  ] as const)('that the CA does not take is marked so: %o', async (outcome, said) => {
    const world = await startRemoteWorld({ backend: { revoke: async () => outcome } });
    await world.ask(world.request('a'));
    await world.quiet();
    await revoke(world);
    expect(await annotation(world)).toBe(said);
    await world.stop();
  });
});

test('nothing is written, and no CA asked, while there is nothing to do', async () => {
  const world = await startRemoteWorld();
  await world.ask(world.request('a'));
  await world.pass(3 * HOUR, 30);
  world.writes();
  world.remote.calls.length = 0;
  world.cluster.calls.length = 0;
  await world.pass(24 * HOUR, 48);
  expect(world.writes()).toEqual([]);
  expect(world.remote.calls).toEqual([]);
  expect(world.cluster.calls.filter(({ kind }) => kind === 'IssuedCertificate')).toEqual([]);
  await world.stop();
});
