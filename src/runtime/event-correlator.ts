// Which occurrence becomes an Event of its own, which counts as one more of a series, and which is dropped: equal ones are a series,
// many alike but for their note are combined into one, and an object that talks too much is cut short.
import type { Event } from '../api/core.ts';
import { oneLine } from '../domain/remote-text.ts';
import type { Clock } from '../ports.ts';
import { remember } from './remembered.ts';

export type Occurrence = Pick<Event, 'type' | 'reason' | 'note'>;

/** Equal occurrences, each within a while of the one before. */
export interface Series {
  occurrence: Occurrence;
  count: number;
  lastAt: Date;
}

/** `new`: the first of its series; `more`: it was added to the series; undefined: dropped. */
export type Correlated = { kind: 'new' | 'more'; series: Series } | undefined;

const EQUAL_FOR_MS = 600_000;
/** Notes for one reason about one object within EQUAL_FOR_MS that stand for themselves. */
const ALIKE = 10;
/** Series an object may begin at once, and how long until it may begin one more. */
const BURST = 25;
const REFILL_MS = 300_000;
/** Objects and series remembered. */
const REMEMBERED = 4096;
/** What the API server takes, in bytes. */
const LONGEST_NOTE = 1024;
const LONGEST_REASON = 128;

const COMBINED = '(combined from similar events): ';

/** `uid` is that of the object the occurrence is about. */
export function createEventCorrelator(clock: Clock): (uid: string, occurrence: Occurrence) => Correlated {
  const known = new Map<string, { series: Series; at: number }>();
  const combine = createCombiner(clock);
  const admit = createLimiter(clock);

  return (uid, { type, reason: said, note }) => {
    const reason = shortened(said, LONGEST_REASON) || 'Unknown';
    const own = shortened(oneLine(note), LONGEST_NOTE);
    const combined = combine(`${uid}/${type}/${reason}`, own);
    const occurrence = { type, reason, note: combined ? shortened(`${COMBINED}${own}`, LONGEST_NOTE) : own };
    const key = `${uid}/${type}/${reason}/${combined ? '' : own}`;
    const now = clock.monotonic();
    const before = known.get(key);
    if (before && now - before.at < EQUAL_FOR_MS) {
      before.series.count++;
      before.series.lastAt = clock.now();
      remember(known, key, { ...before, at: now }, REMEMBERED);
      return { kind: 'more', series: before.series };
    }
    if (!admit(uid)) return undefined;
    const series = { occurrence, count: 1, lastAt: clock.now() };
    remember(known, key, { series, at: now }, REMEMBERED);
    return { kind: 'new', series };
  };
}

/** Whether there are so many notes of this kind that this one is to be combined with them. */
function createCombiner(clock: Clock): (alike: string, note: string) => boolean {
  const groups = new Map<string, { notes: Set<string>; at: number }>();
  return (alike, note) => {
    const now = clock.monotonic();
    const before = groups.get(alike);
    const notes = before && now - before.at < EQUAL_FOR_MS ? before.notes : new Set<string>();
    remember(groups, alike, { notes, at: now }, REMEMBERED);
    if (notes.has(note)) return false;
    if (notes.size >= ALIKE) return true;
    notes.add(note);
    return false;
  };
}

function createLimiter(clock: Clock): (uid: string) => boolean {
  const allowances = new Map<string, { left: number; at: number }>();
  return (uid) => {
    const now = clock.monotonic();
    const { left, at } = allowances.get(uid) ?? { left: BURST, at: now };
    const gained = Math.floor((now - at) / REFILL_MS);
    const full = left + gained >= BURST;
    const have = full ? BURST : left + gained;
    if (have === 0) return false;
    remember(allowances, uid, { left: have - 1, at: full ? now : at + gained * REFILL_MS }, REMEMBERED);
    return true;
  };
}

/** At most `limit` bytes of UTF-8, whole characters, with an ellipsis where something is missing. */
function shortened(text: string, limit: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return bytes.toString();
  let end = limit - Buffer.byteLength('…');
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.subarray(0, end).toString()}…`;
}
