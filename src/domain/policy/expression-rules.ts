// `allowed.validations`: expressions that must hold for each name, within a budget of steps for the whole evaluation.
import { quote } from '../identifier.ts';
import { type Context, type Findings, type JudgedName, refuse } from './context.ts';
import type { CompiledExpression, ExpressionVariables } from './expression.ts';
import type { ReadyPolicy } from './prepare.ts';

/** Steps one evaluation may take over all policies: some tens of milliseconds at worst. */
export const EXPRESSION_BUDGET = 500_000;

/** Longest name an expression is asked about, on which its cost is reckoned. */
export const MAX_SELF = 253;

/** Charges the budget whatever the other rules find, so that what one policy says never changes what another may spend. */
export function reserve(context: Context, policy: ReadyPolicy): boolean {
  for (const { expression } of policy.expressions) {
    const times = expression.uses.has('self') ? context.names.length : 1;
    context.budget -= times * expression.cost(Math.max(1, context.names.length));
  }
  return policy.expressions.length === 0 || context.budget >= 0;
}

export function judgeExpressions(context: Context, policy: ReadyPolicy, findings: Findings): void {
  if (policy.expressions.length === 0) return;
  const long = context.names.find(({ text }) => text.length > MAX_SELF);
  if (long) return tell(findings, long, `rules judge names of at most ${MAX_SELF} characters`);
  const variables = variablesOf(context);
  for (const { expression, message } of policy.expressions) {
    if (!isSettled(context, expression, findings)) continue;
    // A rule that does not read the name says the same of each.
    for (const name of expression.uses.has('self') ? context.names : context.names.slice(0, 1)) {
      const result = expression.judge({ ...variables, self: name.text });
      if (result !== true) tell(findings, name, result === false ? message : `${message} (${result.error})`);
    }
  }
}

function variablesOf(context: Context): Omit<ExpressionVariables, 'self'> {
  const { door, requester } = context.input.request;
  return {
    door,
    namespace: requester.namespace ?? '',
    account: requester.account ?? '',
    names: context.names.map(({ text }) => text),
  };
}

/** Whether all variables the expression reads are known; an unknown one is never given to it. */
function isSettled(context: Context, expression: CompiledExpression, findings: Findings): boolean {
  const { requester } = context.input.request;
  for (const variable of ['namespace', 'account'] as const) {
    if (requester[variable] !== undefined || !expression.uses.has(variable)) continue;
    if (variable === 'namespace' && context.open.namespace) findings.facts.push('namespace');
    else refuse(findings, 'requester', `a rule needs the ${variable} of the requester, which is not known`);
    return false;
  }
  return true;
}

function tell(findings: Findings, name: JudgedName, why: string): void {
  if (name.identifier) refuse(findings, 'name', why, name);
  else refuse(findings, 'csr', `${quote(name.text)}: ${why}`);
}
