// An ACME CA upstream behind the whole program: from an ACME client of ours to pebble and back, names proved by our own plain HTTP listener.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { createDenyList } from '../../src/domain/deny-list.ts';
import { finalize, issue, newOrder, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { freePort } from '../support/child-process.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { describeWithPebble, type Pebble, startPebble } from '../support/pebble.ts';
import { readyIssuer } from '../support/ready-issuer.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';

let dns: DnsServer;
let pebble: Pebble;
let operator: Awaited<ReturnType<typeof startOperator>>;
let acme: AcmeWire;
let responders: Responders;

const conditionsOf = (
  issuer: { status?: { conditions?: { type: string; status: string; reason: string }[] } } | undefined,
) =>
  Object.fromEntries(
    (issuer?.status?.conditions ?? []).map(({ type, status, reason }) => [type, `${status} ${reason}`]),
  );

async function recordOf(name: string): Promise<CertificateRecord | undefined> {
  const { items } = await operator.cluster.list(IssuedCertificateKind);
  return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
}

describeWithPebble('an ACME CA upstream, behind the program', () => {
  beforeAll(async () => {
    const httpPort = await freePort();
    dns = await startDnsServer();
    const http01 = await startHttp01Responder();
    responders = { dns, http01, tlsAlpn: undefined as never };
    pebble = await startPebble({ httpPort, resolver: dns.address, env: { PEBBLE_WFE_NONCEREJECT: '15' } });
    operator = await startOperator({
      issuer: {
        backend: {
          acme: {
            directory: pebble.directory,
            caBundle: pebble.caBundle,
            trustAnchors: pebble.roots.join(''),
            account: {
              keySecretRef: { name: 'pebble-account' },
              termsOfService: 'data:text/plain,Do%20what%20thou%20wilt',
            },
            // Our own validator looks at the port of the clients of this test.
            preCheck: { enabled: false },
          },
        },
        defaults: { duration: '168h' },
      },
      nameserver: dns.address,
      http01Port: http01.port,
      httpPort,
      overrides: { tenantBackends: { offered: ['acme'], denyList: createDenyList([]) } },
    });
    await readyIssuer(operator.cluster);
    acme = await connect(createTransport(operator.ca), operator.directory);
    await register(acme);
  });

  afterAll(async () => {
    acme?.transport.close();
    await operator?.stop();
    await pebble?.stop();
    await responders?.http01.stop();
    await dns?.stop();
  });

  test('the conditions say that it is there, and its account key is in the Secret', async () => {
    const issuer = await operator.cluster.get(ClusterCAIssuerKind, { name: 'main' });
    expect(conditionsOf(issuer)).toEqual({
      Ready: 'True Ready',
      BackendReachable: 'True Ready',
      CAValid: 'Unknown NotKnown',
    });
    const secret = await operator.cluster.get(SecretKind, { namespace: NAMESPACE, name: 'pebble-account' });
    expect(Object.keys(secret?.data ?? {})).toEqual(['account.key']);
  });

  test('an order of ours becomes one of theirs, its names proved by our listener', async () => {
    const names = [freshName(), freshName()];
    const before = pebble.orders();
    const { certificateUrl, keys } = await issue(acme, responders, names);
    const pem = (await acme.get(certificateUrl)).text;
    const chain = (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
      (each) => new X509Certificate(each),
    );
    expect(chain[0]?.subjectAltName?.split(', ').sort()).toEqual(names.map((name) => `DNS:${name}`).sort());
    expect(chain[0]?.checkPrivateKey(keys.privateKey)).toBe(true);
    expect(chain[1]?.verify(new X509Certificate(pebble.roots[0] ?? '').publicKey)).toBe(true);
    expect(pebble.orders() - before).toBe(1);
    const record = await recordOf(names[0] ?? '');
    expect(record && isIssued(record)).toBe(true);
    expect(record?.metadata.annotations).not.toHaveProperty(['countersign.dev/handle']);
    expect(record?.metadata.annotations).not.toHaveProperty(['countersign.dev/key-authorizations']);
  });

  test('eight orders at a time', async () => {
    const names = Array.from({ length: 8 }, () => freshName());
    const issued = await Promise.all(names.map((name) => issue(acme, responders, [name])));
    expect(new Set(issued.map(({ certificateUrl }) => certificateUrl)).size).toBe(8);
  });

  test('a CSR that asks for more than was approved is refused here and never travels', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    const before = pebble.orders();
    const reply = await finalize(acme, order, buildCsr({ names: [name, 'somebody.else.test'] }).der);
    expect(reply.status).toBe(400);
    expect(reply.problem.type).toBe('urn:ietf:params:acme:error:badCSR');
    expect(pebble.orders()).toBe(before);
  });

  test('orders that name their validity are refused at once', async () => {
    const notAfter = new Date(Date.now() + 24 * 3_600_000).toISOString();
    await expect(newOrder(acme, [freshName()], { notAfter })).rejects.toThrow(/decides when validity begins and ends/);
  });

  test('a claim gets its Secret', async () => {
    await operator.cluster.create(CertificateClaimKind, {
      metadata: { namespace: 'default', name: 'web' },
      spec: { issuerRef: { kind: 'ClusterCAIssuer', name: 'main' }, secretName: 'web-tls', dnsNames: [freshName()] },
    });
    const secret = await eventually('the claim has its Secret', async () => {
      const found = await operator.cluster.get(SecretKind, { namespace: 'default', name: 'web-tls' });
      return found?.data?.['tls.crt'] ? found : undefined;
    });
    const leaf = new X509Certificate(Buffer.from(secret.data?.['tls.crt'] ?? '', 'base64'));
    expect(leaf.issuer).toContain('Pebble Intermediate CA');
  });

  test('what is at the path of challenges is told to all, and nothing else is', async () => {
    for (const token of ['unknown', '..%2f..%2fx', '$(id)', '%0d%0aX-Header:%201'])
      expect((await fetch(`${operator.distribution}/.well-known/acme-challenge/${token}`)).status).toBe(404);
  });

  test('a revocation is carried upstream', async () => {
    const name = freshName();
    const { certificateUrl } = await issue(acme, responders, [name]);
    const leaf = new X509Certificate((await acme.get(certificateUrl)).text);
    const certificate = leaf.raw.toString('base64url');
    expect((await acme.post(acme.directory.revokeCert, { certificate, reason: 4 })).status).toBe(200);
    await eventually('pebble says so', async () => (await pebble.isRevoked(leaf.serialNumber)) || undefined);
  });

  test('a name that pebble cannot reach ends the order with its words', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    dns.fail(name, 'SERVFAIL');
    const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
    const problem =
      reply.status === 200
        ? (await poll(acme, order.url, ({ status }) => status !== 'processing')).error
        : reply.problem;
    expect(problem).toMatchObject({
      type: 'urn:ietf:params:acme:error:unauthorized',
      detail: expect.stringContaining(`the CA could not validate ${name} by http-01`),
    });
  });

  test.each(['https://127.0.0.1:14000/dir', 'https://[::1]/dir', 'https://169.254.169.254/latest/meta-data'])(
    'an issuer of a tenant is never sent to %s',
    async (directory) => {
      const namespace = `team-${Buffer.from(directory).toString('hex').slice(16, 40)}`;
      await operator.cluster.create(NamespaceKind, { metadata: { name: namespace } });
      await operator.cluster.create(CAIssuerKind, {
        metadata: { namespace, name: 'upstream' },
        spec: {
          backend: {
            acme: { directory, trustAnchors: pebble.roots.join(''), account: { keySecretRef: { name: 'account' } } },
          },
        },
      });
      const ready = await eventually('the issuer is judged', async () => {
        const issuer = await operator.cluster.get(CAIssuerKind, { namespace, name: 'upstream' });
        return issuer?.status?.conditions?.find(({ type }) => type === 'Ready');
      });
      expect(ready).toMatchObject({ status: 'False', reason: 'Unreachable' });
      expect(ready.message).toContain('where issuers of tenants may not go');
    },
  );
});
