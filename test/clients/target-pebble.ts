// Pebble, Let's Encrypt's test server: shows that the client tests ask for RFC 8555 and for nothing of ours.
import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startProgram } from '../support/child-process.ts';
import { get, openssl } from './certificates.ts';
import { challengePort, programFile, type Target, type TargetOptions } from './harness.ts';

export async function startPebble(options: TargetOptions): Promise<Target> {
  const folder = join(options.folder, 'pebble');
  await mkdir(folder);
  const [ca, key, config, issuerCa] = ['ca.pem', 'key.pem', 'config.json', 'issuer-ca.pem'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key];
  const names = ['-subj', '/CN=pebble', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  await openssl('req', '-x509', '-days', '2', ...newKey, ...names, '-out', ca);
  const management = `127.0.0.1:${await challengePort()}`;
  const pebble = {
    listenAddress: `127.0.0.1:${options.port}`,
    managementListenAddress: management,
    certificate: ca,
    privateKey: key,
    httpPort: options.http01Port,
    tlsPort: options.tlsAlpn01Port,
    retryAfter: { authz: 1, order: 1 },
    keyAlgorithm: 'ecdsa',
    profiles: { default: { description: 'Ninety days.', validityPeriod: 7_776_000 } },
  };
  await writeFile(config, JSON.stringify({ pebble }));
  const program = startProgram(programFile('pebble'), ['-config', config, '-dnsserver', options.resolver], {
    env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '0' },
  });
  try {
    await program.waitFor(/ACME directory available/);
    await writeFile(issuerCa, await get(`https://${management}/roots/0`, ca));
  } catch (error) {
    await program.stop();
    throw error;
  }
  const isRevoked = async (chain: string): Promise<boolean> => {
    const serial = new X509Certificate(await readFile(chain)).serialNumber;
    const status = await get(`https://${management}/cert-status-by-serial/${serial}`, ca);
    return (JSON.parse(status.toString()) as { Status: string }).Status === 'Revoked';
  };
  return { directory: `https://127.0.0.1:${options.port}/dir`, ca, issuerCa, isRevoked, stop: () => program.stop() };
}
