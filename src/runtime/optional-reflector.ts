// A watched copy of a kind that not every cluster has and not every installation needs: nothing is asked of the API until somebody wants
// it, and where the API server has no such kind, or does not let us see it, it is looked for again from time to time.
import type { KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { OptionalCache, OptionalState } from '../ports.ts';
import type { Tell } from './object-feed.ts';
import { createReflector, type Reflector, type ReflectorDeps } from './reflector.ts';

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

/** What there is just now. */
interface Present<T extends KubeObject> {
  state: OptionalState;
  reflector: Reflector<T> | undefined;
  tell: Tell<T>;
}

export function createOptionalReflector<T extends KubeObject>(deps: OptionalReflectorDeps<T>): OptionalReflector<T> {
  const listeners = new Set<Tell<T>>();
  const present: Present<T> = {
    state: 'off',
    reflector: undefined,
    tell: (...change) => {
      for (const listener of listeners) listener(...change);
    },
  };
  const wish = createWish();

  return {
    ...viewOf(present),
    want: wish.want,
    run: async (signal) => {
      while (!signal.aborted) {
        const changed = wish.change();
        const over = new AbortController();
        const done = wish.isWanted() && stretch(deps, present, AbortSignal.any([signal, over.signal]));
        await Promise.race([changed, aborted(signal)]);
        over.abort();
        await done;
        enter(deps, present, 'off');
      }
    },
    onChange(listener) {
      const registered: Tell<T> = (...change) => listener(...change);
      listeners.add(registered);
      return () => void listeners.delete(registered);
    },
  };
}

function viewOf<T extends KubeObject>(present: Present<T>): Omit<OptionalReflector<T>, 'want' | 'run' | 'onChange'> {
  return {
    state: () => present.state,
    ageSeconds: () => present.reflector?.ageSeconds() ?? 0,
    get: (ref) => present.reflector?.get(ref),
    list: () => present.reflector?.list() ?? [],
    each: () => present.reflector?.each() ?? [],
    byIndex: (index, value, part) => present.reflector?.byIndex(index, value, part) ?? [],
    has: (index, value) => present.reflector?.has(index, value) ?? false,
    hasSynced: () => present.reflector?.hasSynced() ?? false,
  };
}

/** Whether it is wanted, and when that changes. */
function createWish() {
  let wanted = false;
  let changed = Promise.withResolvers<void>();
  return {
    isWanted: () => wanted,
    /** Resolves with the next change. */
    change: () => changed.promise,
    want(this: void, next: boolean): void {
      if (wanted === next) return;
      wanted = next;
      const { resolve } = changed;
      changed = Promise.withResolvers<void>();
      resolve();
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

type Deps = Pick<OptionalReflectorDeps<never>, 'log'> & { kind: { kind: string; group: string } };

function enter({ log, kind }: Deps, present: { state: OptionalState }, next: OptionalState): void {
  if (present.state !== next) log.info({ kind: kind.kind, group: kind.group, state: next }, 'an optional kind');
  present.state = next;
}

/** One stretch of being wanted. */
async function stretch<T extends KubeObject>(
  deps: OptionalReflectorDeps<T>,
  present: Present<T>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    if (await look(deps, present)) return watch(deps, present, signal);
    await deps.clock.sleep(deps.lookAgainMs ?? LOOK_AGAIN_MS, signal).catch(() => undefined);
  }
}

/** Whether the kind is to be had, which one cheap question tells. */
async function look<T extends KubeObject>(deps: OptionalReflectorDeps<T>, present: Present<T>): Promise<boolean> {
  try {
    const scope = deps.namespace === undefined ? {} : { namespace: deps.namespace };
    await deps.cluster.list(deps.kind, { ...scope, limit: 1 });
    return true;
  } catch (error) {
    if (isClusterError(error, 'NotFound')) enter(deps, present, 'absent');
    else if (isClusterError(error, 'Forbidden')) enter(deps, present, 'refused');
    else deps.log.warn({ kind: deps.kind.kind, error }, 'an optional kind could not be looked for');
    return false;
  }
}

async function watch<T extends KubeObject>(
  deps: OptionalReflectorDeps<T>,
  present: Present<T>,
  signal: AbortSignal,
): Promise<void> {
  enter(deps, present, 'filling');
  const reflector = createReflector(deps);
  reflector.onChange(present.tell);
  present.reflector = reflector;
  const over = new AbortController();
  reflector.synced(over.signal).then(
    () => enter(deps, present, 'watching'),
    () => undefined,
  );
  await reflector.run(signal);
  over.abort();
  present.reflector = undefined;
  for (const object of reflector.list()) present.tell(object, 'DELETED');
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
