// The Cluster port on a Kubernetes API server.
import type { Kind } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Cluster, PodLogs, Random } from '../ports.ts';
import type { ApiConfig } from './kubernetes-access.ts';
import { type Call, completed } from './kubernetes-calls.ts';
import { errorOf, type Refusal } from './kubernetes-errors.ts';
import { createPodLogs } from './pod-logs.ts';
import { createReads } from './kubernetes-reads.ts';
import { createRequests } from './kubernetes-requests.ts';
import { createTransport, type SocketLimits } from './kubernetes-transport.ts';
import { streamKind, WATCH_TIMES, watchKind, type WatchTimes } from './kubernetes-watch.ts';
import { createWrites } from './kubernetes-writes.ts';
import { createServerTime } from './server-time.ts';

export interface KubernetesOptions {
  config: ApiConfig;
  clock: Clock;
  random: Random;
  /** Connections held at most; a watch beyond its share is refused. */
  sockets?: SocketLimits;
  watches?: WatchTimes;
}

export interface KubernetesCluster extends Cluster {
  /** Whether the API server has this kind, in this version. */
  serves(kind: Pick<Kind, 'group' | 'version' | 'plural'>): Promise<boolean>;
  /** How far the server's clock is ahead of ours, in ms, to about a second; undefined before its first answer. */
  serverTimeOffsetMs(): number | undefined;
  logs: PodLogs;
  openSockets(): number;
  /** Cuts all connections; every later call is Unavailable. */
  close(): void;
}

/** Together below the twenty connections that one process may hold. */
const SOCKETS: SocketLimits = { requests: 7, watches: 12 };

export function createKubernetesCluster(options: KubernetesOptions): KubernetesCluster {
  const { config, clock, random, sockets = SOCKETS, watches = WATCH_TIMES } = options;
  const transport = createTransport({ config, clock, sockets });
  const serverTime = createServerTime(clock);
  const requests = createRequests({ transport, clock, random, heard: (date) => serverTime.heard(date) });
  let closed = false;
  let watching = 0;

  async function call(request: Call): Promise<{ value: unknown } | { refusal: Refusal }> {
    if (closed) throw ended();
    return requests.send(completed(request));
  }
  async function answer(request: Call): Promise<unknown> {
    const result = await call(request);
    if ('refusal' in result) throw errorOf(result.refusal, request.method !== 'GET');
    return result.value;
  }

  async function* counted<T>(begin: () => AsyncGenerator<T>): AsyncGenerator<T> {
    if (closed) throw ended();
    if (watching >= sockets.watches)
      throw new ClusterError('Unavailable', `more watches than the ${sockets.watches} that may be open at a time`);
    watching++;
    try {
      yield* begin();
    } finally {
      watching--;
    }
  }
  const watcher = { requests, clock, random, times: watches };

  return {
    ...createReads(call, answer),
    ...createWrites(call, answer, (ms) => clock.sleep(ms)),
    stream: (kind, given) => counted(() => streamKind(watcher, kind, given)),
    watch: (kind, given) => counted(() => watchKind(watcher, kind, given)),
    logs: createPodLogs({ text: (request) => (closed ? Promise.reject(ended()) : requests.text(request)) }),
    serverTimeOffsetMs: () => serverTime.offsetMs(),
    openSockets: () => transport.openSockets(),
    close() {
      closed = true;
      transport.close();
    },
  };
}

function ended(): ClusterError {
  return new ClusterError('Unavailable', 'the connection to the API server is closed');
}
