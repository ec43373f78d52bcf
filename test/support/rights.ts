// Rights as text, `<place> <verb> <resource>`, so that those declared, those used at the Cluster port and those of an audit log compare.
import type { Kind, KubeObject } from '../../src/api/kind.ts';
import type { Place, Right, Verb } from '../../src/api/right.ts';
import type { Cluster } from '../../src/ports.ts';

export function declaredRights(rights: readonly Right[]): Set<string> {
  const all = rights.flatMap(({ kind, subresource, verbs, in: places }) =>
    places.flatMap((place) => verbs.map((verb) => renderRight(place, verb, { ...kind, subresource }))),
  );
  return new Set(all);
}

interface Resource {
  plural: string;
  group: string;
  subresource?: string | undefined;
}

export function renderRight(place: Place, verb: string, { plural, group, subresource }: Resource): string {
  return `${place} ${verb} ${plural}${group === '' ? '' : `.${group}`}${subresource ? `/${subresource}` : ''}`;
}

/** Where a request goes. One for a namespaced kind in no namespace is for those that are served, and takes the operator's in. */
export function placesOf(namespaced: boolean, namespace: string | undefined, operator: string): Place[] {
  if (!namespaced) return ['cluster'];
  if (namespace === undefined) return ['tenants', 'operator'];
  return [namespace === operator ? 'operator' : namespace === 'default' ? 'default' : 'tenants'];
}

/** The cluster, noting in `used` what each call needs. A list of all namespaces counts for the operator's where `declared` has that. */
export function noteRights(
  cluster: Cluster,
  { used, declared, operator }: { used: Set<string>; declared: ReadonlySet<string>; operator: string },
): Cluster {
  function note(verbs: readonly Verb[], kind: Kind, namespace: string | undefined, subresource?: 'status'): void {
    const [first, ...others] = placesOf(kind.namespaced, namespace, operator).map((place) =>
      verbs.map((verb) => renderRight(place, verb, { ...kind, subresource })),
    );
    for (const right of first ?? []) used.add(right);
    for (const right of others.flat()) if (declared.has(right)) used.add(right);
  }
  const plain = <T extends KubeObject>(kind: Kind<T>) => kind as unknown as Kind;
  return {
    get: (kind, ref) => {
      note(['get'], plain(kind), ref.namespace);
      return cluster.get(kind, ref);
    },
    list: (kind, options) => {
      note(['list'], plain(kind), options?.namespace);
      return cluster.list(kind, options);
    },
    watch: (kind, options) => {
      note(['watch'], plain(kind), options.namespace);
      return cluster.watch(kind, options);
    },
    create: (kind, object) => {
      note(['create'], plain(kind), object.metadata.namespace);
      return cluster.create(kind, object);
    },
    replace: (kind, object) => {
      note(['update'], plain(kind), object.metadata.namespace);
      return cluster.replace(kind, object);
    },
    replaceStatus: (kind, object) => {
      note(['update'], plain(kind), object.metadata.namespace, 'status');
      return cluster.replaceStatus(kind, object);
    },
    delete: (kind, ref, precondition) => {
      note(['delete'], kind, ref.namespace);
      return cluster.delete(kind, ref, precondition);
    },
    apply: (kind, object, options) => {
      // Applying what is not there yet is judged as a create too.
      note(['patch', 'create'], plain(kind), object.metadata.namespace);
      return cluster.apply(kind, object, options);
    },
  };
}

/** Both ways, as sentences; empty where they agree. */
export function differences(declared: ReadonlySet<string>, used: ReadonlySet<string>): string[] {
  return [
    ...[...used].filter((right) => !declared.has(right)).map((right) => `used, not declared: ${right}`),
    ...[...declared].filter((right) => !used.has(right)).map((right) => `declared, not used: ${right}`),
  ].sort((a, b) => (a < b ? -1 : 1));
}
