// The leaves of a kind's spec: every field that users write and that holds no further fields.
import type { Kind } from '../../src/api/kind.ts';
import { plainSchema, type SchemaNode } from '../../scripts/generate/schema.ts';

export interface Leaf {
  /** `spec.acme.orderDuration`, `spec.profiles[].name`; a list of scalars and a map are leaves themselves. */
  path: string;
  /** Values of an enumeration, of the field itself or of the entries of its list. */
  words: readonly unknown[];
}

export function leavesOf(kind: Kind): Leaf[] {
  const spec = kind.schema && plainSchema(kind.schema).properties?.spec;
  if (!spec) throw new Error(`${kind.kind} has no spec`);
  return leavesBelow(spec, 'spec');
}

function leavesBelow(node: SchemaNode, path: string): Leaf[] {
  const inner = node.items ?? node;
  if (!inner.properties) return [{ path, words: inner.enum ?? [] }];
  const prefix = node.items ? `${path}[]` : path;
  return Object.entries(inner.properties).flatMap(([name, child]) => leavesBelow(child, `${prefix}.${name}`));
}
