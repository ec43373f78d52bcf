// certbot (Python): http-01 with its own web server, a wildcard by dns-01 with hooks, renewal, revocation.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, expectRevoked } from './certificates.ts';
import { apt, describeClient, type World } from './harness.ts';

const HOOK = resolve(import.meta.dirname, 'hooks/certbot-dns.sh');

describeClient('certbot', [apt('certbot')], (world) => {
  const certbot = (fails: boolean, ...args: string[]): Promise<string> => {
    const { target, folder, dnsURL, run, runFailing } = world();
    const folders = ['config', 'work', 'logs'].flatMap((name) => [`--${name}-dir`, join(folder, 'certbot', name)]);
    const env = { REQUESTS_CA_BUNDLE: target.ca, DNS_URL: dnsURL };
    return (fails ? runFailing : run)(
      'certbot',
      [...args, '--server', target.directory, '--non-interactive', ...folders],
      { env },
    );
  };
  const order = ['--agree-tos', '--register-unsafely-without-email'];

  test('http-01: two names, renewed, revoked', async () => {
    const names = ['certbot.example.test', 'www.certbot.example.test'];
    const standalone = ['--standalone', '--http-01-address', '127.0.0.1', '--http-01-port', `${world().http01Port}`];
    await certbot(false, 'certonly', ...standalone, ...order, ...names.flatMap((name) => ['-d', name]));
    const files = live(world(), 'certbot.example.test');
    const first = await expectIssued(world().target, files, names);

    await certbot(false, 'renew', '--force-renewal', '--no-random-sleep-on-renew');
    const second = await expectIssued(world().target, files, names);
    expect(second).not.toBe(first);

    await certbot(false, 'revoke', '--cert-path', files.chain, '--reason', 'superseded', '--no-delete-after-revoke');
    await expectRevoked(world().target, files.chain);
    await certbot(true, 'revoke', '--cert-path', files.chain, '--no-delete-after-revoke');
    // certbot 2.1 breaks while it prints a problem; its log has the answer as the server sent it.
    const log = await readFile(join(world().folder, 'certbot', 'logs', 'letsencrypt.log'), 'utf8');
    expect(log).toContain('urn:ietf:params:acme:error:alreadyRevoked');
  });

  test('dns-01: a name and its wildcard, with an RSA key', async () => {
    const hooks = ['--manual-auth-hook', `${HOOK} present`, '--manual-cleanup-hook', `${HOOK} cleanup`];
    const names = ['wild.example.test', '*.wild.example.test'];
    await certbot(
      false,
      'certonly',
      '--manual',
      '--preferred-challenges',
      'dns',
      ...hooks,
      ...order,
      '--key-type',
      'rsa',
      ...names.flatMap((name) => ['-d', name]),
    );
    const files = live(world(), 'wild.example.test');
    const first = await expectIssued(world().target, files, names);

    await certbot(false, 'renew', '--cert-name', 'wild.example.test', '--force-renewal', '--no-random-sleep-on-renew');
    expect(await expectIssued(world().target, files, names)).not.toBe(first);
  });
});

function live({ folder }: World, name: string): CertificateFiles {
  const at = join(folder, 'certbot', 'config', 'live', name);
  return { chain: join(at, 'fullchain.pem'), key: join(at, 'privkey.pem') };
}
