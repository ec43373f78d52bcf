// What clients must trust is where they find it: in ConfigMaps, in ClusterTrustBundles, and by the command of docs/cert-manager.md in
// ClusterIssuers; and a CA takes over from another without a request that fails.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import {
  certificate,
  certManagerInstalled,
  clusterIssuer,
  type Condition,
  renew,
  RIGHTS,
  service,
} from '../cert-manager.ts';
import { connectCluster } from '../cluster.ts';
import { caIssuer } from '../objects.ts';
import { stepsOf } from '../pages.ts';

const cluster = connectCluster();
let ns = '';
let image = '';

/** Our own certificate of the ACME server, as a platform team keeps it. */
const SERVING = 'trust-serving';
const DIRECTORY = `https://${RELEASE}.${NAMESPACE}.svc/acme/trust/directory`;

const VALUES = { ...RIGHTS, config: { tls: { secretName: SERVING } } };

interface Data {
  data: Record<string, string>;
}

interface Authority {
  ca: string;
  cert: string;
  key: string;
}

/** A CA and a certificate of it for the ACME server. */
function authority(name: string): Authority {
  const folder = join(cluster.folder, name);
  mkdirSync(folder);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const hosts = [`${RELEASE}.${NAMESPACE}.svc`, `${RELEASE}.${NAMESPACE}`].map((host) => `DNS:${host}`).join();
  const fresh = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'];
  openssl(
    ...fresh,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-subj',
    `/CN=Serving CA ${name}`,
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  );
  const leaf = [
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-subj',
    '/CN=acme',
    '-addext',
    `subjectAltName=${hosts}`,
    '-addext',
    'basicConstraints=critical,CA:FALSE',
  ];
  openssl(...fresh, '-keyout', 'tls.key', '-out', 'tls.crt', ...leaf);
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  return { ca: read('ca.crt'), cert: read('tls.crt'), key: read('tls.key') };
}

async function serveWith(ca: string, { cert, key }: Authority): Promise<void> {
  const stringData = { 'ca.crt': ca, 'tls.crt': cert, 'tls.key': key };
  const metadata = { name: SERVING, namespace: NAMESPACE };
  await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', stringData });
}

