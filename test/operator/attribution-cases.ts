// Who asks, by what the cluster tells: the same on an embedded store and on a real API server.
import { X509Certificate } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { AuthorizationKind } from '../../src/api/acme.ts';
import { CertificateRequestPolicyKind, type PolicySpec } from '../../src/api/certificate-request-policy.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { SecretKind } from '../../src/api/core.ts';
import {
  CertManagerOrderKind,
  HTTPRouteKind,
  type Ingress,
  IngressKind,
  type Pod,
  PodKind,
  ServiceKind,
} from '../../src/api/foreign.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import type { Cluster } from '../../src/ports.ts';
import { binding, EAB_KEYS } from '../conformance/external-account-keys.ts';
import { complete, expectStatus, finalize, newOrder, register } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Reply, type Transport } from '../support/acme-wire.ts';
import { certManager, type CertManager, keepOrder, orderFrom } from '../support/cert-manager.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { startWebhookPeer } from '../support/webhook-peer.ts';
import { NAMESPACE } from './harness.ts';

export interface Stage {
  /** Somebody who may do anything. */
  admin: Cluster;
  transport: Transport;
  /** PEM of what signed the certificate of the server. */
  ca: string;
  /** Of the issuer `main`, which has ISSUER_ACME. */
  directory: string;
}

/** Namespaces of the stage. */
export const TEAMS = ['payments', 'hr'] as const;
export const STAGE_NAMESPACES = [...TEAMS, 'relays'] as const;

export const ISSUER_ACME = {
  proof: {
    certManagerOrders: true,
    services: true,
    ingressClasses: ['public'],
    gateways: ['relays/front'],
    podAddress: { enabled: true, relayNamespaces: ['relays'] },
  },
  externalAccountBinding: {
    mode: 'Optional' as const,
    keys: [
      {
        keyID: 'payments',
        secretRef: { name: 'eab', key: 'kid-1' },
        scope: 'Namespace' as const,
        namespace: 'payments',
      },
      { keyID: 'shared', secretRef: { name: 'eab', key: 'kid-1' }, scope: 'ByOrder' as const },
      { keyID: 'plain', secretRef: { name: 'eab', key: 'kid-1' } },
    ],
    mint: { namespaceSelector: { matchNames: ['payments', 'hr', 'gone-*'] }, secretName: 'acme-eab' },
  },
};

/** Each team has the names of its own Services; who the requester is decides. */
export const TEAM_POLICY: PolicySpec = {
  selector: { namespace: { matchNames: [...TEAMS] } },
  allowed: {
    dnsNames: {
      values: ['*.{{namespace}}.svc', '*.{{namespace}}.svc.cluster.local', '**.hosted.example'],
      wildcards: true,
    },
  },
};

/** Beside namespaces TEAMS, the issuer and the policy `team`. */
export async function prepareStage(admin: Cluster): Promise<void> {
  await admin.create(SecretKind, {
    metadata: { namespace: NAMESPACE, name: 'eab' },
    type: 'Opaque',
    stringData: { 'kid-1': EAB_KEYS['kid-1'] },
  });
}

const label = (prefix: string): string => freshName(prefix).split('.')[0] ?? '';

const problemOf = (reply: Reply) => ({ status: reply.status, type: reply.problem.type.split(':').at(-1) });

