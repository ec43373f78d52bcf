// Rules in an expression language, as the domain sees them; src/expressions compiles them.
import type { Door } from '../../api/certificate-request-policy.ts';

export interface ExpressionVariables {
  /** The name judged. */
  self: string;
  door: Door;
  namespace: string;
  account: string;
  /** Every name of the request. */
  names: readonly string[];
}

export interface CompiledExpression {
  /** Variables the rule reads. */
  readonly uses: ReadonlySet<keyof ExpressionVariables>;
  /** Upper bound of the steps one `judge` takes with so many names, 1 to 100. */
  cost(names: number): number;
  /** Never throws. */
  judge(variables: ExpressionVariables): boolean | { error: string };
}

/** The rule, or why it cannot be used: bad syntax, wrong types, or work without a small bound. */
export type CompileExpression = (
  source: string,
) => { ok: true; expression: CompiledExpression } | { ok: false; reason: string };
