// `countersign serve` as a process on a real API server, with a real ACME client and challenge listeners on ports 80 and 443.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issue, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { freePort, type RunningProgram } from '../support/child-process.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { type ChallengeHost, missingNamespaces, startChallengeHost } from '../support/namespaces.ts';
import { install, NAMESPACE, startServe } from '../support/serve.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';

interface SecretObject {
  data: Record<string, string>;
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

  describe('one replica', () => {
    let responders: Responders;
    let host: ChallengeHost;
    let serve: RunningProgram;
    let ports: { acme: number; distribution: number; peers: number };
    let kubeconfig: string;

    beforeAll(async () => {
      responders = {
        dns: await startDnsServer(),
        http01: await startHttp01Responder(),
        tlsAlpn: await startTlsAlpnResponder(),
      };
      host = await startChallengeHost({ 80: responders.http01.port, 443: responders.tlsAlpn.port });
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
      ports = { acme: await freePort(), distribution: await freePort(), peers: await freePort() };
      serve = await startServe({
        plane: plane(),
        kubeconfig,
        config: { externalURLs: [`https://127.0.0.1:${ports.acme}`], listen: { address: '127.0.0.1', ...ports } },
      });
    });

    afterAll(async () => {
      await serve.stop();
      await host.stop();
      await Promise.all([responders.dns.stop(), responders.http01.stop(), responders.tlsAlpn.stop()]);
    });

    const client = async (): Promise<AcmeWire> => {
      const [, directory = ''] = await serve.waitFor(/^ready directory=(\S+)$/m);
      const path = `${secretsOf(NAMESPACE)}/countersign-serving-tls`;
      const { data } = await plane().api.expect<SecretObject>('GET', path);
      const ca = Buffer.from(data['ca.crt'] ?? '', 'base64').toString();
      const acme = await connect(createTransport(ca), directory);
      await register(acme);
      return acme;
    };

    test('says where its directory is and issues by a challenge at port 80', async () => {
      const acme = await client();
      expect(acme.directoryUrl).toBe(`https://127.0.0.1:${ports.acme}/acme/main/directory`);
      responders.dns.set('shop.test', 'A', [host.address]);
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

    test('nothing it did was forbidden to it', async () => {
      await serve.waitFor(/^ready/m);
      const denied = (await plane().audit()).filter(({ responseStatus }) => responseStatus?.code === 403);
      expect(denied.map(({ verb, requestURI }) => `${verb} ${requestURI}`)).toEqual([]);
    });
  });
});
