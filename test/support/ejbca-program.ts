// Tests that need the double of EJBCA.
import process from 'node:process';
import { describe, test } from 'vitest';
import { ejbcaProgram } from './ejbca-double.ts';

/** Without the double the block is a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. */
export function describeWithEjbca(title: string, tests: () => void): void {
  describe(title, () => {
    const program = ejbcaProgram();
    if (!('missing' in program)) tests();
    else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
      test(program.missing, () => {
        throw new Error(program.missing);
      });
    } else test.skip(program.missing, () => {});
  });
}
