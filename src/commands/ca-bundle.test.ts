// The CA of the ACME server, put into ClusterIssuers of cert-manager.
import { expect, test } from 'vitest';
import { createFakeStore } from '../../test/fakes/world.ts';
import { buildCaCertificate, createKeyPair, pemOf } from '../../test/support/certificate-builder.ts';
import { SecretKind } from '../api/core.ts';
import { CertManagerClusterIssuerKind } from '../api/foreign.ts';
import { runCaBundle, setCaBundles } from './ca-bundle.ts';

const NAMESPACE = 'countersign-system';
const ORIGIN = 'https://countersign.countersign-system.svc';
const CA = pemOf('CERTIFICATE', buildCaCertificate('Serving CA', createKeyPair()));

function stage() {
  const { cluster, clock } = createFakeStore(new Date().toISOString());
  const config = { namespace: NAMESPACE, tlsSecretName: undefined, externalURLs: [ORIGIN] };
  return {
    cluster,
    clock,
    set: (issuers: string[], timeoutMs = 0) => setCaBundles({ cluster, clock, config, issuers, timeoutMs }),
    secret: () =>
      cluster.create(SecretKind, {
        metadata: { namespace: NAMESPACE, name: 'countersign-serving-tls' },
        type: 'Opaque',
        stringData: { 'ca.crt': CA },
      }),
    issuer: (name: string, server = `${ORIGIN}/acme/corporate/directory`) =>
      cluster.create(CertManagerClusterIssuerKind, { metadata: { name }, spec: { acme: { server, solvers: [{}] } } }),
    bundle: async (name: string) => {
      const { acme } = (await cluster.get(CertManagerClusterIssuerKind, { name }))?.spec ?? {};
      return { ...acme, caBundle: Buffer.from(acme?.caBundle ?? '', 'base64').toString() };
    },
  };
}

test('a ClusterIssuer that asks this operator gets the CA, and keeps the rest; nothing is written twice', async () => {
  const { set, secret, issuer, bundle, cluster } = stage();
  await secret();
  await issuer('corporate');
  expect(await set(['corporate'])).toEqual([]);
  const server = `${ORIGIN}/acme/corporate/directory`;
  expect(await bundle('corporate')).toEqual({ server, solvers: [{}], caBundle: CA });
  const before = await cluster.get(CertManagerClusterIssuerKind, { name: 'corporate' });
  expect(await set(['corporate'])).toEqual([]);
  expect(await cluster.get(CertManagerClusterIssuerKind, { name: 'corporate' })).toEqual(before);
});

test('what is not there is waited for, and told when the time is up', async () => {
  const { set, secret, issuer, bundle, clock } = stage();
  expect(await set(['corporate'])).toEqual(['there is no certificate of the ACME server with a ca.crt yet']);
  await secret();
  expect(await set(['corporate'])).toEqual(['there is no ClusterIssuer corporate for ACME']);
  const waiting = set(['corporate'], 60_000);
  await issuer('corporate');
  await clock.advance(5000);
  expect(await waiting).toEqual([]);
  expect((await bundle('corporate')).caBundle).toBe(CA);
});

test('a ClusterIssuer of another server is left alone', async () => {
  const { set, secret, issuer, bundle } = stage();
  await secret();
  await issuer('public', 'https://acme.example/directory');
  expect(await set(['public'])).toEqual(['ClusterIssuer public does not ask this operator']);
  expect((await bundle('public')).caBundle).toBe('');
});

test('without a ClusterIssuer it says so', async () => {
  const told: string[] = [];
  const io = { out: () => undefined, err: (text: string) => void told.push(text) };
  expect(await runCaBundle([], io)).toBe(2);
  expect(told).toEqual(['countersign: --cluster-issuers must name at least one\n']);
});
