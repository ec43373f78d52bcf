// Names for tests: each asks for its own, so that no test meets another's authorizations.
import { randomBytes } from 'node:crypto';

/** A name that policy allows, never used before. */
export function freshName(prefix = 'n'): string {
  return `${prefix}-${randomBytes(6).toString('hex')}.example.test`;
}
