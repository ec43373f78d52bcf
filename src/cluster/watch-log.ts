// What happened to the objects of one kind, kept for a bounded while, and read by any number of watchers at their own pace.
import type { KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, WatchEvent, WatchOptions } from '../ports.ts';

export interface LoggedEvent {
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: KubeObject;
}

/** How often an idle watcher is told how far it may resume, as the API server does. */
const BOOKMARK_INTERVAL_MS = 60_000;

export interface WatchLogDeps {
  clock: Pick<Clock, 'sleep'>;
  /** The highest version, of any kind, that watchers may hear of. */
  published: () => number;
  /** Events kept at least; a watcher that falls further behind may get Expired. */
  capacity: number;
}

export class WatchLog {
  readonly #deps: WatchLogDeps;
  #events: LoggedEvent[] = [];
  /** Position of the first event kept among all that were ever logged. */
  #base = 0;
  /** Version of the newest event dropped. */
  #floor: number;
  readonly #waiting = new Set<() => void>();

  /** `start` is the version before which nothing is known. */
  constructor(deps: WatchLogDeps, start: number) {
    this.#deps = deps;
    this.#floor = start;
  }

  append(event: LoggedEvent): void {
    this.#events.push(event);
    // Dropping half at a time keeps the cost of an append constant.
    if (this.#events.length > this.#deps.capacity * 2) {
      const dropped = this.#events.length - this.#deps.capacity;
      this.#floor = this.#events[dropped - 1]?.version ?? this.#floor;
      this.#base += dropped;
      this.#events = this.#events.slice(dropped);
    }
    this.#wake();
  }

  async *watch({ namespace, resourceVersion, signal }: WatchOptions): AsyncGenerator<WatchEvent<KubeObject>> {
    if (signal.aborted) return;
    let told = parseVersion(resourceVersion);
    let position = this.#positionAfter(told);
    const over = new AbortController();
    const bookmarkDue = this.#bookmarks(AbortSignal.any([signal, over.signal]));
    try {
      while (!signal.aborted) {
        position = this.#visibleFrom(position, namespace);
        const event = this.#events[position - this.#base];
        if (event) {
          position++;
          told = event.version;
          yield { type: event.type, object: event.object };
        } else if (bookmarkDue() && this.#deps.published() > told) {
          told = this.#deps.published();
          yield { type: 'BOOKMARK', resourceVersion: String(told) };
        } else {
          await this.#woken(signal);
        }
      }
    } finally {
      over.abort();
    }
  }

  /** Position of the first event at or after `position` in the namespace, or of the next to come. Throws Expired once it is dropped. */
  #visibleFrom(position: number, namespace: string | undefined): number {
    if (position < this.#base) throw new ClusterError('Expired', 'the watch fell too far behind: list again');
    if (namespace === undefined) return position;
    let at = position - this.#base;
    while (at < this.#events.length && this.#events[at]?.object.metadata.namespace !== namespace) at++;
    return this.#base + at;
  }

  /** Position of the first event after `version`. Throws Expired for a version whose successors are not all known. */
  #positionAfter(version: number): number {
    if (!(version >= this.#floor && version <= this.#deps.published()))
      throw new ClusterError('Expired', 'the resource version is too old or unknown: list again');
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.version ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    return this.#base + low;
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next event, bookmark or abort. */
  #woken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** A question that is true once after each interval; whoever waits is woken to ask it. */
  #bookmarks(signal: AbortSignal): () => boolean {
    let due = false;
    const tick = async (): Promise<void> => {
      while (!signal.aborted) {
        await this.#deps.clock.sleep(BOOKMARK_INTERVAL_MS, signal);
        due = true;
        this.#wake();
      }
    };
    tick().catch(() => {
      // The sleep was aborted: the watch is over.
    });
    return () => {
      const was = due;
      due = false;
      return was;
    };
  }
}

/** NaN, which fits no comparison, for text that is no version of ours. */
function parseVersion(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}