export function attributionCases(stage: () => Stage): void {
  const transports: Transport[] = [];
  afterAll(() => transports.forEach((transport) => transport.close()));

  const aManager = (options: Parameters<typeof certManager>[2] = {}) => certManager(stage().admin, stage(), options);

  /** A fresh Service, and its names. */
  async function aService(namespace: string): Promise<string> {
    const name = label('web');
    await stage().admin.create(ServiceKind, {
      metadata: { namespace, name },
      spec: { ports: [{ port: 443 }] },
    } as never);
    return `${name}.${namespace}.svc`;
  }

  const bound = (kid: string) => (acme: AcmeWire, key: ReturnType<typeof createSigningKey>) => ({
    externalAccountBinding: binding(acme, key, { kid, macKey: EAB_KEYS['kid-1'] }),
  });

  async function aClient(kid: string): Promise<AcmeWire> {
    const acme = await connect(stage().transport, stage().directory);
    const key = createSigningKey();
    await register(acme, key, bound(kid)(acme, key));
    return acme;
  }

  async function firstAuthorization(
    manager: CertManager,
    at: { namespace: string; names: readonly string[] },
  ): Promise<Reply> {
    const { order } = await orderFrom(stage().admin, manager, at);
    return manager.acme.get(order.object.authorizations[0] ?? '');
  }

  test('a ClusterIssuer without solvers has a certificate for the names of a Service of the namespace', async () => {
    const name = await aService('payments');
    const names = [name, `${name}.cluster.local`];
    const manager = await aManager();
    const { order } = await orderFrom(stage().admin, manager, { namespace: 'payments', names });
    for (const url of order.object.authorizations) {
      const { json } = expectStatus(await manager.acme.get(url), 200, 'authorization');
      expect(json).toMatchObject({ status: 'valid', challenges: [] });
    }
    const { certificateUrl } = await complete(manager.acme, order);
    const leaf = new X509Certificate((await manager.acme.get(certificateUrl)).body);
    expect(leaf.subjectAltName).toBe(names.map((each) => `DNS:${each}`).join(', '));
    const { items } = await stage().admin.list(IssuedCertificateKind, { namespace: NAMESPACE });
    const record = items.find(({ spec }) => spec.names.includes(`dns:${name}`));
    expect(record?.spec.requester).toMatchObject({ namespace: 'payments' });
    // Born valid is not validated: nothing is stored of it.
    const { items: stored } = await stage().admin.list(AuthorizationKind, { namespace: NAMESPACE });
    expect(stored.filter(({ spec }) => name.startsWith(spec.identifier.value))).toEqual([]);
  });

  test('a name of another namespace is refused at the authorization, with the name of the policy', async () => {
    const theirs = await aService('hr');
    const reply = await firstAuthorization(await aManager(), { namespace: 'payments', names: [theirs] });
    expect(problemOf(reply)).toEqual({ status: 403, type: 'rejectedIdentifier' });
    expect(reply.problem.detail).toContain('"team"');
    expect(reply.problem.detail).toContain(theirs);
  });

  test('a refusal tells of every name of the order, whichever authorization is fetched first', async () => {
    const names = [await aService('payments'), await aService('hr')];
    const reply = await firstAuthorization(await aManager(), { namespace: 'payments', names });
    expect(problemOf(reply)).toEqual({ status: 403, type: 'rejectedIdentifier' });
    expect(reply.problem.detail).toContain(names[1]);
  });

  test('a Service that is not there proves nothing: pending where a challenge may, and where none can, waited for', async () => {
    const names = [`${label('none')}.payments.svc`];
    const mute = await firstAuthorization(await aManager(), { namespace: 'payments', names });
    expect(mute.status).toBe(503);
    expect(mute.problem.detail).toContain(names[0]);
    const solving = await aManager({ solvers: [{ http01: {} }] });
    const reply = await firstAuthorization(solving, { namespace: 'payments', names });
    expect(reply.json.status).toBe('pending');
    expect(reply.json.challenges.length).toBeGreaterThan(0);
  });

  test('an Order that comes late is waited for', async () => {
    const names = [await aService('payments')];
    const manager = await aManager();
    const order = await newOrder(manager.acme, names);
    const asked = manager.acme.get(order.object.authorizations[0] ?? '');
    await keepOrder(stage().admin, manager, { namespace: 'payments', names, order });
    const reply = await asked;
    // Whether it came within the moment that is waited, or has to be asked for again, it is never refused.
    if (reply.status !== 200) expect(reply.status).toBe(503);
    const again = await manager.acme.get(order.object.authorizations[0] ?? '');
    expect(again.json.status).toBe('valid');
  });

  test('without an Order nobody is believed: come back', async () => {
    const manager = await aManager();
    const order = await newOrder(manager.acme, [await aService('payments')]);
    const reply = await manager.acme.get(order.object.authorizations[0] ?? '');
    expect(reply.status).toBe(503);
    expect(reply.headers['retry-after']).toBeDefined();
    const csr = buildCsr({ names: csrNames(order.object.identifiers) });
    expect((await finalize(manager.acme, order, csr.der)).status).toBe(503);
  });

  test('an order that cert-manager keeps in two namespaces is of neither', async () => {
    const names = [await aService('payments')];
    const manager = await aManager();
    const { order } = await orderFrom(stage().admin, manager, { namespace: 'payments', names });
    await keepOrder(stage().admin, manager, { namespace: 'hr', names, order });
    const reply = await eventually('both Orders are seen', async () => {
      const now = await manager.acme.get(order.object.authorizations[0] ?? '');
      return now.status === 200 ? undefined : now;
    });
    expect(problemOf(reply)).toEqual({ status: 403, type: 'unauthorized' });
    expect(reply.problem.detail).toMatch(/payments.*hr|hr.*payments/);
  });

  test('a forged status is believed by nobody: other names, another account, another order', async () => {
    const names = [await aService('payments')];
    const manager = await aManager();
    const other = await aManager();
    for (const forge of [
      async () => {
        const order = await newOrder(manager.acme, names);
        await keepOrder(stage().admin, manager, { namespace: 'payments', names: ['other.payments.svc'], order });
        return order;
      },
      async () => {
        const order = await newOrder(manager.acme, names);
        await keepOrder(stage().admin, other, { namespace: 'payments', names, order });
        return order;
      },
      async () => {
        const order = await newOrder(manager.acme, names);
        const earlier = await newOrder(manager.acme, names);
        const mixed = { ...order, url: earlier.url };
        await keepOrder(stage().admin, manager, { namespace: 'payments', names, order: mixed });
        return order;
      },
    ]) {
      const order = await forge();
      const reply = await manager.acme.get(order.object.authorizations[0] ?? '');
      expect(reply.status).toBe(503);
    }
  });

  test('the account of a ClusterIssuer used by somebody else has no namespace', async () => {
    const name = await aService('payments');
    const manager = await aManager();
    const thief = await connect(stage().transport, stage().directory);
    thief.account = manager.acme.account;
    const order = await newOrder(thief, [name]);
    const { json } = await thief.get(order.object.authorizations[0] ?? '');
    expect(json.status).toBe('pending');
  });

  test('forged headers tell nothing of the namespace', async () => {
    const name = await aService('payments');
    const acme = await aClient('plain');
    const order = await newOrder(acme, [name]);
    const headers = { 'x-forwarded-for': '10.0.0.1', forwarded: 'for=10.0.0.1', 'x-namespace': 'payments' };
    const { json } = await acme.get(order.object.authorizations[0] ?? '', { headers });
    expect(json.status).toBe('pending');
  });

  test('a key of a namespace speaks for it and for no other', async () => {
    const acme = await aClient('payments');
    const [ours, theirs] = [await aService('payments'), await aService('hr')];
    const order = await newOrder(acme, [ours]);
    expect(order.object.status).toBe('ready');
    await complete(acme, order);
    const refused = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: theirs }] });
    expect(problemOf(refused)).toEqual({ status: 403, type: 'rejectedIdentifier' });
    expect(refused.problem.detail).toContain('"team"');
  });

  test('a key of a namespace and an Order of another are not believed together', async () => {
    const manager = await aManager({ payload: bound('payments') });
    const names = [await aService('payments')];
    const reply = await firstAuthorization(manager, { namespace: 'hr', names });
    expect(problemOf(reply)).toEqual({ status: 403, type: 'unauthorized' });
    expect(reply.problem.detail).toContain('hr');
  });

  test('a shared key leaves it to the Order', async () => {
    const manager = await aManager({ payload: bound('shared') });
    const mine = await firstAuthorization(manager, { namespace: 'hr', names: [await aService('hr')] });
    expect(mine.json.status).toBe('valid');
    const other = await firstAuthorization(manager, { namespace: 'hr', names: [await aService('payments')] });
    expect(problemOf(other)).toEqual({ status: 403, type: 'rejectedIdentifier' });
  });

  test('what was validated for one namespace serves no other, whoever shares the account', async () => {
    const { admin } = stage();
    const manager = await aManager({ payload: bound('shared') });
    const name = await aService('payments');
    const { order } = await orderFrom(admin, manager, { namespace: 'payments', names: [name] });
    await complete(manager.acme, order);
    const reply = await firstAuthorization(manager, { namespace: 'hr', names: [name] });
    expect(problemOf(reply)).toEqual({ status: 403, type: 'rejectedIdentifier' });
  });

  test('the Order of a namespace that is gone before finalize gives nothing', async () => {
    const { admin } = stage();
    const names = [await aService('payments')];
    const manager = await aManager();
    const { order, object } = await orderFrom(admin, manager, { namespace: 'payments', names });
    expect((await manager.acme.get(order.object.authorizations[0] ?? '')).json.status).toBe('valid');
    await admin.delete(CertManagerOrderKind, object.metadata);
    await expect
      .poll(async () => (await manager.acme.get(order.object.authorizations[0] ?? '')).status, { timeout: 30_000 })
      .toBe(503);
    const csr = buildCsr({ names: csrNames(order.object.identifiers) });
    expect((await finalize(manager.acme, order, csr.der)).status).toBe(503);
  });

  /** The minted key of a namespace, as cert-manager reads it: key identifier, and the MAC key out of base64url without padding. */
  async function mintedKey(namespace: string): Promise<{ kid: string; macKey: string }> {
    const ref = { namespace, name: 'acme-eab' };
    const { data = {} } = await eventually(`${namespace} has its key`, () => stage().admin.get(SecretKind, ref));
    const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString();
    expect(text('secret')).toMatch(/^[A-Za-z0-9_-]{43}$/);
    return { kid: text('keyID'), macKey: text('secret') };
  }

  async function bindWith(options: { kid: string; macKey: string }): Promise<{ acme: AcmeWire; reply: Reply }> {
    const acme = await connect(stage().transport, stage().directory);
    const key = createSigningKey();
    const payload = { externalAccountBinding: binding(acme, key, options) };
    const reply = await acme.post(acme.directory.newAccount, payload, { jwkOf: key });
    acme.account = { key, url: reply.location };
    return { acme, reply };
  }

  test('a minted key speaks for its namespace', async () => {
    const { acme, reply } = await bindWith(await mintedKey('hr'));
    expectStatus(reply, 201, 'newAccount');
    const order = await newOrder(acme, [await aService('hr')]);
    expect(order.object.status).toBe('ready');
    await complete(acme, order);
    const theirs = await acme.post(acme.directory.newOrder, {
      identifiers: [{ type: 'dns', value: await aService('payments') }],
    });
    expect(problemOf(theirs)).toEqual({ status: 403, type: 'rejectedIdentifier' });
  });

  test('the minted key of a namespace binds nothing under the name of another, nor of one that has none', async () => {
    const { macKey } = await mintedKey('hr');
    for (const kid of ['ns.payments', 'ns.default', 'ns.none', 'ns.']) {
      const { reply } = await bindWith({ kid, macKey });
      expect({ kid, ...problemOf(reply) }).toEqual({ kid, status: 403, type: 'unauthorized' });
    }
  });

  /** A domain whose names the policy lets payments and hr have, and nothing else. */
  const HOSTED = 'hosted.example';

  async function anIngress(namespace: string, host: string, ingressClassName = 'public'): Promise<Ingress> {
    const backend = { service: { name: 'web', port: { number: 80 } } };
    const http = { paths: [{ path: '/', pathType: 'Prefix', backend }] };
    return stage().admin.create(IngressKind, {
      metadata: { namespace, name: label('ingress') },
      spec: { ingressClassName, rules: [{ host, http }] },
    } as never);
  }

  async function aRoute(namespace: string, host: string, accepted?: { status?: string; gateway?: string }) {
    const { admin } = stage();
    const parentRef = { namespace: 'relays', name: accepted?.gateway ?? 'front' };
    const metadata = { namespace, name: label('route') };
    const made = await admin.create(HTTPRouteKind, { metadata, spec: { hostnames: [host], parentRefs: [parentRef] } });
    if (!accepted) return made;
    const { generation: observedGeneration } = made.metadata;
    const conditions = [{ type: 'Accepted', status: accepted.status ?? 'True', observedGeneration }];
    return admin.replaceStatus(HTTPRouteKind, { ...made, status: { parents: [{ parentRef, conditions }] } });
  }

  test('hosts of Ingresses and HTTPRoutes prove themselves to their own namespace', async () => {
    const acme = await aClient('payments');
    const [byIngress, byRoute] = [`${label('i')}.${HOSTED}`, `${label('r')}.${HOSTED}`];
    await anIngress('payments', byIngress);
    await aRoute('payments', byRoute, {});
    for (const host of [byIngress, byRoute]) {
      await expect.poll(() => statusFor(acme, host), { timeout: 30_000 }).toBe('ready');
      await complete(acme, await newOrder(acme, [host]));
    }
  });

  test('no proof is a host of another class or Gateway, of another namespace, of two, or that no Gateway accepted', async () => {
    const acme = await aClient('payments');
    const hosts = Array.from({ length: 8 }, () => `${label('h')}.${HOSTED}`);
    const [otherClass, theirs, shared, otherGateway, refused, unseen, both, mark] = hosts as [string, ...string[]];
    await anIngress('payments', otherClass, 'private');
    await anIngress('hr', theirs ?? '');
    await anIngress('payments', shared ?? '');
    await anIngress('hr', shared ?? '', 'private');
    await aRoute('payments', otherGateway ?? '', { gateway: 'other' });
    await aRoute('payments', refused ?? '', { status: 'False' });
    await aRoute('payments', unseen ?? '');
    await anIngress('payments', both ?? '');
    await aRoute('hr', both ?? '');
    // As the last of each kind is known, so are the others.
    await anIngress('payments', mark ?? '');
    await expect.poll(() => statusFor(acme, mark ?? ''), { timeout: 30_000 }).toBe('ready');
    const routed = `${label('m')}.${HOSTED}`;
    await aRoute('payments', routed, {});
    await expect.poll(() => statusFor(acme, routed), { timeout: 30_000 }).toBe('ready');
    for (const host of hosts.slice(0, 7))
      expect({ host, status: await statusFor(acme, host) }).toEqual({ host, status: 'pending' });
  });

  test('a wildcard meets the hosts below it', async () => {
    const acme = await aClient('payments');
    const [free, met] = [`${label('w')}.${HOSTED}`, `${label('w')}.${HOSTED}`];
    await anIngress('hr', `below.${met}`);
    await anIngress('payments', `*.${met}`);
    await anIngress('payments', `*.${free}`);
    await expect.poll(() => statusFor(acme, `*.${free}`), { timeout: 30_000 }).toBe('ready');
    expect(await statusFor(acme, `*.${met}`)).toBe('pending');
    expect(await statusFor(acme, `a.${free}`)).toBe('pending');
  });

  test('a host of an Ingress is nobody’s without a policy for it', async () => {
    const acme = await aClient('payments');
    const host = `${label('x')}.elsewhere.example`;
    await anIngress('payments', host);
    expect(await statusFor(acme, host)).toMatch(/^403/);
  });

  let addresses = 10;

  /** A Pod with an address of its own of this machine, and a client that sends from there. */
  async function aPod(
    namespace: string,
    { spec = {}, status = {}, kid }: { spec?: object; status?: object; kid?: string } = {},
  ): Promise<{ acme: AcmeWire; pod: Pod }> {
    const address = `127.0.7.${addresses++}`;
    const made = await stage().admin.create(PodKind, {
      metadata: { namespace, name: label('pod') },
      spec: { serviceAccountName: 'default', containers: [{ name: 'main', image: 'none' }], ...spec },
    } as never);
    const podIPs = [{ ip: address }];
    const pod = await stage().admin.replaceStatus(PodKind, {
      ...made,
      status: { phase: 'Running', podIP: address, podIPs, ...status },
    });
    const transport = createTransport(stage().ca, { localAddress: address });
    transports.push(transport);
    const acme = await connect(transport, stage().directory);
    const key = createSigningKey();
    await register(acme, key, kid === undefined ? {} : bound(kid)(acme, key));
    return { acme, pod };
  }

  /** Of an order for the name. */
  const statusFor = async (acme: AcmeWire, name: string): Promise<string> => {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: name }] });
    return reply.status === 201 ? reply.json.status : `${reply.status} ${reply.problem.detail}`;
  };

  test('a running Pod is known by its address, with its namespace and its ServiceAccount', async () => {
    const [ours, theirs] = [await aService('payments'), await aService('hr')];
    const { acme } = await aPod('payments');
    await expect.poll(() => statusFor(acme, ours), { timeout: 30_000 }).toBe('ready');
    expect(await statusFor(acme, theirs)).toMatch(/^403 .*policy "team" refuses/);
    await complete(acme, await newOrder(acme, [ours]));
    const { items } = await stage().admin.list(IssuedCertificateKind, { namespace: NAMESPACE });
    const record = items.find(({ spec }) => spec.names.includes(`dns:${ours}`));
    expect(record?.spec.requester).toMatchObject({ namespace: 'payments', serviceAccount: 'payments/default' });
  });

  test('policies know ServiceAccounts by the Pods that ask', async () => {
    const { admin } = stage();
    const domain = `${label('sa')}.example`;
    await admin.create(CertificateRequestPolicyKind, {
      metadata: { name: label('sa') },
      spec: {
        selector: { serviceAccounts: ['payments/def*'] },
        allowed: { dnsNames: { values: [`*.${domain}`] } },
        proof: 'Namespace',
      },
    });
    const [{ acme: ours }, { acme: theirs }] = [await aPod('payments'), await aPod('hr')];
    await expect.poll(() => statusFor(ours, `a.${domain}`), { timeout: 30_000 }).toBe('ready');
    expect(await statusFor(theirs, `a.${domain}`)).toMatch(/^403/);
  });

  test('a Pod that shares the address of its node, has ended, relays for others, or does not have the address alone, is nobody', async () => {
    const name = await aService('payments');
    const mark = await aPod('payments');
    await expect.poll(() => statusFor(mark.acme, name), { timeout: 30_000 }).toBe('ready');
    const address = mark.pod.status?.podIPs?.[0]?.ip ?? '';
    const nobodies = [
      await aPod('payments', { spec: { hostNetwork: true } }),
      await aPod('payments', { status: { phase: 'Succeeded' } }),
      await aPod('relays'),
    ];
    // As the last of them is known, so are the others.
    const last = await aPod('payments');
    await expect.poll(() => statusFor(last.acme, name), { timeout: 30_000 }).toBe('ready');
    for (const { acme } of nobodies) expect(await statusFor(acme, name)).toBe('pending');
    await aPod('hr', { status: { podIP: address, podIPs: [{ ip: address }] } });
    await expect.poll(() => statusFor(mark.acme, name), { timeout: 30_000 }).toBe('pending');
  });

  test('a Pod that was deleted is believed no more, whoever has its address', async () => {
    const name = await aService('payments');
    const { acme, pod } = await aPod('payments');
    await expect.poll(() => statusFor(acme, name), { timeout: 30_000 }).toBe('ready');
    await stage().admin.delete(PodKind, pod.metadata);
    expect(await statusFor(acme, name)).toBe('pending');
  });

  test('a Pod with the key of another namespace is refused', async () => {
    const name = await aService('hr');
    const { acme } = await aPod('hr', { kid: 'payments' });
    await expect.poll(() => statusFor(acme, name), { timeout: 30_000 }).toMatch(/^403 it cannot be told who asks/);
  });

  test('X-Forwarded-For makes nobody a Pod', async () => {
    const name = await aService('payments');
    const { acme, pod } = await aPod('payments');
    await expect.poll(() => statusFor(acme, name), { timeout: 30_000 }).toBe('ready');
    const stranger = await aClient('plain');
    const headers = { 'x-forwarded-for': pod.status?.podIPs?.[0]?.ip ?? '' };
    const identifiers = [{ type: 'dns', value: name }];
    const reply = await stranger.post(stranger.directory.newOrder, { identifiers }, { headers });
    expect(reply.json.status).toBe('pending');
  });

  test('a policy may be content with the namespace, and then no object is needed', async () => {
    const { admin } = stage();
    const spec = (domain: string, proof: 'Challenge' | 'Namespace'): PolicySpec => ({
      selector: { namespace: { matchNames: ['payments'] } },
      allowed: { dnsNames: { values: [`*.${domain}`] } },
      proof,
    });
    const [trusted, challenged] = [`${label('t')}.example`, `${label('c')}.example`];
    await admin.create(CertificateRequestPolicyKind, {
      metadata: { name: label('trust') },
      spec: spec(trusted, 'Namespace'),
    });
    await admin.create(CertificateRequestPolicyKind, {
      metadata: { name: label('prove') },
      spec: spec(challenged, 'Challenge'),
    });
    const acme = await aClient('payments');
    await expect
      .poll(async () => (await newOrder(acme, [`a.${trusted}`]).catch(() => undefined))?.object.status, {
        timeout: 30_000,
      })
      .toBe('ready');
    await complete(acme, await newOrder(acme, [`a.${trusted}`]));
    await expect
      .poll(async () => (await newOrder(acme, [`a.${challenged}`]).catch(() => undefined))?.object.status, {
        timeout: 30_000,
      })
      .toBe('pending');
  });

  test('an issuer that believes nobody leaves all to challenges', async () => {
    const { admin, directory } = stage();
    const name = label('strict');
    await admin.create(ClusterCAIssuerKind, {
      metadata: { name },
      spec: { backend: { ca: { secretRef: { name: `${name}-ca` }, selfSigned: { commonName: 'Strict CA' } } } },
    });
    const manager = await certManager(admin, {
      transport: stage().transport,
      directory: directory.replace('/acme/main/', `/acme/${name}/`),
    });
    const names = [await aService('payments')];
    const reply = await firstAuthorization(manager, { namespace: 'payments', names });
    expect(reply.json.status).toBe('pending');
  });

  test('cert-manager that was told to come back is told by its Order that the certificate is there', async () => {
    const { admin, transport, directory } = stage();
    const peer = await startWebhookPeer();
    try {
      for (const [name, stringData] of Object.entries(peer.secrets))
        await admin.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, type: 'Opaque', stringData });
      const name = label('elsewhere');
      const proof = { certManagerOrders: true, services: true };
      await admin.create(ClusterCAIssuerKind, {
        metadata: { name },
        spec: { backend: { webhook: peer.spec }, acme: { proof } },
      });
      const at = { transport, directory: directory.replace('/acme/main/', `/acme/${name}/`) };
      const manager = await eventually('the issuer is there', () => certManager(admin, at).catch(() => undefined));
      await peer.stop();
      const names = [await aService('payments')];
      const { order, object } = await orderFrom(admin, manager, { namespace: 'payments', names });
      for (const url of order.object.authorizations) expectStatus(await manager.acme.get(url), 200, 'authorization');
      const csr = buildCsr({ names: csrNames(order.object.identifiers) });
      expect((await finalize(manager.acme, order, csr.der)).status).toBe(503);
      const marks = async () => (await admin.get(CertManagerOrderKind, object.metadata))?.metadata.annotations;
      expect(await marks()).toBeUndefined();
      await peer.start();
      const { 'countersign.dev/answered': record } = await eventually('the Order is marked', marks);
      const reply = expectStatus(await finalize(manager.acme, order, csr.der), 200, 'finalize');
      expect(reply.json.certificate?.split('/').at(-1)).toBe(record);
      const kept = await admin.get(CertManagerOrderKind, object.metadata);
      expect(kept).toMatchObject({ spec: object.spec, status: object.status });
    } finally {
      await peer.close();
    }
  });
}
