import fc from '../../../test/support/property.ts';
import { expect, test } from 'vitest';
import {
  covers,
  insertableNamespace,
  type NamePattern,
  nameSegments,
  parsePattern,
  type Syntax,
  touches,
} from './pattern.ts';

function pattern(source: string, syntax: Syntax = 'dns'): NamePattern {
  const parsed = parsePattern(source, syntax);
  if ('error' in parsed) throw new Error(`${source} ${parsed.error}`);
  return parsed;
}

function match(source: string, name: string, options: { namespace?: string; syntax?: Syntax } = {}) {
  const segments = nameSegments(name, options.syntax ?? 'dns');
  if (!segments) return 'not a name';
  return covers(pattern(source, options.syntax), segments, insertableNamespace(options.namespace));
}

test.each([
  ['www.example.com', 'www.example.com', 'yes'],
  ['www.example.com', 'WWW.Example.COM', 'yes'],
  ['WWW.Example.com', 'www.example.com', 'yes'],
  ['www.example.com', 'a.www.example.com', 'no'],
  ['*.example.com', 'www.example.com', 'yes'],
  ['*.example.com', 'a.b.example.com', 'no'],
  ['*.example.com', 'example.com', 'no'],
  ['*.example.com', 'www.example.org', 'no'],
  ['*.example.com', 'wwwexample.com', 'no'],
  ['www.*.com', 'www.example.com', 'yes'],
  ['www.*', 'www.com', 'yes'],
  ['*', 'localhost', 'yes'],
  ['*', 'a.b', 'no'],
  ['**.example.com', 'www.example.com', 'yes'],
  ['**.example.com', 'a.b.c.example.com', 'yes'],
  ['**.example.com', 'example.com', 'no'],
  ['**', 'a.b.c', 'yes'],
  ['a.**.b', 'a.x.b', 'yes'],
  ['a.**.b', 'a.x.y.b', 'yes'],
  ['a.**.b', 'a.b', 'no'],
  ['a.**.a', 'a.a', 'no'],
  ['*.**.example.com', 'www.example.com', 'no'],
  ['*.**.example.com', 'a.b.example.com', 'yes'],
  ['xn--bcher-kva.example', 'XN--bcher-kva.example', 'yes'],
  // A wildcard name is covered only where the pattern covers every name under it.
  ['*.example.com', '*.example.com', 'yes'],
  ['**.example.com', '*.example.com', 'yes'],
  ['**.example.com', '*.a.example.com', 'yes'],
  ['www.example.com', '*.example.com', 'no'],
  ['*.example.com', '*.a.example.com', 'no'],
  ['a.*.example.com', '*.b.example.com', 'no'],
  // Text that is no name in normal form matches nothing.
  ['**', 'a..b', 'not a name'],
  ['**', 'example.com.', 'not a name'],
  ['**', '.example.com', 'not a name'],
  ['**', '*', 'not a name'],
  ['**', '*.com', 'not a name'],
  ['**', '*.*.a', 'not a name'],
  ['**', 'a.*.b', 'not a name'],
  ['**', 'w*.a', 'not a name'],
  ['**', '**.a', 'not a name'],
  ['**', 'a b.example', 'not a name'],
  ['**', 'a\u0000.example', 'not a name'],
  ['**', 'b\u00fccher.example', 'not a name'],
  ['**', 'a/b', 'not a name'],
  ['**', '', 'not a name'],
])('DNS pattern %s on %s: %s', (source, name, verdict) => {
  expect(match(source, name)).toBe(verdict);
});

