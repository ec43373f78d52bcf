import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import type { Authorization } from '../api/acme.ts';
import {
  type AuthorizationStatus,
  authorizationName,
  authorizationRef,
  authorizationStatus,
  decodeAuthorizationRef,
  decodeOrder,
  encodeAuthorizationRef,
  encodeOrder,
  type Order,
  orderStatus,
  parseOrderIdentifiers,
  type Reuse,
} from './order.ts';

const second = fc.integer({ min: 0, max: 4_000_000_000 }).map((n) => new Date(n * 1000));
const id = fc.stringMatching(/^[A-Za-z0-9_-]{22}$/);
const identifier = fc.oneof(
  fc.constantFrom('a.b', '*.a.b', 'xn--bcher-kva.example', 'a-b.c').map((value) => ({ type: 'dns' as const, value })),
  fc.constantFrom('192.0.2.1', '2001:db8::1').map((value) => ({ type: 'ip' as const, value })),
);
const reuse: fc.Arbitrary<Reuse> = fc.record({ orderID: id, index: fc.nat(99) });
const order: fc.Arbitrary<Order> = fc
  .record(
    {
      id,
      account: fc.constant(`ac-${'a'.repeat(52)}`),
      issuerUID: fc.uuid(),
      created: second,
      expires: second,
      identifiers: fc.array(identifier, { minLength: 1, maxLength: 100 }),
      notBefore: second,
      notAfter: second,
      profile: fc.string({ minLength: 1, maxLength: 20 }),
      replaces: fc.record({
        record: fc.constant('ic-x'),
        certID: fc.stringMatching(/^[A-Za-z0-9_-]{1,27}\.[A-Za-z0-9_-]{1,27}$/),
      }),
      reused: fc.uniqueArray(fc.tuple(fc.nat(99), reuse), { selector: ([index]) => index, maxLength: 20 }),
      tokenKey: fc.integer({ min: 1, max: 255 }),
    },
    { requiredKeys: ['id', 'account', 'issuerUID', 'created', 'expires', 'identifiers', 'reused', 'tokenKey'] },
  )
  .map(({ reused, ...rest }) => ({ ...rest, reused: new Map(reused) }));

test('an order comes back from its encoding', () => {
  fc.assert(
    fc.property(order, (value) => {
      const decoded = decodeOrder(encodeOrder(value));
      expect({ ...decoded, reused: new Map([...decoded.reused].sort(([a], [b]) => a - b)) }).toEqual({
        ...value,
        reused: new Map([...value.reused].sort(([a], [b]) => a - b)),
      });
    }),
  );
});

test('a renewal of 100 names from one order names it once', () => {
  const names = Array.from({ length: 100 }, (_, i) => ({ type: 'dns' as const, value: `n${i}.example` }));
  const reused = new Map(names.map((_, index) => [index, { orderID: 'o'.repeat(22), index }]));
  const common = {
    id: 'i'.repeat(22),
    account: 'a',
    issuerUID: 'u',
    created: new Date(0),
    expires: new Date(0),
    identifiers: names,
    tokenKey: 1,
  };
  const without = encodeOrder({ ...common, reused: new Map() });
  expect(encodeOrder({ ...common, reused }).length - without.length).toBeLessThan(40);
});

test('an authorization reference comes back, and is that of the order reused where one is', () => {
  fc.assert(
    fc.property(order, (value) => {
      const ref = authorizationRef(value, 0);
      expect(decodeAuthorizationRef(encodeAuthorizationRef(ref))).toEqual(ref);
      expect(ref.orderID).toBe(value.reused.get(0)?.orderID ?? value.id);
      expect(authorizationName(ref)).toMatch(/^az-[a-z2-7]{52}$/);
    }),
  );
});

const now = new Date('2026-01-02T00:00:00Z');
const plain: Order = {
  id: 'i',
  account: 'a',
  issuerUID: 'u',
  created: new Date('2026-01-01T00:00:00Z'),
  expires: new Date('2026-01-03T00:00:00Z'),
  identifiers: [{ type: 'dns', value: 'a.b' }],
  reused: new Map(),
  tokenKey: 1,
};
const record = { metadata: { name: 'ic-x' }, status: { certificate: 'AA==' } } as never;
const reserved = { metadata: { name: 'ic-x' } } as never;
const refused = { metadata: { name: 'ic-x' }, status: { refusal: {} } } as never;

