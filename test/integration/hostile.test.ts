// Hostile inputs against two replicas of `serve` on a real API server; numbers in titles are those of test/hostile.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { record } from '../contract/cluster.ts';
import { finalize, issue, newOrder, poll, readyOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey, signJws } from '../support/jws.ts';
import { createUser } from '../support/manifests.ts';
import { NAMESPACE } from '../support/serve.ts';
import {
  describeOnStage,
  GROUP,
  RECORDS,
  secretsOf,
  type ServingReplicas,
  startReplicas,
} from '../support/serving-stage.ts';

interface Condition {
  type: string;
  status: string;
  reason: string;
}
interface Claim {
  metadata: { uid: string };
  status?: { conditions?: Condition[]; serial?: string };
}
interface Secret {
  metadata: { annotations?: Record<string, string>; resourceVersion: string };
  data: Record<string, string>;
}

const CLAIMS = `${GROUP}/namespaces/default/certificateclaims`;
const MERGE = 'application/merge-patch+json';
const typeOf = (reply: Reply) => reply.problem.type.replace('urn:ietf:params:acme:error:', '');

describeOnStage('hostile inputs, two replicas', 2, (stage) => {
  let replicas: ServingReplicas;
  let numbered = 0;

  beforeAll(async () => {
    replicas = await startReplicas(stage());
  });
  afterAll(() => replicas?.stop());

  /** One account at both replicas. */
  async function atBoth(): Promise<[AcmeWire, AcmeWire]> {
    const [a, b] = [await replicas.client(0), await replicas.client(1)];
    await register(a);
    b.account = a.account;
    return [a, b];
  }

  function aName(): string {
    const name = `hostile-${++numbered}.test`;
    stage().place(name);
    return name;
  }

  const recordsFor = async (name: string) =>
    (await stage().records()).filter(({ spec }) => spec.names.includes(`dns:${name}`));

  test('9: a nonce is accepted by another replica once, and by none after that or when a bit of it is changed', async () => {
    const [a, b] = await atBoth();
    const nonce = await a.nonce();
    expect((await b.get(a.account.url, { nonce })).status).toBe(200);
    const bytes = Buffer.from(await a.nonce(), 'base64url');
    bytes[5] = (bytes[5] ?? 0) ^ 1;
    for (const bad of [nonce, bytes.toString('base64url'), '', 'A'.repeat(10_000)])
      for (const acme of [a, b]) {
        const reply = await acme.get(a.account.url, { header: { nonce: bad } });
        expect([reply.status, typeOf(reply)]).toEqual([400, 'badNonce']);
        expect((await acme.get(a.account.url, { nonce: reply.nonce ?? '' })).status).toBe(200);
      }
  });

  test('10: of parallel uses of one nonce at both replicas exactly one is accepted', async () => {
    const [a, b] = await atBoth();
    for (let round = 0; round < 25; round++) {
      const nonce = await (round % 2 === 0 ? a : b).nonce();
      const replies = await Promise.all([a, b, b, a].map((acme) => acme.get(a.account.url, { nonce })));
      expect(replies.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 400, 400, 400]);
    }
  });

  test('46: of fifty finalizes in parallel over both replicas there is one certificate', async () => {
    const [a, b] = await atBoth();
    const name = aName();
    const order = await readyOrder(a, stage().responders, [name]);
    const { der } = buildCsr({ names: csrNames(order.object.identifiers) });
    const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => finalize(i % 2 === 0 ? a : b, order, der)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    const ends = await Promise.all([a, b].map((acme) => poll(acme, order.url, ({ status }) => status === 'valid')));
    const leaves = await Promise.all(
      [a, b].map(async (acme, i) => new X509Certificate((await acme.get(ends[i]?.certificate ?? '')).text)),
    );
    const records = await recordsFor(name);
    expect(records.map(({ status }) => status?.certificate)).toEqual([leaves[0]?.raw.toString('base64')]);
    expect(leaves[1]?.serialNumber).toBe(leaves[0]?.serialNumber);
  });

  test('31: a deactivated account is refused on every route by both replicas at once', async () => {
    const [a, b] = await atBoth();
    const issued = await issue(a, stage().responders, [aName()]);
    const leaf = new X509Certificate((await b.get(issued.certificateUrl)).text).raw.toString('base64url');
    const name = aName();
    const order = await readyOrder(b, stage().responders, [name]);
    const pending = await newOrder(a, [aName()]);
    const [authorization = ''] = pending.object.authorizations;
    const { url: challenge } = (await a.get(authorization)).json.challenges[0] ?? { url: '' };
    const { orders } = (await a.get(a.account.url)).json;
    const { der } = buildCsr({ names: csrNames(order.object.identifiers) });
    const { key, url } = a.account;
    const next = createSigningKey();
    const change = signJws(
      next,
      { alg: next.alg, jwk: next.jwk, url: a.directory.keyChange },
      { account: url, oldKey: key.jwk },
    );
    expect((await a.post(url, { status: 'deactivated' })).status).toBe(200);
    const routes: Readonly<Record<string, (acme: AcmeWire) => Promise<Reply>>> = {
      account: (acme) => acme.get(url),
      update: (acme) => acme.post(url, { contact: [] }),
      reactivate: (acme) => acme.post(url, { status: 'valid' }),
      orders: (acme) => acme.get(String(orders)),
      keyChange: (acme) => acme.post(acme.directory.keyChange, change),
      newOrder: (acme) => acme.post(acme.directory.newOrder, { identifiers: order.object.identifiers }),
      order: (acme) => acme.get(order.url),
      finalize: (acme) => finalize(acme, order, der),
      authorization: (acme) => acme.get(authorization),
      challenge: (acme) => acme.post(challenge, {}),
      certificate: (acme) => acme.get(issued.certificateUrl),
      revokeCert: (acme) => acme.post(acme.directory.revokeCert, { certificate: leaf }),
      newAccount: (acme) => acme.post(acme.directory.newAccount, {}, { jwkOf: key }),
    };
    const calls = Object.entries(routes).flatMap(([route, call]) =>
      [b, a].map(async (acme, i) => {
        const reply = await call(acme);
        return `${route} at ${i}: ${reply.status} ${reply.text.includes('"type"') ? typeOf(reply) : ''}`;
      }),
    );
    const expected = Object.keys(routes).flatMap((route) => [0, 1].map((i) => `${route} at ${i}: 401 unauthorized`));
    expect(await Promise.all(calls)).toEqual(expected);
    expect(await recordsFor(name)).toEqual([]);
  });

  const claim = (name: string, spec: object = {}) => ({
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateClaim',
    metadata: { name },
    spec: {
      secretName: `${name}-tls`,
      issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
      dnsNames: [`${name}.test`],
      ...spec,
    },
  });
  const make = (name: string, spec?: object) => stage().plane.api.expect<Claim>('POST', CLAIMS, claim(name, spec));
  const ready = (name: string, status: string) =>
    eventually(`claim ${name} is ${status}`, async () => {
      const { status: now } = await stage().plane.api.expect<Claim>('GET', `${CLAIMS}/${name}`);
      return now?.conditions?.find((each) => each.type === 'Ready' && each.status === status);
    });
  const secret = (name: string) => stage().plane.api.expect<Secret>('GET', `${secretsOf('default')}/${name}`);

  test('40: Services of other namespaces, short forms and nodes that exist are denied at both replicas, each by its name', async () => {
    const { api } = stage().plane;
    await api.expect('POST', '/api/v1/namespaces', { metadata: { name: 'other' } });
    for (const namespace of ['other', 'default'])
      await api.expect('POST', `/api/v1/namespaces/${namespace}/services`, {
        metadata: { name: 'db' },
        spec: { ports: [{ port: 443 }] },
      });
    await api.expect('POST', '/api/v1/nodes', { metadata: { name: 'node-1' } });
    // Who asks over ACME is of no namespace: this is for claims alone.
    await api.expect('POST', `${GROUP}/certificaterequestpolicies`, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateRequestPolicy',
      metadata: { name: 'own-services' },
      spec: {
        selector: { doors: ['CertificateClaim'] },
        allowed: { dnsNames: { values: ['*.{{namespace}}.svc', '*.{{namespace}}.svc.cluster.local'] } },
      },
    });
    const denied = [
      'db.other.svc',
      'db.other.svc.cluster.local',
      'db.default.svc',
      'kubernetes.default.svc',
      'db',
      'db.other',
      'node-1',
      '*.other.svc',
    ];
    const good = aName();
    for (const acme of await atBoth()) {
      const identifiers = [...denied, good].map((value) => ({ type: 'dns', value }));
      const reply = await acme.post(acme.directory.newOrder, { identifiers });
      expect([reply.status, typeOf(reply)]).toEqual([403, 'rejectedIdentifier']);
      const named = reply.problem.subproblems?.map(
        ({ type, identifier }) => `${type.split(':').at(-1)} ${identifier.value}`,
      );
      expect(named?.toSorted()).toEqual(denied.map((name) => `rejectedIdentifier ${name}`).toSorted());
    }
    const wanted: Readonly<Record<string, readonly string[]>> = { own: ['db.default.svc'], foreign: ['db.other.svc'] };
    for (const [name, dnsNames] of Object.entries(wanted)) await make(name, { dnsNames });
    await ready('own', 'True');
    expect(await ready('foreign', 'False')).toMatchObject({ reason: 'Denied' });
    for (const name of denied) expect((await recordsFor(name)).length).toBe(name === 'db.default.svc' ? 1 : 0);
    await api.expect('DELETE', `${GROUP}/certificaterequestpolicies/own-services`);
  });

  test('63: a Secret of somebody else stays as it is, whatever it says of itself; of two claims for one Secret one has it', async () => {
    const { api } = stage().plane;
    await make('honest');
    await ready('honest', 'True');
    const { annotations = {} } = (await secret('honest-tls')).metadata;
    const foreign: Readonly<Record<string, (uid: string) => object>> = {
      plain: () => ({}),
      copied: () => ({ annotations }),
      owned: (uid) => ({
        annotations,
        ownerReferences: [{ apiVersion: 'countersign.dev/v1alpha1', kind: 'CertificateClaim', name: 'owned', uid }],
      }),
    };
    for (const [name, metadata] of Object.entries(foreign)) {
      // Its issuer comes later: the Secret is there before the claim can have one.
      const { metadata: made } = await make(name, { issuerRef: { kind: 'ClusterCAIssuer', name: 'none' } });
      await api.expect('POST', secretsOf('default'), {
        metadata: { name: `${name}-tls`, ...metadata(made.uid) },
        stringData: { password: 'secret' },
      });
      const before = await secret(`${name}-tls`);
      await api.expect('PATCH', `${CLAIMS}/${name}`, { spec: claim(name).spec }, MERGE);
      await eventually(`claim ${name} says why`, async () => {
        const { reason } = await ready(name, 'False');
        return reason === 'IssuerNotFound' ? undefined : reason;
      });
      expect(await secret(`${name}-tls`)).toEqual(before);
      expect(await recordsFor(`${name}.test`)).toEqual([]);
    }

    await make('rival', { secretName: 'honest-tls' });
    await ready('rival', 'False');
    expect(await recordsFor('rival.test')).toEqual([]);
    const leaf = Buffer.from((await secret('honest-tls')).data['tls.crt'] ?? '', 'base64');
    expect(new X509Certificate(leaf).subjectAltName).toBe('DNS:honest.test');
  });

  test('64: a forged status is put right and grants nothing; a record made by hand is refused', async () => {
    const { api } = stage().plane;
    await make('forged', { issuerRef: { kind: 'ClusterCAIssuer', name: 'none' } });
    const { reason } = await ready('forged', 'False');
    const now = new Date().toISOString().replace(/\.\d+/, '');
    const forged = {
      status: {
        conditions: [{ type: 'Ready', status: 'True', reason: 'Issued', message: 'mine', lastTransitionTime: now }],
        serial: '0a',
        revision: 7,
      },
    };
    await api.expect('PATCH', `${CLAIMS}/forged/status`, forged, MERGE);
    expect(await ready('forged', 'False')).toMatchObject({ reason });
    expect((await api.request('GET', `${secretsOf('default')}/forged-tls`)).status).toBe(404);
    expect(await recordsFor('forged.test')).toEqual([]);

    const at = `${GROUP}/clustercaissuers/main`;
    const issuer = await api.expect<{ status: { conditions: Condition[] } }>('GET', at);
    const lies = issuer.status.conditions.map((each) => ({ ...each, status: 'False', reason: 'Forged' }));
    await api.expect('PATCH', `${at}/status`, { status: { conditions: lies } }, MERGE);
    await eventually('the issuer is as it is', async () => {
      const { status } = await api.expect<typeof issuer>('GET', at);
      return status.conditions.every(({ reason: why }) => why !== 'Forged') ? true : undefined;
    });

    const mallory = await createUser(stage().plane, 'mallory', [
      { apiGroups: ['countersign.dev', 'acme.countersign.dev'], resources: ['*'], verbs: ['*'] },
    ]);
    try {
      const { spec, status } = record(NAMESPACE, 'ic-mine');
      const body = {
        apiVersion: 'countersign.dev/v1alpha1',
        kind: 'IssuedCertificate',
        metadata: { name: 'ic-mine' },
        spec,
        status,
      };
      const reply = await mallory.request<{ message: string }>('POST', RECORDS, body);
      expect([reply.status, reply.body.message]).toEqual([403, expect.stringContaining("'countersign-records'")]);
    } finally {
      mallory.close();
    }
  });

  test('65: what is too large or no name is refused by the API server, and the replicas go on', async () => {
    const { api } = stage().plane;
    const many = Array.from({ length: 10_000 }, (_, i) => `name-${i}.test`);
    const specs: Readonly<Record<string, object>> = {
      many: { dnsNames: many },
      large: { dnsNames: ['a'.repeat(1_400_000)] },
      template: { dnsNames: ['{{ .Secret }}.test'] },
      expression: { dnsNames: ['${process.env}.test'] },
      path: { secretName: '$..[?(@.a)]' },
      elsewhere: { secretName: 'kube-system/admin' },
    };
    for (const [name, spec] of Object.entries(specs)) {
      const { status } = await api.request('POST', CLAIMS, claim(name, spec));
      expect({ name, status }).toEqual({ name, status: 422 });
    }
    await make('after');
    await ready('after', 'True');
    expect((await recordsFor('after.test')).length).toBe(1);
  });
});
