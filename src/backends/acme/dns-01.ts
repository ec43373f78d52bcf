// dns-01: the digest of the key authorization as a TXT record, written where _acme-challenge.<name> leads (RFC 8555 section 8.4).
import type { Dns01Spec } from '../../api/acme-backend.ts';
import { dnsChallengeValue } from '../../domain/challenge.ts';
import { Unavailable } from '../../domain/unavailable.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { BackendDeps, DnsAnswer, ProofTools } from '../../ports.ts';
import { createAcmeDns, createDnsWebhook } from './dns-services.ts';
import { createRfc2136 } from './rfc-2136.ts';
import type { Solver, Task } from './solver.ts';

/** Writes TXT records; doing either twice does no harm. Throws Unavailable where that is not possible now. */
export interface RecordKeeper {
  add(record: TextRecord, signal: AbortSignal): Promise<void>;
  remove(record: TextRecord, signal: AbortSignal): Promise<void>;
  /** Whether its Secrets can be used. Throws RemoteFault where not. */
  check(): Promise<void>;
  /** Servers that know of a record first; the system's when absent. */
  nameservers?: readonly string[];
}

export interface TextRecord {
  /** Where _acme-challenge.<domain> leads. */
  name: string;
  /** Name that is proved. */
  domain: string;
  text: string;
}

export type SolverDeps = BackendDeps & { proof: ProofTools };

export function createDns01Solver(deps: SolverDeps, spec: Dns01Spec): Solver {
  const keeper = keeperOf(deps, spec);
  const resolver = deps.proof.resolver();
  const writtenTo = deps.proof.resolver(keeper.nameservers);

  async function recordOf(task: Task, signal: AbortSignal): Promise<TextRecord> {
    const domain = task.identifier.value;
    const owner = `_acme-challenge.${domain}`;
    const end = await resolver.canonical(owner, signal);
    if (end.state !== 'found') throw dnsFault(owner, end);
    return { name: end.records[0] ?? owner, domain, text: dnsChallengeValue(task.keyAuthorization) };
  }

  return {
    present: (task, signal) => asFault(async () => keeper.add(await recordOf(task, signal), signal)),
    check: () => keeper.check(),
    withdraw: (task, signal) => asFault(async () => keeper.remove(await recordOf(task, signal), signal)),
    async missing(task, signal) {
      const { name, text } = await asFault(() => recordOf(task, signal));
      const answer = await writtenTo.txt(name, signal);
      if (answer.state === 'failed') return `${name}: no answer of the DNS (${answer.reason})`;
      const found = answer.state === 'found' ? answer.records : [];
      return found.includes(text) ? undefined : `${name}: the TXT record is not there yet`;
    },
  };
}

function keeperOf(deps: SolverDeps, { rfc2136, acmeDNS, webhook }: Dns01Spec): RecordKeeper {
  if (rfc2136) return createRfc2136(deps, rfc2136);
  if (acmeDNS) return createAcmeDns(deps, acmeDNS);
  if (webhook) return createDnsWebhook(deps, webhook);
  throw new Error('dns01 names no way into the DNS');
}

function dnsFault(name: string, answer: Exclude<DnsAnswer<string>, { state: 'found' }>): RemoteFault {
  const why = answer.state === 'failed' ? answer.reason : 'there is none';
  return new RemoteFault('ChallengeNotPossible', `where ${name} leads could not be found out: ${why}`);
}

async function asFault<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RemoteFault || !(error instanceof Unavailable)) throw error;
    throw new RemoteFault('ChallengeNotPossible', error.message, { cause: error });
  }
}
