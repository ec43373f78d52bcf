// The embedded store's file: one SQLite table in WAL mode. A commit is there or not, whatever ends the process or the power.
//
// synchronous=FULL, not NORMAL: a certificate is handed out once its record is committed, and under NORMAL a power cut may undo
// the last commits, which would leave live certificates that nobody can list or revoke. Commits are shared by all writes of a turn
// of the event loop, so the cost is one fsync for many of them.
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { KubeObject } from '../api/kind.ts';
import { makePrivateFolder } from './private-folder.ts';
import type { RowChange, Storage, StoredRow } from './storage.ts';

/** "CSGN": tells our files from other SQLite files. */
const APPLICATION_ID = 0x4353474e;
/** Advances when older programs could not read the file. */
const FORMAT = 1;
/** The row that holds the highest resourceVersion given out; its kind is no kind's. */
const VERSION_ROW = { kind: '', namespace: '', name: 'resourceVersion' };
const LOCK_WAIT_MS = 5000;

/** The store's file in a data folder. */
export function storeFile(dataFolder: string): string {
  return join(dataFolder, 'store.sqlite');
}

/**
 * Opens or makes the file (0600, in a folder of 0700) and holds it against other writers until `close`. Throws an Error that names the
 * file when it is held already, cannot be opened, is corrupt, foreign or of a newer format.
 */
export function sqliteStorage(file: string): Storage {
  const lock = writerLock(file);
  try {
    const database = opened(file, false);
    return storageOf(file, database, lock);
  } catch (error) {
    lock.close();
    throw error;
  }
}

/**
 * Objects of a kind (`<plural>.<group>`) that the file holds as of now, by namespace and name, while another process may be writing.
 * Throws as sqliteStorage; never changes the file.
 */
export function readStore(file: string, kind: string): KubeObject[] {
  const database = opened(file, true);
  try {
    return told(file, () => {
      const query = database.prepare('SELECT object FROM objects WHERE kind = ? ORDER BY namespace, name');
      return query.all(kind).map((row) => JSON.parse(String(row.object)) as KubeObject);
    });
  } finally {
    database.close();
  }
}

function storageOf(file: string, database: DatabaseSync, lock: DatabaseSync): Storage {
  const statements = told(file, () => ({
    put: database.prepare(
      'INSERT OR REPLACE INTO objects (kind, namespace, name, object, owners) VALUES (?, ?, ?, ?, ?)',
    ),
    remove: database.prepare('DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?'),
  }));
  return {
    load: () => told(file, () => ({ resourceVersion: versionOf(database), rows: rowsOf(database) })),
    commit(changes, resourceVersion) {
      const { kind, namespace, name } = VERSION_ROW;
      database.exec('BEGIN IMMEDIATE');
      try {
        for (const change of changes) write(statements, change);
        statements.put.run(kind, namespace, name, String(resourceVersion), null);
        database.exec('COMMIT');
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    },
    close() {
      database.close();
      lock.close();
    },
  };
}

function write(statements: { put: StatementSync; remove: StatementSync }, change: RowChange): void {
  const { kind, namespace, name } = change;
  if (change.object === undefined) statements.remove.run(kind, namespace, name);
  else statements.put.run(kind, namespace, name, change.object, change.owners ?? null);
}

function versionOf(database: DatabaseSync): number {
  const row = database.prepare("SELECT object FROM objects WHERE kind = '' AND name = 'resourceVersion'").get();
  return row === undefined ? 0 : Number(row.object);
}

function rowsOf(database: DatabaseSync): StoredRow[] {
  const rows = database.prepare("SELECT kind, namespace, name, object, owners FROM objects WHERE kind <> ''").all();
  return rows.map(({ kind, namespace, name, object, owners }) => ({
    kind: String(kind),
    namespace: String(namespace),
    name: String(name),
    object: String(object),
    owners: owners === null ? undefined : String(owners),
  }));
}

function opened(file: string, readOnly: boolean): DatabaseSync {
  // The folder holds CA keys, and SQLite gives its side files the mode of the file.
  if (!readOnly) told(file, () => closeSync(openSync(file, 'a', 0o600)));
  const database = told(file, () => new DatabaseSync(file, { readOnly, timeout: LOCK_WAIT_MS }));
  try {
    told(file, () => {
      if (!readOnly) database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
      checkFormat(file, database, readOnly);
    });
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Throws for a file that is not ours to read; makes the table in an empty one. */
function checkFormat(file: string, database: DatabaseSync, readOnly: boolean): void {
  const id = pragma(database, 'application_id');
  const format = pragma(database, 'user_version');
  const tables = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get()?.count;
  if (tables === 0 && id === 0 && !readOnly) {
    database.exec(`BEGIN IMMEDIATE;
      CREATE TABLE objects (
        kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, object TEXT NOT NULL, owners TEXT,
        PRIMARY KEY (kind, namespace, name)
      ) STRICT;
      PRAGMA application_id = ${APPLICATION_ID};
      PRAGMA user_version = ${FORMAT};
      COMMIT`);
    return;
  }
  if (id !== APPLICATION_ID) throw new StoreFault(file, 'it is no Countersign store');
  if (format > FORMAT)
    throw new StoreFault(file, `a newer Countersign wrote it (format ${format}, this one reads up to ${FORMAT})`);
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}

/**
 * An exclusive lock on a file beside the store, held by an open transaction. The operating system lets go of it when the process
 * ends in any way, and readers of the store itself are not held up.
 */
function writerLock(file: string): DatabaseSync {
  const path = `${file}.lock`;
  told(file, () => {
    makePrivateFolder(dirname(file));
    closeSync(openSync(path, 'a', 0o600));
  });
  const lock = told(path, () => new DatabaseSync(path, { timeout: 0 }));
  try {
    told(file, () => lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE'));
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

class StoreFault extends Error {
  constructor(file: string, fault: string) {
    super(`cannot use the store ${file}: ${fault}`);
    this.name = 'StoreFault';
  }
}

/** SQLite's primary result codes, as people understand them. */
const FAULTS: Readonly<Record<number, string>> = {
  5: 'another process is using it; stop that one first, or choose another data folder',
  8: 'it cannot be written',
  11: 'it is corrupt; restore it from a copy, or move it away to start anew',
  13: 'the disk is full',
  14: 'it cannot be opened',
  26: 'it is no Countersign store, or it is corrupt',
};

/** Does it, and turns what goes wrong into an Error that names the file. */
function told<R>(file: string, action: () => R): R {
  try {
    return action();
  } catch (error) {
    if (error instanceof StoreFault) throw error;
    const code = (error as { errcode?: unknown }).errcode;
    const fault = typeof code === 'number' ? FAULTS[code & 0xff] : undefined;
    throw new StoreFault(file, fault ?? (error instanceof Error ? error.message : String(error)));
  }
}
