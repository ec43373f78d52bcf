// dns-01: the client shows a digest of its key authorization in the DNS (RFC 8555 section 8.4).
import { dnsChallengeValue } from '../domain/challenge.ts';
import { Problem } from '../domain/problem.ts';
import type { Clock, ValidationOptions, ValidationResult, ValidationTarget, Validator } from '../ports.ts';
import { dnsProblem, failure, objection, withinAttempt } from './attempt.ts';

export interface Dns01Deps {
  clock: Clock;
  /** Milliseconds one attempt takes at most. */
  timeoutMs?: number;
}

const LABEL = '_acme-challenge.';
/** RFC 1035 section 2.3.4. */
const MAX_NAME = 253;

export function createDns01({ clock, timeoutMs = 10_000 }: Dns01Deps): Validator {
  return {
    validate: (target, options, signal) => {
      const label = target.identifier.value;
      return withinAttempt({ clock, ms: timeoutMs, signal, type: 'dns', label }, (bound) =>
        attempt(target, options, bound),
      );
    },
  };
}

async function attempt(
  { identifier, keyAuthorization }: ValidationTarget,
  options: ValidationOptions,
  signal: AbortSignal,
): Promise<ValidationResult> {
  const { type, value: name } = identifier;
  if (type !== 'dns') return final('malformed', `${name}: addresses are not validated by the DNS (RFC 8738 section 7)`);
  const owner = LABEL + name;
  if (owner.length > MAX_NAME) return final('dns', `${name}: too long to have a name below it`);
  const answer = await options.resolver.txt(owner, signal);
  if (answer.state !== 'found') return failure(dnsProblem(name, `TXT record ${owner}`, answer), { retryable: true });
  if (!answer.records.includes(dnsChallengeValue(keyAuthorization))) {
    const detail = `${name}: none of ${answer.records.length} TXT records at ${owner} is the expected digest`;
    return final('incorrectResponse', detail);
  }
  return judgeAddresses(name, options, signal);
}

const final = (type: 'dns' | 'incorrectResponse' | 'malformed', detail: string) =>
  failure(new Problem(type, detail), { retryable: false });

/** Where the name lives is policy's business even where the challenge does not go there. */
async function judgeAddresses(
  name: string,
  { resolver, judge }: ValidationOptions,
  signal: AbortSignal,
): Promise<ValidationResult> {
  const answer = await resolver.addresses(name, signal);
  if (answer.state === 'failed') return failure(dnsProblem(name, 'address', answer), { retryable: true });
  const addresses = answer.state === 'found' ? answer.records : [];
  const problem = await judge(name, addresses, answer.state === 'found' && answer.incomplete);
  return problem ? objection(problem, addresses) : { valid: true, addresses };
}
