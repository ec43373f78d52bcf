// Serles' eleven outcomes of dns-01 with our verdicts, then hostile input 59 against a real DNS server.
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../../test/support/dns-server.ts';
import {
  answerTo,
  notAborted as signal,
  optionsWith,
  type SeedRow,
  startRawDnsServer,
  stubResolver,
  testClock,
  verdictOf,
} from '../../test/support/validation.ts';
import { baseIdentifier, type Identifier, isWildcard } from '../domain/identifier.ts';
import { Problem } from '../domain/problem.ts';
import type { DnsAnswer, ValidationOptions } from '../ports.ts';
import { createDns01 } from './dns-01.ts';
import { createResolver } from './resolver.ts';

const NAME = 'a.example.test';
const OWNER = `_acme-challenge.${NAME}`;
const KEY_AUTHORIZATION = 'token.thumbprint';
const VALUE = createHash('sha256').update(KEY_AUTHORIZATION).digest('base64url');
const dns01 = createDns01({ clock: testClock });

const found = (...records: string[]): DnsAnswer<string> => ({ state: 'found', records });
const failed = (reason: string): DnsAnswer<string> => ({ state: 'failed', reason });

function validate(identifier: Identifier, options: ValidationOptions, validator = dns01) {
  const target = { identifier: baseIdentifier(identifier), token: 'token', keyAuthorization: KEY_AUTHORIZATION };
  return validator.validate(target, options, signal);
}

const SERLES: readonly SeedRow<{ name?: string; txt?: DnsAnswer<string> }>[] = [
  ['ok', 'valid', 'valid', '', { txt: found(VALUE) }],
  [
    'wildcard forbidden',
    'rejectedIdentifier',
    'valid',
    'wildcards are policy’s, long before',
    { name: `*.${NAME}`, txt: found(VALUE) },
  ],
  ['wildcard allowed', 'valid', 'valid', '', { name: `*.${NAME}`, txt: found(VALUE) }],
  ['several TXT, one matches', 'valid', 'valid', '', { txt: found('other', VALUE, '') }],
  ['empty TXT', 'incorrectResponse', 'incorrectResponse, final', '', { txt: found('') }],
  ['wrong TXT', 'incorrectResponse', 'incorrectResponse, final', '', { txt: found('other') }],
  ['no answer', 'dns', 'dns, again', 'it may still spread', { txt: { state: 'absent' } }],
  ['NXDOMAIN', 'dns', 'dns, again', 'it may still spread', { txt: { state: 'absent' } }],
  ['no name servers', 'dnsNoNameservers', 'dns, again', 'ACME has one type for it', { txt: failed('SERVFAIL') }],
  [
    'query too long',
    'dnsQueryTooLong',
    'dns, final',
    'ACME has one type for it',
    { name: `${'a'.repeat(60)}.`.repeat(3) + 'b'.repeat(60) },
  ],
  ['time-out', 'dnsTimeout', 'dns, again', 'ACME has one type for it', { txt: failed('time-out') }],
];

test.each(SERLES)('Serles: %s: seed %s, ours %s %s', async (_title, _seed, ours, _why, { name = NAME, txt }) => {
  const identifier: Identifier = { type: 'dns', value: name };
  const asked: string[] = [];
  const resolver = stubResolver({
    txt: (owner) => {
      asked.push(owner);
      return Promise.resolve(txt ?? { state: 'absent' });
    },
    addresses: () => Promise.resolve(found('192.0.2.1')),
  });
  expect(verdictOf(await validate(identifier, optionsWith(resolver)))).toBe(ours);
  // A wildcard is asked for at its base name, RFC 8555 section 8.4.
  const base = isWildcard(identifier) ? name.slice(2) : name;
  expect(asked).toEqual(txt ? [`_acme-challenge.${base}`] : []);
});

test('an address is never validated by the DNS', async () => {
  const result = await validate({ type: 'ip', value: '192.0.2.1' }, optionsWith(stubResolver({})));
  expect(verdictOf(result)).toBe('malformed, final');
});

