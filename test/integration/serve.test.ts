// `countersign serve` as a process on a real API server, with a real ACME client and challenge listeners on ports 80 and 443.
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCheck } from '../../src/commands/check.ts';
import { challengeOf, expectStatus, issue, newOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { freePort, type RunningProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { writeKubeconfig } from '../support/kubeconfig.ts';
import { apply } from '../support/manifests.ts';
import { type ChallengeHost, missingNamespaces, startChallengeHost } from '../support/namespaces.ts';
import { install, NAMESPACE, startServe } from '../support/serve.ts';
import { routed } from '../operator/replicas.ts';
import { startResponders } from '../support/responders.ts';

interface SecretObject {
  data: Record<string, string>;
}

/** `countersign check` as a user starts it. */
async function check(...args: string[]): Promise<{ code: number; lines: string[] }> {
  const out: string[] = [];
  const code = await runCheck(args, { out: (text) => void out.push(text), err: () => undefined });
  return { code, lines: out.map((line) => line.trimEnd()) };
}

const GROUP = '/apis/countersign.dev/v1alpha1';
const secretsOf = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`;

describeOnApiServer('serve', (plane) => {
  const missing = missingNamespaces();
  if (missing !== undefined) {
    test.skipIf(process.env['COUNTERSIGN_REQUIRE'] !== 'all')(missing, () => {
      throw new Error(missing);
    });
    return;
  }

  let responders: Responders;
  let hosts: readonly [ChallengeHost, ChallengeHost];
  let kubeconfig: string;

  beforeAll(async () => {
    responders = await startResponders();
    const ports = { 80: responders.http01.port, 443: responders.tlsAlpn.port };
    hosts = [await startChallengeHost(ports), await startChallengeHost(ports)];
    kubeconfig = await install(plane());
    const { api } = plane();
    await api.expect('POST', `${GROUP}/clustercaissuers`, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'ClusterCAIssuer',
      metadata: { name: 'main' },
      spec: {
        backend: { ca: { secretRef: { name: 'main-ca' }, selfSigned: { commonName: 'Test CA' } } },
        acme: { validation: { nameservers: [responders.dns.address] } },
      },
    });
    await api.expect('POST', `${GROUP}/certificaterequestpolicies`, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateRequestPolicy',
      metadata: { name: 'open' },
      spec: { selector: {}, allowed: { dnsNames: { values: ['**.test'] } } },
    });
  });

  afterAll(async () => {
    await Promise.all([...(hosts ?? []), ...Object.values(responders)].map((each: { stop(): unknown }) => each.stop()));
  });

  /** The name is at the first host. */
  const place = (name: string) => responders.dns.set(name, 'A', [hosts[0].address]);

  /** Of the certificate that the operator makes itself. */
  async function servingCA(): Promise<string> {
    const path = `${secretsOf(NAMESPACE)}/countersign-serving-tls`;
    const { data } = await plane().api.expect<SecretObject>('GET', path);
    return Buffer.from(data['ca.crt'] ?? '', 'base64').toString();
  }

  const threePorts = async () => ({
    acme: await freePort(),
    distribution: await freePort(),
    peers: await freePort(),
  });

  describe('one replica', () => {
    let serve: RunningProgram;
    let ports: Awaited<ReturnType<typeof threePorts>>;

    beforeAll(async () => {
      ports = await threePorts();
      serve = await startServe({
        plane: plane(),
        kubeconfig,
        config: { externalURLs: [`https://127.0.0.1:${ports.acme}`], listen: { address: '127.0.0.1', ...ports } },
      });
    });

    afterAll(() => serve?.stop());

    const client = async (): Promise<AcmeWire> => {
      const [, directory = ''] = await serve.waitFor(/^ready directory=(\S+)$/m);
      const acme = await connect(createTransport(await servingCA()), directory);
      await register(acme);
      return acme;
    };

    test('says where its directory is and issues by a challenge at port 80', async () => {
      const acme = await client();
      expect(acme.directoryUrl).toBe(`https://127.0.0.1:${ports.acme}/acme/main/directory`);
      place('shop.test');
      const { certificateUrl } = await issue(acme, responders, ['shop.test']);
      const leaf = new X509Certificate((await acme.get(certificateUrl)).body);
      expect(leaf.subjectAltName).toBe('DNS:shop.test');
      const records = `${GROUP}/namespaces/${NAMESPACE}/issuedcertificates`;
      const { items } = await plane().api.expect<{ items: { spec: { names: string[] } }[] }>('GET', records);
      expect(items.map(({ spec }) => spec.names)).toEqual([['dns:shop.test']]);
      acme.transport.close();
    });

    test('keeps a certificate for a claim', async () => {
      await serve.waitFor(/^ready/m);
      await plane().api.expect('POST', `${GROUP}/namespaces/default/certificateclaims`, {
        apiVersion: 'countersign.dev/v1alpha1',
        kind: 'CertificateClaim',
        metadata: { name: 'api' },
        spec: { secretName: 'api-tls', issuerRef: { kind: 'ClusterCAIssuer', name: 'main' }, dnsNames: ['api.test'] },
      });
      const secret = await eventually('the claim has its Secret', async () => {
        const { status, body } = await plane().api.request<SecretObject>('GET', `${secretsOf('default')}/api-tls`);
        return status === 200 ? body : undefined;
      });
      const leaf = new X509Certificate(Buffer.from(secret.data['tls.crt'] ?? '', 'base64'));
      expect(leaf.subjectAltName).toBe('DNS:api.test');
    });

    test('check finds nothing wrong with this cluster for this user, and says what another lacks', async () => {
      const config = join(plane().folder, 'check.yaml');
      await writeFile(config, stringify({ namespace: NAMESPACE }));
      expect(await check('--config', config, '--kubeconfig', kubeconfig)).toEqual({ code: 0, lines: [] });

      const stranger = {
        kind: 'ServiceAccount',
        apiVersion: 'v1',
        metadata: { name: 'stranger', namespace: 'default' },
      };
      await apply(plane().api, [stranger]);
      const reader = await plane().kubeconfigFor(await plane().serviceAccountToken('default', 'stranger'));
      const { code, lines } = await check('--config', config, '--kubeconfig', reader);
      expect(code).toBe(1);
      expect(lines).toContain('the right to list clustercaissuers.countersign.dev is missing (issuers)');
      expect(lines).toContain(
        `the right to update secrets countersign-sealing-keys in ${NAMESPACE} is missing (own-secrets)`,
      );
    });

    test('check says which Secrets are missing, of manifests and of the configuration', async () => {
      const config = join(plane().folder, 'tls.yaml');
      await writeFile(config, stringify({ namespace: NAMESPACE, tls: { secretName: 'not-there' } }));
      const manifests = join(plane().folder, 'issuers.yaml');
      const issuer = (name: string, spec: object): string =>
        stringify({ apiVersion: 'countersign.dev/v1alpha1', kind: 'ClusterCAIssuer', metadata: { name }, spec });
      const backend = (name: string) => ({ backend: { ca: { secretRef: { name } } } });
      await writeFile(manifests, [issuer('one', backend('nobody')), issuer('two', backend('main-ca'))].join('---\n'));
      expect(await check('--config', config, '--kubeconfig', plane().adminKubeconfig, manifests)).toEqual({
        code: 1,
        lines: [
          `the configuration: tls.secretName: there is no Secret not-there in ${NAMESPACE}`,
          `ClusterCAIssuer one: spec.backend.ca.secretRef: there is no Secret nobody in ${NAMESPACE}`,
        ],
      });
    });

    test('nothing it did was forbidden to it', async () => {
      await serve.waitFor(/^ready/m);
      const own = `system:serviceaccount:${NAMESPACE}:countersign`;
      const denied = (await plane().audit()).filter(
        ({ user, responseStatus }) => user.username === own && responseStatus?.code === 403,
      );
      expect(denied.map(({ verb, requestURI }) => `${verb} ${requestURI}`)).toEqual([]);
    });

    test('told to end it is ready no more, serves on, answers what is under way, gives the lease back and ends', async () => {
      const acme = await client();
      place('slow.test');
      const order = await newOrder(acme, ['slow.test']);
      const challenge = await challengeOf(acme, order.object.authorizations[0] ?? '', 'http-01');
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      responders.http01.set(challenge.token, async (_request, response) => {
        asked.resolve();
        await answer.promise;
        response.end('too late');
      });
      const ready = () => acme.transport.request('GET', `http://127.0.0.1:${ports.distribution}/readyz`);
      expect((await ready()).status).toBe(200);

      process.kill(serve.pid, 'SIGTERM');
      await eventually('it is ready no more', async () => ((await ready()).status === 503 ? true : undefined));
      const during = expectStatus(await acme.transport.request('GET', acme.directoryUrl), 200, 'the directory');
      expect(during.headers.connection).toBe('close');
      const underWay = acme.post(challenge.url, {});
      await asked.promise;
      await eventually('nobody new is served', () =>
        acme.transport.request('GET', acme.directoryUrl).then(
          ({ status }) => (status === 503 ? true : undefined),
          () => true as const,
        ),
      );
      const reply = expectStatus(await underWay, 200, 'what was under way');
      expect(reply.json.status).toBe('processing');
      expect(await serve.ended).toBe(0);
      answer.resolve();
      const leases = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
      const lease = await plane().api.expect<{ spec: object }>('GET', `${leases}/countersign-leader`);
      expect(lease.spec).not.toHaveProperty('holderIdentity', expect.stringMatching(/./));
      acme.transport.close();
    });
  });

  test('two replicas: a client that meets another at every request notices nothing; when the leader is gone the other leads', async () => {
    // An EndpointSlice has no addresses of loopback; these are ours all the same.
    const addresses = hosts.map(({ gateway }) => gateway);
    const listen = await threePorts();
    const origins = addresses.map((address) => `https://${address}:${listen.acme}`);
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
    await plane().api.expect('POST', slices, {
      metadata: { name: 'countersign-1', labels: { 'kubernetes.io/service-name': 'countersign' } },
      addressType: 'IPv4',
      endpoints: addresses.map((address) => ({ addresses: [address] })),
    });
    await using cleanup = new AsyncDisposableStack();
    const programs: RunningProgram[] = [];
    for (const [i, address] of addresses.entries()) {
      const config = { externalURLs: origins, listen: { address, ...listen } };
      const program = await startServe({ plane: plane(), kubeconfig, config, name: `replica-${i}` });
      cleanup.defer(() => program.stop());
      programs.push(program);
    }
    for (const program of programs) await program.waitFor(/^ready/m);
    let turn = 0;

    // Made for other names before, it is made anew for these once one of them leads.
    const transport = await eventually('the certificate is for these addresses', async () => {
      const made = routed(createTransport(await servingCA()), origins, () => turn++ % 2);
      const reached = await Promise.all(
        origins.map(() => made.request('GET', `${origins[0]}/acme/main/directory`).catch(() => undefined)),
      );
      return reached.every((reply) => reply?.status === 200) ? made : undefined;
    });
    cleanup.defer(() => transport.close());
    const acme = await connect(transport, `${origins[0]}/acme/main/directory`);
    await register(acme);
    const names = ['a.test', 'b.test', 'c.test'];
    for (const name of names) place(name);
    const issued = [];
    for (const name of names) issued.push(await issue(acme, responders, [name]));
    const leaves = await Promise.all(issued.map(async ({ certificateUrl }) => (await acme.get(certificateUrl)).text));
    expect(leaves.map((pem) => new X509Certificate(pem).subjectAltName)).toEqual(names.map((name) => `DNS:${name}`));

    const leads = (program: RunningProgram) => program.output().includes('"leading"');
    const [leader] = programs.filter(leads);
    const [other] = programs.filter((program) => program !== leader);
    process.kill(leader?.pid ?? 0, 'SIGKILL');
    await leader?.ended;
    await eventually('the other leads', async () => (other && leads(other) ? true : undefined));
  });

  test('a second signal ends it at once', async () => {
    const listen = { address: '127.0.0.1', ...(await threePorts()) };
    const serve = await startServe({
      plane: plane(),
      kubeconfig,
      config: {
        listen,
        // Each of them has watches of its own.
        watchNamespaces: ['default', 'kube-node-lease', 'kube-public', 'kube-system'],
      },
      name: 'second',
    });
    await serve.waitFor(/^ready directory=https:\/\/countersign\.countersign-system\.svc\/acme\/main\/directory$/m);
    process.kill(serve.pid, 'SIGTERM');
    await eventually('it knows', async () => (serve.output().includes('told to end') ? true : undefined));
    process.kill(serve.pid, 'SIGTERM');
    expect(await serve.ended).toBe(1);
    expect(serve.output()).not.toContain('"ended"');
  });

  test('a port that is taken and a certificate that is not there are told', async () => {
    const listen = { address: '127.0.0.1', ...(await threePorts()) };
    const waiting = await startServe({
      plane: plane(),
      kubeconfig,
      config: { listen, tls: { secretName: 'given-tls' } },
      name: 'waiting',
    });
    await eventually('it says what it waits for', async () =>
      waiting.output().includes('there is no Secret given-tls') ? true : undefined,
    );
    const taken = await startServe({
      plane: plane(),
      kubeconfig,
      config: { listen },
      name: 'taken',
    });
    expect(await taken.ended).toBe(1);
    expect(taken.output()).toContain(`port ${listen.distribution} for CRLs and health is taken`);
    expect(taken.output()).toContain('listen.distribution');

    const { data } = await plane().api.expect<SecretObject>('GET', `${secretsOf(NAMESPACE)}/countersign-serving-tls`);
    await plane().api.expect('POST', secretsOf(NAMESPACE), {
      metadata: { name: 'given-tls' },
      type: 'kubernetes.io/tls',
      data,
    });
    await waiting.waitFor(/^ready/m);
    await waiting.stop();
  });

  test('an API server that is not there is told by name', async () => {
    const port = await freePort();
    const nowhere = await writeKubeconfig(join(plane().folder, 'nowhere'), {
      url: `https://127.0.0.1:${port}`,
      ca: plane().ca,
      user: { token: 'x' },
    });
    const serve = await startServe({
      plane: plane(),
      kubeconfig: nowhere,
      config: { listen: { address: '127.0.0.1' } },
    });
    expect(await serve.ended).toBe(1);
    expect(serve.output()).toContain(`the API server https://127.0.0.1:${port} does not answer as it should`);
  });
});

describeOnApiServer('serve on a cluster that was not prepared', (plane) => {
  test('names the kinds that are missing', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    await plane().api.expect('DELETE', `${path}/certificateclaims.countersign.dev`);
    await eventually('the kind is gone', async () => {
      const { status } = await plane().api.request('GET', `${GROUP}/certificateclaims`);
      return status === 404 ? true : undefined;
    });
    const serve = await startServe({
      plane: plane(),
      kubeconfig: plane().adminKubeconfig,
      config: { listen: { address: '127.0.0.1' } },
    });
    expect(await serve.ended).toBe(1);
    expect(serve.output()).toContain(
      'lacks the CustomResourceDefinitions certificateclaims.countersign.dev: apply crds/ first',
    );
  });
});
