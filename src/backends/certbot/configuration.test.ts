import { describe, expect, test } from 'vitest';
import { RemoteFault } from '../https/remote-fault.ts';
import { ALLOWED_KEYS, readConfiguration } from './configuration.ts';

const SERVER = 'server = https://acme.test/directory';

function refusal(text: string): string {
  try {
    readConfiguration(text);
  } catch (error) {
    expect(error).toBeInstanceOf(RemoteFault);
    expect((error as RemoteFault).reason).toBe('ConfigurationRefused');
    return (error as RemoteFault).message;
  }
  throw new Error('it was taken');
}

test('what may be set becomes arguments', () => {
  const text = `# ours\n; theirs\n[acme]\n${SERVER}\n--preferred-chain: ISRG Root X1 # the old one\nissuance_timeout 120\nverbose\n\nPreferred-Profile=short`;
  expect(readConfiguration(text)).toEqual({
    server: 'https://acme.test/directory',
    arguments: ['--preferred-chain=ISRG Root X1', '--issuance-timeout=120', '--verbose', '--preferred-profile=short'],
  });
});

test('the allow-list is this one', () => {
  expect(Object.keys(ALLOWED_KEYS)).toEqual([
    'issuance-timeout',
    'preferred-chain',
    'preferred-profile',
    'required-profile',
    'server',
    'user-agent-comment',
    'verbose',
  ]);
});

describe('refused by name', () => {
  test.each([
    'pre-hook = touch /tmp/x',
    'post-hook = x',
    'deploy-hook = x',
    'renew-hook = x',
    'manual-auth-hook = x',
    'manual-cleanup-hook = x',
    'no-verify-ssl = true',
    'no-verify-ssl',
    'config-dir = /x',
    'work-dir = /x',
    'logs-dir = /x',
    'webroot-path = /x',
    'cert-path = /x',
    'key-path = /x',
    'fullchain-path = /x',
    'csr = /x',
    'config = /etc/letsencrypt/cli.ini',
    'c = /x',
    'dns-rfc2136-credentials = /etc/shadow',
    'user-agent = x',
    'account = x',
    'staging = true',
    'dry-run = true',
    'constructor = x',
    '__proto__ = x',
    'nonsense = x',
  ])('%s', (line) => {
    const key = (/^[^ ]+/.exec(line)?.[0] ?? '').replaceAll('_', '-');
    for (const written of [line, `--${line}`, line.toUpperCase(), line.replaceAll('-', '_'), line.replace(' = ', ':')])
      expect(refusal(`${SERVER}\n${written}`)).toContain(`line 2: ${key} may not be set`);
  });

  test('all of them at once, and where what they say is said', () => {
    expect(refusal(`email = a@b.test\nagree-tos = true\n${SERVER}\nhsts`)).toBe(
      'the configuration of certbot: line 1: email may not be set, account.contacts of the issuer says that; line 2: agree-tos may not be set, account.termsOfService of the issuer says that; line 4: hsts may not be set',
    );
  });

  test('a line within a line', () => {
    for (const end of ['\n', '\r', '\r\n'])
      expect(refusal(`${SERVER}${end}no-verify-ssl`)).toContain('line 2: no-verify-ssl');
    // Certbot takes none of these for the end of a line, nor do values hold them.
    for (const end of ['\u2028', '\v', '\0', '\u0085'])
      expect(refusal(`preferred-chain = x${end}no-verify-ssl = true`)).toContain('preferred-chain cannot have');
  });

  test('what is shown of a key is short and plain', () => {
    expect(refusal(`${SERVER}\n${'k'.repeat(500)}\u001b[31m = x`).length).toBeLessThan(200);
    expect(refusal(`${SERVER}\n\u001b[31m = x`)).toContain('\\u001b[31m may not be set');
  });
});

test.each([
  ['server = http://acme.test/directory', 'server cannot have this value'],
  ['server = https://acme.test/ x', 'server cannot have this value'],
  ['server =', 'server cannot have this value'],
  [`${SERVER}\n${SERVER}`, 'server stands there twice'],
  [`${SERVER}\nissuance-timeout = -1`, 'issuance-timeout cannot have this value'],
  [`${SERVER}\npreferred-chain = --no-verify-ssl`, 'preferred-chain cannot have this value'],
  [`${SERVER}\npreferred-chain = \0`, 'preferred-chain cannot have this value'],
  [`${SERVER}\nuser-agent-comment = \u001b[31m`, 'user-agent-comment cannot have this value'],
  [`${SERVER}\nuser-agent-comment = snow \u2603`, 'user-agent-comment cannot have this value'],
  ['server = https://u:p@acme.test/directory', 'server cannot have this value'],
  ['server = https://acme.test/../../x', 'server cannot have this value'],
  ['server = https://acme.test/%2e%2e/x', 'server cannot have this value'],
  ['server = https://acme.test/a%2fb', 'server cannot have this value'],
  ['server = file:///etc/passwd', 'server cannot have this value'],
  [`${SERVER}\nverbose = 3`, 'verbose takes true or nothing'],
  ['', 'there is no server'],
  ['# nothing', 'there is no server'],
])('%j is refused', (text, message) => {
  expect(refusal(text)).toContain(message);
});
