// golang.org/x/crypto/acme, driven by test/tools/cmd/xcryptoacme: every challenge, an address by tls-alpn-01, revocation.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, expectRevoked } from './certificates.ts';
import { built, describeClient, programFile, TARGET } from './harness.ts';

describeClient('golang.org/x/crypto/acme', [built('xcryptoacme')], (world) => {
  const file = (name: string): string => join(world().folder, `xcryptoacme-${name}`);
  const xcryptoacme = (flags: readonly string[], ...command: string[]): Promise<string> => {
    const { target, run } = world();
    const account = ['-directory', target.directory, '-ca', target.ca, '-account-key', file('account.pem')];
    return run(programFile('xcryptoacme'), [...account, ...flags, ...command]);
  };
  const issue = async (challenge: readonly string[], names: readonly string[]): Promise<CertificateFiles> => {
    const files = { chain: file(`${names[0]}.crt`), key: file(`${names[0]}.key`) };
    await xcryptoacme(['-challenge', ...challenge, '-cert', files.chain, '-key', files.key], 'issue', ...names);
    return files;
  };

  test('http-01: two names, renewed, revoked', async () => {
    const names = ['x.example.test', 'www.x.example.test'];
    const challenge = ['http-01', '-listen', `127.0.0.1:${world().http01Port}`];
    const first = await expectIssued(world().target, await issue(challenge, names), names);
    const files = await issue(challenge, names);
    expect(await expectIssued(world().target, files, names)).not.toBe(first);

    await xcryptoacme(['-cert', files.chain], 'revoke');
    await expectRevoked(world().target, files.chain);
  });

  test.skipIf(TARGET === 'pebble')(
    'finalize answers with the Location of the order, which Pebble does not',
    async () => {
      const challenge = ['http-01', '-listen', `127.0.0.1:${world().http01Port}`, '-need-location'];
      const files = await issue(challenge, ['location.x.example.test']);
      await expectIssued(world().target, files, ['location.x.example.test']);
    },
  );

  test('tls-alpn-01: a name and an address', async () => {
    const names = ['tls.x.example.test', '127.0.0.1'];
    const files = await issue(['tls-alpn-01', '-listen', `127.0.0.1:${world().tlsAlpn01Port}`], names);
    await expectIssued(world().target, files, names);
  });

  test('dns-01: a name and its wildcard', async () => {
    const names = ['wild.example.test', '*.wild.example.test'];
    const files = await issue(['dns-01', '-dns-url', world().dnsURL], names);
    await expectIssued(world().target, files, names);
  });
});
