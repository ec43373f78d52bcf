// The leaves of a kind's spec: every field that users write and that holds no further fields. Of its status too, where asked for.
import type { Kind } from '../../src/api/kind.ts';
import { plainSchema, type SchemaNode } from '../../scripts/generate/schema.ts';

export interface Leaf {
  /** `spec.acme.orderDuration`, `spec.profiles[].name`; a list of scalars and a map are leaves themselves. */
  path: string;
  /** Values of an enumeration, of the field itself or of the entries of its list. */
  words: readonly unknown[];
  node: SchemaNode;
  /** Whether the mapping around it must have it. */
  required: boolean;
}

export function leavesOf(kind: Kind, root: 'spec' | 'status' = 'spec'): Leaf[] {
  const node = kind.schema && plainSchema(kind.schema).properties?.[root];
  if (!node) throw new Error(`${kind.kind} has no ${root}`);
  return leavesBelow(node, root, true);
}

function leavesBelow(node: SchemaNode, path: string, required: boolean): Leaf[] {
  const inner = node.items ?? node;
  if (!inner.properties) return [{ path, words: inner.enum ?? [], node, required }];
  const prefix = node.items ? `${path}[]` : path;
  return Object.entries(inner.properties).flatMap(([name, child]) =>
    leavesBelow(child, `${prefix}.${name}`, inner.required?.includes(name) ?? false),
  );
}
