// Lets Events expire after an hour, as an API server does by itself: for the embedded store, where nobody else would.
import { type Event, EventKind } from '../api/core.ts';
import type { Clock, Cluster, Counter } from '../ports.ts';

export interface EventGarbageDeps {
  cluster: Pick<Cluster, 'list' | 'delete'>;
  clock: Clock;
  collected: Counter;
}

const EVENT_MS = 3_600_000;
const PAGE = 500;

/** Deletes Events that last happened more than an hour ago; returns how many. Stops early once the signal aborts. */
export async function sweepEvents(
  { cluster, clock, collected }: EventGarbageDeps,
  signal: AbortSignal,
): Promise<number> {
  const limit = clock.now().getTime() - EVENT_MS;
  const old: Event[] = [];
  let next: string | undefined;
  do {
    const page = await cluster.list(EventKind, { limit: PAGE, ...(next === undefined ? {} : { continue: next }) });
    old.push(
      ...page.items.filter(({ eventTime, series }) => Date.parse(series?.lastObservedTime ?? eventTime) < limit),
    );
    next = page.continue;
  } while (next !== undefined && !signal.aborted);
  let count = 0;
  for (const { metadata } of old) {
    if (signal.aborted) break;
    if (await cluster.delete(EventKind, metadata, { uid: metadata.uid }).catch(() => false)) count++;
  }
  if (count > 0) collected.inc({ kind: 'Event' }, count);
  return count;
}
