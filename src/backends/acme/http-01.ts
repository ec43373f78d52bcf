// http-01: every replica answers from the record at /.well-known/acme-challenge/<token>, so there is nothing to lay out but the record.
import type { ProofTools } from '../../ports.ts';
import type { Solver } from './solver.ts';

/** CAs follow as many or more. */
const REDIRECTS = 10;

export function createHttp01Solver({ validators, resolver }: ProofTools): Solver {
  const ask = resolver();
  return {
    present: () => Promise.resolve(),
    withdraw: () => Promise.resolve(),
    check: () => Promise.resolve(),
    async missing(task, signal) {
      // Names were judged by policy before; of addresses, validation dials none that are on the deny-list.
      const options = { resolver: ask, redirects: REDIRECTS, judge: () => Promise.resolve(undefined) };
      const result = await validators['http-01'].validate(task, options, signal);
      return result.valid ? undefined : result.problem.detail;
    },
  };
}