test.each<[string, DnsAnswer<string>, string, string[] | undefined]>([
  ['its addresses', found('192.0.2.1', '2001:db8::1'), 'valid', ['192.0.2.1', '2001:db8::1']],
  ['no address', { state: 'absent' }, 'valid', []],
  ['a failure', failed('SERVFAIL'), 'dns, again', undefined],
])('a name with the right record is judged by %s', async (_title, addresses, ours, judged) => {
  const seen: unknown[] = [];
  const judge = (host: string, list: readonly string[]) => {
    seen.push([host, ...list]);
    return Promise.resolve(undefined);
  };
  const resolver = stubResolver({
    txt: () => Promise.resolve(found(VALUE)),
    addresses: () => Promise.resolve(addresses),
  });
  const result = await validate({ type: 'dns', value: NAME }, optionsWith(resolver, { judge }));
  expect(verdictOf(result)).toBe(ours);
  expect(seen).toEqual(judged ? [[NAME, ...judged]] : []);
  expect(result.addresses).toEqual(judged ?? []);
});

test('a judge that the DNS left without an answer may be asked again', async () => {
  const judge = () => Promise.resolve(new Problem('dns', 'the name of "192.0.2.1" could not be looked up'));
  const addresses = () => Promise.resolve(found('192.0.2.1'));
  const resolver = stubResolver({ txt: () => Promise.resolve(found(VALUE)), addresses });
  const result = await validate({ type: 'dns', value: NAME }, optionsWith(resolver, { judge }));
  expect(verdictOf(result)).toBe('dns, again');
});

test("the judge's objection is final, and comes only after the right record", async () => {
  const judge = () => Promise.resolve(new Problem('rejectedIdentifier', 'outside'));
  const addresses = () => Promise.resolve(found('192.0.2.1'));
  const right = stubResolver({ txt: () => Promise.resolve(found(VALUE)), addresses });
  expect(verdictOf(await validate({ type: 'dns', value: NAME }, optionsWith(right, { judge })))).toBe(
    'rejectedIdentifier, final',
  );
  const wrong = stubResolver({ txt: () => Promise.resolve(found('x')) });
  expect(verdictOf(await validate({ type: 'dns', value: NAME }, optionsWith(wrong, { judge })))).toBe(
    'incorrectResponse, final',
  );
});

test('time is bound whatever the resolver does', async () => {
  const resolver = stubResolver({ txt: () => new Promise(() => {}) });
  const hasty = createDns01({ clock: testClock, timeoutMs: 20 });
  const result = await validate({ type: 'dns', value: NAME }, optionsWith(resolver), hasty);
  expect(verdictOf(result)).toBe('dns, again');
});

