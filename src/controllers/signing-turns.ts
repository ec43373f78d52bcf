// Requests that must not be made at the same time, such as those of one user name at the CA.

export interface Turns {
  /** The way to end the turn; undefined where another has it: then the record is queued again once that is over. */
  take(issuerUID: string, lane: string, record: string): (() => void) | undefined;
}

export function createTurns(again: (issuerUID: string, record: string) => void): Turns {
  const taken = new Map<string, Set<string>>();
  return {
    take(issuerUID, lane, record) {
      const key = `${issuerUID} ${lane}`;
      const behind = taken.get(key);
      if (behind) return void behind.add(record);
      taken.set(key, new Set());
      return () => {
        const next = taken.get(key) ?? [];
        taken.delete(key);
        for (const each of next) again(issuerUID, each);
      };
    },
  };
}
