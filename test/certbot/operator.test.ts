// Certbot as a child process behind the whole program: from an ACME client of ours to pebble and back, names proved by our own plain HTTP
// listener.
import { X509Certificate } from 'node:crypto';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { CertbotBackendSpec } from '../../src/api/certbot-backend.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { ConfigMapKind, SecretKind } from '../../src/api/core.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { createChildRunner } from '../../src/backends/certbot/child-runner.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { finalize, issue, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { describeWithCertbot } from '../support/certbot.ts';
import { freePort } from '../support/child-process.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { describeWithPebble, type Pebble, startPebble } from '../support/pebble.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';

let dns: DnsServer;
let pebble: Pebble;
let operator: Awaited<ReturnType<typeof startOperator>>;
let acme: AcmeWire;
let responders: Responders;
let runs: string | undefined;

const TERMS = 'data:text/plain,Do%20what%20thou%20wilt';

const specOf = (more: Partial<CertbotBackendSpec> = {}): CertbotBackendSpec => ({
  config: `server = ${pebble.directory}\n`,
  caBundle: pebble.caBundle,
  trustAnchors: pebble.roots.join(''),
  account: { keySecretRef: { name: 'certbot-account' }, termsOfService: TERMS },
  ...more,
});

const readyOf = (name: string) =>
  eventually(`the issuer ${name} is judged`, async () => {
    const issuer = await operator.cluster.get(ClusterCAIssuerKind, { name });
    const ready = issuer?.status?.conditions?.find(({ type }) => type === 'Ready');
    return ready && { status: ready.status, reason: ready.reason, message: ready.message };
  });

async function recordOf(name: string): Promise<CertificateRecord | undefined> {
  const { items } = await operator.cluster.list(IssuedCertificateKind);
  return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
}

/** How an order ends that is finalized and may be refused. */
async function problemOf(name: string, before: () => void): Promise<unknown> {
  const order = await readyOrder(acme, responders, [name]);
  before();
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  if (reply.status !== 200) return reply.problem;
  return (await poll(acme, order.url, ({ status }) => status !== 'processing')).error;
}

