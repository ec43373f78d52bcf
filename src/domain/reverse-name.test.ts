import { expect, test } from 'vitest';
import { reverseName } from './reverse-name.ts';

test('addresses lead to their names in the reverse tree', () => {
  expect(reverseName('192.0.2.10')).toBe('10.2.0.192.in-addr.arpa');
  // The example of RFC 3596 section 2.5.
  expect(reverseName('4321:0:1:2:3:4:567:89ab')).toBe(
    'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa',
  );
  expect(reverseName('::ffff:192.0.2.10')).toBe('10.2.0.192.in-addr.arpa');
  expect(reverseName('example.test')).toBeUndefined();
});
