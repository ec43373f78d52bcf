// Keeps the embedded store as a folder of manifests says, while people edit it. What a manifest created goes when the manifest
// goes; what is wrong is reported and leaves the last good object in place.
import { type FSWatcher, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { SecretKind } from '../api/core.ts';
import { CAIssuerKind, type Issuer } from '../api/issuer.ts';
import type { Kind, KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { Clock, Cluster } from '../ports.ts';
import {
  loadManifests,
  type Manifest,
  MANIFEST_KINDS,
  manifestFiles,
  manifestName,
  type Manifests,
  renderManifestError,
} from './manifest-files.ts';

/** On objects that a manifest created: the name of its file. */
const MANIFEST_ANNOTATION = 'countersign.dev/manifest';
const FIELD_MANAGER = 'countersign-manifests';
/** Editors write a file in several steps. */
const DEBOUNCE_MS = 100;
/** For file systems that tell nothing of changes. */
const RESCAN_MS = 2000;

export interface ManifestDeps {
  folder: string;
  cluster: Pick<Cluster, 'get' | 'list' | 'apply' | 'delete'>;
  clock: Pick<Clock, 'sleep'>;
  signal: AbortSignal;
  /** One line for people. */
  report: (text: string) => void;
  /** Namespace of the operator, where the Secrets of issuers are. */
  namespace: string;
}

export interface WatchedManifests {
  /** Objects of the folder that are in the store. */
  count: number;
  /** Mistakes found and reported in the first pass. */
  errors: number;
  /** Resolves once the signal has aborted and nothing is being applied any more. */
  done: Promise<void>;
}

/** Applies the folder once, then on every change until the signal aborts. Throws when the folder cannot be read at first. */
export async function watchManifests(deps: ManifestDeps): Promise<WatchedManifests> {
  let seen = fingerprint(deps.folder);
  const first = await applyFolder(deps);
  return { ...first, done: follow(deps, first.complete ? seen : '') };

  async function follow({ folder, clock, signal, report }: ManifestDeps, from: string): Promise<void> {
    seen = from;
    const changes = folderChanges(deps);
    while (!signal.aborted) {
      await changes.next();
      const now = fingerprint(folder);
      if (signal.aborted || now === seen) continue;
      await clock.sleep(DEBOUNCE_MS, signal).catch(() => {});
      if (signal.aborted) break;
      seen = fingerprint(folder);
      try {
        if (!(await applyFolder(deps)).complete) seen = '';
      } catch (error) {
        report(messageOf(error));
      }
    }
    changes.close();
  }
}

/** Changes whenever a file comes, goes or is written; empty while the folder cannot be read. */
function fingerprint(folder: string): string {
  try {
    return JSON.stringify(
      manifestFiles(folder).map((file) => {
        const found = statSync(join(folder, file), { throwIfNoEntry: false });
        return [file, found?.mtimeMs, found?.size, found?.ino];
      }),
    );
  } catch {
    return 'unreadable';
  }
}

/** `next` resolves when the folder may have changed, at the latest after RESCAN_MS, and at once when aborted. */
function folderChanges({ folder, clock, signal }: ManifestDeps): { next: () => Promise<void>; close: () => void } {
  let wake: () => void = () => {};
  let changed = false;
  const notice = (): void => {
    changed = true;
    wake();
  };
  const watcher = watcherOf(folder, notice);
  return {
    next: async () => {
      const enough = new AbortController();
      const event = new Promise<void>((resolve) => {
        wake = resolve;
        if (changed) resolve();
      });
      const pause = clock.sleep(RESCAN_MS, AbortSignal.any([signal, enough.signal])).catch(() => {});
      await Promise.race([event, pause]);
      enough.abort();
      changed = false;
    },
    close: () => watcher?.close(),
  };
}

/** Undefined where the system offers none: the rescan remains. */
function watcherOf(folder: string, notice: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, notice);
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}

interface Applied {
  count: number;
  errors: number;
  /** False when the store could not answer: the same files are to be applied again. */
  complete: boolean;
}

async function applyFolder(deps: ManifestDeps): Promise<Applied> {
  const loaded = loadManifests(deps.folder);
  const result: Applied = { count: 0, errors: loaded.errors.length, complete: true };
  for (const error of loaded.errors) deps.report(renderManifestError(error));
  for (const manifest of loaded.manifests) {
    try {
      await applyManifest(deps, manifest);
      result.count++;
    } catch (error) {
      result.errors++;
      reportRefusal(deps, manifest, error);
      if (!(error instanceof ClusterError) || error.reason === 'Unavailable') result.complete = false;
    }
  }
  if (!(await removeAbandoned(deps, loaded, result))) result.complete = false;
  return result;
}

function reportRefusal({ report }: ManifestDeps, manifest: Manifest, error: unknown): void {
  const { file, document } = manifest;
  const fields = error instanceof ClusterError ? error.fields : [];
  for (const field of fields) report(renderManifestError({ file, document, ...field }));
  if (fields.length === 0) report(renderManifestError({ file, document, path: '', message: messageOf(error) }));
}

async function applyManifest({ cluster, report }: ManifestDeps, manifest: Manifest): Promise<void> {
  const { kind, object, file } = manifest;
  const before = await cluster.get(kind, refOf(object.metadata));
  // Only what a manifest created is a manifest's to delete.
  const ours = !before || before.metadata.annotations?.[MANIFEST_ANNOTATION] !== undefined;
  const annotations = { ...object.metadata.annotations, ...(ours ? { [MANIFEST_ANNOTATION]: file } : {}) };
  const metadata = { ...object.metadata, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) };
  const after = await cluster.apply(kind, { ...object, metadata }, { fieldManager: FIELD_MANAGER });
  if (!before) report(`created ${manifestName(manifest)} (${file})`);
  else if (before.metadata.resourceVersion !== after.metadata.resourceVersion)
    report(`changed ${manifestName(manifest)} (${file})`);
}

