import fc from '../../../test/support/property.ts';
import { expect, test } from 'vitest';
import { matchesGlob, parseGlob } from './glob.ts';

test.each([
  ['corp', 'corp', true],
  ['corp', 'corporate', false],
  ['corp*', 'corporate', true],
  ['corp*', 'corp', true],
  ['*', '', true],
  ['*', 'anything.at-all', true],
  ['*a', 'banana', true],
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['*an*an*', 'banana', true],
  ['*an*an*an*', 'banana', false],
  ['a*b*c', 'a-b-b-c', true],
  ['a**c', 'abc', true],
  ['ab*ba', 'aba', false],
  ['payments-*', 'payments', false],
  ['Corp', 'corp', false],
  ['a.c', 'abc', false],
])('glob %s on %s: %s', (glob, text, matches) => {
  expect(matchesGlob(parseGlob(glob), text)).toBe(matches);
});

test('a glob does what the slow and plain definition says', () => {
  const slow = (glob: string, text: string): boolean => {
    if (glob === '') return text === '';
    if (glob.startsWith('*')) return slow(glob.slice(1), text) || (text !== '' && slow(glob, text.slice(1)));
    return text !== '' && glob[0] === text[0] && slow(glob.slice(1), text.slice(1));
  };
  const letters = (alphabet: string, maxLength: number) =>
    fc.array(fc.constantFrom(...alphabet.split('')), { maxLength }).map((list) => list.join(''));
  fc.assert(
    fc.property(letters('ab*', 8), letters('ab', 10), (glob, text) => {
      expect(matchesGlob(parseGlob(glob), text)).toBe(slow(glob, text));
    }),
    { numRuns: 5000 },
  );
});

test('work grows with the text, not with text times glob', () => {
  const text = 'a'.repeat(253);
  const hostile = [
    '*a'.repeat(126),
    `*${'a'.repeat(120)}b*${'a'.repeat(120)}*`,
    `${'*a'.repeat(100)}b`,
    `*${'a'.repeat(250)}b*`,
  ];
  for (const glob of hostile) {
    let reads = 0;
    const counting = {
      length: text.length,
      charCodeAt: (i: number) => {
        reads++;
        return text.charCodeAt(i);
      },
    };
    matchesGlob(parseGlob(glob), counting);
    expect(reads).toBeLessThanOrEqual(3 * text.length);
  }
});
