// DESIGN section 11, "API writes": exact, with the reads beside them, by the audit log of a real API server. WRITE_TESTS=all: idle for ten
// minutes instead of fifteen seconds.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { complete, issue, newOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import type { AuditEntry } from '../support/audit-log.ts';
import { eventually } from '../support/eventually.ts';
import { NAMESPACE } from '../support/serve.ts';
import { describeOnStage, GROUP, secretsOf, type ServingReplicas, startReplicas } from '../support/serving-stage.ts';

const IDLE_SECONDS = process.env.WRITE_TESTS === 'all' ? 600 : 15;
/** After the last that a client sees, for what is written behind its back. */
const SETTLED_MS = 1_500;

/** Several: what is read and written must not depend on what comes first, an answer or its event. */
const CLAIMS = ['shop', 'till', 'stock'];
const CLAIM_WRITES = [
  'create events',
  'create issuedcertificates',
  'create secrets',
  'update certificateclaims/status',
];

const isWrite = ({ verb }: AuditEntry) => !['get', 'list', 'watch'].includes(verb);
/** The key of the issuer, read again before use when that was a while ago, whoever asks for a certificate. */
const isIssuerKey = ({ objectRef }: AuditEntry) => objectRef?.resource === 'secrets' && objectRef.name === 'main-ca';
const isLease = ({ objectRef }: AuditEntry) => objectRef?.resource === 'leases';
const named = ({ verb, objectRef, requestURI }: AuditEntry) =>
  objectRef
    ? `${verb} ${objectRef.resource}${objectRef.subresource === undefined ? '' : `/${objectRef.subresource}`}`
    : `${verb} ${requestURI}`;
const sorted = (entries: readonly AuditEntry[]) => entries.map(named).toSorted();

describeOnStage('one replica, counted by the API server', 1, (stage) => {
  let replicas: ServingReplicas;
  let acme: AcmeWire;
  let done = 0;

  /** Requests of the operator since the last time, without its Lease. */
  async function asked(): Promise<{ writes: string[]; reads: string[]; watches: number; leases: AuditEntry[] }> {
    const { api, audit } = stage().plane;
    const mark = `/healthz?mark=${Math.random()}`;
    await api.expect('GET', mark);
    const all = await eventually('the audit log has all of it', async () => {
      const entries = await audit();
      return entries.some(({ requestURI }) => requestURI === mark) ? entries : undefined;
    });
    const own = all
      .slice(done)
      .filter(({ user }) => user.username === `system:serviceaccount:${NAMESPACE}:countersign`);
    done = all.length;
    const finished = own.filter(({ stage: at }) => at === 'ResponseComplete');
    expect(finished.filter((entry) => isIssuerKey(entry)).length).toBeLessThanOrEqual(1);
    const others = finished.filter((entry) => !isLease(entry) && !isIssuerKey(entry));
    return {
      writes: sorted(others.filter(isWrite)),
      reads: sorted(others.filter((entry) => !isWrite(entry) && entry.verb !== 'watch')),
      watches: own.filter(({ verb }) => verb === 'watch').length,
      leases: finished.filter(isLease),
    };
  }

  beforeAll(async () => {
    replicas = await startReplicas(stage());
    acme = await replicas.client(0);
    await register(acme);
    for (const name of ['first', 'order', 'again', 'shop']) stage().place(`${name}.test`);
    await issue(acme, stage().responders, ['first.test']);
    await sleep(SETTLED_MS);
    done = (await stage().plane.audit()).length;
  });
  afterAll(() => replicas?.stop());

  test('an order with one challenge', async () => {
    await issue(acme, stage().responders, ['order.test']);
    await sleep(SETTLED_MS);
    const { writes, reads } = await asked();
    expect({ writes, reads }).toEqual({
      writes: ['create authorizations', 'create issuedcertificates'],
      // "No certificate yet" is told after a live read, to the client that looks at its order.
      reads: ['get issuedcertificates'],
    });
  });

  test('an order whose authorization is reused', async () => {
    await issue(acme, stage().responders, ['again.test']);
    await sleep(SETTLED_MS);
    await asked();
    const order = await newOrder(acme, ['again.test']);
    expect(order.object.status).toBe('ready');
    await complete(acme, order);
    await sleep(SETTLED_MS);
    const { writes, reads } = await asked();
    expect({ writes, reads }).toEqual({ writes: ['create issuedcertificates'], reads: [] });
  });

  test.each(CLAIMS)('a claim: %s', async (name) => {
    const { api } = stage().plane;
    stage().place(`${name}.test`);
    await api.expect('POST', `${GROUP}/namespaces/default/certificateclaims`, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name },
      spec: {
        secretName: `${name}-tls`,
        issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
        dnsNames: [`${name}.test`],
      },
    });
    await eventually('it has its Secret', async () => {
      const { status } = await api.request('GET', `${secretsOf('default')}/${name}-tls`);
      return status === 200 ? true : undefined;
    });
    await sleep(SETTLED_MS);
    const { writes, reads } = await asked();
    expect(writes).toEqual(CLAIM_WRITES);
    // The Secret is read before it is made, and again where the claim's own status comes back before the Secret does.
    const once = reads.filter((read) => read !== 'get secrets');
    expect(once).toEqual(['get certificateclaims']);
    expect([1, 2]).toContain(reads.length - once.length);
  });

  test(`idle for ${IDLE_SECONDS} s: the Lease is renewed, and watches`, async () => {
    await asked();
    await sleep(IDLE_SECONDS * 1000);
    const { writes, reads, leases, watches } = await asked();
    expect({ writes, reads }).toEqual({ writes: [], reads: [] });
    expect(new Set(leases.map(named))).toEqual(new Set(['update leases']));
    process.stdout.write(`${IDLE_SECONDS} s: ${leases.length} renewals, ${watches} entries of watches\n`);
  }, 900_000);
});
