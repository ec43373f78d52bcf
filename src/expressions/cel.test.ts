import { Environment } from '@marcbachmann/cel-js';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import type { CompiledExpression, ExpressionVariables } from '../domain/policy/expression.ts';
import { compileExpression } from './cel.ts';
import { boundSteps } from './cel-cost.ts';

function compiled(source: string): CompiledExpression {
  const result = compileExpression(source);
  if (!result.ok) throw new Error(`${source}: ${result.reason}`);
  return result.expression;
}

function refusal(source: string): string {
  const result = compileExpression(source);
  return result.ok ? 'accepted' : result.reason;
}

const variables: ExpressionVariables = {
  self: 'web.team-a.example',
  door: 'ACME',
  namespace: 'team-a',
  account: 'acct-1',
  names: Object.freeze(['web.team-a.example', 'db.team-a.example']),
};

test.each([
  ["self.endsWith('.example')", true],
  ["self.endsWith('.test')", false],
  ["self.startsWith('web.') && self.contains(__namespace__)", true],
  ["self == 'web.' + __namespace__ + '.example'", true],
  ["door == 'ACME' ? account == 'acct-1' : true", true],
  ["door in ['CertificateClaim', 'CSRAPI']", false],
  ['names.size() == 2', true],
  ['size(names) <= 1', false],
  ['self.size() < 20 && size(self) > 17', true],
  ["names.all(n, n.endsWith('.example'))", true],
  ["names.exists(n, n.startsWith('db.'))", true],
  ["names.exists_one(n, n.endsWith('.example'))", false],
  ["names.filter(n, n.startsWith('db.')).size() == 1", true],
  ['self in names', true],
  ['names[0] == self', true],
  ["self.split('.').size() == 3", true],
  ["self.split('.')[1] == __namespace__", true],
  ["self.substring(0, 3) == 'web'", true],
  ["self.indexOf('.') + 1 == 4 && self.lastIndexOf('.') - 1 == 9", true],
  ['!(self == account) && -1 < 0', true],
  ["names + ['x'] != names", true],
  ['// a comment\nself != "namespace"', true],
])('%s is %s', (source, result) => {
  expect(compiled(source).judge(variables)).toBe(result);
});

test.each([
  ['namespace == "a"', 'write __namespace__'],
  ['self', 'gives string, not bool'],
  ['1', 'gives int, not bool'],
  ['', 'Unexpected token'],
  ['self ==', 'Unexpected token'],
  ['self + 1 == 2', 'no such overload'],
  ['self && true', 'requires bool'],
  ['unknown == "a"', 'uses unknown, which is not one of'],
  ['self.matches("(a+)+$")', 'uses .matches()'],
  ['cel.bind(a, self + self, a == a)', 'uses .bind()'],
  ['names.map(n, n + n).size() == 1', 'uses .map()'],
  ['dyn(self) == 1', 'uses dyn()'],
  ['has(self.x)', 'uses has()'],
  ['timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T00:00:00Z")', 'uses timestamp()'],
  ['self.constructor == "x"', 'uses fields or maps'],
  ['google.protobuf == 1', 'uses fields or maps'],
  ['{"a": 1} == {"a": 1}', 'maxMapEntries'],
  ['b"a" == b"a"', 'bytes or uint literal'],
  ['1u == 1u', 'bytes or uint literal'],
  ['int == int', 'uses int'],
  ['1 / 0 == 1', 'uses /'],
  ['9223372036854775807 + 1 == 1', 'uses a number above'],
  ['self.indexOf("a", 500) == 1', 'of 2 arguments'],
  ['self.all(c, true)', 'needs a list'],
  ['names.all(self.x, true)', 'invalid predicate iteration variable'],
  ['names.all(a, names.all(b, names.all(c, true)))', 'nests more than 2'],
  ['[1].all(a, [1].all(b, [1].all(c, [1].all(d, [1].all(e, true)))))', 'nests more than 2'],
  ['names.all(a, names.all(b, self.contains(a + b)))', 'steps for 100 names, more than'],
  ['names.all(a, self.contains(a))', 'steps for 100 names, more than'],
  [`self in [${Array.from({ length: 33 }, () => '"a"').join()}]`, 'maxListElements'],
  [`${'('.repeat(30)}true${')'.repeat(30)}`, 'maxDepth'],
  [`${'!'.repeat(900)}true`, 'maxAstNodes'],
  [`self == "${'a'.repeat(1100)}"`, 'longer than 1024'],
  [`${Array.from({ length: 130 }, () => '1').join(' + ')} == 1`, 'maxAstNodes'],
])('%s is refused: %s', (source, words) => {
  expect(refusal(source)).toContain(words);
});

