import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // A wait that runs into this limit is a failure; nothing in the suite asserts on wall-clock time.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // Many files wait for processes rather than compute: two side by side even on two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
