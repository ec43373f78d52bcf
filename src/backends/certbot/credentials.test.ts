import { expect, test } from 'vitest';
import { createMemorySecrets } from '../../../test/contract/authorities.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { requireCredentials } from './credentials.ts';

const judged = (text: string | Buffer): Promise<unknown> => {
  const secrets = createMemorySecrets();
  secrets.values.set('dns', { ini: Buffer.from(text) });
  return requireCredentials({ secrets }, { name: 'dns', key: 'ini' }).catch((error: Error) => error);
};

test.each([
  'dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_secret = c2VjcmV0IHNlY3JldA==\n',
  '# of the vendor\r\n\r\n[main]\r\n  dns_x_token=a b = c\r\n',
  'certbot_dns_x:dns_x_key = "quoted"\n',
  '{"type": "service_account",\n "private_key": "-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----"}\n',
])('a credentials file is one: %j', async (text) => {
  expect(await judged(text)).toBeUndefined();
});

test.each([
  ['s3cret-token\n', 'line 1'],
  ['dns_x_token = s3cret\ns3cret s3cret\n', 'line 2'],
  ['dns_x_token = """s3cret\ns3cret"""\n', 'line 2'],
  ['-----BEGIN PRIVATE KEY-----\ns3cret==\n-----END PRIVATE KEY-----\n', 'line 1'],
  ['["s3cret"]', 'nothing is in it'],
  ['{"s3cret": ', 'line 1'],
  [Buffer.from('\u0000s3cret\u00ff', 'latin1'), 'line 1'],
  ['', 'nothing is in it'],
  ['# nothing\n', 'nothing is in it'],
])('what is none is not handed out, nor quoted: %j', async (text, fault) => {
  const error = (await judged(text)) as RemoteFault;
  expect(error).toBeInstanceOf(RemoteFault);
  expect(error.reason).toBe('CredentialsUnusable');
  expect(error.message).toContain(`ini of the Secret dns is no credentials file of a plugin of certbot: ${fault}`);
  expect(error.message).not.toContain('s3cret');
});

test('what is too large is none', async () => {
  expect(await judged(`a = b\n${'#'.repeat(70_000)}`)).toMatchObject({
    reason: 'CredentialsUnusable',
    message: expect.stringContaining('it is too large'),
  });
});

test('a Secret or key that is not there is named', async () => {
  const secrets = createMemorySecrets({ dns: { ini: 'a = b' } });
  await expect(requireCredentials({ secrets }, { name: 'no', key: 'ini' })).rejects.toMatchObject({
    reason: 'SecretMissing',
  });
  await expect(requireCredentials({ secrets }, { name: 'dns', key: 'no' })).rejects.toMatchObject({
    reason: 'SecretKeyMissing',
  });
});