test.each([
  ['{{namespace}}.example.com', 'team-a.example.com', 'team-a', 'yes'],
  ['{{namespace}}.example.com', 'team-b.example.com', 'team-a', 'no'],
  ['**.{{namespace}}.svc.cluster.local', 'db.team-a.svc.cluster.local', 'team-a', 'yes'],
  ['**.{{namespace}}.svc.cluster.local', 'db.team-b.svc.cluster.local', 'team-a', 'no'],
  ['web-{{namespace}}.example.com', 'web-team-a.example.com', 'team-a', 'yes'],
  ['web-{{namespace}}.example.com', 'web-team-a-x.example.com', 'team-a', 'no'],
  ['{{namespace}}-{{namespace}}.example.com', 'a-a.example.com', 'a', 'yes'],
  ['{{namespace}}-{{namespace}}.example.com', 'a-b.example.com', 'a', 'no'],
  // Values that would widen the pattern are no namespaces, and then nothing is certain.
  ['{{namespace}}.example.com', '*.example.com', '*', 'no'],
  ['{{namespace}}.example.com', 'a.b.example.com', 'a.b', 'no'],
  ['x.{{namespace}}.example.com', 'x.y.z.example.com', 'y.z', 'no'],
  ['{{namespace}}.example.com', 'www.example.com', '**', 'maybe'],
  ['{{namespace}}.example.com', 'www.example.com', '', 'maybe'],
  ['{{namespace}}.example.com', 'www.example.com', '{{namespace}}', 'maybe'],
  ['{{namespace}}.example.com', 'www.example.com', undefined, 'maybe'],
  ['{{namespace}}.example.com', 'www.example.org', undefined, 'no'],
  ['web-{{namespace}}.example.com', 'db-x.example.com', undefined, 'no'],
  ['{{namespace}}-{{namespace}}.example.com', 'ab-ac.example.com', undefined, 'no'],
  ['{{namespace}}-{{namespace}}.example.com', 'ab-ab.example.com', undefined, 'maybe'],
  ['{{namespace}}.example.com', '*.example.com', undefined, 'no'],
])('pattern %s on %s in namespace %s: %s', (source, name, namespace, verdict) => {
  expect(match(source, name, namespace === undefined ? {} : { namespace })).toBe(verdict);
});

test.each([
  ['spiffe://cluster/ns/{{namespace}}/sa/*', 'spiffe://cluster/ns/a/sa/web', 'yes'],
  ['spiffe://cluster/ns/{{namespace}}/sa/*', 'spiffe://cluster/ns/b/sa/web', 'no'],
  ['spiffe://cluster/ns/{{namespace}}/sa/*', 'spiffe://cluster/ns/a/sa/', 'no'],
  ['spiffe://cluster/ns/{{namespace}}/sa/*', 'spiffe://cluster/ns/a/sa/web/x', 'no'],
  ['spiffe://cluster/ns/a/**', 'spiffe://cluster/ns/a/b/c', 'yes'],
  ['spiffe://cluster/ns/a/**', 'spiffe://cluster/ns/a/../b', 'no'],
  ['spiffe://cluster/ns/a/**', 'spiffe://cluster/ns/a/%2e%2e/b', 'no'],
  ['spiffe://cluster/ns/a/**', 'spiffe://cluster/ns/a//b', 'no'],
  ['spiffe://cluster/ns/a/*', 'spiffe://cluster/ns/a/..', 'no'],
  ['spiffe://cluster/ns/a/*', 'spiffe://cluster/ns/a/b?c', 'no'],
  ['spiffe://cluster/ns/a/*', 'spiffe://cluster/ns/a/b#c', 'no'],
  ['spiffe://cluster/a', 'spiffe://CLUSTER/a', 'no'],
  ['https://*/x', 'https://host/x', 'yes'],
])('URI pattern %s on %s in namespace a: %s', (source, uri, verdict) => {
  expect(match(source, uri, { syntax: 'uri', namespace: 'a' })).toBe(verdict);
});

test.each([
  ['*@example.com', 'joe@example.com', 'yes'],
  ['*@example.com', 'joe@EXAMPLE.com', 'yes'],
  ['*@example.com', 'joe@sub.example.com', 'no'],
  ['*@**.example.com', 'joe@a.b.example.com', 'yes'],
  ['joe@example.com', 'Joe@example.com', 'no'],
  ['*@example.com', '@example.com', 'not a name'],
  ['*@example.com', 'joe@evil.com@example.com', 'not a name'],
  ['*@example.com', 'joe', 'not a name'],
])('e-mail pattern %s on %s: %s', (source, email, verdict) => {
  expect(match(source, email, { syntax: 'email' })).toBe(verdict);
});

test.each([
  ['admin.example.com', '*.example.com', 'yes'],
  ['*.example.com', '*.example.com', 'yes'],
  ['**.com', '*.example.com', 'yes'],
  ['example.com', '*.example.com', 'no'],
  ['a.b.example.com', '*.example.com', 'no'],
  ['admin.example.org', '*.example.com', 'no'],
  ['{{namespace}}.example.com', '*.example.com', 'yes'],
  ['admin.example.com', 'www.example.com', 'no'],
])('an exception %s touches %s: %s', (source, name, verdict) => {
  expect(touches(pattern(source), nameSegments(name, 'dns') ?? [], undefined)).toBe(verdict);
});

