// The one evaluator of policy, for every door and every stage of a request. Pure: all it knows is given.
import { quote } from './identifier.ts';
import {
  type Context,
  createContext,
  createFindings,
  type Findings,
  refuse,
  serverName,
  verdictOf,
} from './policy/context.ts';
import { EXPRESSION_BUDGET, judgeExpressions, reserve } from './policy/expression-rules.ts';
import type { Allowed, Decision, Denied, Needs, PolicyInput, PolicyVerdict } from './policy/input.ts';
import { judgeIssuer } from './policy/issuer-rules.ts';
import { judgeCommonName, judgeNames, judgeProof } from './policy/name-rules.ts';
import type { ReadyPolicy } from './policy/prepare.ts';
import {
  judgeDuration,
  judgeKey,
  judgeMaxNames,
  judgeProfile,
  judgeSubject,
  judgeUsages,
} from './policy/request-rules.ts';
import { isSelected } from './policy/selector.ts';
import { judgeServers } from './policy/server-rules.ts';

export { renderDenial } from './policy/denial.ts';
export type { Decision } from './policy/input.ts';

/** Every rule of a policy but its expressions, cheap ones first. All are asked, so that a refusal gives every reason. */
const RULES = [
  judgeNames,
  judgeProof,
  judgeMaxNames,
  judgeProfile,
  judgeDuration,
  judgeCommonName,
  judgeSubject,
  judgeUsages,
  judgeKey,
  judgeServers,
];

interface Judged {
  policy: ReadyPolicy;
  findings: Findings;
}

/**
 * Decides a request: the issuer's own refusals first, then the policies selected for it, by priority and name. The first that
 * passes allows it; if none passes, an undecided one leaves the matter open, else it is denied. Audit policies are reported alone.
 */
export function evaluate(input: PolicyInput): Decision {
  const context = createContext(input, EXPRESSION_BUDGET);
  const issuer = createFindings();
  judgeIssuer(context, issuer);
  const broken = input.policies.flatMap((policy) => (policy.broken === undefined ? [] : [policy.name])).sort();
  // What a broken issuer denies is not known.
  if (input.issuer.broken !== undefined)
    return {
      verdict: 'transient',
      reason: `the issuer ${quote(shownIssuer(input.issuer))} is not ready`,
      audit: [],
      broken,
    };
  if (issuer.reasons.length > 0) return deniedByIssuer(context, issuer, broken);
  const selected = selectPolicies(context);
  const { deciding, passing } = judgeInTurn(context, selected);
  const audit = judgeAudit(input, selected);
  const common = { audit, broken };
  if (deciding.every(({ findings }) => verdictOf(findings) === 'deny'))
    return { ...denied(context, deciding), ...common };
  return { ...settle(context, { issuer, passing, deciding }), ...common };
}

interface Standing {
  issuer: Findings;
  passing: Judged | undefined;
  deciding: readonly Judged[];
}

/** Some policy does not deny: allowed, unless a fact or a look-up is wanting where it counts. */
function settle(context: Context, { issuer, passing, deciding }: Standing): WithoutCommon<Decision> {
  if (issuer.transient[0] !== undefined) return { verdict: 'transient', reason: issuer.transient[0] };
  const findings = passing ? [] : deciding.map((judged) => judged.findings);
  const unknown = findings.filter((one) => verdictOf(one) === 'unknown');
  const [reason] = findings.filter((one) => verdictOf(one) === 'transient').flatMap((one) => one.transient);
  if (reason !== undefined && unknown.length === 0) return { verdict: 'transient', reason };
  const needs = needsOf([issuer, ...unknown]);
  if (needs) return { verdict: 'unknown', needs };
  if (!passing) throw new Error('a policy is undecided without a reason');
  return allowed(context, passing.policy);
}

/** Selected policies, highest priority first, then by name. */
function selectPolicies(context: Context): Judged[] {
  const selected: Judged[] = [];
  for (const policy of context.input.policies) {
    if (policy.broken !== undefined) continue;
    const findings = createFindings();
    if (isSelected(context, policy, findings)) selected.push({ policy, findings });
  }
  return selected.sort((a, b) => b.policy.priority - a.policy.priority || (a.policy.name < b.policy.name ? -1 : 1));
}

