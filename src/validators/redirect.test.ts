import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { authorityOf, type HttpLocation, parseRedirect, urlOf } from './redirect.ts';

const PORTS = new Set([80, 443]);
const from: HttpLocation = { secure: false, host: 'a.example.test', port: 80, path: '/.well-known/acme-challenge/t' };
const parse = (header: string | undefined, start = from) => parseRedirect(header, start, PORTS);

test('the authority is the name alone on the own port of the scheme, an IPv6 address in brackets', () => {
  expect(authorityOf(from)).toBe('a.example.test');
  expect(authorityOf({ ...from, port: 5080 })).toBe('a.example.test:5080');
  expect(authorityOf({ ...from, port: 443 })).toBe('a.example.test:443');
  expect(authorityOf({ ...from, secure: true, port: 443 })).toBe('a.example.test');
  expect(authorityOf({ ...from, host: '2001:db8::1' })).toBe('[2001:db8::1]');
  expect(authorityOf({ ...from, host: '2001:db8::1', port: 5080 })).toBe('[2001:db8::1]:5080');
  expect(urlOf({ ...from, secure: true, port: 80 })).toBe('https://a.example.test:80/.well-known/acme-challenge/t');
});

const https = { ...from, secure: true, port: 443 };

test.each<[string, HttpLocation]>([
  ['https://a.example.test/.well-known/acme-challenge/t', https],
  ['http://b.example.test/x?y=z#fragment', { ...from, host: 'b.example.test', path: '/x?y=z' }],
  ['/other', { ...from, path: '/other' }],
  ['other', { ...from, path: '/.well-known/acme-challenge/other' }],
  ['//b.example.test/x', { ...from, host: 'b.example.test', path: '/x' }],
  ['https://b.example.test:80', { ...https, host: 'b.example.test', port: 80, path: '/' }],
  ['http://B.Example.TEST:443/', { ...from, host: 'b.example.test', port: 443, path: '/' }],
  ['http://0x7f.1/', { ...from, host: '127.0.0.1', path: '/' }],
  ['http://2130706433/', { ...from, host: '127.0.0.1', path: '/' }],
  ['http://[::1]/', { ...from, host: '::1', path: '/' }],
  ['http://[::ffff:7f00:1]/', { ...from, host: '::ffff:7f00:1', path: '/' }],
  ['?q', { ...from, path: '/.well-known/acme-challenge/t?q' }],
])('%s leads on', (header, location) => {
  expect(parse(header)).toEqual(location);
});

test.each([
  [undefined, 'no URL'],
  ['http://', 'no URL'],
  ['http://[::1', 'no URL'],
  ['http://[fe80::1%25eth0]/', 'no URL'],
  ['http://a b/', 'no URL'],
  ['http://a.test:99999/', 'no URL'],
  ['file:///etc/passwd', 'another scheme'],
  ['gopher://a.example.test:80/', 'another scheme'],
  ['ftp://a.example.test/', 'another scheme'],
  ['javascript:alert(1)', 'another scheme'],
  ['data:text/plain,x', 'another scheme'],
  ['http://a.example.test:22/', 'another port than 80, 443'],
  ['https://a.example.test:6443/', 'another port than 80, 443'],
  ['http://a.example.test:0/', 'another port than 80, 443'],
  ['http://user@a.example.test/', 'credentials'],
  ['http://user:pass@a.example.test/', 'credentials'],
  ['http://a_b.example.test/', 'not a DNS name'],
  ['http://a.example.test./', 'not a DNS name'],
  ['http://*.example.test/', 'not a DNS name'],
  [`http://a.example.test/${'x'.repeat(2_000)}`, 'more than 2000 bytes'],
  [`http://a.example.test/?${'x'.repeat(2_000)}`, 'more than 2000 bytes'],
  [`/${'é'.repeat(400)}`, 'more than 2000 bytes'],
])('%s is refused', (header, reason) => {
  expect(parse(header)).toContain(reason);
});

test('a path of 2,000 bytes is the longest', () => {
  expect(parse(`/${'x'.repeat(1_999)}`)).toMatchObject({ path: `/${'x'.repeat(1_999)}` });
});

test('a refusal repeats nothing of the header', () => {
  fc.assert(
    fc.property(fc.webUrl({ withQueryParameters: true, validSchemes: ['http', 'https', 'ftp', 'file'] }), (url) => {
      const next = parse(url);
      if (typeof next === 'string') expect(next).not.toContain(new URL(url).hostname);
      else expect(PORTS.has(next.port) && next.path.startsWith('/')).toBe(true);
    }),
  );
});
