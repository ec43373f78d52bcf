// Our own program, run as a user would: `countersign dev` on a store in memory.
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { startProgram } from '../support/child-process.ts';
import { get, openssl, opensslSays } from './certificates.ts';
import { challengePort, type Target, type TargetOptions } from './harness.ts';

const ROOT = resolve(import.meta.dirname, '../..');

export async function startCountersign(options: TargetOptions): Promise<Target> {
  const httpPort = await challengePort();
  const flags = {
    manifests: 'test/clients/manifests',
    port: options.port,
    'http-port': httpPort,
    resolver: options.resolver,
    'http01-port': options.http01Port,
    'tls-alpn01-port': options.tlsAlpn01Port,
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const program = startProgram(process.execPath, ['src/main.ts', 'dev', '--memory', ...args], { cwd: ROOT });
  try {
    const ready = await program.waitFor(/^ready directory=(\S+) ca=(\S+) issuer-ca=(\S+)$/m);
    const [, directory = '', ca = '', issuerCa = ''] = ready;
    const issuer = /\/acme\/([^/]+)\/directory$/.exec(directory)?.[1];
    const crlURL = `http://127.0.0.1:${httpPort}/crl/${issuer}.crl`;
    const isRevoked = (chain: string): Promise<boolean> => inCrl({ folder: options.folder, crlURL, issuerCa }, chain);
    return { directory, ca, issuerCa, isRevoked, stop: () => program.stop() };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

/** Asks OpenSSL, which also checks the CRL's signature and dates. */
async function inCrl(
  { folder, crlURL, issuerCa }: { folder: string; crlURL: string; issuerCa: string },
  chain: string,
): Promise<boolean> {
  const [der, pem] = [join(folder, 'issuer.crl'), join(folder, 'issuer-crl.pem')];
  await writeFile(der, await get(crlURL));
  await openssl('crl', '-inform', 'DER', '-in', der, '-out', pem);
  const verdict = await opensslSays(
    'verify',
    '-crl_check',
    '-CRLfile',
    pem,
    '-CAfile',
    issuerCa,
    '-untrusted',
    chain,
    chain,
  );
  if (/certificate revoked/.test(verdict)) return true;
  if (verdict.includes(`${chain}: OK`)) return false;
  throw new Error(`the CRL of ${crlURL} does not serve ${chain}:\n${verdict}\n${await readFile(pem, 'utf8')}`);
}
