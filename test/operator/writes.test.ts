// DESIGN section 11, "API writes": exact, counted at the Cluster port of the whole program.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { CertificateClaimKind, type CertificateClaimSpec } from '../../src/api/certificate-claim.ts';
import { SecretKind } from '../../src/api/core.ts';
import { countingCluster } from '../bench/writes.ts';
import { complete, issue, newOrder, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { startOperator } from './harness.ts';
import { startResponders, stopResponders } from '../support/responders.ts';

const CLAIM_WRITES = ['create IssuedCertificate', 'create Secret', 'replaceStatus CertificateClaim', 'create Event'];
const writes: string[] = [];
let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;
let acme: AcmeWire;

beforeAll(async () => {
  responders = await startResponders();
  operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    wrap: (cluster) => countingCluster(cluster, writes),
  });
  acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
  await issue(acme, responders, ['first.test']);
});

afterAll(async () => {
  acme.transport.close();
  await operator.stop();
  await stopResponders(responders);
});

beforeEach(() => {
  writes.length = 0;
});

test('a new account is one write, a known one none', async () => {
  const other = acme.another();
  await register(other);
  expect(writes).toEqual(['create Account']);
  await register(other, other.account.key);
  expect(writes).toEqual(['create Account']);
});

test('an order with one challenge is two writes', async () => {
  await issue(acme, responders, ['second.test']);
  expect(writes).toEqual(['create Authorization', 'create IssuedCertificate']);
});

test('a certificate for three names is one write a name and one for the record', async () => {
  await issue(acme, responders, ['x.test', 'y.test', 'z.test']);
  expect([...writes].sort((a, b) => (a < b ? -1 : 1))).toEqual([
    'create Authorization',
    'create Authorization',
    'create Authorization',
    'create IssuedCertificate',
  ]);
});

test('an order whose authorizations are reused is one write', async () => {
  await issue(acme, responders, ['again.test']);
  writes.length = 0;
  const order = await newOrder(acme, ['again.test']);
  expect(order.object.status).toBe('ready');
  await complete(acme, order);
  expect(writes).toEqual(['create IssuedCertificate']);
});

test('an abandoned order is none', async () => {
  await newOrder(acme, ['abandoned.test']);
  expect(writes).toEqual([]);
});

test('reading everything of an order is none', async () => {
  const order = await readyOrder(acme, responders, ['read.test']);
  writes.length = 0;
  await acme.get(order.url);
  for (const url of order.object.authorizations ?? []) await acme.get(url);
  await acme.get(acme.account.url);
  expect(writes).toEqual([]);
});

async function claimed(name: string, more: Partial<CertificateClaimSpec> = {}): Promise<void> {
  const issuerRef = { kind: 'ClusterCAIssuer' as const, name: 'main' };
  await operator.cluster.create(CertificateClaimKind, {
    metadata: { name, namespace: 'default' },
    spec: { secretName: `${name}-tls`, issuerRef, dnsNames: [`${name}.test`], ...more },
  });
  await expect
    .poll(() => operator.cluster.get(SecretKind, { namespace: 'default', name: `${name}-tls` }), { timeout: 30_000 })
    .toBeDefined();
  await expect.poll(() => writes.at(-1), { timeout: 30_000 }).toBe('create Event');
}

test('a claim is four writes: record, Secret, status, Event', async () => {
  await claimed('shop');
  expect(writes).toEqual(CLAIM_WRITES);
});

test('a claim with all it can have in its Secret is four writes too; one that is revoked when it goes has its finalizer first', async () => {
  const metadata = { namespace: 'default', name: 'password' };
  await operator.cluster.create(SecretKind, { metadata, type: 'Opaque', stringData: { password: 'secret' } });
  await claimed('full', {
    secretTemplate: { labels: { team: 'shop' }, annotations: { 'example.com/sync': 'yes' } },
    additionalOutputFormats: ['tls-combined.pem', 'key.der', 'fullchain.pem', 'chain.pem'],
    keystores: { pkcs12: { create: true, passwordSecretRef: { name: 'password', key: 'password' } } },
  });
  expect(writes).toEqual(CLAIM_WRITES);
  writes.length = 0;
  await claimed('popup', { revokeOnDelete: true });
  expect(writes).toEqual(['replace CertificateClaim', ...CLAIM_WRITES]);
});
