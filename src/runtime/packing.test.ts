// What is packed comes back exactly, whatever it is.
import { expect, test } from 'vitest';
import fc from '../../test/support/property.ts';
import { createPacking } from './packing.ts';

test('any JSON comes back as it was, frozen', () => {
  const packing = createPacking<object>();
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const object = JSON.parse(JSON.stringify({ value })) as object;
      const back = packing.unpack(packing.pack(object));
      expect(JSON.stringify(back)).toBe(JSON.stringify(object));
      expect(Object.isFrozen(back)).toBe(true);
    }),
  );
});

const texts = fc.oneof(
  fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  fc.stringMatching(/^([a-z]{2}-)?[a-z2-7]{50,54}$/),
  fc.stringMatching(/^[A-Za-z0-9+/]{16,30}={0,3}$/),
  fc.stringMatching(/^(19|20)\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(\.\d{3})?Z$/),
  fc.uuid(),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: fc.constantFrom('a', 'é', '€', '𝄞', '\ud800', '"', '\0'), maxLength: 40 }),
);

test('texts that look like binary values come back letter by letter', () => {
  const packing = createPacking<{ text: string }>();
  fc.assert(
    fc.property(texts, (text) => {
      expect(packing.unpack(packing.pack({ text })).text).toBe(text);
    }),
    { numRuns: 3000 },
  );
});

test('members without a value are left out, and one named __proto__ is like any other', () => {
  const packing = createPacking<object>();
  const object = JSON.parse('{"a":{"__proto__":{"b":1}},"c":[]}') as object;
  expect(JSON.stringify(packing.unpack(packing.pack({ ...object, d: undefined })))).toBe(JSON.stringify(object));
});

test('ever new shapes do not fill the memory, and come back all the same', () => {
  const packing = createPacking<object>();
  const objects = Array.from({ length: 3000 }, (_, n) => ({ [`label-${n}`]: `é ${n}`, n }));
  const packed = objects.map((object) => packing.pack(object));
  expect(packed.map((one) => packing.unpack(one))).toEqual(objects);
});

test('a hash, a serial number, a time and a certificate take the bytes they have', () => {
  const packing = createPacking<{ value: string }>();
  const size = (value: string) => packing.pack({ value }).length - packing.pack({ value: '' }).length;
  expect(size('ic-'.padEnd(54, 'abc234') + 'a')).toBe(34);
  expect(size('0123456789abcdef'.repeat(2))).toBe(16);
  expect(size('2026-11-21T12:00:00.123Z')).toBe(6);
  expect(size(Buffer.alloc(900, 7).toString('base64'))).toBe(902);
  expect(size('00000000-0000-4000-8000-000000000000')).toBe(16);
});
