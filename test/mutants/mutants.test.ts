// That the mutants are still about this source and this suite. Whether the suite notices them is for `npm run mutants` to say.
import { readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { applied, MUTANTS } from './mutants.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Sections of the checklist, as the suite names its files, by line. */
function sectionsByLine(): Map<number, string> {
  const folder = join(ROOT, 'test/conformance');
  const sections = new Map<number, string>();
  for (const file of readdirSync(folder).filter((name) => /^[a-i]-.*\.test\.ts$/.test(name))) {
    for (const [, line] of readFileSync(join(folder, file), 'utf8').matchAll(/\bline\(\s*(\d+),/g))
      sections.set(Number(line), file.charAt(0));
  }
  return sections;
}

test.each(MUTANTS.map((mutant) => [`${mutant.file}: ${mutant.breaks}`, mutant] as const))(
  'applies to %s, and leaves a program',
  (_, mutant) => {
    const source = readFileSync(join(ROOT, mutant.file), 'utf8');
    expect(applied(mutant, source)).not.toBe(source);
    expect(() => stripTypeScriptTypes(applied(mutant, source))).not.toThrow();
  },
);

test('a mutant that has nothing to hold on to is an error', () => {
  const mutant = { line: 1, breaks: 'nothing', file: 'a.ts', find: 'x', replace: 'y' };
  expect(() => applied(mutant, 'no such letter')).toThrow('stands 0 times in a.ts');
  expect(() => applied(mutant, 'x and x')).toThrow('stands 2 times in a.ts');
  expect(() => applied({ ...mutant, replace: 'x' }, 'x')).toThrow('changes nothing');
});

test('every section of the checklist has mutants, each of a line that is tested', () => {
  const sections = sectionsByLine();
  expect(MUTANTS.filter(({ line }) => !sections.has(line))).toEqual([]);
  expect(new Set(MUTANTS.map(({ line }) => sections.get(line)))).toEqual(new Set('abcdefghi'));
});
