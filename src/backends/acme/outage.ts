// Whether an ACME server is thought to be away: it has failed for longer than it is given, and not answered since.
import type { Clock } from '../../ports.ts';
import { RemoteFault } from '../https/remote-fault.ts';

export interface Outage {
  /** Makes a call to the server; its outcome is what is known of the server. */
  watch<T>(call: () => Promise<T>): Promise<T>;
  /** Whether it has been away for so long that another is to be asked. */
  isLong(): boolean;
  /** Whether it is away, and was asked a moment ago. */
  isFresh(): boolean;
}

/** What a server in trouble does, as opposed to one that does not want us. */
const TROUBLE: ReadonlySet<string> = new Set(['Unreachable', 'TimedOut', 'Overloaded', 'BadAnswer']);
/** One request a minute sees whether it is back. */
const PROBE_MS = 60_000;

export function isTrouble(error: unknown): boolean {
  return error instanceof RemoteFault && TROUBLE.has(error.reason);
}

export function createOutage({ monotonic }: Pick<Clock, 'monotonic'>, afterMs: number): Outage {
  let began: number | undefined;
  let asked = -Infinity;
  const isLong = () => began !== undefined && monotonic() - began >= afterMs;
  return {
    async watch(call) {
      asked = monotonic();
      try {
        const result = await call();
        began = undefined;
        return result;
      } catch (error) {
        if (isTrouble(error)) began ??= asked;
        throw error;
      }
    },
    isLong,
    isFresh: () => isLong() && monotonic() - asked < PROBE_MS,
  };
}
