// A cluster for work that only the leader may do: its writes are refused from the moment the lease cannot be relied on any more,
// also where the process stood still so long that it has not noticed yet.
import { ClusterError } from '../domain/cluster-error.ts';
import type { Cluster } from '../ports.ts';
import type { LeaderElection } from './leader-election.ts';

/** The same cluster; writes are Unavailable unless the election holds the lease when they begin. */
export function fenceCluster(cluster: Cluster, election: Pick<LeaderElection, 'isLeader'>): Cluster {
  async function fenced<T>(write: () => Promise<T>): Promise<T> {
    if (!election.isLeader()) throw new ClusterError('Unavailable', 'this process does not lead any more');
    return write();
  }
  return {
    get: (kind, ref) => cluster.get(kind, ref),
    list: (kind, options) => cluster.list(kind, options),
    ...(cluster.stream ? { stream: cluster.stream } : {}),
    watch: (kind, options) => cluster.watch(kind, options),
    create: (kind, object) => fenced(() => cluster.create(kind, object)),
    replace: (kind, object) => fenced(() => cluster.replace(kind, object)),
    replaceStatus: (kind, object) => fenced(() => cluster.replaceStatus(kind, object)),
    delete: (kind, ref, precondition) => fenced(() => cluster.delete(kind, ref, precondition)),
    apply: (kind, object, options) => fenced(() => cluster.apply(kind, object, options)),
  };
}
