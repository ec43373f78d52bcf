// One cache over two kinds that serve alike, one of the whole cluster and one of namespaces: a reference without a namespace means
// the first, one with a namespace the second, and never the other way round.
import type { KubeObject } from '../api/kind.ts';
import type { Reflector } from './reflector.ts';

export function joinReflectors<A extends KubeObject, B extends KubeObject>(
  clusterWide: Reflector<A>,
  namespaced: Reflector<B>,
): Reflector<A | B> {
  let seen: readonly [readonly A[], readonly B[]] | undefined;
  let all: readonly (A | B)[] = [];

  /** The same array until something changes, as each of the two keeps it. */
  function list(): readonly (A | B)[] {
    const now = [clusterWide.list(), namespaced.list()] as const;
    if (seen?.[0] !== now[0] || seen[1] !== now[1]) all = Object.freeze([...now[0], ...now[1]]);
    seen = now;
    return all;
  }

  return {
    get: (ref) => (ref.namespace === undefined ? clusterWide.get(ref) : namespaced.get(ref)),
    list,
    *each() {
      yield* clusterWide.each();
      yield* namespaced.each();
    },
    has: (index, value) => clusterWide.has(index, value) || namespaced.has(index, value),
    byIndex: (index, value, part) => {
      const found = [...clusterWide.byIndex(index, value), ...namespaced.byIndex(index, value)];
      return part ? found.slice(part.from, part.from + part.count) : found;
    },
    hasSynced: () => clusterWide.hasSynced() && namespaced.hasSynced(),
    ageSeconds: () => Math.max(clusterWide.ageSeconds(), namespaced.ageSeconds()),
    onChange: (listener) => {
      const stops = [clusterWide.onChange(listener), namespaced.onChange(listener)];
      return () => stops.forEach((stop) => stop());
    },
    run: async (signal) => {
      await Promise.all([clusterWide.run(signal), namespaced.run(signal)]);
    },
    synced: async (signal) => {
      await Promise.all([clusterWide.synced(signal), namespaced.synced(signal)]);
    },
  };
}
