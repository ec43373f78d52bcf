// External account binding keys that the operator makes for namespaces: how they are called, and which of them hold when. They are
// derived, not stored: any replica knows those of a period.
import { parseDuration } from './duration.ts';
import type { NamespaceSelector } from './namespace-selector.ts';

/** Identifiers of minted keys begin with it. */
export const MINTED_PREFIX = 'ns.';

export const mintedKeyID = (namespace: string): string => MINTED_PREFIX + namespace;

/** The namespace of a minted key by its identifier; undefined for other identifiers. */
export function namespaceOfKey(keyID: string): string | undefined {
  return keyID.startsWith(MINTED_PREFIX) ? keyID.slice(MINTED_PREFIX.length) : undefined;
}

/** `spec.acme.externalAccountBinding.mint`. */
export interface Mint {
  namespaceSelector: NamespaceSelector;
  secretName: string;
  rotateAfter?: string;
}

const DEFAULT_PERIOD = '720h';

/** Start of the period of an instant, and of the one before, as they are part of keys; and when the next begins. */
export interface Periods {
  current: string;
  before: string;
  nextAt: Date;
}

export function periodsOf({ rotateAfter = DEFAULT_PERIOD }: Pick<Mint, 'rotateAfter'>, now: Date): Periods {
  const length = parseDuration(rotateAfter);
  const start = Math.floor(now.getTime() / length) * length;
  return { current: String(start), before: String(start - length), nextAt: new Date(start + length) };
}
