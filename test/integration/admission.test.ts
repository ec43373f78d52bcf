// Records, accounts and authorizations are the operator's own on a real API server, whatever rights others have.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AccountKind, AuthorizationKind } from '../../src/api/acme.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { apiVersion, type Kind } from '../../src/api/kind.ts';
import { record } from '../contract/cluster.ts';
import { type ApiClient, type ApiReply } from '../support/api-client.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import type { ControlPlane } from '../support/control-plane.ts';
import { eventually } from '../support/eventually.ts';
import { apply, clientOf, createUser, deployed, grant, pathOf } from '../support/manifests.ts';

const NAMESPACE = 'countersign-system';
const POLICY = "ValidatingAdmissionPolicy 'countersign-records' with binding 'countersign-records' denied request";
const MERGE = 'application/merge-patch+json';
const REVOCATION = { reason: 4, revokedAt: '2030-02-01T00:00:00Z', by: 'the security team' };

const OURS: Readonly<Record<string, { kind: Kind; spec: object; status?: object; edit: object }>> = {
  IssuedCertificate: {
    kind: IssuedCertificateKind,
    spec: record('', '').spec,
    status: record('', '').status,
    edit: { metadata: { annotations: { 'example.test/note': 'mine' } } },
  },
  Account: {
    kind: AccountKind,
    spec: { issuerUID: 'one', thumbprint: 'two', spkiHash: 'three', jwk: { kty: 'EC' }, mac: 'forged' },
    edit: { spec: { contact: ['mailto:mallory@every.test'] } },
  },
  Authorization: {
    kind: AuthorizationKind,
    spec: {
      orderID: 'one',
      index: 0,
      account: 'two',
      issuerUID: 'three',
      identifier: { type: 'dns', value: 'bank.test' },
      wildcard: false,
      outcome: 'valid',
      expires: '2099-01-01T00:00:00Z',
      mac: 'forged',
    },
    edit: { spec: { outcome: 'deactivated' } },
  },
};

const collection = ({ group, version, plural }: Kind): string =>
  `/apis/${group}/${version}/namespaces/${NAMESPACE}/${plural}`;

function objectOf(name: string, of: keyof typeof OURS): object {
  const { kind, spec, status } = OURS[of] as (typeof OURS)[string];
  return { apiVersion: apiVersion(kind), kind: kind.kind, metadata: { name }, spec, ...(status ? { status } : {}) };
}

interface Status {
  reason?: string;
  message: string;
}

function expectDenied(reply: ApiReply, message: RegExp = /^/): void {
  const { reason, message: text } = reply.body as Status;
  expect({ status: reply.status, reason, text }).toEqual({
    status: 403,
    reason: 'Forbidden',
    text: expect.stringContaining(POLICY) as string,
  });
  expect(text).toMatch(message);
}

const records = collection(IssuedCertificateKind);

