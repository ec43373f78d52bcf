// Part of every-feature.ts: an ACME CA upstream, whose orders and answers to challenges are put on record, and our account in a Secret.
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { SecretKind } from '../../src/api/core.ts';
import type { Cluster } from '../../src/ports.ts';
import { startAcmeDouble } from './acme-double.ts';
import { eventually } from './eventually.ts';

/** `operator` and `tenant` are namespaces. */
export async function signUpstream({
  admin,
  operator,
  tenant,
}: {
  admin: Cluster;
  operator: string;
  tenant: string;
}): Promise<void> {
  const double = await startAcmeDouble();
  double.behaviour.challenges = ['http-01'];
  try {
    const acme = {
      directory: double.directory,
      caBundle: double.caBundle,
      trustAnchors: double.root,
      account: { keySecretRef: { name: 'upstream-account' } },
      preCheck: { enabled: false },
    };
    await admin.create(ClusterCAIssuerKind, {
      metadata: { name: 'upstream' },
      spec: { backend: { acme }, defaults: { duration: '168h' } },
    });
    const ref = { namespace: tenant, name: 'upstream' };
    const issuerRef = { kind: 'ClusterCAIssuer' as const, name: 'upstream' };
    const spec = { secretName: 'upstream-tls', issuerRef, dnsNames: ['upstream.every.test'] };
    await admin.create(CertificateClaimKind, { metadata: ref, spec });
    await eventually('the claim has its certificate', async () => {
      const { status } = (await admin.get(CertificateClaimKind, ref)) ?? {};
      return status?.revision === 1 || undefined;
    });
    const account = await admin.get(SecretKind, { namespace: operator, name: 'upstream-account' });
    if (account?.data?.['account.key'] === undefined) throw new Error('the account has no key');
    const [order, ...others] = double.orders;
    if (order?.status !== 'valid' || others.length > 0) throw new Error('it was not one order');
    await admin.delete(CertificateClaimKind, ref);
    await admin.delete(ClusterCAIssuerKind, { name: 'upstream' });
  } finally {
    await double.server.stop();
  }
}
