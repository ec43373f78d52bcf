// Statuses are written when they change and never otherwise.
import { isDeepStrictEqual } from 'node:util';
import type { Kind, KubeObject } from '../api/kind.ts';
import type { Cluster } from '../ports.ts';

/** Writes the status unless the object has it already. Conflict where the object is not the current one. Resolves with what it wrote. */
export async function writeStatus<T extends KubeObject & { status?: unknown }>(
  cluster: Pick<Cluster, 'replaceStatus'>,
  kind: Kind<T>,
  object: T,
  status: NonNullable<T['status']>,
): Promise<T | undefined> {
  if (isDeepStrictEqual(plain(object.status ?? {}), plain(status))) return undefined;
  return cluster.replaceStatus(kind, { ...object, status });
}

/** As it goes over the wire: without undefined members, whatever its prototypes. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** RFC 3339 in whole seconds, the form of times in a status. */
export function instant(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
