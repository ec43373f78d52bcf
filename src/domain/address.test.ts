import { BlockList } from 'node:net';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { contains, fold, parseAddress, parseExact, parseNetwork, renderAddress } from './address.ts';

const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes));
const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 0xffff, 0x20), { minLength: 8, maxLength: 8 });
const bytes16 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
  sparse.map((words) => Buffer.from(words.map((word) => word.toString(16).padStart(4, '0')).join(''), 'hex')),
);

test('text of an address parses back to its bytes', () => {
  fc.assert(
    fc.property(fc.oneof(bytes4, bytes16), (bytes) => {
      expect(parseExact(renderAddress(bytes))).toEqual(bytes);
    }),
  );
});

test('IPv6 text is canonical as the platform has it', () => {
  fc.assert(
    fc.property(bytes16, (bytes) => {
      expect(`[${renderAddress(bytes)}]`).toBe(new URL(`http://[${renderAddress(bytes)}]/`).hostname);
    }),
  );
});

test.each([
  ['::', '::'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['1:0:2:0:3:0:4:0', '1:0:2:0:3:0:4:0'],
  ['0:0:1::', '0:0:1::'],
  ['::1.2.3.4', '::102:304'],
  ['2001:DB8::A', '2001:db8::a'],
])('%s is written %s', (text, canonical) => {
  expect(renderAddress(parseExact(text) ?? Buffer.alloc(0))).toBe(canonical);
});

test.each([
  '',
  '1.2.3',
  '01.2.3.4',
  '0x7f.1',
  '127.1',
  '1.2.3.256',
  'fe80::1%eth0',
  ':::',
  '1::2::3',
  '[::1]',
  '::ffff:1.2.3',
])('%j is no address', (text) => {
  expect(parseExact(text)).toBeUndefined();
});

test('mapped addresses fold to IPv4, others stay', () => {
  expect(parseAddress('::ffff:10.0.0.1')).toEqual(Buffer.from([10, 0, 0, 1]));
  expect(parseAddress('::ffff:a00:1')).toEqual(Buffer.from([10, 0, 0, 1]));
  expect(parseAddress('::10.0.0.1')?.length).toBe(16);
  expect(fold(Buffer.from([1, 2, 3, 4]))).toEqual(Buffer.from([1, 2, 3, 4]));
});

test('contains agrees with node:net for both families', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.tuple(bytes4, bytes4, fc.nat(32)), fc.tuple(bytes16, bytes16, fc.nat(128))),
      ([net, other, prefix]) => {
        // Half of the time a close address, or nearly none would lie inside.
        const address =
          prefix % 2 === 0 ? other : Buffer.concat([net.subarray(0, prefix >> 3), other.subarray(prefix >> 3)]);
        const family = net.length === 4 ? 'ipv4' : 'ipv6';
        const list = new BlockList();
        list.addSubnet(renderAddress(net), prefix, family);
        expect(contains({ address: net, prefix }, address)).toBe(list.check(renderAddress(address), family));
      },
    ),
  );
});

test('networks: whole addresses, prefixes, mapped forms, mistakes', () => {
  expect(parseNetwork('10.0.0.1')).toEqual({ address: Buffer.from([10, 0, 0, 1]), prefix: 32 });
  expect(parseNetwork('10.0.0.0/8')).toEqual({ address: Buffer.from([10, 0, 0, 0]), prefix: 8 });
  expect(parseNetwork('::ffff:10.0.0.0/104')).toEqual({ address: Buffer.from([10, 0, 0, 0]), prefix: 8 });
  expect(parseNetwork('::ffff:0:0/90')?.address.length).toBe(16);
  for (const text of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', 'a/8', '10.0.0.0/8 ']) {
    expect(parseNetwork(text), text).toBeUndefined();
  }
});

test('an address of the other family is never inside', () => {
  expect(contains({ address: Buffer.alloc(16), prefix: 0 }, Buffer.alloc(4))).toBe(false);
  expect(contains({ address: Buffer.alloc(4), prefix: 0 }, Buffer.alloc(16))).toBe(false);
});
