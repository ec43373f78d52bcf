// What an ACME server said that it will not do for now: it is not asked for the same names again before the time it named.
import type { Clock } from '../../ports.ts';

export interface RateLimits {
  /** Milliseconds until the names may be asked for again, with what the server said; undefined where they may be now. */
  of(server: URL, names: readonly string[]): { ms: number; detail: string } | undefined;
  met(server: URL, names: readonly string[], limit: { ms: number; detail: string }): void;
}

/** The oldest are forgotten first: then the server says it again. */
const MAX_KEPT = 4096;

export function createRateLimits({ monotonic }: Pick<Clock, 'monotonic'>): RateLimits {
  const met = new Map<string, { until: number; detail: string }>();
  const keyOf = (server: URL, names: readonly string[]) => [server.href, ...names].join(' ');
  return {
    of(server, names) {
      const known = met.get(keyOf(server, names));
      const ms = known ? known.until - monotonic() : 0;
      return known && ms > 0 ? { ms, detail: known.detail } : undefined;
    },
    met(server, names, { ms, detail }) {
      const key = keyOf(server, names);
      met.delete(key);
      met.set(key, { until: monotonic() + ms, detail });
      const oldest = met.keys().next().value;
      if (met.size > MAX_KEPT && oldest !== undefined) met.delete(oldest);
    },
  };
}
