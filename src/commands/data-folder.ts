// The folder of `countersign dev`: the store and the files that people and clients read.
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { storeFile } from '../cluster/sqlite-storage.ts';
import type { LineSink } from '../telemetry/log.ts';

export interface DataFolder {
  /** Absolute. */
  path: string;
  /** Of the Secrets as files: what else is in it is deleted. */
  secrets: string;
  /** Writes the file whole or not at all, readable by all; returns its absolute path. */
  publish(name: string, content: string): string;
  /** Lines appended to a file of the folder, readable by the owner alone. */
  lines(name: string): LineSink & { close(): void };
  /** Removes what a --memory run leaves behind; nothing otherwise. */
  close(): void;
}

/** A temporary folder when `path` is undefined. Throws an Error that names the folder where it cannot be used. */
export function openDataFolder(path: string | undefined): DataFolder {
  const folder = path === undefined ? mkdtempSync(join(tmpdir(), 'countersign-')) : resolve(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    rmSync(join(folder, '.writable'), { force: true });
    writeFileSync(join(folder, '.writable'), '', { mode: 0o600 });
    rmSync(join(folder, '.writable'));
  } catch (error) {
    throw new Error(
      `the data folder ${folder} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  const secrets = join(folder, 'secrets');
  // The mirror deletes what is no Secret of the store: a folder of that name beside no store is somebody else's.
  if (existsSync(secrets) && !existsSync(storeFile(folder)))
    throw new Error(
      `the data folder ${folder} has a folder "secrets" but no store: choose another data folder, or move that folder away`,
    );
  return {
    path: folder,
    secrets,
    publish: (name, content) => {
      const file = join(folder, name);
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      writeFileSync(`${file}.new`, content, { mode: 0o644 });
      renameSync(`${file}.new`, file);
      return file;
    },
    lines: (name) => {
      const descriptor = openSync(join(folder, name), 'a', 0o600);
      return { write: (line) => void writeSync(descriptor, line), close: () => closeSync(descriptor) };
    },
    close: () => {
      if (path === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}