/** Deletes what manifests created and no manifest holds any more. False when the store could not answer. */
async function removeAbandoned(deps: ManifestDeps, loaded: Manifests, { errors }: Applied): Promise<boolean> {
  const wanted = new Set([...loaded.manifests.map(manifestName), ...loaded.broken]);
  try {
    const abandoned = await abandonedObjects(deps, wanted);
    if (abandoned.length === 0) return true;
    // A broken document may be the one that held it.
    if (errors > 0) {
      const names = abandoned.map(manifestName).join(', ');
      deps.report(`kept ${names}, no longer in any manifest, until the mistakes above are mended`);
      return true;
    }
    const kept = await issuerSecrets(deps);
    for (const each of abandoned) await removeObject(deps, each, kept);
    return true;
  } catch (error) {
    deps.report(`could not remove what has no manifest any more: ${messageOf(error)}`);
    return false;
  }
}

type Found = { kind: Kind; object: KubeObject };

/** In the order in which to delete them. */
async function abandonedObjects({ cluster }: ManifestDeps, wanted: ReadonlySet<string>): Promise<Found[]> {
  const found: Found[] = [];
  for (const kind of MANIFEST_KINDS.toReversed()) {
    const { items } = await cluster.list(kind);
    for (const object of items) {
      const ours = object.metadata.annotations?.[MANIFEST_ANNOTATION] !== undefined;
      if (ours && !wanted.has(manifestName({ kind, object }))) found.push({ kind, object });
    }
  }
  return found;
}

/** The Secrets that hold keys and chains of CAs, as namespace/name. */
async function issuerSecrets({ cluster, namespace: operator }: ManifestDeps): Promise<Set<string>> {
  const lists = await Promise.all([cluster.list(ClusterCAIssuerKind), cluster.list(CAIssuerKind)]);
  const issuers: Issuer[] = lists.flatMap(({ items }) => items);
  return new Set(
    issuers.flatMap(({ metadata: { namespace = operator }, spec: { backend } }) => {
      const { secretRef, passphraseSecretRef, alternateChains = [] } = backend.ca ?? {};
      const refs = [secretRef, passphraseSecretRef, ...alternateChains];
      return refs.flatMap((ref) => (ref ? [`${namespace}/${ref.name}`] : []));
    }),
  );
}

async function removeObject(deps: ManifestDeps, found: Found, kept: ReadonlySet<string>): Promise<void> {
  const { kind, object } = found;
  const { namespace, name, uid } = object.metadata;
  // A CA's key outlives its manifest: a slip in the folder must not end a CA.
  if (kind === SecretKind && kept.has(`${namespace}/${name}`)) {
    deps.report(`kept ${manifestName(found)}: it belongs to a CA`);
    return;
  }
  await deps.cluster.delete(kind, refOf(object.metadata), { uid });
  deps.report(`deleted ${manifestName(found)}: it is in no manifest any more`);
}

function refOf({ namespace, name }: { namespace?: string; name: string }): { namespace?: string; name: string } {
  return namespace === undefined ? { name } : { namespace, name };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