// RFC 8555 section 7.1.6, as sentences.
test.each<[string, AuthorizationStatus[], { record?: never; signing?: boolean; at?: string }, string]>([
  ['all valid is ready', ['valid', 'valid'], {}, 'ready'],
  ['one pending is pending', ['valid', 'pending'], {}, 'pending'],
  ['one invalid is invalid, whatever the others', ['pending', 'invalid', 'valid'], {}, 'invalid'],
  ['one deactivated is invalid', ['valid', 'deactivated'], {}, 'invalid'],
  ['one expired is invalid', ['valid', 'expired'], {}, 'invalid'],
  ['past its expiry it is invalid', ['valid'], { at: '2026-01-03T00:00:00Z' }, 'invalid'],
  ['while signing it is processing', ['valid'], { signing: true }, 'processing'],
  ['with a certificate on record it is valid', ['valid'], { record }, 'valid'],
  ['while a CA elsewhere has yet to answer it is processing', ['valid'], { record: reserved }, 'processing'],
  ['once that CA has refused it is invalid', ['valid'], { record: refused }, 'invalid'],
  [
    'with a record it stays valid past expiry and deactivation',
    ['deactivated'],
    { record, at: '2027-01-01T00:00:00Z' },
    'valid',
  ],
])('%s', (_, authorizations, facts, status) => {
  const given = { authorizations, record: facts.record, signing: facts.signing ?? false };
  expect(orderStatus(plain, given, facts.at === undefined ? now : new Date(facts.at))).toBe(status);
});

const stored = (outcome: 'valid' | 'invalid' | 'deactivated', expires: string) =>
  ({ spec: { outcome, expires } }) as Authorization;

test.each<[string, Authorization | undefined, string, AuthorizationStatus]>([
  ['nothing stored is pending', undefined, '2026-01-02T00:00:00Z', 'pending'],
  ['nothing stored past the order is expired', undefined, '2026-01-03T00:00:00Z', 'expired'],
  ['valid until its own expiry', stored('valid', '2026-01-02T00:00:01Z'), '2026-01-02T00:00:00Z', 'valid'],
  ['expired at it', stored('valid', '2026-01-02T00:00:00Z'), '2026-01-02T00:00:00Z', 'expired'],
  ['invalid for ever', stored('invalid', '2026-01-01T00:00:00Z'), '2026-01-02T00:00:00Z', 'invalid'],
  ['deactivated for ever', stored('deactivated', '2026-01-01T00:00:00Z'), '2026-01-02T00:00:00Z', 'deactivated'],
])('an authorization: %s', (_, found, at, status) => {
  expect(authorizationStatus(authorizationRef(plain, 0), found, new Date(at))).toBe(status);
});

test('identifiers of an order: unique, in order, bound in number and length', () => {
  const list = [
    { type: 'dns', value: 'B.c' },
    { type: 'dns', value: 'a.b' },
    { type: 'dns', value: 'b.c' },
  ];
  expect(parseOrderIdentifiers(list, 100).map(({ value }) => value)).toEqual(['b.c', 'a.b']);
  for (const bad of [[], undefined, {}, 'a.b', Array(101).fill(list[0])]) {
    expect(() => parseOrderIdentifiers(bad, 100)).toThrow(expect.objectContaining({ type: 'malformed' }));
  }
  const long = Array.from({ length: 20 }, (_, i) => ({
    type: 'dns',
    value: `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.n${i}.d`,
  }));
  expect(parseOrderIdentifiers(long, 100)).toHaveLength(20);
  expect(() =>
    parseOrderIdentifiers([...long, ...long.map(({ value }) => ({ type: 'dns', value: `x${value}` }))], 100),
  ).toThrow(/4000 characters/);
});

test('names that are too long together are not looked at one by one', () => {
  const names = Array.from({ length: 100 }, (_, i) => ({ type: 'dns', value: `n${i}.${'xn--a.'.repeat(30)}test` }));
  expect(() => parseOrderIdentifiers(names, 100)).toThrow(/4000 characters/);
});

test('one name given many times counts once, whatever its case', () => {
  const value = `${'a'.repeat(60)}.example.test`;
  const names = Array.from({ length: 100 }, (_, i) => ({ type: 'dns', value: i % 2 ? value : value.toUpperCase() }));
  expect(parseOrderIdentifiers(names, 100)).toEqual([{ type: 'dns', value }]);
});
