// acme-tiny (Python, 200 lines): http-01 by webroot with a CSR of OpenSSL's making; it knows no revocation.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, openssl } from './certificates.ts';
import { serveWebroot } from './challenge-servers.ts';
import { apt, describeClient } from './harness.ts';

describeClient('acme-tiny', [apt('acme-tiny')], (world) => {
  test('http-01: two names in a CSR with a CN, renewed with the same CSR', async () => {
    const { target, folder, http01Port, run } = world();
    const at = (name: string): string => join(folder, 'acme-tiny', name);
    await mkdir(at('webroot'), { recursive: true });
    const names = ['tiny.example.test', 'www.tiny.example.test'];
    const files: CertificateFiles = { chain: at('chain.pem'), key: at('key.pem') };
    await openssl('genrsa', '-out', at('account.pem'), '2048');
    const newKey = ['-newkey', 'rsa:2048', '-nodes', '-keyout', files.key];
    const subject = ['-subj', '/CN=tiny.example.test', '-addext', `subjectAltName=DNS:${names.join(',DNS:')}`];
    await openssl('req', '-new', ...newKey, ...subject, '-out', at('request.pem'));
    await using _ = await serveWebroot(http01Port, at('webroot'));
    const issue = async (): Promise<string> => {
      const request = ['--account-key', at('account.pem'), '--csr', at('request.pem'), '--acme-dir', at('webroot')];
      const options = ['--directory-url', target.directory, '--disable-check'];
      await writeFile(
        files.chain,
        await run('acme-tiny', [...request, ...options], { env: { SSL_CERT_FILE: target.ca } }),
      );
      return expectIssued(target, files, names);
    };
    const first = await issue();
    expect(await issue()).not.toBe(first);
  });
});
