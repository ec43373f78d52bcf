// A cluster whose writes are counted, by kind, verb and outcome.
import type { Kind, KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cluster, Counter } from '../ports.ts';

/** The same cluster; each write adds one to the counter with `outcome` ok or the reason it failed for. */
export function countWrites(cluster: Cluster, writes: Counter): Cluster {
  async function counted<T>(verb: string, { kind }: Pick<Kind, 'kind'>, write: () => Promise<T>): Promise<T> {
    try {
      const result = await write();
      writes.inc({ kind, verb, outcome: 'ok' });
      return result;
    } catch (error) {
      writes.inc({ kind, verb, outcome: isClusterError(error) ? error.reason : 'Unknown' });
      throw error;
    }
  }
  return {
    get: (kind, ref) => cluster.get(kind, ref),
    list: (kind, options) => cluster.list(kind, options),
    ...(cluster.stream ? { stream: cluster.stream } : {}),
    watch: <T extends KubeObject>(kind: Kind<T>, options: Parameters<Cluster['watch']>[1]) =>
      cluster.watch(kind, options),
    create: (kind, object) => counted('create', kind, () => cluster.create(kind, object)),
    replace: (kind, object) => counted('replace', kind, () => cluster.replace(kind, object)),
    replaceStatus: (kind, object) => counted('replaceStatus', kind, () => cluster.replaceStatus(kind, object)),
    delete: (kind, ref, precondition) => counted('delete', kind, () => cluster.delete(kind, ref, precondition)),
    apply: (kind, object, options) => counted('apply', kind, () => cluster.apply(kind, object, options)),
  };
}
