// The CA of `manifests/alternates.yaml`: one issuing key under three roots. Made anew for each run, so that no key is committed.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { buildCaCertificate, createKeyPair, pemOf, privateKeyPem } from '../support/certificate-builder.ts';

const ISSUING = 'Conformance Issuing CA';

/** Secrets `alternates-ca` (key and default chain) and `alternates-chains` (keys `second.pem` and `third.pem`). */
export async function writeAlternatesSecrets(folder: string): Promise<void> {
  const issuing = createKeyPair();
  const chain = (root: string): string => {
    const keys = createKeyPair();
    const intermediate = buildCaCertificate(ISSUING, issuing, { subject: root, keys });
    return pemOf('CERTIFICATE', intermediate) + pemOf('CERTIFICATE', buildCaCertificate(root, keys));
  };
  const secret = (name: string, stringData: Record<string, string>): string =>
    stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'countersign-system' }, stringData });
  const documents = [
    secret('alternates-ca', { 'tls.crt': chain('Conformance Root 1'), 'tls.key': privateKeyPem(issuing) }),
    secret('alternates-chains', {
      'second.pem': chain('Conformance Root 2'),
      'third.pem': chain('Conformance Root 3'),
    }),
  ];
  await writeFile(join(folder, 'alternates-secrets.yaml'), documents.join('---\n'));
}
