// A CA elsewhere and several replicas: whichever takes a request, the holder of the lease asks the CA, and nobody asks twice.
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SecretKind } from '../../src/api/core.ts';
import { IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { expectStatus, finalize, issue, poll, readyOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';
import { readyIssuer } from '../support/ready-issuer.ts';
import { NAMESPACE } from './harness.ts';
import { type Replicas, startReplicas } from './replicas.ts';

let peer: WebhookPeer;
let world: Replicas;

beforeEach(async () => {
  peer = await startWebhookPeer();
  world = await startReplicas(2, { backend: { webhook: peer.spec }, acme: { finalizeTimeout: '2s' } });
  for (const [name, stringData] of Object.entries(peer.secrets))
    await world.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, stringData });
  await readyIssuer(world.cluster);
});

afterEach(async () => {
  await world.stop();
  await peer.close();
});

const leader = () =>
  eventually('one leads', async () => {
    const at = world.replicas.findIndex(({ election }) => election.isLeader());
    return at < 0 ? undefined : { at };
  });

/** A client with an account at the replica that does not lead. */
async function followerClient(): Promise<AcmeWire> {
  const acme = await world.client(1 - (await leader()).at);
  await register(acme);
  return acme;
}

/** The record of the name is issued, and its certificate the only one at the CA that is not revoked. */
async function expectOne(name: string): Promise<void> {
  const { items } = await world.cluster.list(IssuedCertificateKind);
  const records = items.filter(({ spec }) => spec.names.includes(`dns:${name}`));
  expect(records).toHaveLength(1);
  const [record] = records;
  const { chains = [], revoked = [] } = (await peer.signed())[record?.metadata.name ?? ''] ?? {};
  const live = chains
    .map((pem) => new X509Certificate(pem).serialNumber.toLowerCase())
    .filter((serial) => !revoked.includes(serial));
  expect(live).toHaveLength(1);
  expect(record && isIssued(record) && record.status.serial).toBe(live[0]);
}

test('a replica that does not lead has the certificate from the one that does', { timeout: 60_000 }, async () => {
  const acme = await followerClient();
  const name = freshName();
  const { certificateUrl } = await issue(acme, world.responders, [name]);
  const chain = await eventually('the chain is known here, too', async () => {
    const reply = await acme.get(certificateUrl);
    return reply.status === 200 ? reply.text : undefined;
  });
  expect(chain.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(1);
  await expectOne(name);
});

test('a replica whose watch is behind learns of the certificate when its wait is over', {
  timeout: 60_000,
}, async () => {
  const acme = await followerClient();
  const name = freshName();
  const order = await readyOrder(acme, world.responders, [name]);
  const release = world.hold(1 - (await leader()).at);
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  expect([reply.status, reply.json.status]).toEqual([200, 'valid']);
  release();
  await expectOne(name);
});

test('a request that outlives its leader is finished by the next, with one certificate', {
  timeout: 60_000,
}, async () => {
  const acme = await followerClient();
  const name = freshName();
  const order = await readyOrder(acme, world.responders, [name]);
  await peer.behave({ kind: 'pend', polls: 1000 });
  expectStatus(await finalize(acme, order, buildCsr({ names: [name] }).der), 200, 'finalize');
  await world.replicas[(await leader()).at]?.stop('at once');
  await peer.behave({ kind: 'sign' });
  expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('valid');
  await expectOne(name);
});
