// Objects reduced to their metadata, for kinds of metadataOf, the same in every adapter.
import type { Kind, KubeObject, ObjectMeta } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import type { WatchEvent } from '../ports.ts';

/** Repeats the whole object as kubectl sent it: of a Secret, its values. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The object as its kind shows it. */
export function asSeen<T extends KubeObject>(kind: Kind<T>, object: KubeObject): T {
  return (kind.metadataOnly ? metadataAlone(object) : object) as T;
}

export function eventsAsSeen<T extends KubeObject>(
  kind: Kind<T>,
  events: AsyncIterable<WatchEvent<KubeObject>>,
): AsyncIterable<WatchEvent<T>> {
  return kind.metadataOnly ? seenEvents(kind, events) : (events as AsyncIterable<WatchEvent<T>>);
}

async function* seenEvents<T extends KubeObject>(
  kind: Kind<T>,
  events: AsyncIterable<WatchEvent<KubeObject>>,
): AsyncGenerator<WatchEvent<T>> {
  for await (const event of events)
    yield event.type === 'BOOKMARK' ? event : { type: event.type, object: asSeen(kind, event.object) };
}

function metadataAlone({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  return Object.freeze({ apiVersion, kind, metadata: withoutLastApplied(metadata) });
}

function withoutLastApplied(metadata: ObjectMeta): ObjectMeta {
  if (metadata.annotations?.[LAST_APPLIED] === undefined) return metadata;
  const { annotations, ...rest } = metadata;
  const { [LAST_APPLIED]: _dropped, ...others } = annotations;
  return Object.freeze(
    Object.keys(others).length === 0 ? rest : { ...rest, annotations: Object.freeze(others) },
  ) as ObjectMeta;
}

/** Throws Invalid: what was read without its body cannot be written back. */
export function mustHaveBody(kind: Kind): void {
  if (kind.metadataOnly)
    throw new ClusterError('Invalid', `${kind.kind} was asked for by its metadata: it cannot be written`);
}
