import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../src/api/kind.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { validateObject } from '../../src/api/validate.ts';
import { RUN_PAGES } from './run-pages.ts';
import { stepsOf } from './pages.ts';

test.each(RUN_PAGES)('every block of %s is to be run, written to a file, or says why it is not', (page) => {
  expect(stepsOf(page).some((step) => 'run' in step)).toBe(true);
});

test.each(RUN_PAGES)('the objects of %s are such as are accepted', (page) => {
  const files = stepsOf(page).flatMap((step) => ('write' in step ? [step.write] : []));
  for (const object of files.flatMap((text) => parseAllDocuments(text).map((each) => each.toJS() as KubeObject))) {
    const kind = ALL_KINDS.find((each) => each.kind === object.kind && object.apiVersion.startsWith(`${each.group}/`));
    expect([object, kind ? validateObject(kind, object) : []]).toEqual([object, []]);
  }
});