describeOnApiServer('the admission policy', (plane) => {
  let users: Record<'operator' | 'mallory' | 'security' | 'namespaces' | 'admin', ApiClient>;

  beforeAll(async () => {
    users = await createUsers(plane());
    await withoutCrdRules(plane().api);
    await apply(plane().api, deployed('admission'));
    await untilInForce(users.mallory);
  });

  afterAll(() => {
    for (const user of Object.values(users)) user.close();
  });

  const aRecord = (name: string) => users.operator.expect('POST', records, objectOf(name, 'IssuedCertificate'));

  for (const [name, { kind, edit }] of Object.entries(OURS)) {
    const at = collection(kind);

    test(`the operator creates, changes and deletes an ${name}`, async () => {
      const made = await users.operator.expect<object>('POST', at, objectOf('own', name));
      await users.operator.expect('PUT', `${at}/own`, merged(made, edit));
      await users.operator.expect('DELETE', `${at}/own`);
    });

    for (const who of ['mallory', 'admin'] as const) {
      test(`${who}, with every right, can neither create nor change nor delete an ${name}`, async () => {
        const stored = await users.operator.expect<object>('POST', at, objectOf(`kept-${who}`, name));
        const user = users[who];
        expectDenied(await user.request('POST', at, objectOf('forged', name)), /only system:serviceaccount:/);
        expectDenied(await user.request('PUT', `${at}/kept-${who}`, merged(stored, edit)));
        expectDenied(await user.request('PATCH', `${at}/kept-${who}`, edit, MERGE));
        expectDenied(await user.request('DELETE', `${at}/kept-${who}`));
        expectDenied(await user.request('DELETE', at));
        const { items } = await users.operator.expect<{ items: { metadata: { name: string } }[] }>('GET', at);
        expect(items.map((item) => item.metadata.name)).toContain(`kept-${who}`);
        expect(await users.operator.expect('GET', `${at}/kept-${who}`)).toEqual(stored);
      });
    }
  }

  test('others revoke, once and for good', async () => {
    await aRecord('revoked');
    const at = `${records}/revoked`;
    await users.mallory.expect('PATCH', at, { spec: { revocation: REVOCATION } }, MERGE);
    const stored = await users.operator.expect<{ spec: object }>('GET', at);
    expect(stored.spec).toMatchObject({ revocation: REVOCATION });
    for (const revocation of [{ ...REVOCATION, reason: 1 }, { reason: 1 }, null])
      expectDenied(await users.mallory.request('PATCH', at, { spec: { revocation } }, MERGE));
    const { spec } = record(NAMESPACE, 'revoked');
    expectDenied(await users.mallory.request('PUT', at, { ...stored, spec }));
    expect(await users.operator.expect('GET', at)).toEqual(stored);
  });

  const besides: Readonly<Record<string, object>> = {
    'another field of the spec': { spec: { policy: 'mine' } },
    'a field of the spec that was not there': { spec: { replaces: 'ic-other' } },
    'a field of the spec removed': { spec: { profile: null } },
    'the certificate': { status: { certificate: 'BBBB' } },
    'a label': { metadata: { labels: { 'countersign.dev/serial': '0b' } } },
    'a label removed': { metadata: { labels: { 'countersign.dev/door': null } } },
    'an annotation': { metadata: { annotations: { 'example.test/note': 'mine' } } },
    'a finalizer': { metadata: { finalizers: ['example.test/stay'] } },
    'an owner': {
      metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'gone', uid: 'a-b-c' }] },
    },
  };
  for (const [what, change] of Object.entries(besides)) {
    test(`a revocation changes nothing else: ${what}`, async () => {
      const name = `only-${Object.keys(besides).indexOf(what)}`;
      const object = merged(objectOf(name, 'IssuedCertificate'), {
        metadata: { labels: { 'countersign.dev/door': 'ACME' } },
        spec: { profile: 'server' },
      });
      const stored = await users.operator.expect('POST', records, object);
      const revoking = merged(change, { spec: { revocation: REVOCATION } });
      expectDenied(await users.mallory.request('PATCH', `${records}/${name}`, revoking, MERGE), /changes nothing else/);
      expect(await users.operator.expect('GET', `${records}/${name}`)).toEqual(stored);
    });
  }

  test('the role for revoking is for that alone', async () => {
    await aRecord('by-security');
    const at = `${records}/by-security`;
    expectDenied(await users.security.request('PATCH', at, { spec: { policy: 'mine' } }, MERGE));
    await users.security.expect('PATCH', at, { spec: { revocation: REVOCATION } }, MERGE);
    const beyond = [
      await users.security.request('POST', records, objectOf('forged', 'IssuedCertificate')),
      await users.security.request('DELETE', at),
      await users.security.request('GET', collection(AccountKind)),
    ];
    for (const { status, body } of beyond) {
      expect(status).toBe(403);
      expect((body as Status).message).toContain('cannot');
    }
  });

  test('a namespace can still be emptied, by the controller that does it, which creates nothing', async () => {
    await aRecord('last');
    expectDenied(await users.namespaces.request('PATCH', `${records}/last`, { spec: { policy: 'x' } }, MERGE));
    await users.namespaces.expect('DELETE', records);
    const { items } = await users.operator.expect<{ items: unknown[] }>('GET', records);
    expect(items).toEqual([]);
  });

  test('without the policy the same writes succeed', async () => {
    const { api } = plane();
    for (const manifest of deployed('admission')) await api.expect('DELETE', pathOf(manifest));
    for (const [name, { kind, edit }] of Object.entries(OURS)) {
      const at = collection(kind);
      await eventually(`a forged ${name} is accepted`, async () => {
        const { status } = await users.mallory.request('POST', at, objectOf('forged', name));
        return status === 201 ? true : undefined;
      });
      await users.mallory.expect('PATCH', `${at}/forged`, edit, MERGE);
      await users.mallory.expect('DELETE', `${at}/forged`);
    }
  });
});

/** The operator, somebody with `*` on all our kinds, one with the role for revoking, the namespace controller, an administrator. */
async function createUsers(plane: ControlPlane) {
  const { api } = plane;
  for (const name of ['namespace', 'roles', 'everywhere', 'users']) await apply(api, deployed(name));
  // Kubernetes comes with a role for this one; here it has all rights on our kinds too.
  const groups = [...new Set(Object.values(OURS).map(({ kind }) => kind.group))];
  const system = { name: 'namespace-controller', namespace: 'kube-system' };
  await apply(api, [{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: system }]);
  const mallory = await createUser(plane, 'mallory', [{ apiGroups: groups, resources: ['*'], verbs: ['*'] }]);
  await grant(api, 'user-mallory', system);
  return {
    operator: await clientOf(plane, NAMESPACE, 'countersign'),
    mallory,
    security: await createUser(plane, 'security', 'countersign-revoke'),
    namespaces: await clientOf(plane, system.namespace, system.name),
    admin: api,
  };
}

/** Rules of the CRD refuse some of the changes below before any admission policy is asked: here the policy must do it alone. */
async function withoutCrdRules(api: ApiClient): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/issuedcertificates.countersign.dev';
  const text = JSON.stringify(await api.expect('GET', path), (key, value: unknown) =>
    key === 'x-kubernetes-validations' ? undefined : value,
  );
  await api.expect('PUT', path, JSON.parse(text));
  await eventually('the CRD has no rules', async () => {
    const old = objectOf('rules', 'IssuedCertificate');
    await api.request('POST', records, old);
    const { status } = await api.request('PATCH', `${records}/rules?dryRun=All`, { spec: { policy: 'other' } }, MERGE);
    return status === 200 ? true : undefined;
  });
}

/** The API server takes up a policy a moment after it is stored. */
async function untilInForce(user: ApiClient): Promise<void> {
  await eventually('the policy is in force', async () => {
    const reply = await user.request('POST', `${records}?dryRun=All`, objectOf('forged', 'IssuedCertificate'));
    return reply.status === 403 ? true : undefined;
  });
}

/** JSON merge of two objects; null stays, for a patch. */
function merged(base: object, change: object): object {
  const out: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change) as [string, unknown][]) {
    const before = out[key];
    out[key] = isPlain(before) && isPlain(value) ? merged(before, value) : value;
  }
  return out;
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
