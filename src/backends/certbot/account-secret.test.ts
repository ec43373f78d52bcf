import { expect, test } from 'vitest';
import { accountFolder } from './account-secret.ts';

// As certbot.configuration has it: netloc and path of Python's urlparse, which keeps parameters (RFC 2396) of the last segment apart.
test.each([
  ['https://acme.test/directory', 'acme.test/directory'],
  ['https://acme.test:14000/', 'acme.test:14000'],
  ['https://[2001:db8::1]/a/b/', '[2001:db8::1]/a/b'],
  ['https://acme.test/directory?profile=x/y', 'acme.test/directory'],
  ['https://acme.test/directory#x', 'acme.test/directory'],
  ['https://acme.test/a;b/directory;c', 'acme.test/a;b/directory'],
])('the account at %s is where certbot looks for it', (server, path) => {
  expect(accountFolder(server, 'abc')).toBe(`config/accounts/${path}/abc`);
});
