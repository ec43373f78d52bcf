// The operator under the roles of deploy/, on a real API server: what it asks for is what it may, and the other way round.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AccountKind, AuthorizationKind } from '../../src/api/acme.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { createKubernetesCluster, type KubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { loadApiConfig } from '../../src/cluster/kubernetes-config.ts';
import { FEATURES } from '../../src/commands/rights.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';
import type { ApiClient } from '../support/api-client.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import type { AuditEntry } from '../support/audit-log.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import type { ControlPlane } from '../support/control-plane.ts';
import { eventually } from '../support/eventually.ts';
import { ISSUER, useEveryFeature } from '../support/every-feature.ts';
import { createJumpingClock } from '../support/jumping-clock.ts';
import { apply, clientOf, deployed } from '../support/manifests.ts';
import { declaredRights, differences, placesOf, renderRight } from '../support/rights.ts';
import { startResponders } from '../support/responders.ts';

const USER = `system:serviceaccount:${NAMESPACE}:countersign`;
const [TENANT, OTHER] = ['payments', 'hr'];
const declared = declaredRights(FEATURES.flatMap(({ rights }) => rights));

interface Run {
  /** A client with the operator's rights. */
  client: ApiClient;
  admin: KubernetesCluster;
  /** What the operator asked for. */
  asked: AuditEntry[];
  stop(): Promise<void>;
}

/** The operator with a token of its ServiceAccount and nothing else, through every feature. Still running in the end. */
async function runThrough(plane: ControlPlane, tenants?: readonly string[]): Promise<Run> {
  await using cleanup = new AsyncDisposableStack();
  for (const name of ['namespace', 'roles', 'admission', 'users']) await apply(plane.api, deployed(name));
  for (const name of [TENANT, OTHER]) await plane.api.expect('POST', '/api/v1/namespaces', { metadata: { name } });
  if (!tenants) await apply(plane.api, deployed('everywhere'));
  for (const tenant of tenants ?? []) await apply(plane.api, deployed('per-namespace'), tenant);

  const admin = await clusterOf(plane.adminKubeconfig);
  cleanup.defer(() => admin.close());
  const token = await plane.serviceAccountToken(NAMESPACE, 'countersign');
  const own = await clusterOf(await plane.kubeconfigFor(token));
  cleanup.defer(() => own.close());
  const responders = await startResponders();
  for (const responder of Object.values(responders)) cleanup.defer(() => responder.stop());
  const clock = createJumpingClock();
  const operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    issuer: ISSUER,
    clusters: { operator: own, admin },
    overrides: { clock, ...(tenants ? { tenants } : {}) },
  });
  cleanup.defer(() => operator.stop());
  const transport = createTransport(operator.ca);
  cleanup.defer(() => transport.close());
  await useEveryFeature({
    admin,
    operator: own,
    namespace: NAMESPACE,
    tenant: TENANT,
    acme: await connect(transport, operator.directory),
    responders,
    clock,
  });
  const client = await clientOf(plane, NAMESPACE, 'countersign');
  cleanup.defer(() => client.close());
  const asked = await askedBy(plane, USER);
  const running = cleanup.move();
  return { client, admin, asked, stop: () => running.disposeAsync() };
}

async function clusterOf(kubeconfig: string): Promise<KubernetesCluster> {
  const clock = createClock();
  const config = await loadApiConfig({ env: {}, clock, kubeconfig });
  return createKubernetesCluster({ config, clock, random: createRandom() });
}

/** Requests of this user so far, the last of them surely among them. */
async function askedBy(plane: ControlPlane, username: string): Promise<AuditEntry[]> {
  // The log is written in order: once it has this, it has all before.
  const mark = `/healthz?mark=${Math.random()}`;
  await plane.api.expect('GET', mark);
  return eventually('the audit log has all of it', async () => {
    const entries = await plane.audit();
    if (!entries.some(({ requestURI }) => requestURI === mark)) return undefined;
    return entries.filter(({ user }) => user.username === username);
  });
}

/** A watch that begins with all there is stands for the list that servers without such watches are asked for. */
const verbsOf = ({ verb, requestURI }: AuditEntry) =>
  requestURI.includes('sendInitialEvents=true') ? [verb, 'list'] : [verb];

function rightsOf(entries: readonly AuditEntry[]): Set<string> {
  const used = new Set<string>();
  const asked = entries.flatMap((entry) => verbsOf(entry).map((verb) => ({ ...entry, verb })));
  for (const { verb, objectRef } of asked) {
    if (!objectRef) continue;
    const { resource: plural, apiGroup: group = '', subresource, namespace } = objectRef;
    const kind = ALL_KINDS.find((each) => each.plural === plural && each.group === group);
    const places = placesOf(kind?.namespaced ?? namespace !== undefined, namespace, NAMESPACE);
    places.forEach((place, index) => {
      const right = renderRight(place, verb, { plural, group, subresource });
      // A request for all namespaces takes the operator's own in, where that is declared.
      if (index === 0 || declared.has(right)) used.add(right);
    });
  }
  return used;
}

const refusedOf = (entries: readonly AuditEntry[]) =>
  entries
    .filter(({ responseStatus }) => responseStatus?.code === 403 || responseStatus?.code === 401)
    .map(({ verb, requestURI, responseStatus }) => `${verb} ${requestURI}: ${responseStatus?.message}`);

