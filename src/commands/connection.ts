// The cluster of `serve` and `check`: how to reach it, and whether it has what the program needs.
import { OWN_KINDS } from '../api/index.ts';
import { createAccessReview } from '../cluster/access-review.ts';
import { createKubernetesCluster, type KubernetesCluster } from '../cluster/kubernetes.ts';
import type { SocketLimits } from '../cluster/kubernetes-transport.ts';
import { loadApiConfig } from '../cluster/kubernetes-config.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Clock, Random } from '../ports.ts';

export interface Connection {
  cluster: KubernetesCluster;
  /** Origin of the API server. */
  server: URL;
  /** Whether whoever asks may do this. */
  may: ReturnType<typeof createAccessReview>;
}

/** Throws an Error that says what is wrong with the credentials, or that there are none. */
export async function connectCluster(
  kubeconfig: string | undefined,
  deps: { clock: Clock; random: Random; tenants?: readonly string[] | undefined },
): Promise<Connection> {
  const config = await loadApiConfig({
    env: process.env,
    clock: deps.clock,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
  });
  return {
    cluster: createKubernetesCluster({
      config,
      clock: deps.clock,
      random: deps.random,
      sockets: socketsFor(deps.tenants),
    }),
    server: config.server,
    may: createAccessReview(config),
  };
}

/** One watch a kind, or, where namespaces are served one by one, one for each of them; those of optional features are open only where wanted. */
function socketsFor(tenants: readonly string[] | undefined): SocketLimits {
  return { requests: 7, watches: tenants ? 12 + 9 * tenants.length : 22 };
}

/** How long an API server that does not answer is asked again. */
const PATIENCE_MS = 15_000;
const PAUSE_MS = 1000;

/** Throws an Error that names the API server that cannot be reached, or the kinds it lacks. */
export async function requireKinds({ cluster, server }: Connection, clock: Clock): Promise<void> {
  const end = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    try {
      const missing = await missingKinds(cluster);
      if (missing.length === 0) return;
      throw new Error(
        `the API server ${server.origin} lacks the CustomResourceDefinitions ${missing.join(', ')}: apply crds/ first`,
      );
    } catch (error) {
      if (!isClusterError(error)) throw error;
      if (error.reason !== 'Unavailable' || clock.monotonic() > end)
        throw new Error(`the API server ${server.origin} does not answer as it should: ${error.message}`, {
          cause: error,
        });
    }
    await clock.sleep(PAUSE_MS);
  }
}

/** Names of the CustomResourceDefinitions that are not served. */
export async function missingKinds(cluster: Pick<KubernetesCluster, 'serves'>): Promise<string[]> {
  const served = await Promise.all(OWN_KINDS.map((kind) => cluster.serves(kind)));
  return OWN_KINDS.filter((_, i) => !served[i]).map(({ plural, group }) => `${plural}.${group}`);
}
