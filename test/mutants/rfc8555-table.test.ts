// docs/rfc8555.md against the conformance suite: every line that is tested has its place in the tables, and no other.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

interface Row {
  section: string;
  status: string;
  tests: string;
}

function rows(): Row[] {
  const text = readFileSync(join(ROOT, 'docs/rfc8555.md'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (-+|Section|Document) /.test(line))
    .map((line) => {
      const [section = '', status = '', tests = ''] = line.split(' | ').map((cell) => cell.replace(/^\| /, '').trim());
      return { section, status, tests };
    });
}

/** `2, 4–16` as numbers. */
function numbersIn(tests: string): number[] {
  return tests.split(', ').flatMap((part) => {
    const [first = '', last = first] = part.split('–');
    if (!/^\d+$/.test(first) || !/^\d+$/.test(last)) throw new Error(`${JSON.stringify(part)} is no line`);
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  });
}

function testedLines(): Set<number> {
  const folder = join(ROOT, 'test/conformance');
  const files = readdirSync(folder).filter((name) => /^[a-i]-.*\.test\.ts$/.test(name));
  return new Set(
    files.flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/\bline\(\s*(\d+),/g)].map(([, line]) => Number(line)),
    ),
  );
}

const ascending = (a: number, b: number): number => a - b;

test('the tables name every line of the suite, and no line that it does not have', () => {
  const named = new Set(rows().flatMap(({ tests }) => numbersIn(tests)));
  const tested = testedLines();
  expect(tested.size).toBeGreaterThan(100);
  expect([...named].sort(ascending)).toEqual([...tested].sort(ascending));
});

test('each row has a section, a status of the three, and tests', () => {
  const odd = rows().filter(
    ({ section, status }) => section === '' || !['done', 'differs', 'not offered'].includes(status),
  );
  expect(rows().length).toBeGreaterThan(40);
  expect(odd).toEqual([]);
});
