// smoke
import { expect, test } from 'vitest';
import { connectCluster } from '../cluster.ts';
const cluster = connectCluster();
test('installs', async () => {
  const t = performance.now();
  await cluster.installed();
  console.log('installed', performance.now() - t);
  expect(await cluster.kubectl('get', 'pods', '-A', '-o', 'wide')).toContain('countersign');
});