function tests(): void {
  beforeAll(async () => {
    // Folders of other tests come and go.
    runs = mkdtempSync(join(tmpdir(), 'countersign-runs-'));
    vi.stubEnv('TMPDIR', runs);
    const httpPort = await freePort();
    dns = await startDnsServer();
    const http01 = await startHttp01Responder();
    responders = { dns, http01, tlsAlpn: undefined as never };
    pebble = await startPebble({
      httpPort,
      resolver: dns.address,
      config: { domainBlocklist: ['blocked.test'] },
    });
    const [clock, random] = [createClock(), createRandom()];
    const secrets = {
      read: (name: string) => createSecretReader(operator.cluster, NAMESPACE).read(name),
      create: () => Promise.reject(new Error('it makes none')),
    };
    operator = await startOperator({
      issuer: { backend: { certbot: specOf() }, defaults: { duration: '168h' } },
      nameserver: dns.address,
      http01Port: http01.port,
      httpPort,
      overrides: {
        certbot: createChildRunner({
          secrets,
          clock,
          random,
          answersURL: `http://127.0.0.1:${httpPort}/.well-known/acme-challenge/`,
        }),
      },
    });
    expect(await readyOf('main')).toMatchObject({ status: 'True', reason: 'Ready' });
    acme = await connect(createTransport(operator.ca), operator.directory);
    await register(acme);
  });

  afterAll(async () => {
    acme?.transport.close();
    await operator?.stop();
    await pebble?.stop();
    await responders?.http01.stop();
    await dns?.stop();
    vi.unstubAllEnvs();
    if (runs !== undefined) rmSync(runs, { recursive: true, force: true });
  });

  test('an order of ours becomes one of theirs, its names proved by our listener', async () => {
    const names = [freshName(), freshName(), freshName()];
    const before = pebble.orders();
    const { certificateUrl, keys } = await issue(acme, responders, names);
    const pem = (await acme.get(certificateUrl)).text;
    const leaf = new X509Certificate(pem);
    expect(leaf.subjectAltName?.split(', ').sort()).toEqual(names.map((name) => `DNS:${name}`).sort());
    expect(leaf.checkPrivateKey(keys.privateKey)).toBe(true);
    expect(pebble.orders() - before).toBe(1);
    const record = await recordOf(names[0] ?? '');
    expect(record && isIssued(record)).toBe(true);
    expect(record?.metadata.annotations).not.toHaveProperty(['countersign.dev/handle']);
    expect(record?.metadata.annotations).not.toHaveProperty(['countersign.dev/key-authorizations']);
  });

  test('the account is in one Secret, as certbot has it, and registered once', async () => {
    const secret = await operator.cluster.get(SecretKind, { namespace: NAMESPACE, name: 'certbot-account' });
    expect(Object.keys(secret?.data ?? {})).toEqual(['private_key.json']);
    expect(JSON.parse(Buffer.from(secret?.data?.['private_key.json'] ?? '', 'base64').toString())).toMatchObject({
      kty: 'EC',
      crv: 'P-256',
    });
    expect(pebble.accounts()).toBe(1);
  });

  test('four orders at a time, each in a folder of its own', async () => {
    const names = Array.from({ length: 4 }, () => freshName());
    const issued = await Promise.all(names.map((name) => issue(acme, responders, [name])));
    expect(new Set(issued.map(({ certificateUrl }) => certificateUrl)).size).toBe(4);
    expect(pebble.accounts()).toBe(1);
    await eventually(
      'no folder is left',
      async () => globSync(join(tmpdir(), `countersign-certbot-*`)).length === 0 || undefined,
    );
  });

  test('a name that pebble cannot reach ends the order, in words of ours', async () => {
    const name = freshName();
    expect(await problemOf(name, () => dns.fail(name, 'SERVFAIL'))).toMatchObject({
      type: 'urn:ietf:params:acme:error:unauthorized',
      detail: expect.stringMatching(new RegExp(`^the CA could not validate ${name} \\((dns|connection)\\)$`)),
    });
  });

  // Certbot 2.1 of Debian 12 trips over it, and says nothing of it.
  test('a name that pebble refuses ends the order with the type of its refusal', async () => {
    expect(await problemOf('www.blocked.test', () => undefined)).toMatchObject({
      type: 'urn:ietf:params:acme:error:rejectedIdentifier',
      detail: 'the CA refused the request',
    });
  });

  test('a revocation is carried to the ACME server', async () => {
    const { certificateUrl } = await issue(acme, responders, [freshName()]);
    const leaf = new X509Certificate((await acme.get(certificateUrl)).text);
    const certificate = leaf.raw.toString('base64url');
    expect((await acme.post(acme.directory.revokeCert, { certificate, reason: 4 })).status).toBe(200);
    await eventually('pebble says so', async () => (await pebble.isRevoked(leaf.serialNumber)) || undefined);
  });

  test('a claim gets its Secret', async () => {
    await operator.cluster.create(CertificateClaimKind, {
      metadata: { namespace: 'default', name: 'web' },
      spec: { issuerRef: { kind: 'ClusterCAIssuer', name: 'main' }, secretName: 'web-tls', dnsNames: [freshName()] },
    });
    await eventually('the claim has its Secret', async () => {
      const found = await operator.cluster.get(SecretKind, { namespace: 'default', name: 'web-tls' });
      return found?.data?.['tls.crt'] ? found : undefined;
    });
  });

  describe('an issuer that is not ready says why', () => {
    test.each<[string, string, string, () => Partial<CertbotBackendSpec>]>([
      [
        'refused',
        'ConfigurationRefused',
        'line 2: pre-hook may not be set',
        () => ({
          config: `server = ${pebble.directory}\npre-hook = touch /tmp/x\n`,
        }),
      ],
      [
        'terms',
        'TermsOfServiceNotAgreed',
        'account.termsOfService',
        () => ({
          account: { keySecretRef: { name: 'other-account' } },
        }),
      ],
      [
        'credentials',
        'SecretMissing',
        'there is no Secret dns-credentials',
        () => ({
          dns01: { plugin: 'rfc2136', credentialsSecretRef: { name: 'dns-credentials', key: 'ini' } },
        }),
      ],
      ['untrusted', 'Unreachable', '', () => ({ caBundle: pebble.roots.join('') })],
    ])('%s', async (name, reason, message, more) => {
      await operator.cluster.create(ClusterCAIssuerKind, {
        metadata: { name },
        spec: { backend: { certbot: specOf(more()) } },
      });
      const ready = await readyOf(name);
      expect(ready).toMatchObject({ status: 'False', reason });
      expect(ready.message).toContain(message);
    });

    test('a configuration in a ConfigMap is judged alike', async () => {
      const data = { 'certbot.ini': `server = ${pebble.directory}\nno_verify_ssl = true\n` };
      await operator.cluster.create(ConfigMapKind, { metadata: { namespace: NAMESPACE, name: 'certbot' }, data });
      const { config: _inline, ...spec } = specOf({ configRef: { name: 'certbot', key: 'certbot.ini' } });
      await operator.cluster.create(ClusterCAIssuerKind, {
        metadata: { name: 'by-reference' },
        spec: { backend: { certbot: spec } },
      });
      expect(await readyOf('by-reference')).toMatchObject({
        reason: 'ConfigurationRefused',
        message: expect.stringContaining('line 2: no-verify-ssl may not be set'),
      });
    });
  });
}

describeWithCertbot('certbot as a child process, behind the program', () => describeWithPebble('and pebble', tests));
