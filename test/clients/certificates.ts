// What a client left behind, judged by OpenSSL and Node: the files, not the client's words.
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { Target } from './harness.ts';

const exec = promisify(execFile);

/** Files a client wrote: the certificate with its chain, leaf first, and the private key. */
export interface CertificateFiles {
  chain: string;
  key: string;
}

/** `expectCertificate`, of a certificate that the server does not call revoked. */
export async function expectIssued(
  { issuerCa, isRevoked }: Pick<Target, 'issuerCa' | 'isRevoked'>,
  files: CertificateFiles,
  names: readonly string[],
): Promise<string> {
  const serial = await expectCertificate(issuerCa, files, names);
  expect(await isRevoked(files.chain)).toBe(false);
  return serial;
}

/** The certificate chains to the root, has exactly these names, and belongs to the key. Resolves with its serial number. */
export async function expectCertificate(
  issuerCa: string,
  { chain, key }: CertificateFiles,
  names: readonly string[],
): Promise<string> {
  const leaf = new X509Certificate(await readFile(chain));
  expect(namesOf(leaf)).toEqual(names.toSorted());
  expect(leaf.checkPrivateKey(createPrivateKey(await readFile(key)))).toBe(true);
  const strictly = ['-x509_strict', '-purpose', 'sslserver'];
  const verdict = await opensslSays('verify', ...strictly, '-CAfile', issuerCa, '-untrusted', chain, chain);
  expect(verdict.trim()).toBe(`${chain}: OK`);
  return leaf.serialNumber;
}

/** The server publishes that the certificate is revoked, now or soon. */
export async function expectRevoked(target: Target, chain: string): Promise<void> {
  await expect.poll(() => target.isRevoked(chain), { timeout: 60_000, interval: 500 }).toBe(true);
}

function namesOf(leaf: X509Certificate): string[] {
  const entries = leaf.subjectAltName?.split(', ') ?? [];
  return entries.map((entry) => entry.replace(/^(DNS|IP Address):/, '')).sort();
}

/** Runs OpenSSL, which must succeed. */
export async function openssl(...args: string[]): Promise<string> {
  const { stdout } = await exec('openssl', args);
  return stdout;
}

/** What OpenSSL says on both streams, be it yes or no. */
export async function opensslSays(...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await exec('openssl', args);
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  }
}

/** GET over HTTP, or over HTTPS trusting only the certificates in the file `ca`. */
export async function get(url: string, ca?: string): Promise<Buffer> {
  const request =
    ca === undefined ? getHttp(url, { agent: false }) : getHttps(url, { agent: false, ca: await readFile(ca) });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const body = await buffer(response);
  if (response.statusCode !== 200) throw new Error(`GET ${url}: ${response.statusCode} ${body.toString()}`);
  return body;
}
