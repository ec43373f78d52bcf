// The first look at an authorization, where its order was just made: it is pending, and nobody has to ask the cluster (ADR 15).
import type { AuthorizationRef, Order } from '../domain/order.ts';
import type { Clock } from '../ports.ts';

/** Clients fetch the authorizations at once; what another replica has validated since is in the watched copies by then. */
const FRESH_MS = 5000;
/** Beyond it the oldest are forgotten, which costs a read each. */
const MAX_FRESH = 10_000;

export interface FirstLooks {
  /** The order was made by this process, now. */
  made(order: Order): void;
  /**
   * Whether this is the first look in this process at an authorization that it made a moment ago. A challenge can be answered only
   * by who has seen its token, so unless another replica was asked in between, no outcome can be stored yet.
   */
  take(ref: Pick<AuthorizationRef, 'orderID' | 'index'>): boolean;
}

export function createFirstLooks({ clock }: { clock: Clock }): FirstLooks {
  /** Until when, the oldest first. */
  const fresh = new Map<string, number>();

  return {
    made: ({ id, identifiers, reused }) => {
      const now = clock.monotonic();
      for (const index of identifiers.keys())
        if (!reused.has(index)) fresh.set(keyOf({ orderID: id, index }), now + FRESH_MS);
      for (const [key, until] of fresh) {
        if (fresh.size <= MAX_FRESH && until > now) break;
        fresh.delete(key);
      }
    },
    take: (ref) => {
      const key = keyOf(ref);
      const until = fresh.get(key) ?? 0;
      fresh.delete(key);
      return until > clock.monotonic();
    },
  };
}

const keyOf = ({ orderID, index }: Pick<AuthorizationRef, 'orderID' | 'index'>): string => `${orderID}/${index}`;
