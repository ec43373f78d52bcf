// The one form in which the Kubernetes API server reads a MicroTime.
import type { FieldError } from '../api/kind.ts';
import type { JsonObject } from './json-value.ts';

const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;

/** Findings for those of the named members that are present and are no MicroTime. */
export function microTimeErrors(object: JsonObject, path: string, members: readonly string[]): FieldError[] {
  return members.flatMap((member) => {
    const value = object[member];
    if (value === undefined || (typeof value === 'string' && MICRO_TIME.test(value))) return [];
    const message = 'must be an instant with six digits after the second, such as 2030-01-31T12:00:00.000000Z';
    return [{ path: path === '' ? member : `${path}.${member}`, message }];
  });
}
