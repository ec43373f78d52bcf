import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { type Responders, finalize, issue, readyOrder, register } from '../support/acme-flow.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { createSigningKey, signJws } from '../support/jws.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { startResponders } from '../support/responders.ts';
import { startOperator } from './harness.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;
let acme: AcmeWire;

beforeAll(async () => {
  responders = await startResponders();
  operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
  });
  acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
});

afterAll(async () => {
  await operator.stop();
});

test('an order ends in a certificate and one record', async () => {
  const issued = await issue(acme, responders, ['www.a.test']);
  const reply = await acme.get(issued.certificateUrl);
  const certificate = new X509Certificate(reply.text);
  expect(certificate.subjectAltName).toBe('DNS:www.a.test');
  const records = await operator.cluster.list(IssuedCertificateKind);
  expect(records.items).toHaveLength(1);
});

/** Another account of the issuer of this name; the keys it had, the current one last. */
async function rolledOver(issuer: string) {
  const other = await connect(createTransport(operator.ca), operator.directory.replace('/main/', `/${issuer}/`));
  await register(other);
  const { key, url } = other.account;
  const next = createSigningKey();
  const header = { alg: next.alg, jwk: next.jwk, url: other.directory.keyChange };
  const inner = signJws(next, header, { account: url, oldKey: key.jwk });
  expect((await other.post(other.directory.keyChange, inner)).status).toBe(200);
  return [key, next];
}

test.each(['main', 'another'])(
  'the key of an account of issuer %s is in no certificate, nor is the one it had before a key change',
  async (issuer) => {
    if (issuer !== 'main')
      await operator.cluster.create(ClusterCAIssuerKind, {
        metadata: { name: issuer },
        spec: { backend: { ca: { secretRef: { name: 'another-ca' }, selfSigned: { commonName: 'Another CA' } } } },
      });
    const name = `keys.${issuer}.test`;
    const order = await readyOrder(acme, responders, [name]);
    for (const keys of await rolledOver(issuer)) {
      const reply = await finalize(acme, order, buildCsr({ names: [name], keys }).der);
      expect([reply.status, reply.problem.detail]).toEqual([400, expect.stringContaining('the key of an account')]);
    }
  },
);
