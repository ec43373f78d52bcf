import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import {
  baseIdentifier,
  type Identifier,
  identifierKey,
  isWildcard,
  parseIdentifier,
  quote,
  uniqueIdentifiers,
} from './identifier.ts';
import { Problem, type ProblemType } from './problem.ts';

const dns = (value: unknown) => parseIdentifier({ type: 'dns', value });
const ip = (value: unknown) => parseIdentifier({ type: 'ip', value });

function problemOf(parse: () => unknown): ProblemType | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error.type;
    throw error;
  }
}

test.each([
  ['example.com', 'example.com'],
  ['WWW.Example.COM', 'www.example.com'],
  ['*.example.com', '*.example.com'],
  ['localhost', 'localhost'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['a-b.c-d', 'a-b.c-d'],
  ['1.2.3.com', '1.2.3.com'],
  [`${'a'.repeat(63)}.b`, `${'a'.repeat(63)}.b`],
])('%s is the name %s', (text, name) => {
  expect(dns(text)).toEqual({ type: 'dns', value: name });
});

test.each([
  ['', 'malformed'],
  ['.', 'malformed'],
  ['a.', 'malformed'],
  ['.a', 'malformed'],
  ['a..b', 'malformed'],
  ['-a.b', 'malformed'],
  ['a-.b', 'malformed'],
  ['a_b.c', 'malformed'],
  ['a b.c', 'malformed'],
  ['a\0.c', 'malformed'],
  ['a\n.c', 'malformed'],
  ['a,DNS:b.c', 'malformed'],
  ['a/b', 'malformed'],
  ['a:80', 'malformed'],
  ['bücher.example', 'malformed'],
  // The Kelvin sign, in lower case a plain k.
  ['\u212a.example', 'malformed'],
  ['a。b', 'malformed'],
  ['xn--a', 'malformed'],
  ['xn--abc-.example', 'malformed'],
  ['xn--example-.com', 'malformed'],
  ['ab--cd.example', 'malformed'],
  [`${'a'.repeat(64)}.b`, 'malformed'],
  [`${'a.'.repeat(127)}b`, 'malformed'],
  ['10.0.0.1', 'malformed'],
  ['::1', 'malformed'],
  ['0x7f.1', 'malformed'],
  ['127.1', 'malformed'],
  ['1.2.3.0x4', 'malformed'],
  ['*', 'rejectedIdentifier'],
  ['*.', 'rejectedIdentifier'],
  ['*.com', 'rejectedIdentifier'],
  ['**.a.b', 'rejectedIdentifier'],
  ['*.*.a.b', 'rejectedIdentifier'],
  ['a.*.b', 'rejectedIdentifier'],
  ['w*.a.b', 'rejectedIdentifier'],
] as const)('the name %j is %s', (text, type) => {
  expect(problemOf(() => dns(text))).toBe(type);
});

test.each(['192.0.2.1', '2001:db8::1', '::1'])('%s is an address', (text) => {
  expect(ip(text)).toEqual({ type: 'ip', value: text });
});

test.each([
  '',
  '1.2.3',
  '01.2.3.4',
  '::ffff:1.2.3.4',
  '2001:DB8::1',
  '2001:db8:0:0::1',
  'fe80::1%1',
  '10.0.0.0/8',
  '*.1.2.3',
  'a.b',
])('the address %j is malformed', (text) => {
  expect(problemOf(() => ip(text))).toBe('malformed');
});

test.each([
  null,
  undefined,
  7,
  'a.b',
  [],
  {},
  { type: 'DNS', value: 'a.b' },
  { type: ['dns'], value: 'a.b' },
  { type: 'dns' },
  { type: 'dns', value: ['a.b'] },
  { type: 'email', value: 'a@b' },
])('%j is no identifier', (input) => {
  expect(['malformed', 'unsupportedIdentifier']).toContain(problemOf(() => parseIdentifier(input)));
});

test('whatever is accepted is accepted again unchanged, and is nothing but lower-case LDH labels', () => {
  const label = fc.stringMatching(/^[A-Za-z0-9_*-]{0,8}$/);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(label, { maxLength: 5 }).map((labels) => labels.join('.')),
        fc.string({ unit: 'binary', maxLength: 30 }),
      ),
      (text) => {
        let name: Identifier;
        try {
          name = dns(text);
        } catch (error) {
          expect(error).toBeInstanceOf(Problem);
          return;
        }
        expect(dns(name.value)).toEqual(name);
        expect(name.value).toMatch(/^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/);
      },
    ),
    { numRuns: 2000 },
  );
});

test('wildcards and their base', () => {
  const wildcard = dns('*.a.b');
  expect(isWildcard(wildcard)).toBe(true);
  expect(baseIdentifier(wildcard)).toEqual({ type: 'dns', value: 'a.b' });
  expect(isWildcard(dns('a.b'))).toBe(false);
  expect(baseIdentifier(dns('a.b'))).toEqual(dns('a.b'));
});

test('duplicates collapse, and type and value together make the difference', () => {
  const list = [dns('b.c'), dns('a.b'), dns('B.C'), ip('192.0.2.1')];
  expect(uniqueIdentifiers(list).map(identifierKey)).toEqual(['dns:a.b', 'dns:b.c', 'ip:192.0.2.1']);
});

test('quoted text is one short line of ASCII', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      expect(quote(text)).toMatch(/^"[\x20-\x7e…]*"$/);
      expect(quote(text).length).toBeLessThan(140);
    }),
  );
});
