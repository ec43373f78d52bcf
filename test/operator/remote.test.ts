// A CA elsewhere, from the client to the signer's process and back: outcomes as clients see them, and API writes, exact (DESIGN section 11).
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { type Secret, SecretKind } from '../../src/api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { countingCluster } from '../bench/writes.ts';
import { finalize, issue, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';
import { NAMESPACE, startOperator } from './harness.ts';
import { startResponders, stopResponders } from '../support/responders.ts';
import { readyIssuer } from '../support/ready-issuer.ts';

const writes: string[] = [];
let peer: WebhookPeer;
let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;
let acme: AcmeWire;

beforeAll(async () => {
  responders = await startResponders();
  peer = await startWebhookPeer();
  operator = await startOperator({
    issuer: { backend: { webhook: peer.spec }, acme: { finalizeTimeout: '2s' } },
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    wrap: (cluster) => countingCluster(cluster, writes),
  });
  for (const [name, data] of Object.entries(peer.secrets))
    await operator.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, stringData: data });
  await readyIssuer(operator.cluster);
  acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
});

afterAll(async () => {
  acme.transport.close();
  await operator.stop();
  await peer.close();
  await stopResponders(responders);
});

beforeEach(() => {
  writes.length = 0;
});

afterEach(() => peer.behave({ kind: 'sign' }));

async function recordOf(name: string): Promise<CertificateRecord | undefined> {
  const { items } = await operator.cluster.list(IssuedCertificateKind);
  return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
}

/** Certificates of the signer for the record that are not revoked. */
async function liveAt(name: string): Promise<string[]> {
  const record = await recordOf(name);
  const { chains = [], revoked = [] } = (await peer.signed())[record?.metadata.name ?? ''] ?? {};
  return chains.map((pem) => new X509Certificate(pem).serialNumber.toLowerCase()).filter((it) => !revoked.includes(it));
}

async function expectOne(name: string): Promise<void> {
  const record = await recordOf(name);
  expect(record && isIssued(record) && record.status.serial).toBe((await liveAt(name))[0]);
  expect(await liveAt(name)).toHaveLength(1);
}

test('an order is one write an authorization and two for the record', async () => {
  const name = freshName();
  const { certificateUrl, keys } = await issue(acme, responders, [name]);
  expect(writes).toEqual(['create Authorization', 'create IssuedCertificate', 'replace IssuedCertificate']);
  const reply = await acme.get(certificateUrl);
  const chain = (reply.text.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
    (pem) => new X509Certificate(pem),
  );
  expect(chain[0]?.subjectAltName).toBe(`DNS:${name}`);
  expect(chain[0]?.checkPrivateKey(keys.privateKey)).toBe(true);
  expect(chain[1]?.verify(new X509Certificate(peer.root).publicKey)).toBe(true);
  await expectOne(name);
  const { request } = (await peer.signed())[(await recordOf(name))?.metadata.name ?? ''] ?? {};
  expect(request).toMatchObject({ issuer: 'main', requester: { door: 'ACME', source: '127.0.0.1' } });
});

test('an order whose CA takes its time is processing, with the time to come back, then valid', async () => {
  const name = freshName();
  const order = await readyOrder(acme, responders, [name]);
  await peer.behave({ kind: 'pend', polls: 4 });
  const { der } = buildCsr({ names: [name] });
  const reply = await finalize(acme, order, der);
  expect(reply.status).toBe(200);
  expect(reply.json.status).toBe('processing');
  expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
  // The same again is no second request; another CSR is not taken.
  expect((await finalize(acme, order, der)).status).toBe(200);
  expect((await finalize(acme, order, buildCsr({ names: [name] }).der)).status).toBe(403);
  expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  await expectOne(name);
});

test('a refusal of the CA ends the order, and its words reach the client on one line', async () => {
  const name = `refused.${freshName()}`;
  const order = await readyOrder(acme, responders, [name]);
  const detail = 'the CA refused the request: names that begin with "refused" are not\\u000d\\u000asigned \\u202ehere';
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  expect([reply.status, reply.problem]).toEqual([
    403,
    { type: 'urn:ietf:params:acme:error:rejectedIdentifier', status: 403, detail },
  ]);
  const { status, error } = (await acme.get(order.url)).json as { status: string; error?: object };
  expect(status).toBe('invalid');
  expect(error).toMatchObject({ type: 'urn:ietf:params:acme:error:rejectedIdentifier', detail });
});

test.each(['validity', 'name', 'key', 'issuer'] as const)(
  'a certificate with wrong %s is not released but revoked',
  async (what) => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    await peer.behave({ kind: 'wrong', what });
    const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
    expect(reply.status).toBe(403);
    expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('invalid');
    await eventually('it is revoked', async () => (await liveAt(name)).length === 0 || undefined);
  },
);

