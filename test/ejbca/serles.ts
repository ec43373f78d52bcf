// Serles as PyPI has it, in the virtual environment that scripts/build-tools.ts makes: its EJBCA backend, and lxml.
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { EjbcaPeer } from '../support/ejbca-peer.ts';
import { cacheFolder } from '../support/kubernetes-programs.ts';

const PYTHON = join(dirname(cacheFolder()), 'serles', 'bin', 'python');

/** Python's requests would let these win over the CA bundle it is given. */
const { REQUESTS_CA_BUNDLE: _requests, CURL_CA_BUNDLE: _curl, ...OWN_TRUST } = process.env;

/** Why it cannot be run, if it cannot. */
export const serlesMissing = existsSync(PYTHON)
  ? undefined
  : 'serles-acme is missing (node scripts/build-tools.ts serles)';

export interface SerlesOrder {
  csr: string;
  subject: string;
  names: readonly string[];
}

export interface Serles {
  /** What its backend makes of the order, with user name and password of the common name. */
  sign(order: SerlesOrder, settings?: Readonly<Record<string, string>>): Promise<{ chain?: string; error?: string }>;
  /** Forms of XML documents that are equal where the documents say the same. */
  canonical(documents: readonly string[]): Promise<unknown[]>;
}

export function serlesFor(peer: EjbcaPeer, folder: string): Serles {
  const client = peer.secrets['ejbca-client'];
  const [credential, bundle] = [join(folder, 'client.pem'), join(folder, 'ca.pem')];
  writeFileSync(credential, `${client?.['tls.key']}${client?.['tls.crt']}`, { mode: 0o600 });
  writeFileSync(bundle, peer.spec.caBundle ?? '');
  const config = {
    apiUrl: `${peer.spec.url}?wsdl`,
    caBundle: bundle,
    clientCertificate: credential,
    endEntityProfileName: peer.spec.endEntityProfile,
    certificateProfileName: peer.spec.certificateProfile,
    caName_rsa: 'CorpRSA',
    caName_ecdsa: 'CorpEC',
    entityUsernameScheme: 'serles-{CN}',
    entityPasswordScheme: 'password-{CN}',
  };
  const run = async (what: string, given: object): Promise<unknown> => {
    const file = join(folder, `${what}.json`);
    writeFileSync(file, JSON.stringify(given));
    const script = join(import.meta.dirname, 'second-opinion.py');
    const { stdout } = await promisify(execFile)(PYTHON, [script, what, file], {
      maxBuffer: 16 * 1024 * 1024,
      env: OWN_TRUST,
    });
    return JSON.parse(stdout);
  };
  return {
    sign: async (order, settings = {}) =>
      (await run('sign', { ...order, config: { ...config, ...settings } })) as { chain?: string; error?: string },
    canonical: async (documents) => (await run('canonical', documents)) as unknown[],
  };
}