test('reasons are one printable line', () => {
  expect(refusal('self == "\u202e\n" + ')).toMatch(/^[\x20-\x7e]{1,230}$/);
});

test.each([
  ["self.startsWith('account')", ['self']],
  ["names.all(self, self != 'x')", ['names']],
  ["names.all(n, n != account) && door == 'x'", ['account', 'door', 'names']],
  ['true', []],
  ["__namespace__ == 'x'", ['namespace']],
])('%s uses %j', (source, uses) => {
  expect([...compiled(source).uses].sort()).toEqual(uses);
});

test('an error while it runs is no verdict', () => {
  expect(compiled('names[7] == self').judge(variables)).toEqual({
    error: expect.stringContaining('out of bounds') as string,
  });
  expect(compiled('self.substring(99) == self').judge(variables)).toEqual({
    error: expect.stringContaining('out of range') as string,
  });
});

test('variables of objects are out of reach', () => {
  const odd = { ...variables, self: '__proto__', names: ['constructor', 'toString'] };
  expect(compiled("self == '__proto__' && 'constructor' in names").judge(odd)).toBe(true);
});

test('evaluations do not see each other', () => {
  const expression = compiled('names.exists(n, n == self)');
  expect(expression.judge(variables)).toBe(true);
  expect(expression.judge({ ...variables, self: 'x' })).toBe(false);
  expect(expression.judge({ ...variables, names: ['x'], self: 'x' })).toBe(true);
});

const operand = fc.constantFrom('self', 'door', 'account', "'lit'", "self.split('.')[0]", 'names[0]');
const predicate = fc.oneof(
  fc.tuple(operand, operand).map(([a, b]) => `${a} == ${b}`),
  fc.tuple(operand, operand).map(([a, b]) => `${a}.endsWith(${b})`),
  operand.map((a) => `${a} in names`),
  operand.map((a) => `names.exists(n, n == ${a})`),
  operand.map((a) => `names.filter(n, n != ${a}).all(m, m in names)`),
  fc.constant('names + names == names'),
);
const rule = fc.array(predicate, { minLength: 1, maxLength: 3 }).map((all) => all.join(' && '));

test('the cost told for a number of names is never below the bound reckoned for it', () => {
  const environment = new Environment();
  for (const name of ['self', 'door', 'account']) environment.registerVariable(name, 'string');
  environment.registerVariable('names', 'list<string>');
  const scope = (names: number) =>
    new Map([
      ['self', { length: 253 }],
      ['door', { length: 32 }],
      ['account', { length: 253 }],
      ['names', { length: names, item: { length: 253 } }],
    ]);
  let judged = 0;
  fc.assert(
    fc.property(rule, fc.integer({ min: 1, max: 100 }), (source, names) => {
      const result = compileExpression(source);
      if (!result.ok) return;
      judged++;
      const { steps } = boundSteps(environment.parse(source).ast, scope(names));
      expect(result.expression.cost(names)).toBeGreaterThanOrEqual(steps);
    }),
    { numRuns: 500 },
  );
  expect(judged).toBeGreaterThan(100);
});

/** Names that count how often one of them is read, by the only way the language has: going through the list. */
test('a rule reads the names no more often than its cost says', () => {
  for (const source of [
    'names.all(n, n != self)',
    'names.all(a, names.exists(b, a == b))',
    "names.filter(n, n != 'x').size() == 100",
  ]) {
    let reads = 0;
    const list = Array.from({ length: 100 }, (_, i) => `n${i}.example`);
    const names = new Proxy(list, {
      get(target, property) {
        if (typeof property === 'string' && /^\d+$/.test(property)) reads++;
        return Reflect.get(target, property) as unknown;
      },
    });
    const expression = compiled(source);
    expect(expression.judge({ ...variables, names })).toBe(true);
    expect(reads).toBeGreaterThanOrEqual(100);
    expect(reads).toBeLessThanOrEqual(expression.cost(100));
  }
});

test('no text makes the compiler throw or accept work without bound', () => {
  const word = fc.constantFrom(
    'self',
    'names',
    '.all(',
    '.exists(',
    '.filter(',
    'n',
    ',',
    ')',
    '(',
    '==',
    '&&',
    "'a'",
    '[',
    ']',
    '0',
    '+',
    '.split(',
    '.size()',
    'in',
    '?',
    ':',
    '!',
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 40 }), (words) => {
      const result = compileExpression(words.join(' '));
      if (result.ok) expect(result.expression.cost(100)).toBeLessThanOrEqual(250_000);
      else expect(result.reason).not.toBe('');
    }),
    { numRuns: 3000 },
  );
});
