// Several reflectors of one kind, each of one namespace, as one cache: for an operator that may not list a kind everywhere.
import type { KubeObject } from '../api/kind.ts';
import type { Reflector } from './reflector.ts';

/** `parts` by the namespace that each watches. */
export function joinNamespaces<T extends KubeObject>(parts: ReadonlyMap<string, Reflector<T>>): Reflector<T> {
  const all = [...parts.values()];
  const together = async (wait: (part: Reflector<T>) => Promise<void>) => void (await Promise.all(all.map(wait)));
  return {
    get: (ref) => parts.get(ref.namespace ?? '')?.get(ref),
    list: () => all.flatMap((part) => part.list()),
    *each() {
      for (const part of all) yield* part.each();
    },
    has: (index, value) => all.some((part) => part.has(index, value)),
    byIndex: (index, value, { from, count } = { from: 0, count: Infinity }) =>
      all.flatMap((part) => part.byIndex(index, value)).slice(from, from + count),
    hasSynced: () => all.every((part) => part.hasSynced()),
    ageSeconds: () => Math.max(0, ...all.map((part) => part.ageSeconds())),
    onChange: (listener) => {
      const stops = all.map((part) => part.onChange(listener));
      return () => {
        for (const stop of stops) stop();
      };
    },
    run: (signal) => together((part) => part.run(signal)),
    synced: (signal) => together((part) => part.synced(signal)),
  };
}
