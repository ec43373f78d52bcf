// Clients in the cluster: certbot with nothing but a directory and a bundle; a claim whose Secret nginx serves; both judged from a third Pod.
import { X509Certificate } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { CERTBOT, certbotPod } from '../certbot.ts';
import { connectCluster } from '../cluster.ts';

const cluster = connectCluster();
let [ns, image] = ['', ''];

interface SecretObject {
  data: Record<string, string>;
}

/** A server of HTTPS with what is in `/tls`; takes up a new certificate when it is told to. */
const NGINX = `worker_processes 1; pid /tmp/nginx.pid; error_log stderr; daemon off;
events {}
http {
  access_log off; client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp;
  server { listen 443 ssl; ssl_certificate TLS/CRT; ssl_certificate_key TLS/KEY; location / { return 200 "hello of $ssl_server_name\\n"; } }
}
`;
const nginx = (certificate: string, key: string) => NGINX.replace('TLS/CRT', certificate).replace('TLS/KEY', key);

beforeAll(async () => {
  await cluster.installed();
  image = await cluster.image('debian');
  ns = await cluster.namespace('clients');
  await cluster.trust(ns);
  await cluster.apply([
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'ClusterCAIssuer',
      metadata: { name: 'clients' },
      spec: { backend: { ca: { secretRef: { name: 'clients-ca' }, selfSigned: { commonName: 'Clients CA' } } } },
    },
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateRequestPolicy',
      metadata: { name: 'clients' },
      spec: {
        selector: { issuerRef: { name: 'clients' } },
        allowed: {
          dnsNames: {
            values: [`*.${ns}.svc.cluster.local`, `*.${ns}.svc`, '**.clients.example'],
            except: [`closed.${ns}.svc.cluster.local`],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'nginx', namespace: ns },
      data: {
        'claim.conf': nginx('/tls/tls.crt', '/tls/tls.key'),
        'certbot.conf': nginx(
          `${CERTBOT.folder}/config/live/acme/fullchain.pem`,
          `${CERTBOT.folder}/config/live/acme/privkey.pem`,
        ),
      },
    },
  ]);
  await cluster.waitFor('clustercaissuer/clients', 'condition=Ready');
});

/**
 * What a Pod that trusts that root, and no other, sees of a server. A Pod that has just become ready is not at once behind its Service:
 * until the node's rules say so, connections are refused, and only those are tried again.
 */
async function ask(name: string, url: string, root: string): Promise<string> {
  const patience = ['--max-time', '30', '--retry', '60', '--retry-delay', '1', '--retry-connrefused'];
  return cluster.run(name, ns, {
    image,
    command: ['curl', '--silent', '--show-error', '--fail', '--cacert', '/root/ca.crt', ...patience, url],
    mounts: { '/root': { configMap: root } },
  });
}

test('a Pod with certbot gets its certificate with the directory and the bundle alone, and serves with it', async () => {
  const serve = 'exec nginx -c /nginx/certbot.conf';
  const [, pod] = certbotPod(image, { issuer: 'clients', service: 'acme', namespace: ns, afterwards: serve }) as [
    object,
    {
      spec: { containers: { volumeMounts: object[]; readinessProbe?: object }[]; volumes: object[] };
    },
  ];
  const [container] = pod.spec.containers;
  container?.volumeMounts.push({ name: 'nginx', mountPath: '/nginx', readOnly: true });
  if (container) container.readinessProbe = { tcpSocket: { port: 443 }, periodSeconds: 1 };
  pod.spec.volumes.push({ name: 'nginx', configMap: { name: 'nginx' } });
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'acme' },
    spec: {
      selector: { app: 'certbot-acme' },
      ports: [
        { name: 'http', port: 80 },
        { name: 'https', port: 443 },
      ],
      publishNotReadyAddresses: true,
    },
  };
  const begun = performance.now();
  await cluster.apply([service, pod], ns);
  await cluster.waitFor('pod/certbot-acme', 'condition=Ready', ns);
  cluster.measure(
    'certbot: Pod created to served with its certificate',
    `${((performance.now() - begun) / 1000).toFixed(1)} s`,
  );

  const pem = await cluster.exec('pod/certbot-acme', ns, ['cat', `${CERTBOT.folder}/config/live/acme/fullchain.pem`]);
  const leaf = new X509Certificate(pem);
  expect(leaf.subjectAltName).toBe(`DNS:acme.${ns}.svc.cluster.local`);
  expect(leaf.issuer).toBe('CN=Clients CA');

  const chain = await cluster.kubectl('get', 'clustercaissuer', 'clients', '--output', 'json');
  expect(chain).toContain('Clients CA');
  const root = (await cluster.get<SecretObject>('secret', 'clients-ca', 'countersign-system'))?.data['tls.crt'] ?? '';
  const data = { 'ca.crt': Buffer.from(root, 'base64').toString() };
  await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'root' }, data }, ns);
  expect(await ask('ask-acme', `https://acme.${ns}.svc.cluster.local/`, 'root')).toContain('hello');
  // The certificate is for that name, and by that CA.
  await expect(ask('ask-acme-wrong-name', `https://acme.${ns}.svc/`, 'root')).rejects.toThrow(
    'no alternative certificate subject name',
  );
  await expect(ask('ask-acme-wrong-root', `https://acme.${ns}.svc.cluster.local/`, 'trust')).rejects.toThrow(
    'SSL certificate problem',
  );
});

