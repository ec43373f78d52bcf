// The data folder is ours only if the store says so: `secrets` in it is kept exact by deleting.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sqliteStorage, storeFile } from '../cluster/sqlite-storage.ts';
import { openDataFolder } from './data-folder.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'data-folder-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

test('a folder with other things in it, but no Secrets, is taken', () => {
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  expect(openDataFolder(folder)).toMatchObject({ path: folder, secrets: join(folder, 'secrets') });
});

test("somebody else's folder of secrets is refused", () => {
  mkdirSync(join(folder, 'secrets'));
  expect(() => openDataFolder(folder)).toThrow(`the data folder ${folder} has a folder "secrets" but no store`);
});

test('our own from before is taken again', () => {
  openDataFolder(folder);
  sqliteStorage(storeFile(folder)).close();
  mkdirSync(join(folder, 'secrets'));
  expect(openDataFolder(folder).path).toBe(folder);
});