/** The common names of the certificates in a PEM. */
const namesIn = (pem = '') =>
  (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map((each) => new X509Certificate(each).subject);

const published = (namespace: string) => cluster.get<Data>('configmap', 'trust-roots', namespace);

async function untilPublished(namespace: string, key: string, names: readonly string[]): Promise<void> {
  await eventually(`${names.join(', ')} in ${key}`, async () => {
    const found = namesIn((await published(namespace))?.data[key]);
    return found.join() === names.join() ? true : undefined;
  });
}

/** The command of the page, for the objects of this suite. */
async function patchAsDocumented(): Promise<void> {
  const steps = stepsOf('docs/cert-manager.md').flatMap((step) => ('run' in step ? [step.run] : []));
  const [command, ...more] = steps.filter((step) => step.startsWith('kubectl patch clusterissuer corporate'));
  if (command === undefined || more.length > 0) throw new Error('the page has not one such command');
  const script = command
    .replace('clusterissuer corporate', 'clusterissuer trust')
    .replace('corporate-trust', 'trust-roots');
  expect(await cluster.command('bash', ['-euo', 'pipefail', '-c', script])).toMatchObject({ status: 0 });
}

/** The chart's Job does the same; it goes with the value that makes it. */
async function patchByJob(): Promise<void> {
  await cluster.installed({ ...VALUES, caBundleJob: { enabled: true, clusterIssuers: ['trust'] } });
  await eventually(
    'the Job has filled caBundle',
    async () => ((await caBundle()) === (await published(ns))?.data['acme-ca.crt'] ? true : undefined),
    240,
  );
  const selector = ['--selector', 'app.kubernetes.io/name=countersign', '--output=name'];
  const jobs = await cluster.kubectl('get', 'jobs', '--namespace', NAMESPACE, ...selector);
  await cluster.waitFor(jobs.trim(), 'condition=Complete', NAMESPACE);
}

async function caBundle(): Promise<string> {
  interface Issuer {
    spec: { acme: { caBundle?: string } };
  }
  const issuer = await cluster.get<Issuer>('clusterissuer', 'trust');
  return Buffer.from(issuer?.spec.acme.caBundle ?? '', 'base64').toString();
}

let one: Authority;
let two: Authority;
let both = '';

beforeAll(async () => {
  one = authority('first');
  two = authority('second');
  both = `${one.ca}${two.ca}`;
  image = await cluster.image('debian');
  if (!(await cluster.get('namespace', NAMESPACE))) await cluster.kubectl('create', 'namespace', NAMESPACE);
  await serveWith(one.ca, one);
  await cluster.installed(VALUES);
  await certManagerInstalled(cluster);
  await cluster.kubectl('label', 'namespace', NAMESPACE, 'wants-trust=yes', '--overwrite');
  ns = await cluster.namespace('trust', { 'wants-trust': 'yes' });
  await cluster.apply(
    caIssuer('trust', ['*.{{namespace}}.svc'], {
      acme: { proof: { certManagerOrders: true, services: true } },
      publishTrust: {
        configMap: {
          name: 'trust-roots',
          namespaceSelector: { matchLabels: { 'wants-trust': 'yes' } },
        },
        clusterTrustBundle: true,
      },
    }),
  );
  await cluster.waitFor('clustercaissuer/trust', 'condition=TrustPublished');
});
afterAll(async () => {
  await cluster.kubectl('label', 'namespace', NAMESPACE, 'wants-trust-');
  await cluster.installed();
});

test('namespaces that are selected have the ConfigMap, others do not, and it goes with the label', async () => {
  const other = await cluster.namespace('trust-not');
  await untilPublished(ns, 'ca.crt', ['CN=CA of trust']);
  await untilPublished(ns, 'acme-ca.crt', ['CN=Serving CA first']);
  await cluster.kubectl('label', 'namespace', other, 'wants-trust=yes');
  await untilPublished(other, 'ca.crt', ['CN=CA of trust']);
  await cluster.kubectl(
    'patch',
    'configmap',
    'trust-roots',
    '--namespace',
    other,
    '--type=merge',
    '--patch',
    '{"data":{"ca.crt":"x"}}',
  );
  await cluster.kubectl('label', 'namespace', other, 'wants-trust-');
  await eventually('it is gone', async () => ((await published(other)) ? undefined : true));
  expect(await published(ns)).toBeDefined();
});

test('the command of the page fills caBundle, and a Certificate is issued', async () => {
  // What trusts another CA cannot register; on a cluster that was kept it may have before.
  await cluster.kubectl('delete', 'clusterissuer', 'trust', '--ignore-not-found');
  await cluster.apply(clusterIssuer('trust', Buffer.from(two.ca).toString('base64')));
  const condition = await eventually('the ClusterIssuer says why', async () => {
    const issuer = await cluster.get<{ status?: { conditions?: Condition[] } }>('clusterissuer', 'trust');
    return issuer?.status?.conditions?.find(({ type, status }) => type === 'Ready' && status === 'False');
  });
  expect(condition.message).toContain('unknown authority');
  await patchAsDocumented();
  await cluster.waitFor('clusterissuer/trust', 'condition=Ready');
  await cluster.apply([service('web'), certificate('web', { issuer: 'trust', names: [`web.${ns}.svc`] })], ns);
  await cluster.waitFor('certificate/web', 'condition=Ready', ns);
});

const REACH = `curl --silent --show-error --fail --max-time 30 --cacert`;

test('Pods have it without a ConfigMap, as ClusterTrustBundles', async () => {
  const served = await cluster.kubectl('api-resources', '--api-group=certificates.k8s.io', '--output=name');
  expect(served).toContain('clustertrustbundles');
  const projected = (signerName: string, path: string) => ({
    clusterTrustBundle: { signerName, labelSelector: {}, path },
  });
  const sources = [
    projected('clustercaissuers.countersign.dev/trust', 'ca.crt'),
    projected('countersign.dev/acme', 'acme-ca.crt'),
  ];
  const script = `${REACH} /trust/acme-ca.crt ${DIRECTORY} && openssl verify -CAfile /trust/ca.crt /tls/tls.crt`;
  const log = await cluster.run('bundles', ns, {
    image,
    command: ['sh', '-c', script],
    spec: {
      containers: [
        {
          name: 'main',
          image,
          command: ['sh', '-c', script],
          volumeMounts: [
            { name: 'trust', mountPath: '/trust' },
            { name: 'tls', mountPath: '/tls' },
          ],
        },
      ],
      volumes: [
        { name: 'trust', projected: { sources } },
        { name: 'tls', secret: { secretName: 'web-tls' } },
      ],
    },
  });
  expect(log).toContain('/acme/trust/new-order');
  expect(log).toContain('/tls/tls.crt: OK');
});

test('the CA of the ACME server is replaced with overlap: nobody who took up what is published fails', async () => {
  const reach = (name: string, configMap: string) =>
    cluster.run(name, ns, {
      image,
      command: ['sh', '-c', `${REACH} /trust/acme-ca.crt ${DIRECTORY}`],
      mounts: { '/trust': { configMap } },
    });
  const before = { 'acme-ca.crt': one.ca };
  await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'before' }, data: before }, ns);
  // Both are published and taken up while the first still serves.
  await serveWith(both, one);
  await untilPublished(ns, 'acme-ca.crt', ['CN=Serving CA first', 'CN=Serving CA second']);
  await patchByJob();
  expect(namesIn(await caBundle())).toEqual(['CN=Serving CA first', 'CN=Serving CA second']);
  expect(await reach('both-first', 'trust-roots')).toContain('new-order');
  // Then the second serves.
  await serveWith(both, two);
  let tries = 0;
  await eventually('who trusts the first alone is served no more', async () => {
    const said = await reach(`only-first-${++tries}`, 'before').catch((error: Error) => error.message);
    return said.includes('certificate problem') ? true : undefined;
  });
  expect(await reach('both-second', 'trust-roots')).toContain('new-order');
  const serial = async () => {
    const secret = await cluster.get<Data>('secret', 'web-tls', ns);
    return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64')).serialNumber;
  };
  const old = await serial();
  await renew(cluster, ns, 'web');
  await eventually('cert-manager renews', async () => ((await serial()) === old ? undefined : true), 240);
  // And the first is forgotten.
  await serveWith(two.ca, two);
  await untilPublished(ns, 'acme-ca.crt', ['CN=Serving CA second']);
});

test('a root that is to take over is published beside the one there is', async () => {
  const patch = JSON.stringify({ spec: { publishTrust: { additional: two.ca } } });
  await cluster.kubectl('patch', 'clustercaissuer', 'trust', '--type=merge', '--patch', patch);
  await untilPublished(ns, 'ca.crt', ['CN=CA of trust', 'CN=Serving CA second']);
});
