// A CAIssuer whose CA is elsewhere, as far as the operator's configuration offers that: asked with the Secrets of its namespace, and not
// at any address where tenants may not go.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SecretKind } from '../../src/api/core.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import type { WebhookBackendSpec } from '../../src/api/webhook-backend.ts';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import { findCondition } from '../../src/domain/conditions.ts';
import { issue } from '../support/acme-flow.ts';
import { freshName } from '../support/names.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';
import { aTenantIssuer, startTenants, type Tenants } from './tenants.ts';

/** An address of loopback that this operator takes for that of the API server. */
const API_SERVER = '127.0.0.9';

let open: Tenants;
let closed: Tenants;
let peer: WebhookPeer;

beforeAll(async () => {
  peer = await startWebhookPeer();
  const denyList = createLoopbackDenyList([API_SERVER]);
  open = await startTenants({ overrides: { tenantBackends: { offered: ['webhook'], denyList } } });
  closed = await startTenants();
  for (const { operator } of [open, closed]) {
    for (const [name, stringData] of Object.entries(peer.secrets))
      await operator.cluster.create(SecretKind, { metadata: { namespace: 'team-a', name }, stringData });
  }
}, 120_000);

afterAll(async () => {
  await Promise.all([open.stop(), closed.stop()]);
  await peer.close();
});

async function readyOf(tenants: Tenants, name: string, webhook: WebhookBackendSpec, namespace = 'team-a') {
  await aTenantIssuer(tenants.operator, namespace, { name, backend: { webhook } });
  const issuer = await tenants.operator.cluster.get(CAIssuerKind, { namespace, name });
  const { status, reason, message } = findCondition(issuer?.status?.conditions, 'Ready') ?? {};
  return { status, reason, message };
}

test('what is offered signs', async () => {
  expect(await readyOf(open, 'remote', peer.spec)).toMatchObject({ status: 'True' });
  const acme = await open.client('remote', 'team-a');
  const name = freshName();
  const { certificateUrl } = await issue(acme, open, [name]);
  const leaf = new X509Certificate((await acme.get(certificateUrl)).text);
  expect(leaf.subjectAltName).toBe(`DNS:${name}`);
  expect(leaf.issuer).toBe('CN=Webhook issuing CA');
});

test('what is not offered is never asked, and the issuer says why', async () => {
  const before = await peer.calls();
  expect(await readyOf(closed, 'remote', peer.spec)).toMatchObject({ status: 'False', reason: 'BackendNotOffered' });
  expect(await peer.calls()).toBe(before);
});

test('the Secrets are those of its own namespace', async () => {
  expect(await readyOf(open, 'without', peer.spec, 'team-b')).toMatchObject({
    status: 'False',
    reason: 'SecretMissing',
  });
});

test.each([
  [API_SERVER, "an address of the cluster's API server or of this server"],
  ['169.254.169.254', 'a link-local address'],
])('nobody is sent to %s', async (host, why) => {
  const url = peer.spec.url.replace('127.0.0.1', host);
  expect(await readyOf(open, `at-${host.replaceAll('.', '-')}`, { ...peer.spec, url })).toEqual({
    status: 'False',
    reason: 'Unreachable',
    message: `the webhook cannot be reached: ${host} is at ${why}, where issuers of tenants may not go`,
  });
});
