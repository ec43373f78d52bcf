import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { parseAddress, renderAddress } from './address.ts';
import { createDenyList, createLoopbackDenyList, DENIED_NETWORKS } from './deny-list.ts';

const denyList = createDenyList(['10.96.0.1', 'fd00:10:96::1/128', '10.244.3.0/24']);
const laptop = createLoopbackDenyList([]);

const DENIED = [
  // loopback
  '127.0.0.1',
  '127.255.255.254',
  '::1',
  // unspecified
  '0.0.0.0',
  '0.1.2.3',
  '::',
  // link-local, metadata
  '169.254.169.254',
  '169.254.0.1',
  'fe80::1',
  'febf::1',
  'fd00:ec2::254',
  '168.63.129.16',
  '100.100.100.200',
  'fd20:ce::254',
  '192.0.0.192',
  // multicast, broadcast
  '224.0.0.1',
  '239.255.255.255',
  'ff02::1',
  '255.255.255.255',
  // reserved
  '240.0.0.1',
  '250.1.2.3',
  // IPv4-mapped, in both spellings
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:169.254.169.254',
  '::ffff:0.0.0.0',
  // IPv4-compatible
  '::127.0.0.1',
  '::169.254.169.254',
  // NAT64
  '64:ff9b::127.0.0.1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::127.0.0.1',
  '64:ff9b:1:7f00:0:1::',
  '64:ff9b::10.96.0.1',
  // NAT64 for local use, split as for prefixes of 48, 56, 64 and 96 bits; where an address could hide, nothing is dialled
  '64:ff9b:1:a9fe:a9:fe00::',
  '64:ff9b:1:a9:fe:a9fe::',
  '64:ff9b:1:0:a9:fea9:fe00:0',
  '64:ff9b:1:abcd::169.254.169.254',
  '64:ff9b:1:abcd:5:102:304:0',
  '64:ff9b:1::1',
  // IPv4-translated (SIIT)
  '::ffff:0:127.0.0.1',
  '::ffff:0:169.254.169.254',
  '::ffff:0:10.96.0.1',
  // 6to4
  '2002:7f00:1::',
  '2002:a9fe:a9fe::1',
  '2002:a60:1::1',
  // Teredo
  '2001:0:1::1',
  // ours
  '10.96.0.1',
  'fd00:10:96::1',
  '10.244.3.77',
  '::ffff:10.96.0.1',
  // no address at all, or one with a zone
  'fe80::1%eth0',
  '::1%lo',
  '2001:db8::1%eth0',
  '127.1',
  '0x7f.0.0.1',
  '127.0.0.1/8',
  'localhost',
  '',
];

test.each(DENIED)('%s is never dialled', (address) => {
  expect(denyList.denial(address)).toBeTypeOf('string');
});

const OPEN = [
  '10.0.0.7',
  '10.96.0.2',
  '172.16.1.1',
  '192.168.1.1',
  '203.0.113.9',
  '2001:db8::1',
  'fd00::1',
  '64:ff9b::10.0.0.7',
  '64:ff9b:2::1',
  '::ffff:0:10.0.0.7',
  '192.0.0.193',
  '2002:a00:1::1',
];

test.each(OPEN)('%s may be: names live in private networks', (address) => {
  expect(denyList.denial(address)).toBeUndefined();
});

test("the laptop's list opens loopback and nothing else", () => {
  const opened = DENIED.filter((address) => createDenyList([]).denial(address) !== undefined).filter(
    (address) => laptop.denial(address) === undefined,
  );
  expect(opened).toEqual(['127.0.0.1', '127.255.255.254', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1']);
});

test('own networks are denied on a laptop too, and bad ones are refused at once', () => {
  expect(createLoopbackDenyList(['127.0.0.53']).denial('127.0.0.53')).toContain('this server');
  expect(() => createDenyList(['10.0.0.0/33'])).toThrow(TypeError);
});

test('any IPv4 address that is denied is denied in every IPv6 form of it', () => {
  const quad = fc.constantFrom(...DENIED_NETWORKS.filter(({ cidr }) => cidr.includes('.'))).chain(({ cidr }) => {
    const [base = '', prefix = '32'] = cidr.split('/');
    const start = (parseAddress(base) ?? Buffer.alloc(4)).readUInt32BE();
    return fc.integer({ min: 0, max: 2 ** (32 - Number(prefix)) - 1 }).map((offset) => start + offset);
  });
  fc.assert(
    fc.property(quad, (value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      const dotted = renderAddress(bytes);
      const hex = bytes.toString('hex');
      const words = `${hex.slice(0, 4)}:${hex.slice(4)}`;
      const forms = [dotted, `::ffff:${dotted}`, `::ffff:0:${dotted}`, `64:ff9b::${dotted}`, `2002:${words}::1`];
      expect(forms.filter((form) => denyList.denial(form) === undefined)).toEqual([]);
    }),
  );
});
