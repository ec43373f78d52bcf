// Where names live: every address of every name, whatever the challenge. Looking addresses up is the caller's.
import { parseAddress } from '../address.ts';
import { quote } from '../identifier.ts';
import { type Context, type Findings, type JudgedName, refuse, serverName } from './context.ts';
import type { ServerFacts } from './input.ts';
import { inAny, inRange } from './network-range.ts';
import type { ReadyPolicy, ServerRule } from './prepare.ts';

type Resolved = Extract<ServerFacts, { state: 'resolved' }>;

/** The facts of a DNS name if it has addresses; otherwise notes what is missing or failed. */
function resolved(context: Context, name: JudgedName, findings: Findings): Resolved | 'unresolvable' | undefined {
  const key = serverName(name);
  const facts = context.input.facts.servers.get(key);
  if (facts?.state === 'resolved') return facts.addresses.length > 0 ? facts : 'unresolvable';
  if (facts?.state === 'unresolvable') return 'unresolvable';
  if (facts?.state === 'failed') findings.transient.push(`the addresses of ${quote(key)} could not be looked up`);
  else if (context.open.later) findings.servers.push(key);
  else refuse(findings, 'name', 'its addresses are not known', name);
  return undefined;
}

/** `constraints.servers`. An IP identifier is its own address and needs no PTR. */
export function judgeServers(context: Context, policy: ReadyPolicy, findings: Findings): void {
  const rule = policy.servers;
  if (!rule) return;
  for (const name of context.names) {
    if (name.kind === 'ip') {
      if (!name.address || !inRange(rule.range, name.address))
        refuse(findings, 'name', 'the address is outside the networks where servers may be', name);
    } else if (name.kind === 'dns') {
      judgeServer(context, rule, { name, findings });
    }
  }
}

function judgeServer(context: Context, rule: ServerRule, { name, findings }: { name: JudgedName; findings: Findings }) {
  const facts = resolved(context, name, findings);
  if (facts === undefined) return;
  if (facts === 'unresolvable') {
    if (!rule.allowUnresolvable) refuse(findings, 'name', 'it has no address', name);
    return;
  }
  const outside = facts.addresses.find((text) => {
    const address = parseAddress(text);
    return !address || !inRange(rule.range, address);
  });
  if (outside !== undefined)
    refuse(findings, 'name', `its address ${quote(outside)} is outside the networks where servers may be`, name);
  else if (rule.verifyPTR) judgePointers(context, facts, { name, findings });
}

/** Each address must point back to the name; the first that does not is told. */
function judgePointers(
  context: Context,
  facts: Resolved,
  { name, findings }: { name: JudgedName; findings: Findings },
) {
  const host = serverName(name);
  for (const address of facts.addresses) {
    const pointers = facts.pointers?.get(address);
    if (pointers === 'failed') {
      findings.transient.push(`the name of ${quote(address)} could not be looked up`);
    } else if (pointers === undefined) {
      if (context.open.later) findings.servers.push(host);
      else return refuse(findings, 'name', `the names of its address ${quote(address)} are not known`, name);
    } else if (!pointers.some((pointer) => pointer.toLowerCase().replace(/\.$/, '') === host)) {
      return refuse(findings, 'name', `its address ${quote(address)} has no PTR record that names it`, name);
    }
  }
}

/** The issuer's `deny.cidrs` against addresses asked for and addresses of names. */
export function denyNetworks(context: Context, findings: Findings): void {
  const { networks } = context.input.issuer.deny;
  if (networks.length === 0) return;
  for (const name of context.names) {
    if (name.kind === 'ip' && name.address && inAny(networks, name.address))
      refuse(findings, 'name', 'the address is never issued', name);
    if (name.kind !== 'dns') continue;
    const facts = resolved(context, name, findings);
    if (facts === undefined || facts === 'unresolvable') continue;
    const denied = facts.addresses.find((text) => {
      const address = parseAddress(text);
      return !address || inAny(networks, address);
    });
    if (denied !== undefined)
      refuse(findings, 'name', `its address ${quote(denied)} lies where no certificate is ever issued`, name);
  }
}