/** Policies that decide, up to the first that passes. */
function judgeInTurn(
  context: Context,
  selected: readonly Judged[],
): { deciding: Judged[]; passing: Judged | undefined } {
  const deciding: Judged[] = [];
  for (const judged of selected) {
    if (judged.policy.audit) continue;
    deciding.push(judge(context, judged));
    if (verdictOf(judged.findings) === 'allow') return { deciding, passing: judged };
  }
  return { deciding, passing: undefined };
}

function judge(context: Context, { policy, findings }: Judged): Judged {
  const affordable = reserve(context, policy);
  for (const rule of RULES) rule(context, policy, findings);
  if (!affordable) refuse(findings, 'requester', 'the rules of all policies together take too many steps for it');
  else if (findings.reasons.length === 0) judgeExpressions(context, policy, findings);
  return { policy, findings };
}

/** On a budget of their own: a policy under trial must not change what others decide. */
function judgeAudit(input: PolicyInput, selected: readonly Judged[]): PolicyVerdict[] {
  const audited = selected.filter(({ policy }) => policy.audit);
  if (audited.length === 0) return [];
  const context = createContext(input, EXPRESSION_BUDGET);
  return audited
    .map((judged) => judge(context, judged))
    .map(({ policy, findings }) => ({
      policy: policy.name,
      verdict: verdictOf(findings),
      reasons: findings.reasons,
    }))
    .sort((a, b) => (a.policy < b.policy ? -1 : 1));
}

type WithoutCommon<D> = D extends Decision ? Omit<D, 'audit' | 'broken'> : never;

function needsOf(findings: readonly Findings[]): Needs | undefined {
  const facts = new Set(findings.flatMap((one) => one.facts));
  const servers = new Set(findings.flatMap((one) => one.servers));
  if (facts.size + servers.size === 0) return undefined;
  return { facts: [...facts].sort(), servers: [...servers].sort() };
}

function allowed(context: Context, policy: ReadyPolicy): WithoutCommon<Allowed> {
  const { profile, input } = context;
  const limits = [
    policy.maxDurationMs,
    profile === undefined ? undefined : input.issuer.profiles.get(profile)?.maxDurationMs,
  ].filter((limit) => limit !== undefined);
  return {
    verdict: 'allow',
    policy: policy.name,
    clamp: limits.length > 0 ? { maxDurationMs: Math.min(...limits) } : {},
  };
}

/** As it is named in messages: a CAIssuer with its namespace. */
function shownIssuer({ namespace, name }: PolicyInput['issuer']): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function requestOf(context: Context): Denied['request'] {
  const { request, issuer } = context.input;
  return { door: request.door, issuer: shownIssuer(issuer), firstName: context.names[0]?.text };
}

function deniedByIssuer(context: Context, findings: Findings, broken: readonly string[]): Denied {
  const name = shownIssuer(context.input.issuer);
  return {
    verdict: 'deny',
    by: 'issuer',
    nearest: name,
    refusals: [{ policy: name, reasons: findings.reasons }],
    request: requestOf(context),
    audit: [],
    broken,
  };
}

function denied(context: Context, judged: readonly Judged[]): WithoutCommon<Denied> {
  let nearest = judged[0];
  for (const one of judged) if (one.findings.reasons.length < (nearest?.findings.reasons.length ?? 0)) nearest = one;
  return {
    verdict: 'deny',
    by: nearest ? 'policies' : 'none',
    nearest: nearest?.policy.name,
    refusals: judged
      .map(({ policy, findings }) => ({ policy: policy.name, reasons: findings.reasons }))
      .sort((a, b) => (a.policy < b.policy ? -1 : 1)),
    request: requestOf(context),
  };
}

/** Facts that any policy which may be selected, or the issuer, would look at. Gather these before asking at `finalize`. */
export interface WantedFacts {
  /** Keys of `facts.servers`. */
  servers: readonly string[];
  /** Whether the pointers of the addresses are wanted too. */
  pointers: boolean;
  keyInUse: boolean;
}

export function wantedFacts(input: PolicyInput): WantedFacts {
  const context = createContext(input, 0);
  const policies = selectPolicies(context).map(({ policy }) => policy);
  const servers = input.issuer.deny.networks.length > 0 || policies.some((policy) => policy.servers);
  const names = context.names.filter((name) => name.kind === 'dns').map(serverName);
  return {
    servers: servers ? [...new Set(names)] : [],
    pointers: policies.some((policy) => policy.servers?.verifyPTR),
    keyInUse: policies.some((policy) => policy.forbidKeyReuse),
  };
}
