// dehydrated (bash, curl): http-01 by webroot, a wildcard by a dns-01 hook, tls-alpn-01 by files, renewal, revocation.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, expectRevoked } from './certificates.ts';
import { serveTlsAlpn, serveWebroot } from './challenge-servers.ts';
import { apt, describeClient } from './harness.ts';

const HOOK = resolve(import.meta.dirname, 'hooks/dehydrated-dns.sh');

describeClient('dehydrated', [apt('dehydrated')], (world) => {
  const at = (name: string): string => join(world().folder, 'dehydrated', name);

  /** Writes the configuration a user would, and runs dehydrated with it. */
  const dehydrated = async (args: readonly string[], fails = false): Promise<string> => {
    const { target, dnsURL, run, runFailing } = world();
    for (const folder of ['webroot', 'alpn']) await mkdir(at(folder), { recursive: true });
    const settings = {
      CA: target.directory,
      BASEDIR: at(''),
      WELLKNOWN: at('webroot'),
      ALPNCERTDIR: at('alpn'),
      CURL_OPTS: `--cacert ${target.ca}`,
      CONTACT_EMAIL: 'dehydrated@example.test',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}="${value}"\n`);
    await writeFile(at('config'), lines.join(''));
    return (fails ? runFailing : run)('dehydrated', ['--config', at('config'), '--accept-terms', ...args], {
      env: { DNS_URL: dnsURL },
    });
  };
  const issue = async (challenge: readonly string[], names: readonly string[], force = false): Promise<void> => {
    await dehydrated(['--register']);
    await dehydrated([
      '--cron',
      '--domain',
      names.join(' '),
      '--challenge',
      ...challenge,
      ...(force ? ['--force'] : []),
    ]);
  };
  const files = (alias: string): CertificateFiles => ({
    chain: at(`certs/${alias}/fullchain.pem`),
    key: at(`certs/${alias}/privkey.pem`),
  });

  test('http-01: two names, renewed, revoked', async () => {
    const names = ['dehydrated.example.test', 'www.dehydrated.example.test'];
    await using _ = await serveWebroot(world().http01Port, at('webroot'));
    await issue(['http-01'], names);
    const first = await expectIssued(world().target, files('dehydrated.example.test'), names);

    await issue(['http-01'], names, true);
    expect(await expectIssued(world().target, files('dehydrated.example.test'), names)).not.toBe(first);

    // dehydrated renames what it revoked, so both revocations are of a copy.
    const copy = at('to-revoke.pem');
    const leaf = await readFile(at('certs/dehydrated.example.test/cert.pem'));
    await writeFile(copy, leaf);
    await dehydrated(['--revoke', copy]);
    await expectRevoked(world().target, files('dehydrated.example.test').chain);
    await writeFile(copy, leaf);
    expect(await dehydrated(['--revoke', copy], true)).toContain('urn:ietf:params:acme:error:alreadyRevoked');
  });

  test('dns-01: a name and its wildcard', async () => {
    const names = ['wild.example.test', '*.wild.example.test'];
    await issue(['dns-01', '--hook', HOOK], names);
    await expectIssued(world().target, files('wild.example.test'), names);
  });

  test('tls-alpn-01', async () => {
    const answer = async (name: string): Promise<{ cert: Buffer; key: Buffer }> => ({
      cert: await readFile(at(`alpn/${name}.crt.pem`)),
      key: await readFile(at(`alpn/${name}.key.pem`)),
    });
    await using _ = await serveTlsAlpn(world().tlsAlpn01Port, answer);
    await issue(['tls-alpn-01'], ['tls.dehydrated.example.test']);
    await expectIssued(world().target, files('tls.dehydrated.example.test'), ['tls.dehydrated.example.test']);
  });
});
