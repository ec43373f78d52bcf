// When a certificate is to be renewed: for claims a point in time, for ACME clients a window (ARI, RFC 9773 section 4.2). Both
// follow from the lifetime the certificate really has, not from the one that was asked for.
import { sha256 } from './encoding.ts';

export interface Lifetime {
  notBefore: Date;
  notAfter: Date;
  /** When it was issued, where known: CAs backdate notBefore, and that time is no lifetime. */
  issuedAt?: Date;
}

/** Renewal is due once this part of the lifetime is over … */
const DUE = 2 / 3;
/** … but for each certificate up to this part of the lifetime earlier, so that a fleet made in one hour does not renew in one. */
const SPREAD = 1 / 30;
/** However `renewBefore` is chosen: not sooner after issuance (a loop), and not closer to expiry (no room for a retry). */
const EARLIEST = 1 / 10;
const LATEST = 19 / 20;

/** Width of a window that says "now". */
const PAST_WINDOW_MS = 3_600_000;
/** RFC 3339 times of whole seconds must still tell start from end. */
const SHORTEST_WINDOW_MS = 1_000;

function span({ notBefore, notAfter, issuedAt }: Lifetime): { start: number; length: number } {
  const from = notBefore.getTime();
  const to = notAfter.getTime();
  const issued = issuedAt?.getTime() ?? from;
  const start = issued > from && issued < to ? issued : from;
  return { start, length: to - start };
}

/** A number in [0, 1) that stays the same for the same text. */
function spread(seed: string): number {
  return sha256(seed).readUInt32BE() / 2 ** 32;
}

/**
 * The instant at which a claim renews: within the window that ARI suggests for the record of this `name`, unless `renewBeforeMs` is
 * given, which counts back from expiry and is ignored where it does not fit into the actual lifetime. `seed` (namespace and name)
 * decides how much earlier than the end of that this one is. `reissueBefore`: when that instant comes, a certificate issued before it
 * is due, even one that is not due by itself.
 */
export function renewalTime(
  lifetime: Lifetime,
  options: {
    renewBeforeMs?: number | undefined;
    seed: string;
    name?: string | undefined;
    reissueBefore?: Date | undefined;
  },
): Date {
  const { start, length } = span(lifetime);
  const { renewBeforeMs, seed, name, reissueBefore } = options;
  const latest =
    renewBeforeMs !== undefined && renewBeforeMs < length
      ? start + length - renewBeforeMs
      : naturalWindow(lifetime, name).end.getTime();
  const early = latest - start - spread(seed) * length * SPREAD;
  const due = start + Math.min(Math.max(early, length * EARLIEST), length * LATEST);
  const forced = reissueBefore && dueForReissue(lifetime, reissueBefore) ? reissueBefore.getTime() : Infinity;
  return new Date(Math.min(due, forced));
}

/**
 * Whether a certificate is older than the issuer's `reissueBefore`, to the second: records may keep whole seconds, and one issued in
 * that very second must not be replaced for ever. Unknown times of issue do not count as old.
 */
export function dueForReissue({ issuedAt }: Lifetime, reissueBefore: Date): boolean {
  return issuedAt !== undefined && seconds(issuedAt) < seconds(reissueBefore);
}

const seconds = (date: Date) => Math.floor(date.getTime() / 1000);

/** The first of the instants before which the certificate is to be reissued; undefined where it is younger than all of them. */
export function firstReissue(lifetime: Lifetime, ...instants: (string | undefined)[]): Date | undefined {
  const due = instants.flatMap((text) => (text === undefined ? [] : [new Date(text)]));
  return due.filter((instant) => dueForReissue(lifetime, instant)).sort((a, b) => a.getTime() - b.getTime())[0];
}

export interface SuggestedWindow {
  start: Date;
  end: Date;
}

/**
 * `suggestedWindow` of an ARI answer; start < end always. A window in the past means "renew at once" (RFC 9773 section 4.2): that is
 * the answer for a revoked certificate and for one issued before a `reissueBefore` that has come. `name` of the record shifts the
 * window a little, for clients that all take its start.
 */
export function suggestedWindow(
  lifetime: Lifetime,
  options: { revoked: boolean; reissueBefore?: Date | undefined; now: Date; name?: string },
): SuggestedWindow {
  const { revoked, reissueBefore, now, name } = options;
  if (revoked) return past(now);
  const natural = naturalWindow(lifetime, name);
  if (reissueBefore && dueForReissue(lifetime, reissueBefore)) {
    if (reissueBefore <= now) return past(now);
    // One that comes while the certificate is due by itself changes nothing.
    if (reissueBefore < natural.start) return window(reissueBefore.getTime(), PAST_WINDOW_MS);
  }
  return natural;
}

/** When a certificate is due by itself. */
function naturalWindow(lifetime: Lifetime, name: string | undefined): SuggestedWindow {
  const { start, length } = span(lifetime);
  const shift = name === undefined ? 0 : spread(name) * SPREAD;
  return window(start + length * (DUE - SPREAD - shift), length * SPREAD);
}

function past(now: Date): SuggestedWindow {
  return window(now.getTime() - 2 * PAST_WINDOW_MS, PAST_WINDOW_MS);
}

function window(start: number, width: number): SuggestedWindow {
  return { start: new Date(start), end: new Date(start + Math.max(width, SHORTEST_WINDOW_MS)) };
}
