// What the Dockerfile promises: Node new enough, and an image that runs as nobody, from one file.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
const instructions = dockerfile
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => /^[A-Z]/.test(line));
const last = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')));

/** Below it Node decodes Brotli unsafely (CVE-2026-111497). */
const SAFE = [24, 22, 1];

test('the default base is an official Node, named by its full version, that is safe', () => {
  const [, major, minor, patch] =
    /^ARG NODE_IMAGE=docker\.io\/library\/node:(\d+)\.(\d+)\.(\d+)-[a-z]+-slim$/m.exec(dockerfile) ?? [];
  const version = [major, minor, patch].map(Number);
  const different = version.findIndex((part, index) => part !== SAFE[index]);
  expect(version.every(Number.isInteger)).toBe(true);
  expect(different === -1 || (version[different] ?? 0) > (SAFE[different] ?? 0), version.join('.')).toBe(true);
  expect(version[0]).toBe(24);
});

test('every base is an argument', () => {
  const bases = instructions.filter((line) => line.startsWith('FROM '));
  expect(bases).toEqual(['FROM ${NODE_IMAGE} AS node', 'FROM scratch']);
});

test('the image runs the one file as a user without a name, and nothing is run in it while it is made', () => {
  expect(last.filter((line) => line.startsWith('RUN '))).toEqual([]);
  expect(last).toContain('USER 65532:65532');
  expect(last).toContain('ENTRYPOINT ["/usr/local/bin/node", "/app/countersign.mjs"]');
  expect(last.filter((line) => line.startsWith('COPY '))).toEqual(['COPY --from=node /rootfs /', 'COPY dist /app']);
});

test('nothing goes to the builder but what the Dockerfile copies', () => {
  const sent = readFileSync(join(ROOT, '.dockerignore'), 'utf8').trim().split('\n');
  expect(sent).toEqual(['*', '!dist', '!scripts/image/rootfs.sh']);
});
