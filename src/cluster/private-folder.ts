// Folders and files that hold keys: for their owner's eyes only.
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes the folder and its missing parents, mode 0700; leaves existing ones as they are. */
export function makePrivateFolder(path: string): void {
  if (existsSync(path)) return;
  // Step by step, because a recursive mkdir of Node never returns where the kernel refuses with ENOENT, as under /proc.
  makePrivateFolder(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}
