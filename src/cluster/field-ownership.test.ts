import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { applyFields, type FieldOwners, ownersOfNew } from './field-ownership.ts';
import type { JsonObject, JsonValue } from './json-value.ts';

const key = fc.constantFrom('a', 'b', 'c/d', 'e~f', '__proto__');
const leaf = fc.oneof(
  fc.constantFrom<JsonValue>('x', 'y', 1, true, null),
  fc.array(fc.constantFrom('x', 'y'), { maxLength: 2 }),
);
const object: fc.Arbitrary<JsonObject> = fc.letrec<{ map: JsonObject }>((tie) => ({
  map: fc.dictionary(key, fc.oneof({ maxDepth: 3 }, leaf, tie('map')), { maxKeys: 3 }),
})).map;

/** Leaves by path; maps with something in them are none. */
function leaves(value: JsonValue, path: readonly string[] = []): Map<string, JsonValue> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[JSON.stringify(path), value]]);
  const entries = Object.entries(value as JsonObject);
  if (entries.length === 0) return path.length === 0 ? new Map() : new Map([[JSON.stringify(path), value]]);
  return new Map(entries.flatMap(([name, child]) => [...leaves(child, [...path, name])]));
}

const contains = (whole: JsonObject, part: JsonObject): boolean => {
  const have = leaves(whole);
  return [...leaves(part)].every(([path, value]) => {
    if (JSON.stringify(value) === '{}') return true;
    return JSON.stringify(have.get(path)) === JSON.stringify(value);
  });
};

const applied = (current: JsonObject, wanted: JsonObject, manager: string, owners: FieldOwners = {}) =>
  applyFields(structuredClone(current), structuredClone(wanted), manager, owners);

test('an apply makes it so, changes nothing else of others, and twice is once', () => {
  fc.assert(
    fc.property(object, object, (current, wanted) => {
      const first = applied(current, wanted, 'left');
      expect(contains(first.object, wanted)).toBe(true);
      const second = applied(first.object, wanted, 'left', first.owners);
      expect(second.object).toEqual(first.object);
      expect(second.owners).toEqual(first.owners);
    }),
  );
});

test('an apply of nothing takes back what the manager alone brought', () => {
  fc.assert(
    fc.property(object, (wanted) => {
      const empty = applied(wanted, {}, 'left', ownersOfNew(wanted, 'left'));
      expect([...leaves(empty.object)]).toEqual([]);
      expect(empty.owners.left).toEqual([]);
    }),
  );
});

test('two managers of different fields never touch each other’s', () => {
  fc.assert(
    fc.property(object, object, object, (left, right, later) => {
      const start = { left, right: {} };
      const one = applied({}, start, 'left');
      const two = applied(one.object, { right }, 'right', one.owners);
      const three = applied(two.object, { left: later }, 'left', two.owners);
      expect(contains(three.object, { left: later })).toBe(true);
      expect(contains(three.object, { right })).toBe(true);
    }),
  );
});

test('what was there before an apply stays when the apply is taken back, unless it was overwritten', () => {
  fc.assert(
    fc.property(object, object, (current, wanted) => {
      const there = { old: current };
      const one = applied(there, { new: wanted }, 'left');
      const two = applied(one.object, {}, 'left', one.owners);
      expect(leaves(two.object)).toEqual(leaves(there));
    }),
  );
});
