// Answers to the challenges of CAs elsewhere, as the replica that is asked comes to know them: the one that talks to the CA puts them on record
// and has the CA look, and the CA's look may be faster than the watch of another replica.
import type { Clock } from '../ports.ts';

export interface KeyAuthorizationsDeps {
  /** A cache. */
  records: { onChange(listener: () => void): () => void };
  /** What `records` has for a token. */
  find: (token: string) => string | undefined;
  clock: Clock;
}

/** Longer than a watch is ever behind while it works; CAs give up after ten seconds or so. */
const PATIENCE_MS = 3_000;
/** Anybody may ask for anything. */
const MAX_WAITING = 256;
/** RFC 8555 section 8.1; CAs have them shorter. */
const TOKEN = /^[A-Za-z0-9_-]{16,512}$/;

/** Resolves with the key authorization of a token, which is waited for as long as a CA would; undefined for one that does not come. */
export function createKeyAuthorizations({ records, find, clock }: KeyAuthorizationsDeps) {
  let waiting = 0;
  return async (token: string): Promise<string | undefined> => {
    const known = find(token);
    if (known !== undefined || waiting >= MAX_WAITING || !TOKEN.test(token)) return known;
    waiting++;
    const arrived = Promise.withResolvers<string | undefined>();
    const over = new AbortController();
    const stop = records.onChange(() => {
      const found = find(token);
      if (found !== undefined) arrived.resolve(found);
    });
    clock.sleep(PATIENCE_MS, over.signal).then(
      () => arrived.resolve(undefined),
      () => undefined,
    );
    try {
      return await arrived.promise;
    } finally {
      waiting--;
      stop();
      over.abort();
    }
  };
}
