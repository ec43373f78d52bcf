import { expect, test } from 'vitest';
import { oneLine, shownText } from './remote-text.ts';

test.each<[string, string, string]>([
  ['plain words', 'no such profile', 'no such profile'],
  ['words of any language', 'Name verweigert: “münchen”', 'Name verweigert: “münchen”'],
  ['lines', 'one\r\ntwo', 'one\\u000d\\u000atwo'],
  ['what terminals obey', '\u001b[31mred', '\\u001b[31mred'],
  ['what turns text around', 'abc\u202edef', 'abc\\u202edef'],
  ['what is not seen', 'pay\u200bpal', 'pay\\u200bpal'],
  ['half a character', 'a\ud800b', 'a\\ud800b'],
  ['space around', '  x \n', 'x'],
])('%s', (_, text, shown) => {
  expect(shownText(text)).toBe(shown);
});

test('it is cut to size, however long and whatever it is made of', () => {
  expect(shownText('x'.repeat(1e7))).toBe(`${'x'.repeat(300)}…`);
  expect(shownText('\u0000'.repeat(1e6)).length).toBeLessThanOrEqual(6 * 300 + 1);
  expect(shownText('abcdef', 3)).toBe('abc…');
});

test('text of any length is on one line, nothing of it lost', () => {
  const nasty = 'a\r\nb\u001b[2J\u0085\u2028\u2029\u202e\u200e\u061c\u009b\u007f\u{e0041}\ud800';
  const shown = oneLine(nasty.repeat(1000));
  expect(shown).toBe(
    'a\\u000d\\u000ab\\u001b[2J\\u0085\\u2028\\u2029\\u202e\\u200e\\u061c\\u009b\\u007f\\u{e0041}\\ud800'.repeat(1000),
  );
  expect(oneLine(shown)).toBe(shown);
  expect(oneLine('Größe: “münchen”')).toBe('Größe: “münchen”');
});
