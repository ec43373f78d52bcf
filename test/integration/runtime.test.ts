// The controller runtime on a real API server, with a proxy in between that misbehaves.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { EventKind, type Lease, LeaseKind, NamespaceKind, type Secret, SecretKind } from '../../src/api/core.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import type { Kind, KubeObject, NewObject } from '../../src/api/kind.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { createKubernetesCluster, type KubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { memoryStorage } from '../../src/cluster/storage.ts';
import { isClusterError } from '../../src/domain/cluster-error.ts';
import type { Cluster } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createController, enqueueEach, type Reconcile } from '../../src/runtime/controller.ts';
import { createEventRecorder } from '../../src/runtime/event-recorder.ts';
import { createLeaderElection } from '../../src/runtime/leader-election.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createReflector, type Reflector } from '../../src/runtime/reflector.ts';
import { createCapturingLog } from '../fakes/log.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { startProgram } from '../support/child-process.ts';
import type { ControlPlane } from '../support/control-plane.ts';
import { eventually } from '../support/eventually.ts';
import { type Fault, type FaultProxy, type FaultRule, startFaultProxy } from '../support/fault-proxy.ts';

const NAMESPACE = 'countersign-system';
const clock = createClock();
const random = createRandom();

/** What must be undone after each test, last first. */
const undo: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

/** How long faults last; and twice as many requests as seconds may be made in it, beside those that found it out. */
const FAULT_SECONDS = 12;
const FIRST_REQUESTS = 6;

