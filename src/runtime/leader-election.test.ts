import { expect, test } from 'vitest';
import { type Candidate, createCandidate, OPEN_WAY } from '../../test/fakes/candidate.ts';
import { settle } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { type Lease, LeaseKind, SecretKind } from '../api/core.ts';
import type { Cluster } from '../ports.ts';
import { fraction } from './back-off.ts';
import { fenceCluster } from './fenced-cluster.ts';
import { createLeaderElection } from './leader-election.ts';

const REF = { namespace: 'countersign-system', name: 'leader' };
const leaseOf = async (cluster: Cluster): Promise<Lease | undefined> => cluster.get(LeaseKind, REF);
const holderOf = async (cluster: Cluster) => (await leaseOf(cluster))?.spec?.holderIdentity;

/** A candidate that notes when it leads; its work ends `windDownMs` after it was told to. */
function stand(identity: string, world: ReturnType<typeof createFakeStore>, windDownMs = 0) {
  const candidate = createCandidate(identity, world);
  const stop = new AbortController();
  const notes: string[] = [];
  const at = () => Math.round(world.clock.monotonic() / 1000);
  const lead = async (signal: AbortSignal) => {
    notes.push(`leads at ${at()}`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    notes.push(`told at ${at()}: ${String((signal.reason as Error).message)}`);
    if (windDownMs > 0) await candidate.clock.sleep(windDownMs);
    notes.push(`ended at ${at()}`);
  };
  const ended = candidate.election.run(lead, stop.signal);
  return Object.assign(candidate, {
    notes,
    /** Only the words, without the times. */
    words: () => notes.map((note) => note.replace(/ at \d+/, '')),
    stop: async () => {
      stop.abort();
      await world.clock.advance(windDownMs);
      await ended;
    },
  });
}

test('the first to ask leads, renews, and leaves an empty holder when it stops; the next follows within seconds', async () => {
  const world = createFakeStore();
  const a = stand('a', world);
  await settle();
  expect(a.election.isLeader()).toBe(true);
  const first = await leaseOf(world.cluster);
  expect(first?.spec).toEqual({
    holderIdentity: 'a',
    leaseDurationSeconds: 15,
    acquireTime: '2026-01-01T00:00:00.000000Z',
    renewTime: '2026-01-01T00:00:00.000000Z',
    leaseTransitions: 0,
  });
  const b = stand('b', world);
  await world.clock.advance(60_000);
  const renewed = await leaseOf(world.cluster);
  expect(renewed?.spec?.acquireTime).toBe(first?.spec?.acquireTime);
  expect(Date.parse(renewed?.spec?.renewTime ?? '')).toBeGreaterThan(Date.parse('2026-01-01T00:00:56Z'));
  expect(b.election.isLeader()).toBe(false);
  expect(a.requests()).toBeLessThan(35);
  await a.stop();
  expect(a.words()).toEqual(['leads', 'told: stopping', 'ended']);
  expect(a.election.isLeader()).toBe(false);
  expect(await holderOf(world.cluster)).toBe('');
  await world.clock.advance(3_100);
  expect(b.election.isLeader()).toBe(true);
  expect((await leaseOf(world.cluster))?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  await b.stop();
});

test('a holder that vanished is followed after its lease, however wrong its clock', async () => {
  const world = createFakeStore();
  const a = stand('a', world);
  a.wallOffsetMs = 400 * 86_400_000;
  await settle();
  const b = stand('b', world);
  b.wallOffsetMs = -3_600_000;
  await world.clock.advance(60_000);
  expect(b.notes).toEqual([]);
  a.pause();
  const paused = world.clock.monotonic();
  await world.clock.advance(14_000);
  expect(b.notes).toEqual([]);
  await world.clock.advance(6_000);
  expect(b.notes).toHaveLength(1);
  expect(world.clock.monotonic() - paused).toBeLessThanOrEqual(20_000);
  await b.stop();
});

test('work that is slow to end keeps the lease until it has ended', async () => {
  const world = createFakeStore();
  const a = stand('a', world, 20_000);
  await settle();
  const b = stand('b', world);
  const stopping = a.stop();
  await settle();
  expect(await holderOf(world.cluster)).toBe('a');
  expect(a.election.isLeader()).toBe(true);
  await stopping;
  expect(b.notes).toEqual([]);
  await world.clock.advance(3_100);
  expect(b.words()).toEqual(['leads']);
  await b.stop();
});

test('with the API failing or too slow the work is told to end 10 s after the last renewal began, and may begin again', async () => {
  for (const way of [
    { ...OPEN_WAY, outcome: 'fails' as const },
    { ...OPEN_WAY, beforeMs: 30_000 },
    { ...OPEN_WAY, afterMs: 11_000 },
  ]) {
    const world = createFakeStore();
    const a = stand('a', world);
    await settle();
    a.way = way;
    await world.clock.advance(9_900);
    expect(a.words()).toEqual(['leads']);
    await world.clock.advance(100);
    expect(a.words()).toEqual(['leads', 'told: the lease was not renewed in time', 'ended']);
    expect(a.election.isLeader()).toBe(false);
    await world.clock.advance(30_000);
    expect(a.notes).toHaveLength(3);
    a.way = OPEN_WAY;
    await world.clock.advance(40_000);
    expect(a.words().at(-1)).toBe('leads');
    await a.stop();
  }
});

test('an answer that is lost costs nothing: what was written is read again', async () => {
  const world = createFakeStore();
  const a = stand('a', world);
  await settle();
  a.way = { ...OPEN_WAY, outcome: 'stored' };
  await world.clock.advance(2_300);
  a.way = OPEN_WAY;
  await world.clock.advance(60_000);
  expect(a.words()).toEqual(['leads']);
  a.way = { ...OPEN_WAY, outcome: 'stored' };
  await world.clock.advance(2_300);
  a.way = OPEN_WAY;
  await a.stop();
  expect(await holderOf(world.cluster)).toBe('');
});

test('a lease taken by force ends the work at the next renewal', async () => {
  const world = createFakeStore();
  const a = stand('a', world);
  await settle();
  const lease = await leaseOf(world.cluster);
  if (!lease) throw new Error('no lease');
  await world.cluster.replace(LeaseKind, { ...lease, spec: { ...lease.spec, holderIdentity: 'thief' } });
  await world.clock.advance(2_300);
  expect(a.words()).toEqual(['leads', 'told: another holds the lease', 'ended']);
  // The thief never renews.
  await world.clock.advance(20_000);
  expect(a.words().at(-1)).toBe('leads');
  expect((await leaseOf(world.cluster))?.spec?.leaseTransitions).toBe(1);
  await a.stop();
});

test('a lease that is deleted goes on with its holder: whoever saw it waits', async () => {
  const world = createFakeStore();
  const a = stand('a', world);
  await settle();
  const b = stand('b', world);
  await world.clock.advance(5_000);
  a.way = { ...OPEN_WAY, outcome: 'fails' };
  await world.cluster.delete(LeaseKind, REF);
  await world.clock.advance(4_000);
  a.way = OPEN_WAY;
  await world.clock.advance(30_000);
  expect(a.words()).toEqual(['leads']);
  expect(b.notes).toEqual([]);
  a.pause();
  await world.cluster.delete(LeaseKind, REF);
  await world.clock.advance(14_900);
  expect(b.notes).toEqual([]);
  await world.clock.advance(4_000);
  expect(b.words()).toEqual(['leads']);
  await b.stop();
});

test('a process that stood still for 40 s writes nothing when it goes on, and its work ends', async () => {
  const world = createFakeStore();
  const a = createCandidate('a', world);
  const [stop, refusals] = [new AbortController(), new Set<string>()];
  const cluster = fenceCluster(a.cluster, a.election);
  let [written, workEnded] = [0, false];
  const ended = a.election.run(async (signal) => {
    while (!signal.aborted) {
      await cluster.create(SecretKind, { metadata: { namespace: 'default', name: `s${written}` }, data: {} }).then(
        () => written++,
        (error: Error) => refusals.add(error.message),
      );
      await a.clock.sleep(100);
    }
    workEnded = true;
  }, stop.signal);
  await world.clock.advance(5_000);
  const b = stand('b', world);
  a.pause();
  await world.clock.advance(40_000);
  expect(b.words()).toEqual(['leads']);
  expect(workEnded).toBe(false);
  const before = written;
  a.resume();
  await world.clock.advance(1_000);
  expect(written).toBeLessThanOrEqual(before + 1);
  expect([...refusals]).toEqual(['this process does not lead any more']);
  expect(workEnded).toBe(true);
  expect((await world.cluster.list(SecretKind)).items).toHaveLength(written);
  stop.abort();
  await ended;
  await b.stop();
});

test('work that ends or fails by itself gives the lease back for another to try', async () => {
  const world = createFakeStore();
  const a = createCandidate('a', world);
  const stop = new AbortController();
  let terms = 0;
  const ended = a.election.run(async () => {
    if (++terms > 1) return;
    throw new Error('cannot');
  }, stop.signal);
  await settle();
  expect(terms).toBe(1);
  expect(await holderOf(world.cluster)).toBe('');
  await world.clock.advance(30_000);
  expect(terms).toBeGreaterThan(5);
  expect(terms).toBeLessThan(16);
  expect(a.log.lines.map(({ level, message }) => `${level}: ${message}`)).toContain(
    'error: the work of the leader failed',
  );
  stop.abort();
  await ended;
});

test('stopping before leading, or while waiting, leaves no trace', async () => {
  const world = createFakeStore();
  await createCandidate('a', world).election.run(async () => undefined, AbortSignal.abort());
  expect(await leaseOf(world.cluster)).toBeUndefined();
  const a = stand('a', world);
  await settle();
  const b = stand('b', world);
  await world.clock.advance(5_000);
  await b.stop();
  expect(await holderOf(world.cluster)).toBe('a');
  await a.stop();
});

test('timings that could let two lead are refused', () => {
  const world = createFakeStore();
  const make = (leaseDurationMs: number, renewDeadlineMs: number, retryPeriodMs: number) => () =>
    createLeaderElection({
      ...createCandidate('a', world),
      ...REF,
      random: createFakeRandom(),
      timings: { leaseDurationMs, renewDeadlineMs, retryPeriodMs },
    });
  expect(make(10_000, 10_000, 2_000)).toThrow('must outlast');
  expect(make(15_000, 2_500, 2_000)).toThrow('must outlast');
  expect(make(15_000, 10_000, 0)).toThrow('must outlast');
  expect(make(15_000, 10_000, 2_000)).not.toThrow();
});

/** One random schedule; returns what broke the rule that at most one leads. */
async function schedule(seed: number): Promise<{ faults: string[]; writes: number; terms: number; leaders: number }> {
  const world = createFakeStore();
  const random = createFakeRandom(`schedule ${seed}`);
  const below = (limit: number) => Math.floor(fraction(random) * limit);
  const faults: string[] = [];
  let [terms, writes] = [0, 0];
  /** Terms whose work goes on, and whether their process has stood still meanwhile: then nobody can keep it from being late. */
  const running = new Map<Candidate, { term: number; stoodStill: boolean }>();
  const processes = new Map<Candidate, AbortController>();
  let made = 0;

  function launch(): void {
    const candidate = createCandidate(`${seed}/${made++}`, world);
    const stop = new AbortController();
    processes.set(candidate, stop);
    void candidate.election.run(async (signal) => {
      const mine = { term: ++terms, stoodStill: false };
      for (const other of running.values())
        if (!other.stoodStill) faults.push(`seed ${seed}: term ${mine.term} begins before ${other.term} has ended`);
      running.set(candidate, mine);
      while (!signal.aborted) {
        if (candidate.election.isLeader()) {
          writes++;
          if (mine.term !== terms) faults.push(`seed ${seed}: term ${mine.term} writes in term ${terms}`);
        }
        await candidate.clock.sleep(1_000 + below(2_000), signal).catch(() => undefined);
      }
      await candidate.clock.sleep(below(4_500));
      running.delete(candidate);
    }, stop.signal);
  }

  function disturb(candidate: Candidate): void {
    const deeds = [
      () => {
        candidate.pause();
        const mine = running.get(candidate);
        if (mine) mine.stoodStill = true;
      },
      () => candidate.resume(),
      () => {
        const outcome = (['ok', 'fails', 'stored'] as const)[below(3)] ?? 'ok';
        candidate.way = { outcome, beforeMs: below(3) * below(6_000), afterMs: below(3) * below(6_000) };
      },
      () => void (candidate.way = OPEN_WAY),
      () => void (candidate.wallOffsetMs = (below(2_000) - 1_000) * 3_600_000),
      () => {
        processes.get(candidate)?.abort();
        processes.delete(candidate);
        launch();
      },
    ];
    deeds[below(deeds.length)]?.();
  }

  for (let n = 0; n < 3; n++) launch();
  for (let round = 0; round < 25; round++) {
    await world.clock.advance(below(8_000));
    const all = [...processes.keys()];
    disturb(all[below(all.length)] as Candidate);
  }
  // Healed: one of them leads before long.
  for (const candidate of processes.keys()) {
    candidate.resume();
    candidate.way = OPEN_WAY;
  }
  await world.clock.advance(60_000);
  const leaders = [...processes.keys()].filter(({ election }) => election.isLeader()).length;
  for (const stop of processes.values()) stop.abort();
  await world.clock.advance(20_000);
  return { faults, writes, terms, leaders };
}

test('whatever stands still, fails, is slow or has a wrong clock: no two lead at once, and in the end one does', async () => {
  let [writes, terms] = [0, 0];
  for (let seed = 0; seed < 2000; seed++) {
    const result = await schedule(seed);
    expect(result.faults).toEqual([]);
    expect(result.leaders, `seed ${seed}`).toBe(1);
    writes += result.writes;
    terms += result.terms;
  }
  // The schedules do what they are for: leadership changes hands, and work is done.
  expect(terms).toBeGreaterThan(4_000);
  expect(writes).toBeGreaterThan(20_000);
}, 300_000);
