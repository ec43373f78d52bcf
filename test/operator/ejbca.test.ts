// EJBCA behind the whole program: from an ACME client to the double's end entities and back.
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SecretKind } from '../../src/api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { finalize, issue, newOrder, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { EJBCA_RAW, type EjbcaCertificate, type EjbcaPeer, startEjbcaPeer } from '../support/ejbca-peer.ts';
import { describeWithEjbca } from '../support/ejbca-program.ts';
import { eventually } from '../support/eventually.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { startResponders, stopResponders } from '../support/responders.ts';
import { readyIssuer } from '../support/ready-issuer.ts';
import { NAMESPACE, startOperator } from './harness.ts';

let peer: EjbcaPeer;
let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;
let acme: AcmeWire;

async function recordOf(name: string): Promise<CertificateRecord | undefined> {
  const { items } = await operator.cluster.list(IssuedCertificateKind);
  return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
}

/** What EJBCA signed for a name. */
async function signedFor(name: string): Promise<EjbcaCertificate[]> {
  const { certificates } = await peer.state();
  return certificates.filter(({ der }) => new X509Certificate(der).subjectAltName?.includes(name));
}

async function expectOne(name: string): Promise<void> {
  const record = await recordOf(name);
  const live = (await signedFor(name)).filter(({ reason }) => reason < 0);
  expect(live.map(({ der }) => der.toString('base64'))).toEqual([
    record && isIssued(record) && record.status.certificate,
  ]);
}

const settled = (url: string) => poll(acme, url, ({ status }) => status !== 'processing');

