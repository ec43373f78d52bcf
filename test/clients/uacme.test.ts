// uacme (C, GnuTLS): http-01 for a name and an address by a hook, a wildcard by dns-01, renewal, revocation.
import { copyFile, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, expectRevoked } from './certificates.ts';
import { serveWebroot } from './challenge-servers.ts';
import { apt, describeClient, TARGET } from './harness.ts';

const HOOK = resolve(import.meta.dirname, 'hooks/uacme.sh');
const UNSHARE = apt('unshare', 'apt-get install util-linux');

// uacme trusts the machine's CA bundle and has no option for another: it runs where that file is ours, in a mount namespace of its own.
const WITH_CA = 'mount --bind "$TRUSTED" /etc/ssl/certs/ca-certificates.crt && exec "$@"';

// uacme stops at a challenge without a token, and Pebble offers one (dns-persist-01) at a random place.
const offered = test.skipIf(TARGET === 'pebble');

describeClient('uacme', [apt('uacme'), UNSHARE], (world) => {
  const at = (name: string): string => join(world().folder, 'uacme', name);
  const uacme = async (args: readonly string[], fails = false): Promise<string> => {
    const { target, dnsURL, run, runFailing } = world();
    await mkdir(at('webroot'), { recursive: true });
    const namespace = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--user', '--map-root-user'];
    const command = ['uacme', '--verbose', '--yes', '--confdir', at('conf'), '--acme-url', target.directory, ...args];
    const env = { TRUSTED: target.ca, DNS_URL: dnsURL, WEBROOT: at('webroot') };
    return (fails ? runFailing : run)('unshare', [...namespace, 'sh', '-c', WITH_CA, 'sh', ...command], { env });
  };
  beforeAll(async () => {
    await uacme(['new', 'uacme@example.test']);
  });
  const files = (name: string): CertificateFiles => ({
    chain: at(`conf/${name}/cert.pem`),
    key: at(`conf/private/${name}/key.pem`),
  });

  offered('http-01: a name and an address, renewed, revoked', async () => {
    const names = ['uacme.example.test', '127.0.0.1'];
    await using _ = await serveWebroot(world().http01Port, at('webroot'));
    await uacme(['--hook', HOOK, 'issue', ...names]);
    const first = await expectIssued(world().target, files('uacme.example.test'), names);

    await uacme(['--hook', HOOK, '--force', 'issue', ...names]);
    expect(await expectIssued(world().target, files('uacme.example.test'), names)).not.toBe(first);

    // uacme renames what it revoked, so both revocations are of a copy.
    const { chain } = files('uacme.example.test');
    const copy = at('to-revoke.pem');
    await copyFile(chain, copy);
    await uacme(['revoke', copy]);
    await expectRevoked(world().target, chain);
    await copyFile(chain, copy);
    expect(await uacme(['revoke', copy], true)).toContain('urn:ietf:params:acme:error:alreadyRevoked');
  });

  offered('dns-01: a name and its wildcard, with an EC key', async () => {
    const names = ['wild.example.test', '*.wild.example.test'];
    await uacme(['--type', 'EC', '--hook', HOOK, 'issue', ...names]);
    await expectIssued(world().target, files('wild.example.test'), names);
  });
});
