// Where names live, as policy wants to know it: addresses and, where some policy asks, the names those point back to.
import type { ServerFacts } from '../domain/policy/input.ts';
import type { Resolver } from '../ports.ts';

export interface ServerQuestion {
  resolver: Resolver;
  /** Whether a policy verifies PTR records. */
  pointers: boolean;
  signal: AbortSignal;
}

/** Facts about each DNS name (without wildcard label), asked in parallel. */
export async function resolveServers(
  names: readonly string[],
  question: ServerQuestion,
): Promise<ReadonlyMap<string, ServerFacts>> {
  const entries = await Promise.all(names.map(async (name) => [name, await resolveServer(name, question)] as const));
  return new Map(entries);
}

async function resolveServer(name: string, question: ServerQuestion): Promise<ServerFacts> {
  const answer = await question.resolver.addresses(name, question.signal);
  if (answer.state === 'absent') return { state: 'unresolvable' };
  // Asked only where somebody judges every address: those of a family that failed could be anywhere.
  if (answer.state === 'failed' || answer.incomplete) return { state: 'failed' };
  return serverFacts(answer.records, question);
}

/** Facts of a name whose addresses are known already. */
export async function serverFacts(
  addresses: readonly string[],
  { resolver, pointers, signal }: ServerQuestion,
): Promise<ServerFacts> {
  if (addresses.length === 0) return { state: 'unresolvable' };
  if (!pointers) return { state: 'resolved', addresses };
  const found = await Promise.all(
    addresses.map(async (address) => {
      const answer = await resolver.pointers(address, signal);
      const names = answer.state === 'found' ? answer.records : answer.state === 'absent' ? [] : ('failed' as const);
      return [address, names] as const;
    }),
  );
  return { state: 'resolved', addresses, pointers: new Map(found) };
}