describeWithEjbca('EJBCA behind the program', () => {
  beforeAll(async () => {
    responders = await startResponders();
    peer = await startEjbcaPeer();
    operator = await startOperator({
      issuer: {
        backend: { ejbca: { ...peer.spec, timeout: '20s' } },
        subject: { template: 'CN=Shop,O=Example', force: true },
        // That of the certificate profile.
        defaults: { duration: '168h' },
        acme: { finalizeTimeout: '2s' },
      },
      nameserver: `127.0.0.1:${responders.dns.port}`,
      http01Port: responders.http01.port,
      tlsAlpn01Port: responders.tlsAlpn.port,
    });
    for (const [name, data] of Object.entries(peer.secrets))
      await operator.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, stringData: data });
    await readyIssuer(operator.cluster);
    acme = await connect(createTransport(operator.ca), operator.directory);
    await register(acme);
  });

  afterAll(async () => {
    acme?.transport.close();
    await operator?.stop();
    await peer?.close();
    await stopResponders(responders);
  });

  afterEach(() => peer.behave({ kind: 'sign' }));

  test('an order gets a certificate of its CA, without the root', async () => {
    const name = freshName();
    const { certificateUrl, keys } = await issue(acme, responders, [name]);
    const pem = (await acme.get(certificateUrl)).text;
    const chain = (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
      (each) => new X509Certificate(each),
    );
    expect(chain.map(({ subject }) => subject)).toEqual([
      expect.stringContaining('CN=Shop'),
      expect.stringContaining('Double EC CA'),
    ]);
    expect(chain[0]?.subjectAltName).toBe(`DNS:${name}`);
    expect(chain[0]?.checkPrivateKey(keys.privateKey)).toBe(true);
    expect(chain[1]?.verify(new X509Certificate(peer.root).publicKey)).toBe(true);
    await expectOne(name);
  });

  test('twenty orders at a time of one user name are made one after the other, and all are served', {
    timeout: 120_000,
  }, async () => {
    await peer.behave({ kind: 'sign', window: 60 });
    const names = Array.from({ length: 20 }, () => freshName());
    const orders = await Promise.all(names.map((name) => readyOrder(acme, responders, [name])));
    await Promise.all(orders.map((order, i) => finalize(acme, order, buildCsr({ names: [names[i] ?? ''] }).der)));
    expect((await Promise.all(orders.map(({ url }) => settled(url)))).map(({ status }) => status)).toEqual(
      names.map(() => 'valid'),
    );
    const { overlap, entities, certificates } = await peer.state();
    expect(overlap).toBe(0);
    expect(entities).toHaveLength(1);
    expect(certificates.length).toBeGreaterThanOrEqual(20);
    for (const name of names) await expectOne(name);
  });

  test('orders that name their validity are refused at once', async () => {
    const notAfter = new Date(Date.now() + 24 * 3_600_000).toISOString();
    await expect(newOrder(acme, [freshName()], { notAfter })).rejects.toThrow(
      /the CA of this issuer decides when validity begins and ends/,
    );
  });

  test('a refusal ends the order, in words without the inside of EJBCA', async () => {
    const name = `refused.${freshName()}`;
    const order = await readyOrder(acme, responders, [name]);
    await finalize(acme, order, buildCsr({ names: [name] }).der);
    const { status, error } = (await settled(order.url)) as {
      status: string;
      error?: { type: string; detail: string };
    };
    expect(status).toBe('invalid');
    const detail =
      'the CA refused the request: names that begin with "refused" are not\\u000d\\u000asigned \\u202ehere';
    expect(error).toMatchObject({ type: 'urn:ietf:params:acme:error:badCSR', detail });
    expect(await signedFor(name)).toEqual([]);
  });

  describe('nothing that is not as approved is released', () => {
    test.each(['key', 'name', 'missing name', 'validity', 'past', 'issuer', 'chain', 'ca', 'usages'])(
      'wrong %s',
      async (what) => {
        const name = freshName();
        const order = await readyOrder(acme, responders, [name]);
        const before = (await peer.state()).certificates.length;
        await peer.behave({ kind: 'wrong', what });
        await finalize(acme, order, buildCsr({ names: [name] }).der);
        expect((await settled(order.url)).status).toBe('invalid');
        const record = await recordOf(name);
        expect(record && isIssued(record)).toBe(false);
        await eventually('what EJBCA signed is revoked', async () => {
          const made = (await peer.state()).certificates.slice(before);
          return (made.length === 1 && made.every(({ reason }) => reason >= 0)) || undefined;
        });
      },
    );

    test.each([...EJBCA_RAW])('an answer that is %s', { timeout: 120_000 }, async (what) => {
      const name = freshName();
      const order = await readyOrder(acme, responders, [name]);
      await peer.behave({ kind: 'raw', what });
      await finalize(acme, order, buildCsr({ names: [name] }).der);
      expect((await acme.get(order.url)).json.status).toBe('processing');
      const record = await recordOf(name);
      expect(record && isIssued(record)).toBe(false);
      await peer.behave({ kind: 'sign' });
      expect((await settled(order.url)).status).toBe('valid');
      await expectOne(name);
    });
  });

  test('an outage leaves orders alive', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    await peer.behave({ kind: 'away' });
    expect((await finalize(acme, order, buildCsr({ names: [name] }).der)).json.status).toBe('processing');
    await peer.behave({ kind: 'sign' });
    expect((await settled(order.url)).status).toBe('valid');
    await expectOne(name);
  });

  test('an answer that was lost costs no second certificate', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    await peer.behave({ kind: 'lose', times: 1 });
    await finalize(acme, order, buildCsr({ names: [name] }).der);
    expect((await settled(order.url)).status).toBe('valid');
    expect(await signedFor(name)).toHaveLength(1);
    await expectOne(name);
  });

  test('a revocation is carried to EJBCA with its reason', async () => {
    const name = freshName();
    const { certificateUrl } = await issue(acme, responders, [name]);
    const certificate = new X509Certificate((await acme.get(certificateUrl)).text);
    await acme.post(acme.directory.revokeCert, { certificate: base64url(certificate.raw), reason: 1 });
    await eventually('EJBCA knows', async () => (await signedFor(name))[0]?.reason === 1 || undefined);
  });

  test('no secret stands in the log or in the audit log', () => {
    const key = peer.secrets['ejbca-client']?.['tls.key']?.split('\n')[1] ?? '';
    const said = operator.lines.join('\n') + JSON.stringify(operator.audit);
    expect(key.length).toBeGreaterThan(40);
    expect(said).not.toContain(key);
    expect(said).not.toMatch(/org\.(ejbca|cesecore)\./);
  });
});
