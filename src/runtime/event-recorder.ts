// Events for people (kubectl describe): one API write per new event, equal ones within a while dropped, a burst limit per
// object, and never an error or a wait for the caller.
import { type Event, EventKind } from '../api/core.ts';
import type { KubeObject, NewObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import type { Clock, Cluster, EventRecorder, Log, Random } from '../ports.ts';

export const EVENT_RIGHTS: readonly Right[] = [
  {
    kind: EventKind,
    verbs: ['create'],
    in: ['tenants', 'default'],
    why: 'leave Events at claims, and in `default` those about objects without a namespace',
  },
];

export interface EventRecorderDeps {
  cluster: Pick<Cluster, 'create'>;
  clock: Clock;
  random: Random;
  log: Log;
  /** Name of this process among its replicas. */
  instance: string;
}

export interface DrainableEventRecorder extends EventRecorder {
  /** Resolves when all events so far have been written or given up. */
  drain(): Promise<void>;
}

/** reportingController of every Event this program writes. */
export const REPORTING_CONTROLLER = 'countersign.dev/controller';

const EQUAL_FOR_MS = 600_000;
/** Events an object may have at once, and how long until it may have one more. */
const BURST = 25;
const REFILL_MS = 300_000;
/** Events waiting for the API; beyond, they are dropped. */
const BACKLOG = 1000;
/** Objects and events remembered. */
const REMEMBERED = 4096;
const NOTE_LENGTH = 1024;

export function createEventRecorder(deps: EventRecorderDeps): DrainableEventRecorder {
  const { cluster, log } = deps;
  const admit = createLimiter(deps.clock);
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();

  async function write(regarding: KubeObject, event: Occurrence): Promise<void> {
    try {
      await cluster.create(EventKind, eventObject(deps, regarding, event));
    } catch (error) {
      const { namespace = '', name } = regarding.metadata;
      log.warn({ object: `${namespace}/${name}`, reason: event.reason, error }, 'an Event was not recorded');
    }
    waiting--;
  }

  return {
    event(regarding, type, reason, note) {
      if (waiting >= BACKLOG || !admit(regarding.metadata.uid, `${type}/${reason}/${note}`)) return;
      waiting++;
      const short = note.length > NOTE_LENGTH ? `${note.slice(0, NOTE_LENGTH - 1)}…` : note;
      // One after the other: Events are the least urgent of writes.
      last = last.then(() => write(regarding, { type, reason, note: short }));
    },
    async drain() {
      for (let seen: Promise<void> | undefined; seen !== last; ) {
        seen = last;
        await seen;
      }
    },
  };
}

type Occurrence = Pick<Event, 'type' | 'reason' | 'note'>;

function eventObject(deps: EventRecorderDeps, regarding: KubeObject, event: Occurrence): NewObject<Event> {
  const { name, namespace, uid } = regarding.metadata;
  const stem = name.slice(0, 200).replace(/[^a-z0-9]+$/, '');
  return {
    ...event,
    metadata: {
      name: `${stem}.${deps.random.bytes(8).toString('hex')}`,
      // Cluster-scoped objects have no namespace; their Events live in `default`, as everywhere in Kubernetes.
      namespace: namespace ?? 'default',
    },
    regarding: {
      apiVersion: regarding.apiVersion,
      kind: regarding.kind,
      name,
      uid,
      ...(namespace === undefined ? {} : { namespace }),
    },
    eventTime: deps.clock.now().toISOString(),
    reportingController: REPORTING_CONTROLLER,
    reportingInstance: deps.instance,
    action: event.reason,
  };
}

/** Whether an event is new and within its object's allowance. */
function createLimiter(clock: Clock): (uid: string, text: string) => boolean {
  const seen = new Map<string, number>();
  const allowances = new Map<string, { left: number; at: number }>();

  function allowance(uid: string, now: number): { left: number; at: number } {
    const { left, at } = allowances.get(uid) ?? { left: BURST, at: now };
    const gained = Math.floor((now - at) / REFILL_MS);
    return left + gained >= BURST ? { left: BURST, at: now } : { left: left + gained, at: at + gained * REFILL_MS };
  }

  return (uid, text) => {
    const now = clock.monotonic();
    const key = `${uid}/${text}`;
    const before = seen.get(key);
    if (before !== undefined && now - before < EQUAL_FOR_MS) return false;
    const { left, at } = allowance(uid, now);
    if (left === 0) return false;
    remember(allowances, uid, { left: left - 1, at });
    remember(seen, key, now);
    return true;
  };
}

/** Puts the entry last and forgets the one that was put longest ago beyond the limit. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
