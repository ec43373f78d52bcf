import { expect, test } from 'vitest';
import { oid } from './der-writer.ts';
import { describeOid, OID } from './oid.ts';

test('every identifier is one, and no two names share one', () => {
  const values = Object.values(OID);
  for (const value of values) expect(oid(value).length).toBeGreaterThan(2);
  expect(new Set(values).size).toBe(values.length);
});

test('identifiers are described by name and number where they have a name', () => {
  expect(describeOid('2.5.29.19')).toBe('basicConstraints (2.5.29.19)');
  expect(describeOid('1.2.3')).toBe('1.2.3');
});
