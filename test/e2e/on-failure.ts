// Prints the state of the cluster at the moment at which a test fails.
import { beforeEach } from 'vitest';
import { diagnosis } from './diagnosis.ts';
import { readSession } from './session.ts';

beforeEach(({ onTestFailed }) => {
  onTestFailed(async ({ task }) => {
    console.log(`==== ${task.name}: the cluster as it failed${await diagnosis(readSession().kubeconfig)}\n====`);
  });
});
