import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { issue, register } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';
import { startOperator } from './harness.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: {
  dns: Awaited<ReturnType<typeof startDnsServer>>;
  http01: Awaited<ReturnType<typeof startHttp01Responder>>;
  tlsAlpn: Awaited<ReturnType<typeof startTlsAlpnResponder>>;
};
let acme: AcmeWire;

beforeAll(async () => {
  responders = {
    dns: await startDnsServer(),
    http01: await startHttp01Responder(),
    tlsAlpn: await startTlsAlpnResponder(),
  };
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
