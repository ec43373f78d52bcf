// Attribution on the embedded store.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FOREIGN_KINDS, ServiceKind } from '../../src/api/foreign.ts';
import type { Kind } from '../../src/api/kind.ts';
import type { Cluster } from '../../src/ports.ts';
import { SecretKind } from '../../src/api/core.ts';
import { binding } from '../conformance/external-account-keys.ts';
import { complete, newOrder, register } from '../support/acme-flow.ts';
import { connect } from '../support/acme-wire.ts';
import { eventually } from '../support/eventually.ts';
import { createJumpingClock } from '../support/jumping-clock.ts';
import { createSigningKey } from '../support/jws.ts';
import { asCertManager, certManager, orderFrom } from '../support/cert-manager.ts';
import { NamespaceKind } from '../../src/api/core.ts';
import { createTransport } from '../support/acme-wire.ts';
import {
  attributionCases,
  ISSUER_ACME,
  prepareStage,
  type Stage,
  STAGE_NAMESPACES,
  TEAM_POLICY,
} from './attribution-cases.ts';
import { startOperator } from './harness.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;
let stage: Stage;
const clock = createJumpingClock();
/** Reads of the operator since it started, by kind. */
const reads = new Map<string, number>();

beforeAll(async () => {
  operator = await startOperator({ issuer: { acme: ISSUER_ACME }, wrap: countReads, overrides: { clock } });
  const { cluster: admin } = operator;
  for (const name of STAGE_NAMESPACES) await admin.create(NamespaceKind, { metadata: { name } });
  await admin.create(CertificateRequestPolicyKind, { metadata: { name: 'team' }, spec: TEAM_POLICY });
  await prepareStage(admin);
  stage = { admin, transport: createTransport(operator.ca), ca: operator.ca, directory: operator.directory };
});
afterAll(async () => {
  stage?.transport.close();
  await operator?.stop();
});

function countReads(cluster: Cluster): Cluster {
  const count = ({ kind }: Kind): void => void reads.set(kind, (reads.get(kind) ?? 0) + 1);
  return {
    get: (kind, ref) => (count(kind), cluster.get(kind, ref)),
    list: (kind, options) => (count(kind), cluster.list(kind, options)),
    watch: (kind, options) => cluster.watch(kind, options),
    create: (kind, object) => cluster.create(kind, object),
    replace: (kind, object) => cluster.replace(kind, object),
    replaceStatus: (kind, object) => cluster.replaceStatus(kind, object),
    delete: (kind, ref, precondition) => cluster.delete(kind, ref, precondition),
    apply: (kind, object, options) => cluster.apply(kind, object, options),
  };
}

attributionCases(() => stage);

test('what the watches show costs no reads', async () => {
  const { admin } = stage;
  await admin.create(ServiceKind, { metadata: { namespace: 'payments', name: 'counted' } });
  const manager = await certManager(admin, stage);
  const order = { namespace: 'payments', names: ['counted.payments.svc'] };
  await complete(manager.acme, (await orderFrom(admin, manager, order)).order);
  await settled(operator);
  reads.clear();
  const { order: second } = await orderFrom(admin, manager, order);
  await settled(operator);
  for (const url of second.object.authorizations) expect((await manager.acme.get(url)).json.status).toBe('valid');
  await complete(manager.acme, second);
  const foreign = FOREIGN_KINDS.map(({ kind }) => [kind, reads.get(kind) ?? 0]);
  expect(foreign).toEqual(FOREIGN_KINDS.map(({ kind }) => [kind, 0]));
});

test('what nothing proves is refused after a minute, unless it comes meanwhile', async () => {
  const { admin } = stage;
  const manager = await certManager(admin, stage);
  const [late, never] = ['late', 'never'].map((name) => ({ namespace: 'payments', names: [`${name}.payments.svc`] }));
  const orders = [late, never].map((order) =>
    orderFrom(admin, manager, order as { namespace: string; names: string[] }),
  );
  const urls = (await Promise.all(orders)).map(({ order }) => order.object.authorizations[0] ?? '');
  for (const url of urls) expect((await manager.acme.get(url)).status).toBe(503);
  await admin.create(ServiceKind, { metadata: { namespace: 'payments', name: 'late' } });
  expect((await manager.acme.get(urls[0] ?? '')).json.status).toBe('valid');
  clock.jump(61_000);
  const { status, problem } = await manager.acme.get(urls[1] ?? '');
  expect({ status, type: problem.type }).toEqual({ status: 403, type: 'urn:ietf:params:acme:error:unauthorized' });
  expect(problem.detail).toContain('never.payments.svc: nothing in the namespace payments proves it');
});

test('a cert-manager of another cluster is looked for once, not at each of its requests', async () => {
  const { transport, directory } = stage;
  const acme = await connect(asCertManager(transport), directory);
  await register(acme);
  const order = await newOrder(acme, ['elsewhere.test']);
  const before = reads.get('ClusterIssuer') ?? 0;
  expect((await acme.get(order.object.authorizations[0] ?? '')).json.status).toBe('pending');
  await newOrder(acme, ['elsewhere.test']);
  expect(reads.get('ClusterIssuer') ?? 0).toBe(before);
});

test('who was bound by the key of a namespace is not of one that is made anew under its name', async () => {
  const { admin } = stage;
  const name = 'gone-team';
  const key = async (): Promise<string> => {
    const secret = await eventually('the key is there', () =>
      admin.get(SecretKind, { namespace: name, name: 'acme-eab' }),
    );
    return Buffer.from(secret.data?.secret ?? '', 'base64').toString();
  };
  await admin.create(NamespaceKind, { metadata: { name } });
  const macKey = await key();
  const acme = await connect(stage.transport, stage.directory);
  const signer = createSigningKey();
  await register(acme, signer, { externalAccountBinding: binding(acme, signer, { kid: `ns.${name}`, macKey }) });
  await admin.create(CertificateRequestPolicyKind, {
    metadata: { name: 'gone' },
    spec: {
      selector: { namespace: { matchNames: [name] } },
      allowed: { dnsNames: { values: ['*.gone.example'] } },
      proof: 'Namespace',
    },
  });
  const status = async (): Promise<string> => {
    const identifiers = [{ type: 'dns', value: 'a.gone.example' }];
    return (await acme.post(acme.directory.newOrder, { identifiers })).json.status;
  };
  await expect.poll(status, { timeout: 30_000 }).toBe('ready');
  await admin.delete(NamespaceKind, { name });
  await expect.poll(status, { timeout: 30_000 }).toBe('pending');
  // Times of objects are of whole seconds.
  await sleep(1100);
  await admin.create(NamespaceKind, { metadata: { name } });
  expect(await key()).not.toBe(macKey);
  expect(await status()).toBe('pending');
});

/** What was written has come to the watches, which are of this process. */
async function settled({ operator: { synced } }: typeof operator): Promise<void> {
  await synced(AbortSignal.timeout(30_000));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}