test('an outage leaves orders alive: they are done once the signer is back', async () => {
  const name = freshName();
  const order = await readyOrder(acme, responders, [name]);
  await peer.stop();
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  expect(reply.json.status).toBe('processing');
  await peer.start();
  expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  await expectOne(name);
});

test.each(['lose', 'die'] as const)('an answer that was lost (%s) costs no second certificate', async (kind) => {
  const name = freshName();
  const order = await readyOrder(acme, responders, [name]);
  await peer.behave({ kind });
  await finalize(acme, order, buildCsr({ names: [name] }).der);
  await peer.behave({ kind: 'forget' });
  expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  await expectOne(name);
});

test('of two certificates that were signed, one is released and the other revoked', async () => {
  const name = freshName();
  const order = await readyOrder(acme, responders, [name]);
  await peer.behave({ kind: 'twice' });
  await finalize(acme, order, buildCsr({ names: [name] }).der);
  expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  await eventually('the other is revoked', async () => (await liveAt(name)).length === 1 || undefined);
  await expectOne(name);
});

test('a CSR whose names stand in its common name alone is refused: the CA would not see them', async () => {
  const name = freshName();
  const order = await readyOrder(acme, responders, [name]);
  const reply = await finalize(acme, order, buildCsr({ commonName: name }).der);
  expect(reply.problem).toMatchObject({ type: 'urn:ietf:params:acme:error:badCSR' });
  expect(await recordOf(name)).toBeUndefined();
});

test('a revocation is carried to the signer', async () => {
  const name = freshName();
  const { certificateUrl } = await issue(acme, responders, [name]);
  const certificate = new X509Certificate((await acme.get(certificateUrl)).text);
  writes.length = 0;
  await acme.post(acme.directory.revokeCert, { certificate: base64url(certificate.raw), reason: 1 });
  await eventually('the signer knows', async () => (await liveAt(name)).length === 0 || undefined);
  await eventually('so does the record', async () => {
    const { metadata } = (await recordOf(name)) ?? {};
    return metadata?.annotations?.['countersign.dev/revocation'] === 'Done' || undefined;
  });
  expect(writes).toEqual(['replace IssuedCertificate', 'replace IssuedCertificate']);
});

test('a claim is six writes: staged Secret, record twice, Secret, status, Event; so is its renewal', async () => {
  const ref = { namespace: 'default', name: 'shop-tls' };
  const certificateOf = (secret: Secret | undefined) => {
    const pem = Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString();
    return pem === '' ? undefined : new X509Certificate(pem);
  };
  await operator.cluster.create(CertificateClaimKind, {
    metadata: { name: 'shop', namespace: 'default' },
    spec: { secretName: 'shop-tls', issuerRef: { kind: 'ClusterCAIssuer', name: 'main' }, dnsNames: ['shop.test'] },
  });
  await eventually('the Secret', async () => certificateOf(await operator.cluster.get(SecretKind, ref)));
  await expect.poll(() => writes.length, { timeout: 30_000 }).toBe(6);
  expect(writes).toEqual([
    'create Secret',
    'create IssuedCertificate',
    'replace IssuedCertificate',
    'replace Secret',
    'replaceStatus CertificateClaim',
    'create Event',
  ]);
  const first = await operator.cluster.get(SecretKind, ref);
  expect(Object.keys(first?.data ?? {}).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
  expect(first?.metadata.annotations).not.toHaveProperty('countersign.dev/staged');

  writes.length = 0;
  const claim = await operator.cluster.get(CertificateClaimKind, { namespace: 'default', name: 'shop' });
  if (!claim) throw new Error('no claim');
  await peer.behave({ kind: 'slow', ms: 1_000 });
  await operator.cluster.replace(CertificateClaimKind, {
    ...claim,
    spec: { ...claim.spec, dnsNames: ['shop.test', 'www.shop.test'] },
  });
  await eventually('the staged key', async () => {
    const secret = await operator.cluster.get(SecretKind, ref);
    if (!secret?.data?.['next-tls.key']) return undefined;
    // What serves goes on serving.
    expect(secret.data['tls.crt']).toBe(first?.data?.['tls.crt']);
    expect(secret.data['tls.key']).toBe(first?.data?.['tls.key']);
    return true;
  });
  await eventually('the other certificate', async () => {
    const certificate = certificateOf(await operator.cluster.get(SecretKind, ref));
    return certificate?.subjectAltName?.includes('www.shop.test') || undefined;
  });
  await expect.poll(() => writes.length, { timeout: 30_000 }).toBe(6);
  expect(writes.map((write) => write.split(' ')[1])).toEqual([
    'Secret',
    'IssuedCertificate',
    'IssuedCertificate',
    'Secret',
    'CertificateClaim',
    'Event',
  ]);
});