test('a name that is not of the cluster is validated where its DNS says', async () => {
  const name = `${ns}.clients.example`;
  const [service, pod] = certbotPod(image, { issuer: 'clients', service: 'outside', namespace: ns, name }) as [
    object,
    object,
  ];
  await cluster.apply(service, ns);
  const made = await cluster.get<{ spec: { clusterIP: string } }>('service', 'outside', ns);
  await cluster.resolve({ [name]: made?.spec.clusterIP ?? '' });
  await cluster.apply(pod, ns);
  await cluster.waitFor('pod/certbot-outside', CERTBOT.ended, ns);
  const { items } = JSON.parse(
    await cluster.kubectl('get', 'issuedcertificates', '--namespace', 'countersign-system', '--output', 'json'),
  ) as { items: { spec: { names: string[] } }[] };
  expect(items.map(({ spec }) => spec.names)).toContainEqual([`dns:${name}`]);
});

test('certbot is told the policy and the name when it is refused', async () => {
  const [service, pod] = certbotPod(image, { issuer: 'clients', service: 'closed', namespace: ns });
  await cluster.apply([service, pod] as object[], ns);
  await cluster.waitFor('pod/certbot-closed', 'jsonpath={.status.phase}=Failed', ns);
  const log = await cluster.logs('pod/certbot-closed', ns);
  expect(log).toContain('urn:ietf:params:acme:error:rejectedIdentifier');
  expect(log).toMatch(/policy \\*"clients\\*" refuses \\*"closed\./);
});

test('the Secret of a claim is served by nginx, and a renewal reaches its clients', async () => {
  const name = `web.${ns}.svc`;
  const claim = {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateClaim',
    metadata: { name: 'web' },
    spec: { secretName: 'web-tls', issuerRef: { kind: 'ClusterCAIssuer', name: 'clients' }, dnsNames: [name] },
  };
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { selector: { app: 'web' }, ports: [{ port: 443 }] },
  };
  await cluster.apply([claim, service], ns);
  await cluster.waitFor('certificateclaim/web', 'condition=Ready', ns);
  const secret = await cluster.get<SecretObject & { type: string }>('secret', 'web-tls', ns);
  expect(secret?.type).toBe('kubernetes.io/tls');
  const root = Buffer.from(secret?.data['ca.crt'] ?? '', 'base64').toString();
  await cluster.apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web-root' }, data: { 'ca.crt': root } },
    ns,
  );
  await cluster.start('web', ns, {
    image,
    // As people do who have no reloader: nginx is told when the mounted files change.
    command: [
      'sh',
      '-c',
      'cp /tls/tls.crt /tmp/last; nginx -c /nginx/claim.conf & while sleep 1; do cmp -s /tls/tls.crt /tmp/last || { cp /tls/tls.crt /tmp/last; nginx -c /nginx/claim.conf -s reload; }; done',
    ],
    mounts: { '/tls': { secret: 'web-tls' }, '/nginx': { configMap: 'nginx' } },
    port: 443,
  });
  expect(await ask('ask-web', `https://${name}/`, 'web-root')).toContain('hello');

  const serialOf = (pem: string) => new X509Certificate(pem).serialNumber;
  const first = serialOf(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64').toString());
  const patch = JSON.stringify({ spec: { dnsNames: [name, `${name}.cluster.local`] } });
  await cluster.kubectl('patch', 'certificateclaim', 'web', '--namespace', ns, '--type=merge', '--patch', patch);
  const second = await eventually('the Secret has another certificate', async () => {
    const now = await cluster.get<SecretObject>('secret', 'web-tls', ns);
    const serial = serialOf(Buffer.from(now?.data['tls.crt'] ?? '', 'base64').toString());
    return serial === first ? undefined : serial;
  });
  const handshake = [
    'sh',
    '-c',
    `openssl s_client -connect ${name}:443 -servername ${name} </dev/null 2>/dev/null | openssl x509 -noout -serial`,
  ];
  await eventually(
    'nginx serves it',
    async () => ((await cluster.exec('pod/web', ns, handshake)).trim() === `serial=${second}` ? true : undefined),
    300,
  );
  expect(await ask('ask-web-again', `https://${name}.cluster.local/`, 'web-root')).toContain('hello');
});

test('the CRL and the CA certificate are where the certificate says', async () => {
  const secret = await cluster.get<SecretObject>('secret', 'web-tls', ns);
  const text = await cluster.run('inspect', ns, {
    image,
    command: ['openssl', 'x509', '-in', '/tls/tls.crt', '-noout', '-text'],
    mounts: { '/tls': { secret: 'web-tls' } },
  });
  expect(secret?.data['ca.crt']).toBeDefined();
  const [crl, issuer] = [/URI:(http:\S+\.crl)/.exec(text)?.[1], /CA Issuers - URI:(\S+)/.exec(text)?.[1]];
  expect([crl, issuer]).toEqual([expect.stringContaining('/crl/'), expect.stringContaining('/ca/')]);
  const fetched = await cluster.run('fetch', ns, {
    image,
    command: [
      'sh',
      '-c',
      `curl -sf ${crl} | openssl crl -inform der -noout -issuer; curl -sf ${issuer} | openssl x509 -inform der -noout -subject`,
    ],
  });
  expect(fetched).toBe('issuer=CN = Clients CA\nsubject=CN = Clients CA\n');
});
