// Runs of certbot without certbot, in this process: what a run says is up to the test.
import { Unavailable } from '../../src/domain/unavailable.ts';
import type { CertbotRun, CertbotRunner, CertbotState } from '../../src/ports.ts';

export const MARKER = 'fake-marker';

export interface FakeRuns extends CertbotRunner {
  /** Of each run that was begun, in order. */
  begun: CertbotRun[];
  removed: string[];
  runs: Map<string, { state: CertbotState; holds: number }>;
  /** The next `start` does what it should, and its answer is lost. */
  lose: boolean;
  /** Times that a new run is seen running. */
  holds: number;
  /** As lacks. */
  lack: { reason: string; message: string } | undefined;
}

/** `work` gives the log of a run that has ended, or how it stands. */
export function createFakeRuns(work: (run: CertbotRun) => Promise<string | CertbotState>): FakeRuns {
  const self: FakeRuns = {
    begun: [],
    removed: [],
    runs: new Map(),
    lose: false,
    holds: 0,
    lack: undefined,
    lacks: () => self.lack,
    async start(run) {
      if (!self.runs.has(run.name)) {
        self.begun.push(run);
        const came = await work(run);
        const state: CertbotState = typeof came === 'string' ? { kind: 'ended', marker: MARKER, log: came } : came;
        self.runs.set(run.name, { state, holds: self.holds });
      }
      if (!self.lose) return;
      self.lose = false;
      throw new Unavailable('the answer is lost');
    },
    async state(name) {
      const run = self.runs.get(name);
      if (!run) return { kind: 'absent' };
      return run.holds-- > 0 ? { kind: 'running', marker: MARKER, log: '' } : run.state;
    },
    async remove(name) {
      self.removed.push(name);
      self.runs.delete(name);
    },
  };
  return self;
}

/** Lines of a run that ended well. */
export const logOf = (chain: string): string => `${MARKER} chain\n${chain}${MARKER} end\n${MARKER} exit 0\n`;

/** Lines of one that did not. */
export const failureOf = (said: string, exit: number | 'timeout' = 1): string => `${said}\n${MARKER} exit ${exit}\n`;
