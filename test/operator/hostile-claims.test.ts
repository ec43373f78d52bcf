// Hostile inputs 63 to 66, as far as claims are concerned, on the embedded store.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NamespaceKind } from '../../src/api/core.ts';
import { HOSTILE_CLAIMS } from '../support/hostile-claims.ts';
import { NAMESPACE, startOperator } from './harness.ts';

const [TENANT, OTHER] = ['shop', 'bank'];
let operator: Awaited<ReturnType<typeof startOperator>>;

beforeAll(async () => {
  operator = await startOperator();
  for (const name of [TENANT, OTHER, 'kube-system']) {
    await operator.cluster.create(NamespaceKind, { metadata: { name } }).catch(() => undefined);
  }
});

afterAll(() => operator.stop());

test.each(HOSTILE_CLAIMS.map((each) => [each.input, each.title, each] as const))(
  '%i: %s',
  async (_input, _title, { run }) => {
    await run({ cluster: operator.cluster, namespace: NAMESPACE, tenant: TENANT, other: OTHER });
  },
);

test('none of it makes a reconcile fail for want of an answer to it', () => {
  const failed = operator.lines.filter((line) => /reconcile (failed|gave up|timed out)/i.test(line));
  expect(failed.filter((line) => !line.includes('Conflict'))).toEqual([]);
});
