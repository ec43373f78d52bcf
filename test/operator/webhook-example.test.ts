// The example signer as its reader would run it: set up, started, used by an issuer.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { SecretKind } from '../../src/api/core.ts';
import { loadManifests } from '../../src/commands/manifest-files.ts';
import { freePort, type RunningProgram, startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { startOperator } from './harness.ts';

const EXAMPLE = join(import.meta.dirname, '..', '..', 'examples', 'webhook-signer');
let folder: string;
let signer: RunningProgram;
let operator: Awaited<ReturnType<typeof startOperator>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-example-'));
  const env = { PORT: String(await freePort()) };
  execFileSync(join(EXAMPLE, 'setup.sh'), [folder], { env: { ...process.env, ...env }, stdio: 'pipe' });
  signer = startProgram(process.execPath, [join(EXAMPLE, 'signer.ts')], { cwd: folder, env });
  await signer.waitFor(/ready/);
  operator = await startOperator();
});

afterAll(async () => {
  await operator.stop();
  await signer.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('its manifests are good, and a claim gets a certificate that its CA signed', async () => {
  const { manifests, errors } = loadManifests(join(folder, 'manifests'));
  expect(errors).toEqual([]);
  for (const { kind, object } of manifests) await operator.cluster.create(kind, object);
  const usages = ['server auth' as const];
  await operator.cluster.create(CertificateClaimKind, {
    metadata: { name: 'www', namespace: 'default' },
    spec: {
      secretName: 'www-tls',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'webhook' },
      dnsNames: ['www.example.test'],
      duration: '90m',
      usages,
    },
  });
  const pem = await eventually('the certificate', async () => {
    const secret = await operator.cluster.get(SecretKind, { namespace: 'default', name: 'www-tls' });
    return Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString() || undefined;
  });
  const leaf = new X509Certificate(pem);
  const ca = new X509Certificate(readFileSync(join(folder, 'ca.crt')));
  expect(leaf.verify(ca.publicKey)).toBe(true);
  expect(leaf.subjectAltName).toBe('DNS:www.example.test');
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect(leaf.validToDate.getTime() - leaf.validFromDate.getTime()).toBeLessThanOrEqual(90 * 60_000);
});
