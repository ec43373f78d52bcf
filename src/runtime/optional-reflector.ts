// A watched copy of a kind that not every cluster has and not every installation needs: nothing is asked of the API until somebody wants
// it, and where the API server has no such kind, or does not let us see it, it is looked for again from time to time.
import type { KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { OptionalCache, OptionalState } from '../ports.ts';
import { createReflector, type Reflector, type ReflectorDeps } from './reflector.ts';
import type { Tell } from './object-feed.ts';

export interface OptionalReflector<T extends KubeObject> extends OptionalCache<T> {
  /** Begins or ends to watch. */
  want(wanted: boolean): void;
  /** Until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** As Reflector; 0 while nothing is watched. */
  ageSeconds(): number;
}

export interface OptionalReflectorDeps<T extends KubeObject> extends ReflectorDeps<T> {
  /** How often a kind that is not to be had is looked for; 30 s when absent. */
  lookAgainMs?: number;
}

const LOOK_AGAIN_MS = 30_000;

export function createOptionalReflector<T extends KubeObject>(deps: OptionalReflectorDeps<T>): OptionalReflector<T> {
  const { clock, log, kind } = deps;
  const listeners = new Set<Tell<T>>();
  const tell: Tell<T> = (...change) => {
    for (const listener of listeners) listener(...change);
  };
  let state: OptionalState = 'off';
  let current: Reflector<T> | undefined;
  let wanted = false;
  let changed = Promise.withResolvers<void>();

  function enter(next: OptionalState): void {
    if (state !== next) log.info({ kind: kind.kind, group: kind.group, state: next }, 'an optional kind');
    state = next;
  }

  /** Whether the kind is to be had, which one cheap question tells. */
  async function look(): Promise<boolean> {
    try {
      const scope = deps.namespace === undefined ? {} : { namespace: deps.namespace };
      await deps.cluster.list(kind, { ...scope, limit: 1 });
      return true;
    } catch (error) {
      if (isClusterError(error, 'NotFound')) enter('absent');
      else if (isClusterError(error, 'Forbidden')) enter('refused');
      else log.warn({ kind: kind.kind, error }, 'an optional kind could not be looked for');
      return false;
    }
  }

  async function watch(signal: AbortSignal): Promise<void> {
    enter('filling');
    const reflector = createReflector(deps);
    reflector.onChange(tell);
    current = reflector;
    const over = new AbortController();
    reflector.synced(over.signal).then(
      () => enter('watching'),
      () => undefined,
    );
    await reflector.run(signal);
    over.abort();
    current = undefined;
    for (const object of reflector.list()) tell(object, 'DELETED');
  }

  /** One stretch of being wanted. */
  async function stretch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (await look()) return watch(signal);
      await clock.sleep(deps.lookAgainMs ?? LOOK_AGAIN_MS, signal).catch(() => undefined);
    }
  }

  return {
    state: () => state,
    want(next) {
      if (wanted === next) return;
      wanted = next;
      const { resolve } = changed;
      changed = Promise.withResolvers<void>();
      resolve();
    },
    async run(signal) {
      const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      while (!signal.aborted) {
        const until = changed.promise;
        if (!wanted) {
          await Promise.race([until, ended]);
          continue;
        }
        const over = new AbortController();
        const done = stretch(AbortSignal.any([signal, over.signal]));
        await Promise.race([until, ended]);
        over.abort();
        await done;
        enter('off');
      }
    },
    ageSeconds: () => current?.ageSeconds() ?? 0,
    get: (ref) => current?.get(ref),
    list: () => current?.list() ?? [],
    each: () => current?.each() ?? [],
    byIndex: (index, value, part) => current?.byIndex(index, value, part) ?? [],
    has: (index, value) => current?.has(index, value) ?? false,
    hasSynced: () => current?.hasSynced() ?? false,
    onChange(listener) {
      const registered: Tell<T> = (...change) => listener(...change);
      listeners.add(registered);
      return () => void listeners.delete(registered);
    },
  };
}

/** Several of one kind, each of one namespace, as one. */
export function joinOptional<T extends KubeObject>(parts: readonly OptionalReflector<T>[]): OptionalReflector<T> {
  return {
    /** As of the one that is furthest from being watched. */
    state: () => STATES.find((state) => parts.some((part) => part.state() === state)) ?? 'watching',
    want: (wanted) => {
      for (const part of parts) part.want(wanted);
    },
    run: async (signal) => void (await Promise.all(parts.map((part) => part.run(signal)))),
    ageSeconds: () => Math.max(0, ...parts.map((part) => part.ageSeconds())),
    get: (ref) => firstOf(parts, (part) => part.get(ref)),
    list: () => parts.flatMap((part) => part.list()),
    *each() {
      for (const part of parts) yield* part.each();
    },
    byIndex: (index, value, { from, count } = { from: 0, count: Infinity }) =>
      parts.flatMap((part) => part.byIndex(index, value)).slice(from, from + count),
    has: (index, value) => parts.some((part) => part.has(index, value)),
    hasSynced: () => parts.every((part) => part.hasSynced()),
    onChange(listener) {
      const stops = parts.map((part) => part.onChange(listener));
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}

const STATES: readonly OptionalState[] = ['refused', 'absent', 'off', 'filling'];

function firstOf<P, R>(parts: readonly P[], find: (part: P) => R | undefined): R | undefined {
  for (const part of parts) {
    const found = find(part);
    if (found !== undefined) return found;
  }
  return undefined;
}
