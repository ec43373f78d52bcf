// What it means that certbot failed. It says so to people, so its words are looked for; what our client is told is never among them.
import { Problem, type ProblemType } from '../../domain/problem.ts';
import { shownText } from '../../domain/remote-text.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { Transcript } from './transcript.ts';

/** Problems that end a request, of which our client is told no more than the type. */
const REFUSALS: readonly ProblemType[] = [
  'badCSR',
  'badPublicKey',
  'caa',
  'rejectedIdentifier',
  'unauthorized',
  'unsupportedIdentifier',
];
/** Where a server limits us; certbot does not say until when. */
const LIMIT_MS = 600_000;
/** As a CA has types of its problems: told to our client. */
const TYPES: ReadonlySet<string> = new Set([
  'caa',
  'connection',
  'dns',
  'dnssec',
  'incorrectResponse',
  'tls',
  'unauthorized',
]);
/** Of a failed validation, what says nothing for good. */
const PASSING: ReadonlySet<string> = new Set(['rateLimited', 'serverInternal']);
const UNEXPECTED = 'An unexpected error occurred:';
const MAX_SHOWN = 10;
const KILLED = -9;

/** For good; what is not is thrown, as RemoteFault. `names` are those of the request. */
export function refusalOf({ said, exit, problem }: Transcript, names: ReadonlySet<string>): Problem {
  if (exit === 'timeout') return new Problem('serverInternal', 'the CA did not sign in time');
  const text = said.map((line) => line.trim());
  // Not by its deadline: by the kernel, where it does not end the whole Pod.
  if (exit === KILLED) throw new RemoteFault('OutOfMemory', 'certbot was killed, likely for want of memory');
  if (exit === 2)
    throw new RemoteFault('ArgumentsRefused', `certbot takes not all of its configuration: ${last(text)}`);
  if (text.some((line) => /^Requested name \S+ is an IP address\b/.test(line)))
    return new Problem('unsupportedIdentifier', 'the CA of this issuer signs DNS names only');
  if (text.some((line) => line.startsWith('Certbot failed to authenticate'))) return validationFailed(text, names);
  if (problem === 'rateLimited')
    throw new RemoteFault('Overloaded', 'the ACME server limits us', { retryAfterMs: LIMIT_MS });
  const refusal = REFUSALS.find((type) => type === problem);
  if (refusal !== undefined) return new Problem(refusal, 'the CA refused the request');
  const [reason] = text.includes(UNEXPECTED) ? text.slice(text.indexOf(UNEXPECTED) + 1) : [];
  throw new RemoteFault('CertbotFailed', `certbot failed: ${reason === undefined ? last(text) : shownText(reason)}`);
}

function validationFailed(text: readonly string[], names: ReadonlySet<string>): Problem {
  const failures: string[] = [];
  for (const [i, line] of text.entries()) {
    const name = /^(?:Domain|Identifier): (\S+)$/.exec(line)?.[1]?.toLowerCase();
    const type = /^Type: +(\S+)$/.exec(text[i + 1] ?? '')?.[1] ?? '';
    if (PASSING.has(type))
      throw new RemoteFault(type === 'rateLimited' ? 'Overloaded' : 'BadAnswer', `the CA could not validate: ${type}`);
    if (name !== undefined && names.has(name)) failures.push(TYPES.has(type) ? `${name} (${type})` : name);
  }
  const listed = failures.slice(0, MAX_SHOWN).join(', ');
  const more = failures.length > MAX_SHOWN ? ` and ${failures.length - MAX_SHOWN} more` : '';
  return new Problem('unauthorized', `the CA could not validate ${listed === '' ? 'the names' : listed + more}`);
}

/** What certbot says at every end, and beginning. */
const ALWAYS = /^(Ask for help or search for solutions|Saving debug log to|See the logfile|Please see the logfile)/;

/** The last thing that was said. */
function last(text: readonly string[]): string {
  return shownText(text.findLast((line) => line !== '' && !ALWAYS.test(line)) ?? 'it said nothing');
}
