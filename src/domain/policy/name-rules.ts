// Rules over the names of a request: `allowed.dnsNames`, `ipAddresses`, `uris`, `emailAddresses` and `commonName`.
import { parseAddress } from '../address.ts';
import { identifierKey, quote } from '../identifier.ts';
import { OID } from '../oid.ts';
import { type Context, type Findings, type JudgedName, refuse } from './context.ts';
import type { JudgedAttribute } from './input.ts';
import { inRange } from './network-range.ts';
import { covers, type Match, type NamePattern, nameSegments, touches } from './pattern.ts';
import type { NameRule, ReadyPolicy } from './prepare.ts';

/** Names without any proof need a policy for which the known namespace of the requester is enough. */
export function judgeProof(context: Context, policy: ReadyPolicy, findings: Findings): void {
  const { unproven, requester } = context.input.request;
  if (!unproven?.size || (policy.trustsNamespace && requester.namespace !== undefined)) return;
  for (const name of context.names) {
    if (name.identifier && unproven.has(identifierKey(name.identifier)))
      refuse(findings, 'name', 'has not been validated, and the policy asks for that', name);
  }
}

export function judgeNames(context: Context, policy: ReadyPolicy, findings: Findings): void {
  for (const name of context.names) {
    if (name.kind === 'ip') judgeAddress(policy, name, findings);
    else if (name.kind === 'dns') judgeDnsName(context, policy, { name, findings });
    else judgeText(context, policy, { name, findings });
  }
}

interface Case {
  name: JudgedName;
  findings: Findings;
}

function judgeAddress(policy: ReadyPolicy, name: JudgedName, findings: Findings): void {
  const range = policy.ipAddresses;
  if (!range) refuse(findings, 'name', 'IP addresses are not allowed', name);
  else if (!name.address || !inRange(range, name.address))
    refuse(findings, 'name', 'the address is outside the allowed networks', name);
}

function judgeDnsName(context: Context, policy: ReadyPolicy, { name, findings }: Case): void {
  const rule = policy.dnsNames;
  if (!rule) return refuse(findings, 'name', 'DNS names are not allowed', name);
  if (name.wildcard && !rule.wildcards) return refuse(findings, 'name', 'wildcard certificates are not allowed', name);
  judgeByPatterns(context, rule, { name, findings });
}

function judgeText(context: Context, policy: ReadyPolicy, { name, findings }: Case): void {
  const [rule, what] =
    name.kind === 'uri' ? [policy.uris, 'URIs'] : ([policy.emailAddresses, 'e-mail addresses'] as const);
  if (!rule) return refuse(findings, 'csr', `${what} are not allowed, but it asks for ${quote(name.text)}`);
  judgeByPatterns(context, rule, { name, findings });
}

/** One of the values must cover the name, and no exception may touch it. */
function judgeByPatterns(context: Context, rule: NameRule, { name, findings }: Case): void {
  const say = (why: string) =>
    name.identifier
      ? refuse(findings, 'name', why, name)
      : refuse(findings, 'csr', `${name.kind === 'uri' ? 'the URI' : 'the e-mail address'} ${quote(name.text)} ${why}`);
  if (!name.segments) return say('is not a name in normal form');
  const allowed = best(rule.values, (pattern) => covers(pattern, name.segments ?? [], context.namespace));
  if (allowed.match === 'no') return say(`matches none of the allowed patterns (${rule.shown})`);
  const excepted = best(rule.except, (pattern) => touches(pattern, name.segments ?? [], context.namespace));
  if (excepted.match === 'yes') return say(`is excepted by ${quote(excepted.pattern?.source ?? '')}`);
  if (allowed.match === 'yes' && excepted.match === 'no') return;
  if (context.open.namespace) findings.facts.push('namespace');
  else
    say(
      `could only be judged by ${quote((excepted.pattern ?? allowed.pattern)?.source ?? '')} if the namespace of the requester were known`,
    );
}

/** The first `yes`, else the first `maybe`. */
function best(
  patterns: readonly NamePattern[],
  test: (pattern: NamePattern) => Match,
): { match: Match; pattern?: NamePattern } {
  let maybe: NamePattern | undefined;
  for (const pattern of patterns) {
    const match = test(pattern);
    if (match === 'yes') return { match, pattern };
    if (match === 'maybe') maybe ??= pattern;
  }
  return maybe ? { match: 'maybe', pattern: maybe } : { match: 'no' };
}

/** The common names of the wanted subject; undefined where the subject is not known. */
export function commonNames(context: Context): JudgedAttribute[] | undefined {
  return context.input.request.subject?.flat().filter((attribute) => attribute.oid === OID.commonName);
}

/**
 * Without `allowed.commonName` a common name must repeat one of the names, which says nothing the names do not; with it, it must
 * match, and a wildcard must also be one of the names. What the issuer puts there is exempt. Two common names are never allowed.
 */
export function judgeCommonName(context: Context, policy: ReadyPolicy, findings: Findings): void {
  const found = commonNames(context);
  if (!found) {
    if (context.open.later) findings.facts.push('subject');
    else refuse(findings, 'csr', 'its subject is not known');
    return;
  }
  if (found.length > 1) refuse(findings, 'csr', 'it has more than one common name');
  if (found.length === 0 && policy.commonName?.required) refuse(findings, 'csr', 'it needs a common name');
  for (const attribute of found) {
    if (attribute.imposed) continue;
    judgeOneCommonName(context, policy, { value: attribute.value, findings });
  }
}

function judgeOneCommonName(
  context: Context,
  policy: ReadyPolicy,
  { value, findings }: { value: string; findings: Findings },
): void {
  const rule = policy.commonName;
  if ((!rule || value.startsWith('*')) && !isOneOfNames(context, value))
    return refuse(findings, 'csr', `the common name ${quote(value)} is not one of its names`);
  if (!rule) return;
  const segments = nameSegments(value, 'dns');
  const match = segments ? covers(rule.pattern, segments, context.namespace) : 'no';
  if (match === 'maybe' && context.open.namespace) findings.facts.push('namespace');
  else if (match !== 'yes')
    refuse(findings, 'csr', `the common name ${quote(value)} does not match ${quote(rule.pattern.source)}`);
}

function isOneOfNames(context: Context, value: string): boolean {
  const text = value.toLowerCase();
  const address = parseAddress(value);
  return context.names.some((name) =>
    name.kind === 'ip'
      ? address !== undefined && name.address?.equals(address)
      : name.kind === 'dns' && name.text === text,
  );
}
