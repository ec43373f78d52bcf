// How much work a CEL expression can be: an upper bound reckoned from its syntax alone, and only for the operations listed here.
// The library bounds the size of an expression, not the work of running it.
import type { ASTNode } from '@marcbachmann/cel-js';

/** What is known of a value before it is there. */
export interface Shape {
  /** Most characters of a text, or elements of a list; 1 for anything else. */
  length: number;
  /** The largest element of a list. */
  item?: Shape;
}

/** One step is about one operator on short values, some tens of nanoseconds. */
interface Bound {
  steps: number;
  shape: Shape;
}

type Scope = ReadonlyMap<string, Shape>;

interface Position {
  scope: Scope;
  root: Scope;
  /** Variables of the root scope that are read. */
  uses: Set<string>;
  /** Macros around this place. */
  macros: number;
}

export class Unbounded extends Error {}

const ONE: Shape = { length: 1 };
/** Characters the runtime compares or copies in the time of one step. */
const CHARACTERS = 32;
const MAX_MACROS = 2;
/** Steps that calling a function is worth, measured. */
const CALL = 8;
/** Steps that an error is worth, measured; `exists` and `all` go on after errors. Charged to all that can fail at run time. */
const ERROR = 400;
/** With larger integers sums could overflow, which is an error. */
const MAX_INTEGER = 2n ** 31n;

/** `map` is not among them: its results have no static type, so that anything done with them can fail. */
const MACROS = new Set(['all', 'exists', 'exists_one', 'filter']);

/** Arithmetic that can fail at run time and that names do not need. */
const FAILING = new Set(['*', '/', '%']);

type Method = (receiver: Shape, argument: Shape) => Bound;

const search: Method = (receiver, argument) => ({
  steps: (receiver.length * Math.max(1, argument.length)) / CHARACTERS,
  shape: ONE,
});
const prefix: Method = (_receiver, argument) => ({ steps: argument.length / CHARACTERS, shape: ONE });

/** Functions with the texts they are given and make. `matches` is not among them: regular expressions have no small bound. */
const METHODS: ReadonlyMap<string, Method> = new Map([
  ['startsWith', prefix],
  ['endsWith', prefix],
  ['contains', search],
  ['indexOf', search],
  ['lastIndexOf', search],
  ['size', (receiver) => ({ steps: receiver.length / 8, shape: ONE })],
  ['substring', (receiver) => ({ steps: ERROR + receiver.length / CHARACTERS, shape: receiver })],
  ['split', (receiver) => ({ steps: receiver.length, shape: { length: receiver.length + 1, item: receiver } })],
]);

/** Most steps of one run, and the variables it reads. Throws Unbounded for an operation that is not listed, with words for whoever wrote the expression. */
export function boundSteps(ast: ASTNode, root: Scope): { steps: number; uses: ReadonlySet<string> } {
  const uses = new Set<string>();
  const { steps } = bound(ast, { scope: root, root, uses, macros: 0 });
  return { steps, uses };
}

function bound(node: ASTNode, at: Position): Bound {
  switch (node.op) {
    case 'value':
      return { steps: 1, shape: literal(node.args) };
    case 'id':
      return { steps: 1, shape: variable(node.args, at) };
    case 'list':
      return list(node.args.map((element) => bound(element, at)));
    case '[]':
      return element(bound(node.args[0], at), bound(node.args[1], at));
    case '?:':
      return any(node.args.map((part) => bound(part, at)));
    case '!_':
    case '-_':
      return { steps: 1 + bound(node.args, at).steps, shape: ONE };
    case 'call':
      return call(node.args[0], node.args[1], at);
    case 'rcall':
      return method(node.args, at);
    case '.':
    case '.?':
    case '[?]':
    case 'map':
      throw new Unbounded('uses fields or maps, of which there are none here');
    default:
      if (FAILING.has(node.op)) throw new Unbounded(`uses ${node.op}, which is not offered`);
      return binary(node.op, bound(node.args[0], at), bound(node.args[1], at));
  }
}