describeOnApiServer('the runtime', (plane) => {
  let token: string;
  let admin: Cluster;

  beforeAll(async () => {
    const { api, serviceAccountToken, url, ca } = plane();
    await api.expect('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } });
    await api.expect('POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, { metadata: { name: 'runtime' } });
    await api.expect('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'runtime' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'runtime', namespace: NAMESPACE }],
    });
    token = await serviceAccountToken(NAMESPACE, 'runtime');
    const direct = connect({ url, ca }, token);
    admin = direct;
    return () => direct.close();
  });

  /** A process's way to the API server. */
  async function behindProxy(seed = 1): Promise<{ proxy: FaultProxy; cluster: KubernetesCluster }> {
    const proxy = await startFaultProxy(plane(), seed);
    const cluster = connect(proxy, token);
    undo.push(async () => {
      cluster.close();
      await proxy.stop();
    });
    return { proxy, cluster };
  }

  async function namespace(name: string): Promise<string> {
    await admin.create(NamespaceKind, { metadata: { name } });
    return name;
  }

  test('Events and Leases are refused by the embedded store for what the API server refuses them for', async () => {
    const embedded = createEmbeddedCluster({ storage: memoryStorage(), clock, random, kinds: ALL_KINDS });
    undo.push(() => embedded.close());
    const verdicts = async (cluster: Cluster) => {
      const seen: [string, string][] = [];
      for (const [what, kind, object] of cases()) seen.push([what, await verdict(cluster, kind, object)]);
      return seen;
    };
    const real = await verdicts(admin);
    expect(real.filter(([, outcome]) => outcome === 'taken').length).toBeGreaterThan(5);
    expect(real.filter(([, outcome]) => outcome === 'Invalid').length).toBeGreaterThan(10);
    expect(await verdicts(embedded)).toEqual(real);
  });

  test('Events as the recorder writes them are taken: long notes, any text, series', async () => {
    const log = createCapturingLog();
    const recorder = createEventRecorder({ cluster: admin, clock, random, log, instance: 'pod-1' });
    const home = await namespace('events');
    const secret = await admin.create(SecretKind, { metadata: { namespace: home, name: 'about' }, data: {} });
    const notes = [
      'x'.repeat(5000),
      'é'.repeat(1000),
      `a${'🙂'.repeat(400)}`,
      '\ud800 alone',
      'plain',
      'plain',
      'plain',
    ];
    for (const note of notes) recorder.event(secret, 'Warning', 'R'.repeat(200), note);
    const cluster = { ...secret, kind: 'ClusterThing', metadata: { ...secret.metadata, uid: 'other' } };
    const { namespace: _home, ...metadata } = cluster.metadata;
    recorder.event({ ...cluster, metadata }, 'Normal', 'Cluster', 'scoped');
    await recorder.flush();
    expect(log.lines).toEqual([]);
    const mine = (await admin.list(EventKind)).items.filter(({ reportingInstance }) => reportingInstance === 'pod-1');
    expect(mine).toHaveLength(6);
    expect(mine.flatMap(({ series }) => series?.count ?? [])).toEqual([3]);
    recorder.event(secret, 'Warning', 'R'.repeat(200), 'plain');
    await recorder.flush();
    const later = (await admin.list(EventKind, { namespace: home })).items.flatMap(({ series }) => series?.count ?? []);
    expect(later).toEqual([4]);
  });

  test('whatever happens to lists and watches: few requests meanwhile, the truth soon after', async () => {
    const home = await namespace('reflected');
    const kinds: readonly Kind[] = [SecretKind, LeaseKind];
    const write = async (round: string) => {
      for (const kind of kinds)
        for (const n of [1, 2, 3]) await admin.create(kind, { metadata: { namespace: home, name: `${round}-${n}` } });
    };
    await write('before');
    await write('doomed');
    const all = Object.entries(watchFaults()).map(async ([name, rules]) => {
      const { proxy, cluster } = await behindProxy();
      const reflectors = kinds.map((kind) => reflect(cluster, kind));
      await Promise.all(reflectors.map(({ reflector }) => reflector.synced()));
      return { name, rules, proxy, reflectors, from: 0, during: 0 };
    });
    const subjects = await Promise.all(all);
    for (const { proxy, rules } of subjects) proxy.set(...rules);
    for (const subject of subjects) subject.from = subject.proxy.requests.length;
    await write('during');
    for (const kind of kinds)
      for (const n of [1, 2, 3]) await admin.delete(kind, { namespace: home, name: `doomed-${n}` });
    await sleep(FAULT_SECONDS * 1000);
    for (const subject of subjects) subject.during = subject.proxy.requests.length - subject.from;
    for (const { proxy } of subjects) proxy.heal();
    await write('after');
    const truth = await Promise.all(kinds.map((kind) => admin.list(kind, { namespace: home })));
    for (const { name, reflectors, during } of subjects) {
      expect(during, name).toBeLessThanOrEqual(kinds.length * (2 * FAULT_SECONDS + FIRST_REQUESTS));
      for (const [i, { reflector, changes }] of reflectors.entries()) {
        const expected = versions(truth[i]?.items ?? []);
        await eventually(`${name}: ${kinds[i]?.kind} converge`, async () =>
          JSON.stringify(versions(reflector.list().filter(({ metadata }) => metadata.namespace === home))) ===
          JSON.stringify(expected)
            ? true
            : undefined,
        );
        for (const n of [1, 2, 3])
          expect(
            changes.filter((change) => change === `DELETED doomed-${n}`),
            name,
          ).toHaveLength(1);
        expect(
          changes.filter((change) => change.includes('before-')),
          name,
        ).toEqual([1, 2, 3].map((n) => `ADDED before-${n}`));
      }
    }
  }, 300_000);

  test('a compaction under a watch, with the API server restarted: one list more, nothing missed', async () => {
    const home = await namespace('compacted');
    const { proxy, cluster } = await behindProxy();
    await admin.create(SecretKind, { metadata: { namespace: home, name: 'goes' }, data: {} });
    const { reflector, changes } = reflect(cluster, SecretKind);
    await reflector.synced();
    proxy.set({ fault: { kind: 'cut' } });
    await admin.delete(SecretKind, { namespace: home, name: 'goes' });
    await admin.create(SecretKind, { metadata: { namespace: home, name: 'comes' }, data: {} });
    await plane().compact();
    await plane().stopApiServer();
    await plane().startApiServer();
    proxy.heal();
    await eventually('the copy is right', async () => (changes.includes('ADDED comes') ? true : undefined));
    expect(changes).toContain('DELETED goes');
    expect(reflector.get({ namespace: home, name: 'goes' })).toBeUndefined();
    const answered = proxy.requests.filter(({ verb, fault }) => verb === 'list' && fault === undefined);
    expect(answered).toHaveLength(2);
  }, 300_000);

  test('a controller whose writes conflict, fail, get lost or are put off does all there is to do, without hammering', async () => {
    const faults: Record<string, readonly FaultRule[]> = {
      conflicts: [{ fault: { kind: 'refuse', status: 409 }, verbs: ['update', 'patch', 'delete'], share: 0.3 }],
      'lost answers': [{ fault: { kind: 'lose-answer', status: 500 }, verbs: ['create', 'update'], share: 0.5 }],
      'writes fail': [{ fault: { kind: 'refuse', status: 500 }, verbs: ['create', 'update'] }],
      'all unavailable': [{ fault: { kind: 'refuse', status: 503, retryAfterSeconds: 2 } }],
      'all cut': [{ fault: { kind: 'cut' } }],
    };
    const runs = Object.entries(faults).map(async ([name, rules], n) => {
      const home = await namespace(`copies-${n}`);
      const { proxy, cluster } = await behindProxy(n);
      const { reflector } = reflect(cluster, SecretKind);
      const { started } = copier(cluster, reflector, home);
      await reflector.synced();
      started();
      for (let i = 0; i < 20; i++)
        await admin.create(SecretKind, { metadata: { namespace: home, name: `source-${i}` }, data: { x: 'MQ==' } });
      await copied(admin, home, 20, 'MQ==');
      proxy.set(...rules);
      const from = proxy.requests.length;
      for (let i = 0; i < 20; i++) {
        const ref = { namespace: home, name: `source-${i}` };
        const source = (await admin.get(SecretKind, ref)) as Secret;
        await admin.replace(SecretKind, { ...source, data: { x: 'Mg==' } });
      }
      await sleep(FAULT_SECONDS * 1000);
      const during = proxy.requests.length - from;
      proxy.heal();
      await copied(admin, home, 20, 'Mg==');
      return { name, during };
    });
    const results = await Promise.all(runs);
    for (const { name, during } of results) {
      // Where requests get through there is work to do: 20 copies of two requests and the retries of some.
      const work = name === 'conflicts' || name === 'lost answers' ? 160 : 0;
      // A reflector and a controller; each try of the controller reads before it writes.
      expect(during, name).toBeLessThanOrEqual(work + 2 * (2 * FAULT_SECONDS + FIRST_REQUESTS) + 8);
    }
  }, 300_000);

  test('election: one at a time, through a silent network, theft, deletion and an orderly end', async () => {
    const candidates = await Promise.all(
      ['a', 'b', 'c'].map(async (identity) => candidate(identity, await behindProxy())),
    );
    const leading = () => candidates.filter(({ election }) => election.isLeader());
    const someoneLeads = (but?: unknown) =>
      eventually('somebody leads', async () => leading().find((one) => one !== but && one.active()));
    const first = await someoneLeads();
    const ref = { namespace: NAMESPACE, name: 'election' };
    expect((await admin.get(LeaseKind, ref))?.spec).toMatchObject({
      holderIdentity: first.identity,
      leaseTransitions: 0,
    });

    first.proxy.set({ fault: { kind: 'stall' } });
    const second = await someoneLeads(first);
    expect(first.active()).toBe(false);
    first.proxy.heal();

    const held = (await admin.get(LeaseKind, ref)) as Lease;
    await stolen(admin, held);
    await eventually('the holder notices', async () => (second.active() ? undefined : true));
    const third = await someoneLeads();

    await admin.delete(LeaseKind, ref);
    await sleep(5_000);
    expect(leading()).toEqual([third]);

    await third.stop();
    expect(third.active()).toBe(false);
    const fourth = await someoneLeads(third);
    expect((await admin.get(LeaseKind, ref))?.spec?.holderIdentity).toBe(fourth.identity);
    for (const { stop } of candidates) await stop();
    expect((await admin.get(LeaseKind, ref))?.spec?.holderIdentity ?? '').toBe('');
    // No two terms overlap.
    const terms = candidates.flatMap(({ terms: own }) => own).sort((x, y) => x.from - y.from);
    expect(terms.length).toBeGreaterThanOrEqual(4);
    for (const [i, { from }] of terms.entries()) if (i > 0) expect(terms[i - 1]?.to).toBeLessThanOrEqual(from);
  }, 300_000);

  test('a leader stopped by SIGSTOP until another leads writes nothing when it goes on, and its work ends', async () => {
    const home = await namespace('zombies');
    const { url, ca, folder } = plane();
    const caFile = join(folder, 'api-ca.crt');
    await writeFile(caFile, ca);
    const program = new URL('../support/leader-program.ts', import.meta.url).pathname;
    const start = (identity: string) => {
      const started = startProgram(process.execPath, [program, url, caFile, token, home, identity], { bound: true });
      undo.push(() => started.kill());
      return started;
    };
    const writesOf = async (identity: string) => {
      const { items } = await admin.list(SecretKind, { namespace: home });
      return items.filter(({ metadata }) => metadata.name.startsWith(`${identity}-`)).length;
    };
    const zombie = start('zombie');
    await zombie.waitFor(/leads\n/);
    await eventually('it writes', async () => ((await writesOf('zombie')) > 0 ? true : undefined));
    const heir = start('heir');
    process.kill(zombie.pid, 'SIGSTOP');
    await heir.waitFor(/leads\n/);
    const before = await writesOf('zombie');
    process.kill(zombie.pid, 'SIGCONT');
    await zombie.waitFor(/ended\n/);
    await sleep(2_000);
    // One write may have been on its way into the socket as the process was stopped.
    expect(await writesOf('zombie')).toBeLessThanOrEqual(before + 1);
    expect(zombie.output().match(/leads\n/g)).toHaveLength(1);
    expect(await writesOf('heir')).toBeGreaterThan(0);
  }, 300_000);
});

function connect({ url, ca }: Pick<ControlPlane, 'url' | 'ca'>, token: string): KubernetesCluster {
  const access = { tls: { ca }, headers: { authorization: `Bearer ${token}` } };
  return createKubernetesCluster({
    config: { server: new URL(url), namespace: undefined, access: async () => access },
    clock,
    random,
  });
}

/** A running reflector that notes what it is told of. */
function reflect<T extends KubeObject>(cluster: Cluster, kind: Kind<T>) {
  const reflector = createReflector({ cluster, kind, clock, random, log: createCapturingLog() });
  const changes: string[] = [];
  reflector.onChange(({ metadata }, type) => void changes.push(`${type} ${metadata.name}`));
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  undo.push(async () => {
    stop.abort();
    await running;
  });
  return { reflector, changes };
}

const versions = (objects: readonly KubeObject[]) =>
  objects.map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`).sort();

function watchFaults(): Record<string, readonly FaultRule[]> {
  const always = (fault: Fault): FaultRule[] => [{ fault }];
  return {
    '500': always({ kind: 'refuse', status: 500 }),
    '429': always({ kind: 'refuse', status: 429, retryAfterSeconds: 3 }),
    '503': always({ kind: 'refuse', status: 503, retryAfterSeconds: 3 }),
    cut: always({ kind: 'cut' }),
    silence: always({ kind: 'stall' }),
    '410 to watches': [{ fault: { kind: 'refuse', status: 410 }, verbs: ['watch'] }],
    '410 to watches and lists': [{ fault: { kind: 'refuse', status: 410 }, verbs: ['watch', 'list'] }],
    'watches cut, slow lists': [
      { fault: { kind: 'cut' }, verbs: ['watch'] },
      { fault: { kind: 'delay', ms: 1_500 }, verbs: ['list'] },
    ],
  };
}

/** A controller that copies each Secret `source-*` of a namespace to `copy-*`. */
function copier(cluster: Cluster, sources: Reflector<Secret>, home: string) {
  const reconcile: Reconcile = async ({ name }) => {
    const source = sources.get({ namespace: home, name });
    if (!source) return undefined;
    const ref = { namespace: home, name: name.replace('source', 'copy') };
    const copy = await cluster.get(SecretKind, ref);
    const data = source.data ?? {};
    if (!copy) await cluster.create(SecretKind, { metadata: ref, data });
    else if (JSON.stringify(copy.data) !== JSON.stringify(data)) await cluster.replace(SecretKind, { ...copy, data });
    return undefined;
  };
  const controller = createController({ name: 'copier', reconcile, clock, random, log: createCapturingLog() });
  const started = () => {
    const stop = new AbortController();
    const stopWatching = enqueueEach(sources, (key, options) => {
      if (key.namespace === home && key.name.startsWith('source-')) controller.enqueue(key, options);
    });
    const running = controller.run(stop.signal);
    undo.push(async () => {
      stopWatching();
      stop.abort();
      await running;
    });
  };
  return { started };
}

async function copied(cluster: Cluster, home: string, count: number, value: string): Promise<void> {
  await eventually(`the copies in ${home} say ${value}`, async () => {
    const { items } = await cluster.list(SecretKind, { namespace: home });
    const copies = items.filter(({ metadata, data }) => metadata.name.startsWith('copy-') && data?.x === value);
    return copies.length === count ? true : undefined;
  });
}

/** Campaigns with timings a fifth of the usual, and notes its terms by the monotonic clock. */
function candidate(identity: string, { proxy, cluster }: { proxy: FaultProxy; cluster: Cluster }) {
  const election = createLeaderElection({
    cluster,
    clock,
    random,
    log: createCapturingLog(),
    namespace: NAMESPACE,
    name: 'election',
    identity,
    timings: { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 400 },
  });
  const terms: { from: number; to: number }[] = [];
  const stop = new AbortController();
  let leads = false;
  const running = election.run(async (signal) => {
    const term = { from: performance.now(), to: Number.POSITIVE_INFINITY };
    terms.push(term);
    leads = true;
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    leads = false;
    term.to = performance.now();
  }, stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  undo.push(end);
  return { identity, proxy, election, terms, active: () => leads, stop: end };
}

/** Another takes the lease by force, and never renews it. */
async function stolen(cluster: Cluster, lease: Lease): Promise<void> {
  for (let current = lease; ; ) {
    try {
      await cluster.replace(LeaseKind, { ...current, spec: { ...current.spec, holderIdentity: 'thief' } });
      return;
    } catch (error) {
      // Its holder renewed it in between.
      if (!isClusterError(error, 'Conflict')) throw error;
      current = (await cluster.get(LeaseKind, lease.metadata)) as Lease;
    }
  }
}

async function verdict(cluster: Cluster, kind: Kind, object: NewObject<KubeObject>): Promise<string> {
  try {
    await cluster.create(kind, object);
    return 'taken';
  } catch (error) {
    return isClusterError(error) ? error.reason : String(error);
  }
}

function cases(): [string, Kind, NewObject<KubeObject>][] {
  let n = 0;
  const event = (what: string, more: object, namespaceOf = 'default'): [string, Kind, NewObject<KubeObject>] => [
    `Event: ${what}`,
    EventKind,
    {
      metadata: { name: `case.${n++}`, namespace: namespaceOf },
      type: 'Normal',
      reason: 'Reason',
      note: 'A note.',
      regarding: { apiVersion: 'v1', kind: 'Secret', name: 'x', namespace: 'default', uid: 'u' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'countersign.dev/controller',
      reportingInstance: 'pod',
      action: 'Act',
      ...more,
    } as NewObject<KubeObject>,
  ];
  const lease = (what: string, spec: object): [string, Kind, NewObject<KubeObject>] => [
    `Lease: ${what}`,
    LeaseKind,
    { metadata: { name: `case.${n++}`, namespace: 'default' }, spec } as NewObject<KubeObject>,
  ];
  const clusterScoped = { apiVersion: 'v1', kind: 'Namespace', name: 'x', uid: 'u' };
  const series = (count: number) => ({ count, lastObservedTime: '2026-01-01T00:00:00.000000Z' });
  return [
    event('plain', {}),
    event('of a cluster-scoped object', { regarding: clusterScoped }),
    event('of one, elsewhere', { regarding: clusterScoped }, NAMESPACE),
    event('of an object elsewhere', {}, NAMESPACE),
    event('of an object elsewhere, here', { regarding: { ...clusterScoped, kind: 'Secret', namespace: NAMESPACE } }),
    event(
      'of an object of no namespace there is',
      { regarding: { ...clusterScoped, namespace: 'nowhere' } },
      NAMESPACE,
    ),
    event('of no object', { regarding: {} }),
    event('time in milliseconds', { eventTime: '2026-01-01T00:00:00.000Z' }),
    event('no note', { note: '' }),
    event('longest note', { note: 'x'.repeat(1024) }),
    event('note too long', { note: 'x'.repeat(1025) }),
    event('note too long in bytes', { note: 'é'.repeat(600) }),
    event('no reason', { reason: '' }),
    event('longest reason', { reason: 'x'.repeat(128) }),
    event('reason too long', { reason: 'x'.repeat(129) }),
    event('no action', { action: '' }),
    event('action too long', { action: 'x'.repeat(129) }),
    event('no instance', { reportingInstance: '' }),
    event('instance too long', { reportingInstance: 'x'.repeat(129) }),
    event('no controller', { reportingController: '' }),
    event('controller no qualified name', { reportingController: 'a/b/c' }),
    event('another type', { type: 'Alarm' }),
    event('series of one', { series: series(1) }),
    event('series of two', { series: series(2) }),
    lease('plain', { holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 }),
    lease('nobody', { holderIdentity: '', leaseDurationSeconds: 1, renewTime: '2026-01-01T00:00:00.000000Z' }),
    lease('empty', {}),
    lease('no time', { leaseDurationSeconds: 0 }),
    lease('less than no time', { leaseDurationSeconds: -1 }),
    lease('time in milliseconds', { renewTime: '2026-01-01T00:00:00.000Z' }),
    lease('negative transitions', { leaseTransitions: -1 }),
  ];
}
