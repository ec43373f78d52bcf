// Where the embedded store keeps its objects between runs.

/** One object as kept: its JSON, and who owns which fields (JSON), if any were applied. */
export interface StoredRow {
  /** `<plural>.<group>`, or the plural alone for core kinds. */
  kind: string;
  namespace: string;
  name: string;
  object: string;
  owners: string | undefined;
}

export type RowChange =
  | { kind: string; namespace: string; name: string; object: string; owners: string | undefined }
  | { kind: string; namespace: string; name: string; object: undefined };

export interface Storage {
  /** What was kept, and the highest resourceVersion ever given out (0 for a fresh store). Throws an Error that names the file and its fault. */
  load(): { resourceVersion: number; rows: Iterable<StoredRow> };
  /** All of it or nothing, and durable on return. Undefined for a store that keeps nothing beyond the process. */
  readonly commit: ((changes: readonly RowChange[], resourceVersion: number) => void) | undefined;
  close(): void;
}

/** Keeps nothing: the objects live as long as the process. */
export function memoryStorage(): Storage {
  return { load: () => ({ resourceVersion: 0, rows: [] }), commit: undefined, close: () => {} };
}
