// What a problem of an ACME server means to us: the end of a request, a mistake of somebody, or a reason to wait.
import { Problem, type ProblemType } from '../../domain/problem.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { RemoteProblem } from './messages.ts';
import type { ServerProblem } from './server.ts';

/** Types that say the same to our client; of any other, that the CA refused is all there is to say. */
const PASSED_ON: readonly ProblemType[] = [
  'badCSR',
  'badPublicKey',
  'caa',
  'rejectedIdentifier',
  'unsupportedIdentifier',
];
/** Our account or our settings: people must mend them. */
const OURS: ReadonlySet<string> = new Set([
  'accountDoesNotExist',
  'badNonce',
  'badSignatureAlgorithm',
  'externalAccountRequired',
  'invalidContact',
  'invalidProfile',
  'unsupportedContact',
  'userActionRequired',
]);
/** Where a server limits us and does not say until when. */
const LIMIT_MS = 600_000;

/** For good, unless it is our mistake or the server's, which are thrown. */
export function refusalOf(error: ServerProblem): Problem {
  const { problem } = error;
  if (OURS.has(problem.type))
    throw new RemoteFault(
      'AccountRefused',
      `the ACME server refuses our requests (${problem.type}): ${problem.detail}`,
    );
  if (problem.type === 'serverInternal' || problem.type === 'rateLimited') throw faultOf(error);
  return new Problem(passedOn(problem), withDetail('the CA refused the request', problem));
}

/** What our client is told of a problem that ends its request. */
export function passedOn(problem: RemoteProblem | undefined): ProblemType {
  return PASSED_ON.find((type) => type === problem?.type) ?? 'unauthorized';
}

/** Of a problem that says nothing for good. */
export function faultOf({ problem, retryAfterMs }: ServerProblem): RemoteFault {
  const reason = problem.type === 'rateLimited' ? 'Overloaded' : 'BadAnswer';
  const wait = problem.type === 'rateLimited' ? (retryAfterMs ?? LIMIT_MS) : retryAfterMs;
  const options = wait === undefined ? {} : { retryAfterMs: wait };
  return new RemoteFault(reason, withDetail(`the ACME server refuses a request (${problem.type})`, problem), options);
}

export function limitOf({ retryAfterMs }: ServerProblem): number {
  return retryAfterMs ?? LIMIT_MS;
}

export function withDetail(text: string, problem: RemoteProblem | undefined): string {
  return problem && problem.detail !== '' ? `${text}: ${problem.detail}` : text;
}
