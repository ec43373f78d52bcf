// EJBCA's double, the whole program in front of it, and an ACME client that has registered.
import { X509Certificate } from 'node:crypto';
import type { CAIssuerSpec } from '../../src/api/ca-issuer.ts';
import { SecretKind } from '../../src/api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { poll, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { type EjbcaCertificate, type EjbcaPeer, startEjbcaPeer } from '../support/ejbca-peer.ts';
import { readyIssuer } from '../support/ready-issuer.ts';
import { startResponders, stopResponders } from '../support/responders.ts';
import { NAMESPACE, startOperator } from './harness.ts';

export interface EjbcaStage {
  peer: EjbcaPeer;
  operator: Awaited<ReturnType<typeof startOperator>>;
  responders: Responders;
  acme: AcmeWire;
  recordOf(name: string): Promise<CertificateRecord | undefined>;
  /** What EJBCA signed for a name. */
  signedFor(name: string): Promise<EjbcaCertificate[]>;
  /** Base64 of what is on record for a name; false for a record without a certificate. */
  released(name: string): Promise<string | false | undefined>;
  /** The order, once it is no longer under way. */
  settled(url: string): ReturnType<typeof poll>;
  stop(): Promise<void>;
}

/** `specOf`: of the issuer, beside what both have. */
export async function startEjbcaStage(
  specOf: (peer: EjbcaPeer) => Pick<CAIssuerSpec, 'backend' | 'subject'>,
): Promise<EjbcaStage> {
  await using cleanup = new AsyncDisposableStack();
  const responders = await startResponders();
  cleanup.defer(() => stopResponders(responders));
  const peer = await startEjbcaPeer();
  cleanup.defer(() => peer.close());
  const operator = await startOperator({
    issuer: {
      ...specOf(peer),
      // That of the certificate profile.
      defaults: { duration: '168h' },
      acme: { finalizeTimeout: '2s' },
    },
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
  });
  cleanup.defer(() => operator.stop());
  for (const [name, data] of Object.entries(peer.secrets))
    await operator.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, stringData: data });
  await readyIssuer(operator.cluster);
  const acme = await connect(createTransport(operator.ca), operator.directory);
  cleanup.defer(() => acme.transport.close());
  await register(acme);
  const running = cleanup.move();

  async function recordOf(name: string): Promise<CertificateRecord | undefined> {
    const { items } = await operator.cluster.list(IssuedCertificateKind);
    return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
  }

  return {
    peer,
    operator,
    responders,
    acme,
    recordOf,
    async signedFor(name) {
      const { certificates } = await peer.state();
      return certificates.filter(({ der }) => new X509Certificate(der).subjectAltName?.includes(name));
    },
    async released(name) {
      const record = await recordOf(name);
      return record && isIssued(record) && record.status.certificate;
    },
    settled: (url) => poll(acme, url, ({ status }) => status !== 'processing'),
    stop: () => running.disposeAsync(),
  };
}
