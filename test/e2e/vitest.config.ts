// For run.ts: the suites that it names, one after another and in its order, on the one cluster.
import { join } from 'node:path';
import process from 'node:process';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const suites = (process.env['COUNTERSIGN_E2E_SUITES'] ?? '').split(',');
const fileOf = (suite: string) => join(import.meta.dirname, 'suites', `${suite}.e2e.ts`);

class GivenOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = new Map(suites.map((suite, i) => [fileOf(suite), i]));
    return files.toSorted((a, b) => (place.get(a.moduleId) ?? 0) - (place.get(b.moduleId) ?? 0));
  }
}

export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: suites.map(fileOf),
    setupFiles: [join(import.meta.dirname, 'on-failure.ts')],
    testTimeout: 600_000,
    hookTimeout: 900_000,
    fileParallelism: false,
    sequence: { sequencer: GivenOrder },
    disableConsoleIntercept: true,
  },
});
