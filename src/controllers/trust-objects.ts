// The objects in which trust is published: found again by a label, ours only by the mark, written when they differ, deleted when nobody
// wants them.
import { isDeepStrictEqual } from 'node:util';
import { type ClusterTrustBundle, clusterTrustBundleKind } from '../api/foreign.ts';
import type { Kind, KubeObject } from '../api/kind.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cluster } from '../ports.ts';
import type { Marks } from './claim-secret.ts';
import { keptFor, ownMark } from './own-mark.ts';

const LABELS = { 'countersign.dev/publishes': 'trust' };
const PURPOSE = 'trust';

export interface Wanted {
  /** uid of the issuer. */
  issuerUID: string;
  namespace?: string;
  name: string;
  /** All of the object besides its metadata. */
  content: Readonly<Record<string, unknown>>;
}

export interface TrustObjectsDeps {
  cluster: Pick<Cluster, 'get' | 'list' | 'create' | 'replace' | 'delete'>;
  marks: Marks;
  /** The namespaces that are served; all when absent. */
  tenants?: readonly string[];
}

export interface TrustObjects {
  /** Makes objects of the kind those that are wanted; gives the ones that somebody else has. */
  bring<T extends KubeObject>(kind: Kind<T>, wanted: readonly Wanted[]): Promise<readonly Wanted[]>;
  /** The kind in the version that the API server has, if any. */
  bundleKind(): Promise<Kind<ClusterTrustBundle> | undefined>;
}

const placeOf = ({ namespace = '', name }: { namespace?: string; name: string }): string => `${namespace}/${name}`;

export function createTrustObjects(deps: TrustObjectsDeps): TrustObjects {
  const { cluster, marks } = deps;
  return {
    bring: async (kind, wanted) => {
      const there = new Map((await existing(deps, kind)).map((object) => [placeOf(object.metadata), object]));
      const foreign: Wanted[] = [];
      for (const each of wanted) {
        const isKept = await keep(deps, kind, { wanted: each, listed: there.get(placeOf(each)) });
        if (!isKept) foreign.push(each);
        there.delete(placeOf(each));
      }
      for (const { metadata } of there.values()) {
        if (keptFor(marks, PURPOSE, { metadata }) === undefined) continue;
        const { uid, resourceVersion } = metadata;
        await cluster.delete(kind, metadata, { uid, resourceVersion });
      }
      return foreign;
    },
    bundleKind: () => bundleKind(deps),
  };
}

/** With our label, whoever put it there. */
async function existing<T extends KubeObject>(
  { cluster, tenants }: TrustObjectsDeps,
  kind: Kind<T>,
): Promise<readonly T[]> {
  if (!tenants || !kind.namespaced) return (await cluster.list(kind, { labels: LABELS })).items;
  const lists = await Promise.all(tenants.map((namespace) => cluster.list(kind, { namespace, labels: LABELS })));
  return lists.flatMap(({ items }) => items);
}

/** False where somebody else has the object. */
async function keep<T extends KubeObject>(
  { cluster, marks }: TrustObjectsDeps,
  kind: Kind<T>,
  { wanted, listed }: { wanted: Wanted; listed: T | undefined },
): Promise<boolean> {
  const { namespace, name, issuerUID, content } = wanted;
  const ref = { ...(namespace === undefined ? {} : { namespace }), name };
  // Without its label it is not in the list, and may be there all the same.
  const found = listed ?? (await cluster.get(kind, ref));
  const annotations = ownMark(marks, PURPOSE, ref, issuerUID);
  const any: Kind = kind;
  if (!found) {
    const made = { metadata: { ...ref, labels: LABELS, annotations }, ...content };
    await cluster.create(any, made);
    return true;
  }
  if (keptFor(marks, PURPOSE, found) === undefined) return false;
  const { metadata, apiVersion, kind: word, ...body } = found;
  const labels = { ...metadata.labels, ...LABELS };
  // A mark of an older key is made anew: nothing else keeps that key from being dropped, and the mark with it.
  const next = { ...metadata, labels, annotations: { ...metadata.annotations, ...annotations } };
  if (isDeepStrictEqual(plain([metadata, body]), plain([next, content]))) return true;
  await cluster.replace(any, { apiVersion, kind: word, metadata: next, ...content });
  return true;
}

async function bundleKind({
  cluster,
}: Pick<TrustObjectsDeps, 'cluster'>): Promise<Kind<ClusterTrustBundle> | undefined> {
  for (const version of ['v1', 'v1beta1'] as const) {
    const kind = clusterTrustBundleKind(version);
    try {
      await cluster.list(kind, { labels: LABELS, limit: 1 });
      return kind;
    } catch (error) {
      if (!isClusterError(error, 'NotFound')) throw error;
    }
  }
  return undefined;
}

/** As it goes over the wire. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
