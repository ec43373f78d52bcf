// A real cert-manager whose ClusterIssuers have our URL, our CA bundle and no solvers.
import { X509Certificate } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import {
  certificate,
  certManagerInstalled,
  clusterIssuer,
  ordersOf,
  publishedBundle,
  recordsOf,
  refusalOf,
  renew,
  RIGHTS,
  service,
} from '../cert-manager.ts';
import { connectCluster } from '../cluster.ts';
import { caIssuer } from '../objects.ts';

const cluster = connectCluster();
let ns = '';
let bundle = '';

interface SecretObject {
  data: Record<string, string>;
}

const ACME = { proof: { certManagerOrders: true, services: true } };

async function leafOf(name: string): Promise<X509Certificate> {
  const secret = await cluster.get<SecretObject>('secret', `${name}-tls`, ns);
  return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64'));
}

const isReady = (name: string, seconds = 240) =>
  cluster.waitFor(`certificate/${name}`, 'condition=Ready', ns, seconds);

beforeAll(async () => {
  await Promise.all([cluster.installed(RIGHTS), certManagerInstalled(cluster)]);
  ns = await cluster.namespace('cm');
  await cluster.apply(
    caIssuer('cm', ['*.{{namespace}}.svc', '*.{{namespace}}.svc.cluster.local'], {
      acme: ACME,
      publishTrust: { configMap: { name: 'cm-trust' } },
    }),
  );
  await cluster.waitFor('clustercaissuer/cm', 'condition=Ready');
  bundle = await publishedBundle(cluster, 'cm-trust');
  await cluster.apply(clusterIssuer('cm', bundle));
  await cluster.waitFor('clusterissuer/cm', 'condition=Ready');
});

test('a Certificate for a Service of its namespace is issued, without a solver', async () => {
  const name = `web.${ns}.svc`;
  await cluster.apply(service('web'), ns);
  const times: number[] = [];
  for (const each of ['web', 'web-2', 'web-3']) {
    const begun = performance.now();
    await cluster.apply(certificate(each, { issuer: 'cm', names: [name, `${name}.cluster.local`] }), ns);
    await isReady(each);
    times.push((performance.now() - begun) / 1000);
  }
  cluster.measure('cert-manager: Certificate applied to Ready, three', times.map((s) => `${s.toFixed(1)} s`).join(', '));
  const leaf = await leafOf('web');
  expect(leaf.subjectAltName).toBe(`DNS:${name}, DNS:${name}.cluster.local`);
  expect(leaf.issuer).toBe('CN=CA of cm');
  const [order] = await ordersOf(cluster, ns, 'web');
  expect(order?.status?.state).toBe('valid');
  const challenges = await cluster.kubectl('get', 'challenges', '--namespace', ns, '--output', 'name');
  expect(challenges).toBe('');
  const records = await recordsOf(cluster, 'cm');
  expect(records.map(({ spec }) => spec.requester.namespace)).toEqual([ns, ns, ns]);
});

test('a name that policy refuses: kubectl describe order shows the policy and the name', async () => {
  await cluster.apply(certificate('foreign', { issuer: 'cm', names: ['wanted.other.svc'] }), ns);
  const { metadata, status } = await refusalOf(cluster, ns, 'foreign');
  expect(status?.reason).toContain('403');
  expect(status?.reason).toContain('policy "cm" refuses "wanted.other.svc"');
  const text = await cluster.kubectl('describe', 'order', metadata.name, '--namespace', ns);
  expect(text).toContain('policy "cm" refuses "wanted.other.svc"');
  expect(await recordsOf(cluster, 'cm')).toHaveLength(3);
});

test('a Certificate is renewed when cert-manager is told to, and by itself before it ends', async () => {
  const { serialNumber } = await leafOf('web');
  await renew(cluster, ns, 'web');
  const second = await eventually(
    'the Secret has another certificate',
    async () => {
      const leaf = await leafOf('web');
      return leaf.serialNumber === serialNumber ? undefined : leaf;
    },
    240,
  );
  expect(second.subjectAltName).toContain(`DNS:web.${ns}.svc`);
  expect((await recordsOf(cluster, 'cm')).length).toBe(4);
});
