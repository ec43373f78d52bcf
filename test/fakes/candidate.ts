// A process that takes part in an election: it can stand still as under SIGSTOP, its wall clock can be wrong, and its way to the API
// can fail, be slow, or lose the answers to what was done.
import type { KubeObject } from '../../src/api/kind.ts';
import { ClusterError } from '../../src/domain/cluster-error.ts';
import type { Clock, Cluster } from '../../src/ports.ts';
import { createLeaderElection, type LeaderElection } from '../../src/runtime/leader-election.ts';
import type { FakeClock } from './clock.ts';
import { createCapturingLog } from './log.ts';
import { createFakeRandom } from './random.ts';

export interface Way {
  /** What becomes of requests: done; not done and an error; done and yet an error. */
  outcome: 'ok' | 'fails' | 'stored';
  beforeMs: number;
  afterMs: number;
}

export interface Candidate {
  identity: string;
  election: LeaderElection;
  /** The cluster as this process reaches it. */
  cluster: Cluster;
  clock: Clock;
  log: ReturnType<typeof createCapturingLog>;
  way: Way;
  wallOffsetMs: number;
  requests: () => number;
  pause(): void;
  resume(): void;
  paused(): boolean;
}

export const OPEN_WAY: Way = { outcome: 'ok', beforeMs: 0, afterMs: 0 };

export function createCandidate(identity: string, world: { clock: FakeClock; cluster: Cluster }): Candidate {
  let still: PromiseWithResolvers<void> | undefined;
  let requests = 0;
  const log = createCapturingLog();
  const clock: Clock = {
    now: () => new Date(world.clock.now().getTime() + self.wallOffsetMs),
    monotonic: world.clock.monotonic,
    async sleep(ms, signal) {
      await world.clock.sleep(ms, signal);
      await still?.promise;
    },
  };

  async function request<T>(run: () => Promise<T>): Promise<T> {
    requests++;
    const { outcome, beforeMs, afterMs } = self.way;
    try {
      await world.clock.sleep(beforeMs);
      if (outcome === 'fails') throw new ClusterError('Unavailable', 'the API is down');
      const result = await run();
      await world.clock.sleep(afterMs);
      if (outcome === 'stored') throw new ClusterError('Unavailable', 'the answer was lost');
      return result;
    } finally {
      await still?.promise;
    }
  }

  const { cluster: store } = world;
  const cluster: Cluster = {
    get: (kind, ref) => request(() => store.get(kind, ref)),
    list: (kind, options) => request(() => store.list(kind, options)),
    watch: (kind, options) => store.watch(kind, options),
    create: (kind, object) => request(() => store.create(kind, object)),
    replace: <T extends KubeObject>(...[kind, object]: Parameters<typeof store.replace<T>>) =>
      request(() => store.replace(kind, object)),
    replaceStatus: (kind, object) => request(() => store.replaceStatus(kind, object)),
    delete: (kind, ref, precondition) => request(() => store.delete(kind, ref, precondition)),
    apply: (kind, object, options) => request(() => store.apply(kind, object, options)),
  };
  const random = createFakeRandom(identity);
  const self: Candidate = {
    identity,
    cluster,
    clock,
    log,
    election: createLeaderElection({
      cluster,
      clock,
      random,
      log,
      namespace: 'countersign-system',
      name: 'leader',
      identity,
    }),
    way: OPEN_WAY,
    wallOffsetMs: 0,
    requests: () => requests,
    pause: () => void (still ??= Promise.withResolvers<void>()),
    resume() {
      still?.resolve();
      still = undefined;
    },
    paused: () => still !== undefined,
  };
  return self;
}
