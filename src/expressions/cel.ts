// Rules in CEL (cel.dev) for `allowed.validations`: compiled once, bound in work before they are ever run.
import { Environment, type ParseResult } from '@marcbachmann/cel-js';
import type { CompiledExpression, CompileExpression, ExpressionVariables } from '../domain/policy/expression.ts';
import { MAX_SELF } from '../domain/policy/expression-rules.ts';
import { MAX_NAMES } from '../domain/policy/prepare.ts';
import { boundSteps, type Shape, Unbounded } from './cel-cost.ts';

const MAX_SOURCE = 1024;
const LIMITS = { maxAstNodes: 256, maxDepth: 24, maxListElements: 32, maxMapEntries: 0, maxCallArguments: 3 };

/** Steps that starting a run is worth. */
const SETUP = 16;

/** Most steps a rule may take over a request of MAX_NAMES names, all of MAX_SELF characters. Half of what one evaluation may take. */
const MAX_STEPS = 250_000;

/** `namespace` is a reserved word of CEL; Kubernetes escapes such words with underscores, and so do we. */
const NAMES_IN_CEL: readonly (readonly [keyof ExpressionVariables, string, string])[] = [
  ['self', 'self', 'string'],
  ['door', 'door', 'string'],
  ['namespace', '__namespace__', 'string'],
  ['account', 'account', 'string'],
  ['names', 'names', 'list<string>'],
];

const ENVIRONMENT = NAMES_IN_CEL.reduce(
  (environment, [, name, type]) => environment.registerVariable(name, type),
  new Environment({ limits: LIMITS }),
);

export const compileExpression: CompileExpression = (source) => {
  try {
    return { ok: true, expression: compile(source) };
  } catch (error) {
    return { ok: false, reason: reasonOf(error) };
  }
};

function compile(source: string): CompiledExpression {
  if (source.length > MAX_SOURCE) throw new Unbounded(`is longer than ${MAX_SOURCE} characters`);
  const run = ENVIRONMENT.parse(source);
  const one = boundSteps(run.ast, scopeFor(1));
  const all = boundSteps(run.ast, scopeFor(MAX_NAMES));
  const cost = line(one.steps, all.steps);
  const uses = new Set(NAMES_IN_CEL.filter(([, name]) => all.uses.has(name)).map(([variable]) => variable));
  const most = cost(MAX_NAMES) * (uses.has('self') ? MAX_NAMES : 1);
  if (most > MAX_STEPS)
    throw new Unbounded(`could take ${Math.ceil(most)} steps for ${MAX_NAMES} names, more than ${MAX_STEPS}`);
  const { valid, type, error } = run.check();
  if (!valid) throw error ?? new Unbounded('has wrong types');
  if (type !== 'bool') throw new Unbounded(`gives ${type}, not bool`);
  return { uses, cost, judge: (variables) => judge(run, variables) };
}

/**
 * The bound is a sum of products of list lengths and maxima of them, so it is convex in the number of names: a straight line
 * between its values for one name and for MAX_NAMES lies above it.
 */
function line(one: number, all: number): (names: number) => number {
  return (names) => SETUP + one + ((all - one) / (MAX_NAMES - 1)) * (names - 1);
}

function scopeFor(names: number): Map<string, Shape> {
  return new Map<string, Shape>([
    ['self', { length: MAX_SELF }],
    ['door', { length: 32 }],
    ['__namespace__', { length: 63 }],
    ['account', { length: 253 }],
    ['names', { length: names, item: { length: MAX_SELF } }],
  ]);
}

function judge(run: ParseResult, variables: ExpressionVariables): boolean | { error: string } {
  try {
    const { namespace: __namespace__, ...others } = variables;
    const result: unknown = run({ ...others, __namespace__ });
    return typeof result === 'boolean' ? result : { error: 'the rule did not give true or false' };
  } catch (error) {
    return { error: reasonOf(error) };
  }
}

/** First line of what the library says: the rest repeats the source. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : 'cannot be evaluated';
  const [line = ''] = text.split('\n');
  const hint = /Reserved identifier: namespace/.test(line) ? ' (write __namespace__)' : '';
  return line.replace(/[^\x20-\x7e]/g, '?').slice(0, 200) + hint;
}
