import fc from '../../../test/support/property.ts';
import { expect, test } from 'vitest';
import { parseAddress } from '../address.ts';
import { inRange, parseCidr } from './network-range.ts';

function network(text: string) {
  const parsed = parseCidr(text);
  if ('error' in parsed) throw new Error(`${text} ${parsed.error}`);
  return parsed;
}

function lies(address: string, range: { cidrs?: string[]; except?: string[] }) {
  const bytes = parseAddress(address);
  if (!bytes) throw new Error(`${address} is no address`);
  return inRange({ cidrs: range.cidrs?.map(network), except: (range.except ?? []).map(network) }, bytes);
}

test.each([
  ['10.1.2.3', { cidrs: ['10.0.0.0/8'] }, true],
  ['11.1.2.3', { cidrs: ['10.0.0.0/8'] }, false],
  ['10.66.1.1', { cidrs: ['10.0.0.0/8'], except: ['10.66.0.0/16'] }, false],
  ['10.66.1.1', { except: ['10.66.0.0/16'] }, false],
  ['10.67.1.1', { except: ['10.66.0.0/16'] }, true],
  ['::ffff:10.66.1.1', { except: ['10.66.0.0/16'] }, false],
  ['10.66.1.1', { except: ['::ffff:10.66.0.0/112'] }, false],
  ['2001:db8::1', { cidrs: ['2001:db8::/32'] }, true],
  ['2001:db9::1', { cidrs: ['2001:db8::/32'] }, false],
  ['10.0.0.1', { cidrs: ['::/0'] }, false],
  ['::1', { cidrs: ['0.0.0.0/0'] }, false],
  ['192.0.2.7', { cidrs: ['192.0.2.7'] }, true],
  ['192.0.2.8', { cidrs: ['192.0.2.7'] }, false],
])('%s in %j: %s', (address, range, inside) => {
  expect(lies(address, range)).toBe(inside);
});

test.each([
  '10.0.0.1/8',
  '2001:db8::1/32',
  '10.0.0.128/24',
  '10.0.0.0/33',
  '::/129',
  '10.0.0',
  '010.0.0.0/8',
  'x',
  '::ffff:10.0.0.1/104',
])('the network %s is refused', (text) => {
  expect(parseCidr(text)).toHaveProperty('error');
});

test('an IPv4 address and its mapped form are one address, in address and network alike', () => {
  const octet = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(octet, octet, fc.integer({ min: 0, max: 16 }), octet, (a, b, prefix, c) => {
      const bits = ((a << 8) | b) & (0xffff << (16 - prefix)) & 0xffff;
      const base = `${bits >> 8}.${bits & 255}.0.0`;
      const address = `${a}.${c}.3.4`;
      const plain = lies(address, { cidrs: [`${base}/${prefix}`] });
      expect(lies(`::ffff:${address}`, { cidrs: [`${base}/${prefix}`] })).toBe(plain);
      expect(lies(address, { cidrs: [`::ffff:${base}/${prefix + 96}`] })).toBe(plain);
    }),
  );
});
