// A replica of `serve` whose API server fails in every way: what can be served is served, and after healing all converges without hands.
// FAULT_TESTS=all: full lengths, and watches that fall silent.
import { setTimeout as sleep } from 'node:timers/promises';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { complete, finalize, issue, type Order, readyOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { type ApiVerb, type Fault, type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { writeKubeconfig } from '../support/kubeconfig.ts';
import { NAMESPACE } from '../support/serve.ts';
import { describeOnStage, GROUP, secretsOf, type ServingReplicas, startReplicas } from '../support/serving-stage.ts';

const ALL = process.env.FAULT_TESTS === 'all';
/** Four times what is promised. */
const CONVERGED_SECONDS = 240;
const WATCH_FAULT_MS = ALL ? 30_000 : 6_000;
const BUSY_MS = ALL ? 60_000 : 4_000;
const OUTAGES_MS = ALL ? [60_000, 600_000] : [6_000];
const TEST_MS = 1_200_000;

describeOnStage('one replica behind a faulty API server', 1, (stage) => {
  let proxy: FaultProxy;
  let replicas: ServingReplicas;
  let acme: AcmeWire;
  let numbered = 0;

  beforeAll(async () => {
    const { plane } = stage();
    proxy = await startFaultProxy({ url: plane.url, ca: plane.ca });
    const token = await plane.serviceAccountToken(NAMESPACE, 'countersign');
    const kubeconfig = await writeKubeconfig(join(plane.folder, 'faulty'), {
      url: proxy.url,
      ca: proxy.ca,
      user: { token },
    });
    replicas = await startReplicas(stage(), { kubeconfig });
    acme = await replicas.client(0);
    await register(acme);
    await converged('before all');
  });
  afterEach(() => proxy?.heal());
  afterAll(async () => {
    await replicas?.stop();
    await proxy?.stop();
  });

  function aName(): string {
    const name = `fault-${++numbered}.test`;
    stage().place(name);
    return name;
  }

  /** Made by the harness, past the proxy. */
  async function claim(): Promise<string> {
    const name = `claim-${++numbered}`;
    await stage().plane.api.expect('POST', `${GROUP}/namespaces/default/certificateclaims`, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name },
      spec: {
        secretName: `${name}-tls`,
        issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
        dnsNames: [`${name}.test`],
      },
    });
    return name;
  }

  /** Exactly one record, and its certificate is the one in the Secret. */
  async function delivered(name: string): Promise<void> {
    const pem = await eventually(
      `claim ${name} is Ready and has its Secret`,
      async () => {
        const { api } = stage().plane;
        const secret = await api.request<{ data: Record<string, string> }>(
          'GET',
          `${secretsOf('default')}/${name}-tls`,
        );
        const at = `${GROUP}/namespaces/default/certificateclaims/${name}`;
        const { status } = await api.expect<{ status?: { conditions: { type: string; status: string }[] } }>('GET', at);
        const ready = status?.conditions.some((each) => each.type === 'Ready' && each.status === 'True');
        return ready && secret.status === 200 ? Buffer.from(secret.body.data['tls.crt'] ?? '', 'base64') : undefined;
      },
      CONVERGED_SECONDS,
    );
    expect(await certificatesFor(`${name}.test`)).toEqual([new X509Certificate(pem).raw.toString('base64')]);
  }

  async function certificatesFor(name: string): Promise<(string | undefined)[]> {
    const records = await stage().records();
    return records.filter(({ spec }) => spec.names.includes(`dns:${name}`)).map(({ status }) => status?.certificate);
  }

  /** Old claims and a new one have what they want, and an order goes through. */
  async function converged(what: string, claims: readonly string[] = []): Promise<void> {
    const started = performance.now();
    for (const name of [...claims, await claim()]) await delivered(name);
    const name = aName();
    await eventually(
      'an order goes through',
      () =>
        issue(acme, stage().responders, [name]).then(
          () => true as const,
          () => undefined,
        ),
      CONVERGED_SECONDS,
    );
    expect((await certificatesFor(name)).length).toBeGreaterThanOrEqual(1);
    process.stdout.write(`${what}: converged ${((performance.now() - started) / 1000).toFixed(1)} s after healing\n`);
  }

  /** Requests by resource while nobody asks anything of the replica: what each controller and watch of its own accord does. */
  async function quietly(ms: number, what: string): Promise<void> {
    const from = proxy.requests.length;
    await sleep(ms);
    const counts: Record<string, number> = {};
    for (const { resource } of proxy.requests.slice(from)) counts[resource] = (counts[resource] ?? 0) + 1;
    process.stdout.write(`${what}, requests in ${ms / 1000} s: ${JSON.stringify(counts)}\n`);
    for (const [resource, count] of Object.entries(counts))
      expect({ resource, count, tooMany: count > (2 * ms) / 1000 }).toMatchObject({ tooMany: false });
  }

  test(
    'the API server is restarted',
    async () => {
      const { plane } = stage();
      await plane.stopApiServer();
      await plane.startApiServer();
      await converged('restart');
    },
    TEST_MS,
  );

  const watchFaults: Readonly<Record<string, Fault>> = {
    'answered 500': { kind: 'refuse', status: 500 },
    'answered 410': { kind: 'refuse', status: 410 },
    cut: { kind: 'cut' },
    ...(ALL ? { stalled: { kind: 'stall' } } : {}),
  };
  for (const [how, fault] of Object.entries(watchFaults)) {
    test(
      `watches are ${how}`,
      async () => {
        proxy.set({ fault, verbs: ['watch'] });
        await quietly(WATCH_FAULT_MS, `watches ${how}`);
        const made = await claim();
        proxy.heal();
        await converged(`watches ${how}`, [made]);
      },
      TEST_MS,
    );
  }

  const WRITES: readonly ApiVerb[] = ['create', 'update', 'patch', 'delete'];

  test(
    '409 on 30 % of writes: each claim has one certificate',
    async () => {
      const from = proxy.requests.length;
      proxy.set({ fault: { kind: 'refuse', status: 409 }, verbs: WRITES, share: 0.3 });
      const made = await Promise.all(Array.from({ length: 8 }, () => claim()));
      for (const name of made) await delivered(name);
      const writes = proxy.requests.slice(from).filter(({ verb }) => WRITES.includes(verb));
      const refused = writes.filter(({ fault }) => fault === 'refuse');
      process.stdout.write(`409 for ${refused.length} of ${writes.length} writes\n`);
      expect(refused.length).toBeGreaterThan(0);
      proxy.heal();
      await converged('409');
    },
    TEST_MS,
  );

  const certificateOf = async (order: Order) =>
    new X509Certificate((await acme.get((await acme.get(order.url)).json.certificate ?? '')).text).raw.toString(
      'base64',
    );

  test(
    'a create that answers 500 yet stored: order and claim have the certificate that is on record, and no other',
    async () => {
      const name = aName();
      const order = await readyOrder(acme, stage().responders, [name]);
      proxy.set({
        fault: { kind: 'lose-answer', status: 500 },
        verbs: ['create'],
        resources: ['issuedcertificates', 'secrets'],
      });
      const made = await claim();
      const { der } = buildCsr({ names: csrNames(order.object.identifiers) });
      await finalize(acme, order, der);
      proxy.heal();
      await eventually('finalize again gives it', async () =>
        (await finalize(acme, order, der)).status === 200 ? true : undefined,
      );
      expect(await certificatesFor(name)).toEqual([await certificateOf(order)]);
      await converged('lost answers', [made]);
    },
    TEST_MS,
  );

  test(
    '503 with Retry-After: it is waited for',
    async () => {
      proxy.set({ fault: { kind: 'refuse', status: 503, retryAfterSeconds: 2 } });
      const made = await claim();
      await quietly(BUSY_MS, '503');
      proxy.heal();
      await converged('503', [made]);
    },
    TEST_MS,
  );

  for (const ms of OUTAGES_MS) {
    test(
      `the API is down for ${ms / 1000} s: directory, nonces and certificates are served, finalize is 503`,
      async () => {
        const { certificateUrl } = await issue(acme, stage().responders, [aName()]);
        const name = aName();
        const order = await readyOrder(acme, stage().responders, [name]);
        const { der } = buildCsr({ names: csrNames(order.object.identifiers) });
        proxy.set({ fault: { kind: 'cut' } });
        const made = await claim();
        const served = async () => {
          expect((await acme.transport.request('GET', acme.directoryUrl)).status).toBe(200);
          const fresh = await acme.transport.request('HEAD', acme.directory.newNonce);
          expect([fresh.status, fresh.nonce]).toEqual([200, expect.stringMatching(/./)]);
          expect((await acme.get(certificateUrl)).status).toBe(200);
          expect((await finalize(acme, order, der)).status).toBe(503);
        };
        await served();
        await quietly(ms, 'down');
        await served();
        proxy.heal();
        await converged(`down for ${ms / 1000} s`, [made]);
        await complete(acme, order);
        expect(await certificatesFor(name)).toEqual([await certificateOf(order)]);
      },
      TEST_MS,
    );
  }
});
