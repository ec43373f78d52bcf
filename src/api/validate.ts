// Validation of a whole object: metadata, schema, then the rules across fields. Every mistake at once, each with its path.
import { Compile } from 'typebox/compile';
import type { FieldError, Kind, KubeObject } from './kind.ts';
import { metadataErrors, sizeErrors } from './metadata.ts';
import { hasUnlikeEntries, repeatErrors, schemaErrors } from './schema-errors.ts';

type Schema = NonNullable<Kind['schema']>;
type Checker = (value: unknown) => FieldError[];

/** A memo of a pure function: the checker of each schema, compiled when first needed. */
const checkers = new WeakMap<Schema, Checker>();

function checkerOf(schema: Schema): Checker {
  const known = checkers.get(schema);
  if (known) return known;
  const validator = Compile(schema);
  const unlike = hasUnlikeEntries(schema);
  const checker = (value: unknown): FieldError[] => {
    if (validator.Check(value)) return unlike ? repeatErrors(schema, value) : [];
    const errors = schemaErrors(schema, value);
    // The compiled schema has the last word even where the explanation does not follow it.
    return errors.length > 0 ? errors : [{ path: '', message: 'does not follow the schema' }];
  };
  checkers.set(schema, checker);
  return checker;
}

/**
 * Why an object may not be stored; empty when it may. `old` is what it replaces. Rules across fields are asked only once the
 * schema holds, because they rely on it. `object` must be plain JSON without undefined members.
 */
export function validateObject<T extends KubeObject>(kind: Kind<T>, object: T, old?: T): FieldError[] {
  const errors = metadataErrors(kind, object.metadata);
  if (kind.schema) errors.push(...bodyErrors(kind.schema, object));
  errors.push(...sizeErrors(object));
  return errors.length > 0 ? errors : kind.rules(object, old);
}

function bodyErrors(schema: Schema, object: KubeObject): FieldError[] {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, ...body } = object;
  return schemaFaults(schema, body);
}

/**
 * What is wrong with the spec of an object that is stored, as a sentence for its condition; undefined where nothing is. A cluster stores
 * what CEL cannot judge, and what an older CRD let pass.
 */
export function specFault<T extends KubeObject>(kind: Kind<T>, object: T): string | undefined {
  const { spec } = object as { spec?: unknown };
  const broken = kind.schema ? schemaFaults(kind.schema, { spec }) : [];
  const [first, ...more] = broken.length > 0 ? broken : kind.rules(object);
  if (!first) return undefined;
  return `${first.path}: ${first.message}${more.length > 0 ? ` (and ${more.length} more)` : ''}`;
}

/** Every place where the value breaks the schema. `value` must be plain JSON without undefined members. */
export function schemaFaults(schema: Schema, value: unknown): FieldError[] {
  return checkerOf(schema)(value);
}
