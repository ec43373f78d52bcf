// Pages of one list: the rest of a listing is held, as it was, under a token until it is fetched or too many newer ones exist.
import type { KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { ListOptions, ObjectList, Random } from '../ports.ts';

/** Unfinished listings held; an older one's token is Expired. */
const HELD = 64;

interface Listing {
  kind: string;
  items: readonly KubeObject[];
  resourceVersion: string;
}

export interface Pager {
  firstPage(listing: Listing, limit: number | undefined): ObjectList<KubeObject>;
  /** Throws Expired for a token that is unknown, of another kind, or too old. */
  nextPage(kind: string, options: ListOptions & { continue: string }): ObjectList<KubeObject>;
}

export function createPager(random: Random): Pager {
  const held = new Map<string, Listing>();

  function page(listing: Listing, start: number, limit: number | undefined, id?: string): ObjectList<KubeObject> {
    const end = limit === undefined || limit <= 0 ? listing.items.length : start + limit;
    const items = listing.items.slice(start, end);
    if (end >= listing.items.length) return { items, resourceVersion: listing.resourceVersion };
    const token = id ?? hold(listing);
    return { items, resourceVersion: listing.resourceVersion, continue: `${token}.${end}` };
  }

  function hold(listing: Listing): string {
    const [oldest] = held.keys();
    if (held.size >= HELD && oldest !== undefined) held.delete(oldest);
    const id = random.bytes(12).toString('base64url');
    held.set(id, listing);
    return id;
  }

  return {
    firstPage: (listing, limit) => page(listing, 0, limit),
    nextPage(kind, options) {
      const [id = '', start = ''] = options.continue.split('.');
      const listing = held.get(id);
      if (listing?.kind !== kind || !/^\d{1,9}$/.test(start))
        throw new ClusterError('Expired', 'the continue token is too old or unknown: list again');
      return page(listing, Number(start), options.limit, id);
    },
  };
}
