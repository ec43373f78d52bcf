// EJBCA, which does not know a request again: the program is killed between its calls, and one certificate comes of it.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CertificateRecord, isIssued } from '../../src/api/issued-certificate.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { type EjbcaPeer, startEjbcaPeer } from '../support/ejbca-peer.ts';
import { describeWithEjbca } from '../support/ejbca-program.ts';
import { type Http01Responder, startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClient } from './client.ts';
import { readWorld } from './oracle.ts';
import { type Program, startProgram } from './program.ts';

const ISSUER = 'corporate';
const BY_REST = 'corporate-rest';
let responders: { dns: DnsServer; http01: Http01Responder };
let peer: EjbcaPeer;
let program: Program;

function manifestsOf({ spec, restSpec, secrets }: EjbcaPeer): object[] {
  const made = Object.entries(secrets).map(([name, stringData]) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'countersign-system' },
    stringData,
  }));
  const issuer = (name: string, ejbca: EjbcaPeer['spec']) => ({
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: { name },
    spec: { backend: { ejbca }, defaults: { duration: '168h' } },
  });
  return [...made, issuer(ISSUER, spec), issuer(BY_REST, restSpec)];
}

describeWithEjbca('EJBCA, and a program that dies', () => {
  beforeAll(async () => {
    responders = { dns: await startDnsServer(), http01: await startHttp01Responder() };
    peer = await startEjbcaPeer();
    program = await startProgram({
      http01Port: responders.http01.port,
      nameserver: responders.dns.address,
      manifests: { 'ejbca.yaml': manifestsOf(peer) },
    });
    await program.settle();
  });

  afterAll(async () => {
    await program?.stop();
    await peer?.close();
    await responders.dns.stop();
    await responders.http01.stop();
  });

  /** Dies at the call; what the client has in the end, and what EJBCA signed. */
  async function obtain(issuer: string, when: 'before' | 'after', call: string) {
    const names = [freshName('a'), freshName('b')];
    await program.arm({ when, among: { call }, at: 1 });
    const directory = program.directory.replace('/acme/main/', `/acme/${issuer}/`);
    const client = await createClient({ ...program, directory }, responders);
    const { pem } = await client.obtain(names);
    client.close();
    await program.settle();
    expect(program.deaths()).toEqual([call]);
    const { certificates } = await peer.state();
    const signed = certificates.filter(({ der }) => new X509Certificate(der).subjectAltName?.includes(names[0] ?? ''));
    const records = (readWorld(program.data).records as CertificateRecord[]).filter(({ spec }) =>
      spec.names.includes(`dns:${names[0]}`),
    );
    const recorded = records.map((record) => isIssued(record) && record.status.certificate);
    return { released: new X509Certificate(pem).raw.toString('base64'), recorded, signed };
  }

  test.each([
    ['before', 'backend.sign'],
    ['after', 'backend.sign'],
    ['before', 'audit.record issuance'],
    ['before', 'cluster.replace IssuedCertificate'],
    ['after', 'cluster.replace IssuedCertificate'],
  ] as const)('%s %s: one certificate', { timeout: 300_000 }, async (when, call) => {
    const { released, recorded, signed } = await obtain(ISSUER, when, call);
    expect(signed.map(({ reason }) => reason)).toEqual([-1]);
    expect(recorded).toEqual(signed.map(({ der }) => der.toString('base64')));
    expect(recorded).toEqual([released]);
  });

  test.each([
    ['before', 'backend.sign', 1],
    ['after', 'backend.sign', 2],
    ['after', 'cluster.replace IssuedCertificate', 1],
  ] as const)(
    'by REST, %s %s: one certificate released, of %i signed',
    { timeout: 300_000 },
    async (when, call, count) => {
      const { released, recorded, signed } = await obtain(BY_REST, when, call);
      expect(recorded).toEqual([released]);
      expect(signed).toHaveLength(count);
      expect(signed.map(({ der }) => der.toString('base64'))).toContain(released);
    },
  );
});