test.each([
  ['w*.example.com', 'dns', 'whole labels'],
  ['***.example.com', 'dns', 'whole labels'],
  ['**.a.**', 'dns', 'more than one'],
  ['a..b', 'dns', 'no DNS name'],
  ['example.com.', 'dns', 'no DNS name'],
  ['', 'dns', 'no DNS name'],
  ['b\u00fccher.example', 'dns', 'A-labels'],
  ['a b', 'dns', 'printable'],
  ['{{Namespace}}.x', 'dns', 'placeholder'],
  ['{{account}}.x', 'dns', 'placeholder'],
  ['${namespace}.x', 'dns', 'placeholder'],
  ['-a.x', 'dns', 'no DNS name'],
  [`${'a'.repeat(64)}.x`, 'dns', 'no DNS name'],
  ['example.com', 'email', '"@"'],
  ['a@b@c', 'email', '"@"'],
  ['**@example.com', 'email', 'local part'],
  ['a@{{NAMESPACE}}.test', 'email', 'placeholder'],
  ['(a+)+$', 'dns', 'no DNS name'],
] as const)('the pattern %j is refused for %s: %s', (source, syntax, words) => {
  expect(parsePattern(source, syntax)).toEqual({ error: expect.stringContaining(words) as string });
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?$/);

test('a name without wildcards is a pattern of itself alone', () => {
  fc.assert(
    fc.property(
      fc.array(label, { minLength: 1, maxLength: 6 }),
      fc.array(label, { minLength: 1, maxLength: 6 }),
      (a, b) => {
        expect(match(a.join('.'), b.join('.'))).toBe(a.join('.') === b.join('.') ? 'yes' : 'no');
      },
    ),
  );
});

test('a pattern does what the slow and plain definition says', () => {
  const segment = fc.oneof({ weight: 3, arbitrary: label }, fc.constant('*'));
  const source = fc
    .tuple(fc.array(segment, { maxLength: 3 }), fc.boolean(), fc.array(segment, { maxLength: 3 }))
    .filter(([head, deep, tail]) => deep || head.length + tail.length > 0)
    .map(([head, deep, tail]) => [...head, ...(deep ? ['**'] : []), ...tail]);
  const slow = (p: readonly string[], n: readonly string[]): boolean => {
    const [first, ...rest] = p;
    if (first === undefined) return n.length === 0;
    if (first === '**') return n.some((_, i) => slow(rest, n.slice(i + 1)));
    return n.length > 0 && (first === '*' || first === n[0]) && slow(rest, n.slice(1));
  };
  fc.assert(
    fc.property(source, fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 6 }), (p, n) => {
      const small = p.map((one) => (one.startsWith('*') ? one : one.length % 2 === 0 ? 'a' : 'b'));
      expect(match(small.join('.'), n.join('.'))).toBe(slow(small, n) ? 'yes' : 'no');
    }),
    { numRuns: 2000 },
  );
});

test('an inserted namespace never matches more than its own text', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), label, (namespace, other) => {
      const verdict = match('x.{{namespace}}.example', `x.${other}.example`, { namespace });
      expect(verdict === 'yes').toBe(namespace === other);
    }),
  );
});

/** A list that counts how often its elements are read. */
function counted(segments: readonly string[]): { list: readonly string[]; reads: () => number } {
  let reads = 0;
  const list = new Proxy(segments, {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) reads++;
      return Reflect.get(target, key) as unknown;
    },
  });
  return { list, reads: () => reads };
}

test('a match reads each segment once, whatever pattern of 253 characters', () => {
  const hostile = [
    Array.from({ length: 127 }, () => '*').join('.'),
    `**.${Array.from({ length: 125 }, () => 'a').join('.')}`,
    `${Array.from({ length: 62 }, () => '*').join('.')}.**.${Array.from({ length: 62 }, () => 'a').join('.')}`,
  ];
  for (const source of hostile) {
    expect(source.length).toBeLessThanOrEqual(253);
    for (const name of [Array.from({ length: 127 }, () => 'a'), ['b', ...Array.from({ length: 126 }, () => 'a')]]) {
      const { list, reads } = counted(name);
      covers(pattern(source), list, undefined);
      expect(reads()).toBeLessThanOrEqual(name.length);
    }
  }
});
