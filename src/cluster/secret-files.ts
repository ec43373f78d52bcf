// Secrets as files, for programs on the same machine: `<folder>/<namespace>/<name>/<key>`, each written whole or not at all.
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Secret, SecretKind } from '../api/core.ts';
import type { Clock, Cluster } from '../ports.ts';
import { makePrivateFolder } from './private-folder.ts';

/** A Secret of another type is mirrored when it carries this label, whatever its value. */
export const FILES_LABEL = 'countersign.dev/files';
const RETRY_MS = 2000;
/** As Kubernetes names objects and keys; what is joined to a path must be one step of it. */
const STEP = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$|^\.[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

export interface SecretFilesDeps {
  cluster: Pick<Cluster, 'list' | 'watch'>;
  clock: Pick<Clock, 'sleep'>;
  folder: string;
  signal: AbortSignal;
  /** One line for people. */
  report: (text: string) => void;
}

/**
 * Makes the folder hold exactly the Secrets of type kubernetes.io/tls and those with FILES_LABEL, then keeps it so until the signal
 * aborts, when `done` resolves. Folders are 0700, files 0600. What cannot be written is reported and tried again.
 */
export async function mirrorSecrets(deps: SecretFilesDeps): Promise<{ done: Promise<void> }> {
  const from = await attempt(deps, () => mirrorAll(deps));
  return { done: follow(deps, from) };
}

async function follow(deps: SecretFilesDeps, from: string | undefined): Promise<void> {
  const { clock, signal } = deps;
  let version = from;
  while (!signal.aborted) {
    if (version === undefined) await clock.sleep(RETRY_MS, signal).catch(() => {});
    if (signal.aborted) return;
    version ??= await attempt(deps, () => mirrorAll(deps));
    const resourceVersion = version;
    if (resourceVersion !== undefined) await attempt(deps, () => mirrorChanges(deps, resourceVersion));
    // Whatever ended the watch, all is compared again.
    version = undefined;
  }
}

/** Undefined, and a report, for what failed. */
async function attempt<R>({ report, signal }: SecretFilesDeps, work: () => Promise<R>): Promise<R | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!signal.aborted) report(`Secrets as files: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** The version as of which the folder is exact. */
async function mirrorAll({ cluster, folder }: SecretFilesDeps): Promise<string> {
  const { items, resourceVersion } = await cluster.list(SecretKind);
  const mirrored = items.filter(isMirrored);
  const wanted = new Set(mirrored.map((secret) => folderOf(folder, secret)));
  for (const namespace of entriesOf(folder)) {
    for (const name of entriesOf(join(folder, namespace))) {
      const path = join(folder, namespace, name);
      if (!wanted.has(path)) rmSync(path, { recursive: true, force: true });
    }
    removeIfEmpty(join(folder, namespace));
  }
  for (const secret of mirrored) writeSecret(folder, secret);
  return resourceVersion;
}

async function mirrorChanges({ cluster, folder, signal }: SecretFilesDeps, resourceVersion: string): Promise<void> {
  for await (const event of cluster.watch(SecretKind, { resourceVersion, signal })) {
    if (event.type === 'BOOKMARK') continue;
    if (event.type !== 'DELETED' && isMirrored(event.object)) writeSecret(folder, event.object);
    else removeSecret(folder, event.object);
  }
}

function isMirrored({ type, metadata }: Secret): boolean {
  const { namespace, name, labels } = metadata;
  if (type !== 'kubernetes.io/tls' && labels?.[FILES_LABEL] === undefined) return false;
  return namespace !== undefined && STEP.test(namespace) && STEP.test(name);
}

function folderOf(folder: string, { metadata }: Secret): string {
  return join(folder, metadata.namespace ?? '', metadata.name);
}

/** Keys first: a certificate that is newer than its key would not load, and readers look at the certificate for news. */
function writeSecret(folder: string, secret: Secret): void {
  const path = folderOf(folder, secret);
  const files = Object.entries(secret.data ?? {})
    .filter(([key]) => STEP.test(key))
    .toSorted(([a], [b]) => Number(b.endsWith('.key')) - Number(a.endsWith('.key')));
  if (existsSync(path) && !lstatSync(path).isDirectory()) rmSync(path);
  makePrivateFolder(path);
  for (const [key, value] of files) writeWhole(path, key, Buffer.from(value, 'base64'));
  const keys = new Set(files.map(([key]) => key));
  for (const name of entriesOf(path)) {
    if (!keys.has(name)) rmSync(join(path, name), { recursive: true, force: true });
  }
}

function writeWhole(folder: string, key: string, content: Buffer): void {
  const file = join(folder, key);
  if (isSame(file, content)) return;
  // No key begins with two dots, so no key is another's unfinished file.
  const unfinished = join(folder, `..${key}`);
  rmSync(unfinished, { recursive: true, force: true });
  writeFileSync(unfinished, content, { mode: 0o600, flag: 'wx', flush: true });
  renameSync(unfinished, file);
}

function isSame(file: string, content: Buffer): boolean {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isFile()) return (found.mode & 0o777) === 0o600 && readFileSync(file).equals(content);
  rmSync(file, { recursive: true });
  return false;
}

function removeSecret(folder: string, secret: Secret): void {
  const { namespace, name } = secret.metadata;
  if (namespace === undefined || !STEP.test(namespace) || !STEP.test(name)) return;
  rmSync(folderOf(folder, secret), { recursive: true, force: true });
  removeIfEmpty(join(folder, namespace));
}

function entriesOf(path: string): string[] {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(path) : [];
}

function removeIfEmpty(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found && !found.isDirectory()) rmSync(path);
  else if (found && readdirSync(path).length === 0) rmdirSync(path);
}
