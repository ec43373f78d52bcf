import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createLineBuffer } from './line-buffer.ts';

test('lines are the same however the bytes are cut', () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(40)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
      const buffer = createLineBuffer(1_000_000);
      const got: string[] = [];
      let start = 0;
      for (const cut of cuts) {
        got.push(...buffer.push(bytes.subarray(start, start + cut)));
        start = Math.min(bytes.length, start + cut);
      }
      got.push(...buffer.push(bytes.subarray(start)));
      expect(got).toEqual(lines);
      expect(buffer.pending()).toBe(false);
    }),
  );
});

test('a line beyond the limit is refused, in one piece or many', () => {
  expect(() => createLineBuffer(10).push(Buffer.from('01234567890\n'))).toThrow('longer than 10');
  const buffer = createLineBuffer(10);
  buffer.push(Buffer.from('01234\n012345678'));
  expect(buffer.pending()).toBe(true);
  expect(() => buffer.push(Buffer.from('90'))).toThrow('longer than 10');
});
