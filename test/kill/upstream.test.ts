// An ACME CA upstream, and a program that dies in the middle of an order there: it goes on with that order, and there is no second one.
import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CertificateRecord, isIssued } from '../../src/api/issued-certificate.ts';
import { type AcmeDouble, type DoubleOrder, startAcmeDouble } from '../support/acme-double.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { type Http01Responder, startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClient } from './client.ts';
import { readWorld } from './oracle.ts';
import { type Program, startProgram } from './program.ts';

const ISSUER = 'upstream';
let responders: { dns: DnsServer; http01: Http01Responder };
let double: AcmeDouble;
let program: Program;

const issuer = () => ({
  apiVersion: 'countersign.dev/v1alpha1',
  kind: 'ClusterCAIssuer',
  metadata: { name: ISSUER },
  spec: {
    backend: {
      acme: {
        directory: double.directory,
        caBundle: double.caBundle,
        trustAnchors: double.root,
        account: { keySecretRef: { name: 'upstream-account' } },
        // The port of the listener is not that of the names in this test.
        preCheck: { enabled: false },
      },
    },
    defaults: { duration: '168h' },
  },
});

/** As CAs look: now and again, for a while, at the listener of the program, which may be dead just then. */
async function judge(_type: string, _name: string, token: string) {
  const expected = `${token}.${double.accounts[0]?.thumbprint}`;
  for (let tries = 0; tries < 600; tries++) {
    const url = `http://127.0.0.1:${program.httpPort}/.well-known/acme-challenge/${token}`;
    const found = await fetch(url).then(
      (response) => response.text(),
      () => undefined,
    );
    if (found === expected) return undefined;
    await sleep(50);
  }
  return { type: 'connection', detail: 'no answer' };
}

const ordersFor = (name: string): DoubleOrder[] =>
  double.orders.filter(({ identifiers }) => identifiers.some(({ value }) => value === name));

describe('an upstream order, and a program that dies', () => {
  beforeAll(async () => {
    responders = { dns: await startDnsServer(), http01: await startHttp01Responder() };
    double = await startAcmeDouble();
    Object.assign(double.behaviour, { challenges: ['http-01'], judge, holds: 1 });
    program = await startProgram({
      http01Port: responders.http01.port,
      nameserver: responders.dns.address,
      manifests: { 'upstream.yaml': [issuer()] },
    });
    await program.settle();
  });

  afterAll(async () => {
    await program?.stop();
    await double?.server.stop();
    await responders.dns.stop();
    await responders.http01.stop();
  });

  test.each([
    ['after', 'cluster.replace IssuedCertificate', 1],
    ['before', 'cluster.replace IssuedCertificate', 2],
    ['after', 'cluster.replace IssuedCertificate', 2],
    ['after', 'backend.sign', 1],
    ['before', 'backend.sign', 2],
    ['after', 'backend.sign', 2],
    ['after', 'backend.sign', 3],
    ['before', 'audit.record issuance', 1],
    ['before', 'cluster.replace IssuedCertificate', 3],
    ['after', 'cluster.replace IssuedCertificate', 3],
  ] as const)('%s %s %i: one order, one certificate', { timeout: 300_000 }, async (when, call, at) => {
    const names = [freshName('a'), freshName('b')];
    await program.arm({ when, among: { call }, at });
    const directory = program.directory.replace('/acme/main/', `/acme/${ISSUER}/`);
    const client = await createClient({ ...program, directory }, responders);
    const { pem } = await client.obtain(names);
    client.close();
    await program.settle();
    expect(program.deaths()).toEqual([call]);
    const orders = ordersFor(names[0] ?? '');
    expect(orders.map(({ status }) => status)).toEqual(['valid']);
    expect(new X509Certificate(pem).raw).toEqual(new X509Certificate(orders[0]?.chain ?? '').raw);
    const records = (readWorld(program.data).records as CertificateRecord[]).filter(({ spec }) =>
      spec.names.includes(`dns:${names[0]}`),
    );
    expect(records.map((record) => isIssued(record) && record.status.certificate)).toEqual([
      new X509Certificate(pem).raw.toString('base64'),
    ]);
    expect(records[0]?.metadata.annotations).not.toHaveProperty(['countersign.dev/key-authorizations']);
    expect(double.accounts).toHaveLength(1);
  });

  test('before the order is on record: the order that was lost is never finalized', { timeout: 300_000 }, async () => {
    const name = freshName();
    await program.arm({ when: 'before', among: { call: 'cluster.replace IssuedCertificate' }, at: 1 });
    const directory = program.directory.replace('/acme/main/', `/acme/${ISSUER}/`);
    const client = await createClient({ ...program, directory }, responders);
    await client.obtain([name]);
    client.close();
    expect(ordersFor(name).map(({ status }) => status)).toEqual(['pending', 'valid']);
  });
});