/** Paths that are no resource: what the API server offers everybody. */
const beyondOf = (entries: readonly AuditEntry[]) =>
  new Set(entries.filter(({ objectRef }) => !objectRef).map(({ requestURI }) => requestURI));

const secretsOf = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`;

const aClaim = (namespace: string) => ({
  metadata: { namespace, name: 'late' },
  spec: {
    secretName: 'late-tls',
    issuerRef: { kind: 'ClusterCAIssuer' as const, name: 'main' },
    dnsNames: ['late.every.test'],
  },
});

const aSecret = (name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { a: 'b' } });

describeOnApiServer('the operator, serving every namespace', (plane) => {
  let run: Run;
  beforeAll(async () => {
    run = await runThrough(plane());
  }, 300_000);
  afterAll(() => run?.stop());

  test('asks for what it declared, and declared what it asks for', () => {
    expect(run.asked.length).toBeGreaterThan(100);
    expect(differences(declared, rightsOf(run.asked))).toEqual([]);
  });

  test('is never refused, and asks for nothing that is no resource', () => {
    expect(refusedOf(run.asked)).toEqual([]);
    expect([...beyondOf(run.asked)]).toEqual([]);
  });

  test('may do nothing else', async () => {
    const { client } = run;
    const kinds = [AccountKind, AuthorizationKind].map(
      ({ group, version, plural }) => `/apis/${group}/${version}/namespaces/${TENANT}/${plural}`,
    );
    const beyond: [string, string, object?][] = [
      ['DELETE', `${secretsOf(TENANT)}/shop-tls`],
      ['PATCH', `${secretsOf(TENANT)}/shop-tls`, { metadata: { labels: { a: 'b' } } }],
      ['GET', '/api/v1/pods'],
      ['GET', `/api/v1/namespaces/${NAMESPACE}/configmaps`],
      ['GET', '/apis/rbac.authorization.k8s.io/v1/clusterroles'],
      ['DELETE', `/api/v1/namespaces/${TENANT}`],
      ['GET', `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/another`],
      ['GET', `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`],
      ['POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/countersign/token`, {}],
      ...kinds.map((path): [string, string] => ['GET', path]),
    ];
    for (const [method, path, body] of beyond) {
      const contentType = method === 'PATCH' ? 'application/merge-patch+json' : undefined;
      const { status } = await client.request(method, path, body, contentType);
      expect({ method, path, status }).toEqual({ method, path, status: 403 });
    }
  });
});

describeOnApiServer('the operator, serving namespaces one by one', (plane) => {
  let run: Run;
  beforeAll(async () => {
    run = await runThrough(plane(), [TENANT]);
  }, 300_000);
  afterAll(() => run?.stop());

  test('asks for what it declared, in that namespace alone, and is never refused', () => {
    expect(differences(declared, rightsOf(run.asked))).toEqual([]);
    expect(refusedOf(run.asked)).toEqual([]);
    const namespaces = run.asked
      .filter(({ objectRef }) => ALL_KINDS.some((kind) => kind.namespaced && kind.plural === objectRef?.resource))
      .map(({ objectRef }) => objectRef?.namespace);
    expect(new Set(namespaces)).toEqual(new Set([NAMESPACE, TENANT, 'default']));
  });

  test('reads Secrets of that namespace and its own, and of no other', async () => {
    const { client } = run;
    await plane().api.expect('POST', secretsOf(OTHER), aSecret('salaries'));
    for (const namespace of [TENANT, NAMESPACE])
      expect((await client.request('GET', secretsOf(namespace))).status).toBe(200);
    const elsewhere: [string, string, object?][] = [
      ['GET', '/api/v1/secrets'],
      ['GET', '/api/v1/secrets?watch=true'],
      ['GET', secretsOf(OTHER)],
      ['GET', `${secretsOf(OTHER)}/salaries`],
      ['GET', `${secretsOf('default')}/salaries`],
      ['POST', secretsOf(OTHER), aSecret('planted')],
      ['PUT', `${secretsOf(OTHER)}/salaries`, aSecret('salaries')],
      ['GET', `/apis/countersign.dev/v1alpha1/namespaces/${OTHER}/certificateclaims`],
      ['GET', '/apis/countersign.dev/v1alpha1/certificateclaims'],
    ];
    for (const [method, path, body] of elsewhere) {
      const { status } = await client.request(method, path, body);
      expect({ method, path, status }).toEqual({ method, path, status: 403 });
    }
  });

  test('serves a later claim there, and none elsewhere', async () => {
    const { admin } = run;
    await admin.create(CertificateClaimKind, aClaim(OTHER));
    await admin.create(CertificateClaimKind, aClaim(TENANT));
    await eventually('the claim that is served has its Secret', () =>
      admin.get(SecretKind, { namespace: TENANT, name: 'late-tls' }),
    );
    expect(await admin.get(SecretKind, { namespace: OTHER, name: 'late-tls' })).toBeUndefined();
    expect((await admin.get(CertificateClaimKind, { namespace: OTHER, name: 'late' }))?.status).toBeUndefined();
    expect(await admin.get(NamespaceKind, { name: OTHER })).toBeDefined();
  });
});
