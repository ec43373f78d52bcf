import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

test('docs/audit.md has every event of the audit log, and no other', () => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT }).filter((path) => !path.endsWith('.test.ts'));
  const recorded = sources.flatMap((path) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(/\baudit\.record\(\s*'([^']+)'/g)].map(([, event]) => event),
  );
  const page = readFileSync(join(ROOT, 'docs/audit.md'), 'utf8');
  const told = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, event]) => event).filter((event) => event !== 'audit');
  expect(recorded.length).toBeGreaterThan(10);
  expect(told).toHaveLength(new Set(told).size);
  expect(new Set(told)).toEqual(new Set(recorded));
});