function literal(value: unknown): Shape {
  if (typeof value === 'string') return { length: value.length };
  if (typeof value === 'bigint' && value > MAX_INTEGER) throw new Unbounded(`uses a number above ${MAX_INTEGER}`);
  if (typeof value === 'object' && value !== null) throw new Unbounded('uses a bytes or uint literal');
  return ONE;
}

function variable(name: string, { scope, root, uses }: Position): Shape {
  const shape = scope.get(name);
  if (!shape) throw new Unbounded(`uses ${name}, which is not one of ${[...scope.keys()].join(', ')}`);
  // A macro's variable of the same name has a shape of its own.
  if (shape === root.get(name)) uses.add(name);
  return shape;
}

function total(bounds: readonly Bound[]): number {
  return bounds.reduce((sum, { steps }) => sum + steps, 1);
}

function list(elements: readonly Bound[]): Bound {
  const item = elements.map(({ shape }) => shape).reduce(larger, ONE);
  return { steps: total(elements), shape: { length: elements.length, item } };
}

function element(container: Bound, index: Bound): Bound {
  return { steps: ERROR + container.steps + index.steps, shape: container.shape.item ?? container.shape };
}

function any(parts: readonly Bound[]): Bound {
  return { steps: total(parts), shape: parts.map(({ shape }) => shape).reduce(larger, ONE) };
}

function larger(a: Shape, b: Shape): Shape {
  const length = Math.max(a.length, b.length);
  return a.item || b.item ? { length, item: larger(a.item ?? ONE, b.item ?? ONE) } : { length };
}

function binary(op: string, left: Bound, right: Bound): Bound {
  const steps = 1 + left.steps + right.steps;
  if (op === 'in')
    return { steps: steps + right.shape.length * compare(left.shape, right.shape.item ?? ONE), shape: ONE };
  if (op !== '+') return { steps: steps + compare(left.shape, right.shape), shape: ONE };
  const length = left.shape.length + right.shape.length;
  const { item } = larger(left.shape, right.shape);
  return item
    ? { steps: steps + length, shape: { length, item } }
    : { steps: steps + length / CHARACTERS, shape: { length } };
}

/** The longer list counts, so that the bound stays convex in the number of names; see cel.ts. */
function compare(a: Shape, b: Shape): number {
  if (!a.item && !b.item) return 1 + Math.min(a.length, b.length) / CHARACTERS;
  return 1 + Math.max(a.length, b.length) * compare(a.item ?? ONE, b.item ?? ONE);
}

function call(name: string, args: readonly ASTNode[], at: Position): Bound {
  const [argument] = args;
  if (name !== 'size' || !argument || args.length !== 1) throw new Unbounded(`uses ${name}(), which is not offered`);
  const { steps, shape } = bound(argument, at);
  return { steps: CALL + steps + shape.length / 8, shape: ONE };
}

function method([name, receiver, args]: readonly [string, ASTNode, readonly ASTNode[]], at: Position): Bound {
  if (MACROS.has(name)) return macro([name, receiver, args], at);
  const known = METHODS.get(name);
  if (!known || (args.length > 1 && name !== 'substring'))
    throw new Unbounded(`uses .${name}() of ${args.length} arguments, which is not offered`);
  const on = bound(receiver, at);
  const given = args.map((arg) => bound(arg, at));
  const { steps, shape } = known(on.shape, given[0]?.shape ?? ONE);
  return { steps: CALL + steps + on.steps + total(given), shape };
}

function macro([name, receiver, args]: readonly [string, ASTNode, readonly ASTNode[]], at: Position): Bound {
  if (at.macros >= MAX_MACROS) throw new Unbounded(`nests more than ${MAX_MACROS} of ${[...MACROS].join(', ')}`);
  const over = bound(receiver, at);
  const [head, ...body] = args;
  if (head?.op !== 'id' || !over.shape.item) throw new Unbounded(`needs a list and a variable for .${name}()`);
  const scope = new Map(at.scope).set(head.args, { ...over.shape.item });
  const parts = body.map((part) => bound(part, { ...at, scope, macros: at.macros + 1 }));
  const steps = over.steps + over.shape.length * (1 + total(parts));
  return { steps, shape: name === 'filter' ? over.shape : ONE };
}