describe('hostile input 59, over a real resolver', () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  const at = (address: string) =>
    optionsWith(
      createResolver({ clock: testClock, random: { bytes: randomBytes }, nameservers: [address], tryMs: 2_000 }),
    );

  async function verdict(prepare: (dns: DnsServer) => void): Promise<{ ours: string; dns: DnsServer }> {
    const dns = await startDnsServer();
    closing.push(() => dns.stop());
    prepare(dns);
    const result = await validate({ type: 'dns', value: NAME }, at(dns.address));
    if (!result.valid) expect(result.problem.detail).not.toContain(VALUE);
    return { ours: verdictOf(result), dns };
  }

  const noise = Array.from({ length: 999 }, (_, i) => `noise-${i}`);
  test.each<[string, string, (dns: DnsServer) => void]>([
    ['the right record', 'valid', (dns) => dns.set(OWNER, 'TXT', [VALUE])],
    [
      'the right record in three strings',
      'valid',
      (dns) => dns.set(OWNER, 'TXT', [[VALUE.slice(0, 5), VALUE.slice(5, 9), VALUE.slice(9)]]),
    ],
    ['1,000 records, the last right', 'valid', (dns) => dns.set(OWNER, 'TXT', [...noise, VALUE])],
    ['1,001 records', 'dns, again', (dns) => dns.set(OWNER, 'TXT', [...noise, 'one', VALUE])],
    [
      '60 kB in one record beside it',
      'valid',
      (dns) => dns.set(OWNER, 'TXT', [Array.from({ length: 240 }, () => 'x'.repeat(250)), VALUE]),
    ],
    ['an alias', 'valid', (dns) => (dns.alias(OWNER, 'acme.dns.test'), dns.set('acme.dns.test', 'TXT', [VALUE]))],
    ['NXDOMAIN', 'dns, again', (dns) => dns.fail(OWNER, 'NXDOMAIN')],
    ['SERVFAIL', 'dns, again', (dns) => dns.fail(OWNER, 'SERVFAIL')],
    [
      'SERVFAIL for the addresses alone',
      'dns, again',
      (dns) => (dns.set(OWNER, 'TXT', [VALUE]), dns.fail(NAME, 'SERVFAIL')),
    ],
    [
      'the key authorization undigested',
      'incorrectResponse, final',
      (dns) => dns.set(OWNER, 'TXT', [KEY_AUTHORIZATION]),
    ],
    ['another case', 'incorrectResponse, final', (dns) => dns.set(OWNER, 'TXT', [VALUE.toLowerCase()])],
    ['blanks around', 'incorrectResponse, final', (dns) => dns.set(OWNER, 'TXT', [` ${VALUE} `])],
    ['padding', 'incorrectResponse, final', (dns) => dns.set(OWNER, 'TXT', [`${VALUE}=`])],
    [
      'two records that make it together',
      'incorrectResponse, final',
      (dns) => dns.set(OWNER, 'TXT', [VALUE.slice(0, 20), VALUE.slice(20)]),
    ],
  ])('%s: %s', async (_title, ours, prepare) => {
    const { ours: actual, dns } = await verdict(prepare);
    expect(actual).toBe(ours);
    // Once over UDP, and once over TCP where the answer was too long.
    expect(dns.queries(OWNER)).toBeLessThanOrEqual(2);
  });

  test('NXDOMAIN, then good', async () => {
    const { ours, dns } = await verdict((server) => server.fail(OWNER, 'NXDOMAIN'));
    expect(ours).toBe('dns, again');
    dns.clear(OWNER);
    dns.set(OWNER, 'TXT', [VALUE]);
    expect(verdictOf(await validate({ type: 'dns', value: NAME }, at(dns.address)))).toBe('valid');
  });

  test.each<[string, string, Parameters<typeof startRawDnsServer>[0]]>([
    ['an alias loop', 'dns, again', (query) => [answerTo(query, [{ name: OWNER, type: 'CNAME', data: OWNER }])]],
    ['truncation without TCP', 'dns, again', (query, over) => (over === 'udp' ? [answerTo(query, [], 0x380)] : [])],
    [
      'a truncated answer that holds the record',
      'dns, again',
      (query) => [answerTo(query, [{ name: OWNER, type: 'TXT', data: [VALUE] }], 0x380)],
    ],
    [
      'the value in a record of another type',
      'dns, again',
      (query) => [answerTo(query, [{ name: OWNER, type: 'CNAME', data: `${VALUE}.test` }])],
    ],
    [
      'the value under another name',
      'dns, again',
      (query) => [answerTo(query, [{ name: NAME, type: 'TXT', data: [VALUE] }])],
    ],
    [
      'a reply that ends early',
      'dns, again',
      (query) => [answerTo(query, [{ name: OWNER, type: 'TXT', data: [VALUE] }]).subarray(0, -3)],
    ],
  ])('%s: %s', async (_title, ours, reply) => {
    const dns = await startRawDnsServer(reply);
    closing.push(() => dns.stop());
    const resolver = createResolver({
      clock: testClock,
      random: { bytes: randomBytes },
      nameservers: [dns.address],
      tryMs: 100,
      totalMs: 500,
    });
    expect(verdictOf(await validate({ type: 'dns', value: NAME }, optionsWith(resolver)))).toBe(ours);
    expect(dns.asked.length).toBeLessThanOrEqual(10);
  });
});
