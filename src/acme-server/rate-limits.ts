// Token buckets in memory, RFC 8555 section 6.6: what one source or account may ask of this replica.
import { partyOf } from '../domain/address.ts';
import { Problem } from '../domain/problem.ts';
import type { Clock, Counter } from '../ports.ts';
import type { Authenticated, Reply, Signed } from './exchange.ts';

export interface Bucket {
  /** Requests at once. */
  burst: number;
  /** Requests a second in the long run. */
  perSecond: number;
  /** HTTP status of the refusal; 429 when absent. */
  status?: number;
}

/** cert-manager gives an order up for any 4xx at finalize, and many of its users share one account. */
const AT_FINALIZE = 503;

export const DEFAULT_LIMITS = {
  /** By source: an IPv4 address, the /64 of an IPv6 address. */
  newAccount: { burst: 300, perSecond: 2 },
  /** By account. */
  newOrder: { burst: 2000, perSecond: 100 },
  /** By account: starts and restarts of validations. */
  challenge: { burst: 4000, perSecond: 200 },
  /** By source address: reads of the cluster for what nobody has heard of, before it is refused. */
  liveRead: { burst: 200, perSecond: 20 },
  /** By account and identifier: validations that failed. */
  failedValidation: { burst: 20, perSecond: 1 / 180 },
  /** By account. */
  finalize: { burst: 2000, perSecond: 100, status: AT_FINALIZE },
  /** By account: finalizes that were refused, each of which costs a look at a CSR and a line of the audit log. */
  refusedFinalize: { burst: 500, perSecond: 2, status: AT_FINALIZE },
  /** By account; by source where the key of the certificate signs. */
  revokeCert: { burst: 1000, perSecond: 20 },
  /** By account. */
  keyChange: { burst: 100, perSecond: 1 },
} as const satisfies Record<string, Bucket>;

export type Limit = keyof typeof DEFAULT_LIMITS;

/** Keys remembered; beyond it the longest untouched are forgotten. */
const MAX_KEYS = 20_000;

export interface RateLimits {
  /** Counts one; throws rateLimited with Retry-After where nothing is left. */
  take(limit: Limit, key: string): void;
  /** Throws as `take` would, without counting. */
  check(limit: Limit, key: string): void;
  /** Counts one without ever throwing. */
  count(limit: Limit, key: string): void;
}

export function createRateLimits(deps: {
  clock: Clock;
  limited: Counter;
  limits?: Readonly<Record<Limit, Bucket>>;
}): RateLimits {
  const limits = deps.limits ?? DEFAULT_LIMITS;
  const levels = new Map<string, { tokens: number; at: number }>();

  function level(limit: Limit, key: string) {
    const id = `${limit}|${key}`;
    const bucket = limits[limit];
    const now = deps.clock.monotonic();
    const old = levels.get(id);
    const tokens = old ? Math.min(bucket.burst, old.tokens + ((now - old.at) / 1000) * bucket.perSecond) : bucket.burst;
    return { id, bucket, tokens, now };
  }

  function store(id: string, tokens: number, at: number): void {
    levels.delete(id);
    levels.set(id, { tokens, at });
    if (levels.size > MAX_KEYS) levels.delete(levels.keys().next().value as string);
  }

  function refuse(limit: Limit, bucket: Bucket, tokens: number): never {
    deps.limited.inc({ limit });
    const seconds = Math.max(1, Math.ceil((1 - tokens) / bucket.perSecond));
    throw new Problem('rateLimited', `too many requests (${limit}): try again in ${seconds} s`, {
      ...(bucket.status === undefined ? {} : { status: bucket.status }),
      headers: { 'Retry-After': String(seconds) },
    });
  }

  return {
    take: (limit, key) => {
      const { id, bucket, tokens, now } = level(limit, key);
      if (tokens < 1) refuse(limit, bucket, tokens);
      store(id, tokens - 1, now);
    },
    check: (limit, key) => {
      const { bucket, tokens } = level(limit, key);
      if (tokens < 1) refuse(limit, bucket, tokens);
    },
    count: (limit, key) => {
      const { id, tokens, now } = level(limit, key);
      store(id, Math.max(0, tokens - 1), now);
    },
  };
}

/** The handler, for as long as whoever asks has requests of this kind left. */
export function limited<E extends Signed>(
  limits: RateLimits,
  limit: Limit,
  handle: (exchange: E) => Promise<Reply>,
): (exchange: E) => Promise<Reply> {
  return async (exchange) => {
    limits.take(limit, askerOf(exchange));
    return handle(exchange);
  };
}

/** The handler, whose refusals count; without any left it is not asked. Failures of ours (5xx) do not count. */
export function limitedRefusals<E extends Signed>(
  limits: RateLimits,
  limit: Limit,
  handle: (exchange: E) => Promise<Reply>,
): (exchange: E) => Promise<Reply> {
  return async (exchange) => {
    const asker = askerOf(exchange);
    limits.check(limit, asker);
    try {
      return await handle(exchange);
    } catch (error) {
      if (error instanceof Problem && error.status < 500) limits.count(limit, asker);
      throw error;
    }
  };
}

/** The account; a request signed by another key has its source alone, since keys cost nothing. */
function askerOf(exchange: Signed & Partial<Pick<Authenticated, 'account'>>): string {
  return exchange.account?.metadata.name ?? partyOf(exchange.source);
}
