// Rules that several kinds share.
import { parseDuration } from '../domain/duration.ts';
import type { KeyParameters } from './ca-issuer.ts';
import { type PlaceRule, placeRule } from './rule.ts';

/** The size fits the algorithm of a key to make. */
export function keySizeRule(at: string): PlaceRule {
  return placeRule<KeyParameters>({
    at,
    cel: "!has(self.size) || (self.algorithm == 'RSA' ? self.size >= 2048 : self.algorithm == 'ECDSA' && self.size <= 521)",
    message: 'size must be 2048, 3072 or 4096 for RSA, 256, 384 or 521 for ECDSA, and absent for Ed25519',
    holds: ({ algorithm, size }) =>
      size === undefined || (algorithm === 'RSA' ? size >= 2048 : algorithm === 'ECDSA' && size <= 521),
  });
}

/** Exactly one of the members is there. */
export function oneOfRule(at: string, members: readonly string[]): PlaceRule {
  return placeRule<Record<string, unknown>>({
    at,
    cel: `[${members.map((name) => `has(self.${name})`).join(', ')}].filter(present, present).size() == 1`,
    message: `has exactly one of ${members.join(', ')}`,
    holds: (self) => members.filter((name) => self[name] !== undefined).length === 1,
  });
}

/** A duration longer than nothing. */
export function positiveDurationRule(at: string): PlaceRule {
  return placeRule<string>({
    at,
    cel: "duration(self) > duration('0s')",
    message: 'must be longer than zero',
    holds: (self) => parseDuration(self) > 0,
  });
}

/** Of two durations beside each other, `short` is not longer (or, when `strict`, shorter) than `long`. */
export function durationOrderRule(at: string, short: string, long: string, strict: boolean): PlaceRule {
  return placeRule<Record<string, string | undefined>>({
    at,
    cel: `!has(self.${short}) || !has(self.${long}) || duration(self.${short}) ${strict ? '<' : '<='} duration(self.${long})`,
    message: strict ? `${short} must be shorter than ${long}` : `${short} must not be longer than ${long}`,
    holds: ({ [short]: a, [long]: b }) =>
      a === undefined ||
      b === undefined ||
      (strict ? parseDuration(a) < parseDuration(b) : parseDuration(a) <= parseDuration(b)),
  });
}
