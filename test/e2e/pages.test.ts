import { expect, test } from 'vitest';
import { RUN_PAGES } from './run-pages.ts';
import { stepsOf } from './pages.ts';

test.each(RUN_PAGES)('every block of %s is to be run, written to a file, or says why it is not', (page) => {
  expect(stepsOf(page).some((step) => 'run' in step)).toBe(true);
});
