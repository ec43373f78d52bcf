// The newest version of each object this process knows of: the watched copy, its own writes before the watch brings them, and what
// other replicas told it about theirs.
import type { KubeObject } from '../api/kind.ts';
import type { Cache } from '../ports.ts';

export interface Newest<T extends KubeObject> {
  /** Undefined where there is none, or where all versions here are known to be outdated: only a live read tells then. */
  get(name: string): T | undefined;
  /** A version read live, or answered to a write. */
  saw(object: T): void;
  /** Another replica wrote this generation. */
  outdate(name: string, generation: number): void;
}

/** Objects remembered beyond the watch; they go when it brings them. */
const MAX_REMEMBERED = 20_000;

/** The cache's objects in one namespace. Of those beyond the watch, `limit` are remembered. */
export function createNewest<T extends KubeObject>(
  cache: Cache<T>,
  namespace: string,
  limit = MAX_REMEMBERED,
): Newest<T> {
  const ahead = new Map<string, T>();
  const least = new Map<string, number>();

  cache.onChange(({ metadata: { namespace: at, name, uid, generation } }, type) => {
    if (at !== namespace) return;
    const own = ahead.get(name);
    const reached = type === 'DELETED' ? own?.metadata.uid === uid : generation >= (own?.metadata.generation ?? 0);
    if (reached) ahead.delete(name);
    if (type === 'DELETED' || generation >= (least.get(name) ?? 0)) least.delete(name);
  });

  function get(name: string): T | undefined {
    const cached = cache.get({ namespace, name });
    const own = ahead.get(name);
    const newest = own && (!cached || own.metadata.generation > cached.metadata.generation) ? own : cached;
    return newest && newest.metadata.generation >= (least.get(name) ?? 0) ? newest : undefined;
  }

  return {
    get,
    saw: (object) => {
      const { name, generation, uid } = object.metadata;
      const cached = cache.get({ namespace, name });
      if (cached?.metadata.uid === uid && cached.metadata.generation >= generation) return;
      if ((ahead.get(name)?.metadata.generation ?? 0) <= generation) remember(ahead, name, object, limit);
    },
    outdate: (name, generation) => {
      const cached = cache.get({ namespace, name });
      if ((cached?.metadata.generation ?? 0) < generation) remember(least, name, generation, limit);
    },
  };
}

function remember<V>(map: Map<string, V>, name: string, value: V, limit: number): void {
  map.delete(name);
  map.set(name, value);
  if (map.size > limit) map.delete(map.keys().next().value as string);
}
