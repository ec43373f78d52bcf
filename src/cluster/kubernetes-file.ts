// A small file that others replace under our feet: a token, a certificate.
import { readFileSync, statSync } from 'node:fs';
import type { Clock } from '../ports.ts';

/** How often the file is looked at. */
const LOOK_MS = 5_000;
/** Read again after this long whatever its times say: not every file system keeps them well. */
const STALE_MS = 60_000;

export interface RotatingFile {
  /** Its text; `fresh` reads it in any case. Throws where it was never readable; a passing fault gives what was read before. */
  read(fresh: boolean): string;
}

export function createFile(path: string, clock: Pick<Clock, 'monotonic'>): RotatingFile {
  let known: { text: string; stamp: string; readAt: number; lookedAt: number } | undefined;
  return {
    read(fresh) {
      const now = clock.monotonic();
      if (known && !fresh && now - known.lookedAt < LOOK_MS) return known.text;
      try {
        const { mtimeMs, ino, size } = statSync(path);
        const stamp = `${mtimeMs} ${ino} ${size}`;
        if (known && !fresh && known.stamp === stamp && now - known.readAt < STALE_MS) known.lookedAt = now;
        else known = { text: contentOf(path), stamp, readAt: now, lookedAt: now };
      } catch (error) {
        if (!known) throw error;
      }
      return known.text;
    },
  };
}

/** An empty file is one that is just being written. */
function contentOf(path: string): string {
  const text = readFileSync(path, 'utf8');
  if (text.trim() === '') throw new Error(`${path} is empty`);
  return text;
}
