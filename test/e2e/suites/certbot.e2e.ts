// The certbot backend on nodes: Jobs with Debian's certbot, in a namespace held to "restricted", against pebble; names proved by the
// replicas of the operator.
import { X509Certificate } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { buildServerCertificate } from '../../support/certificate-builder.ts';
import { generalName } from '../../support/der-writer.ts';
import { eventually } from '../../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import { connectCluster } from '../cluster.ts';

interface JobObject {
  metadata: { name: string; uid: string; creationTimestamp: string };
  status?: { succeeded?: number; failed?: number; active?: number };
}

interface ClaimObject {
  status?: { revision?: number; conditions?: { type: string; status: string; reason: string; message: string }[] };
}

const cluster = connectCluster();
const TERMS = 'data:text/plain,Do%20what%20thou%20wilt';
let [ns, image, distribution] = ['', '', ''];
const roots: Record<string, string> = {};
const bundles: Record<string, string> = {};

const jobs = async (): Promise<JobObject[]> =>
  (
    JSON.parse(
      await cluster.kubectl(
        'get',
        'jobs',
        '--namespace',
        NAMESPACE,
        '--output',
        'json',
        '--selector',
        'countersign.dev/certbot-run',
      ),
    ) as { items: JobObject[] }
  ).items;

const newJob = (before: readonly JobObject[], what = 'a Job begins') =>
  eventually(
    what,
    async () => (await jobs()).find(({ metadata }) => !before.some((each) => each.metadata.uid === metadata.uid)),
    120,
  );

/** Pebble, as a Service of its name, with these settings. */
async function startPebble(name: string, pebbleImage: string, env: Record<string, string>): Promise<void> {
  const tls = buildServerCertificate([generalName.dns(`${name}.${ns}.svc`)]);
  bundles[name] = tls.ca;
  const config = {
    pebble: {
      listenAddress: '0.0.0.0:14000',
      managementListenAddress: '0.0.0.0:15000',
      certificate: '/pebble-files/cert.pem',
      privateKey: '/pebble-files/key.pem',
      httpPort: 80,
      tlsPort: 1,
      keyAlgorithm: 'ecdsa',
      retryAfter: { authz: 1, order: 1 },
      profiles: { default: { description: 'A week.', validityPeriod: 604_800 } },
    },
  };
  const data = { 'config.json': JSON.stringify(config), 'cert.pem': tls.certificate, 'key.pem': tls.key };
  const ports = [14_000, 15_000].map((port) => ({ name: `p${port}`, port }));
  await cluster.apply(
    [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `${name}-files` }, data },
      { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app: name }, ports } },
    ],
    ns,
  );
  await cluster.start(name, ns, {
    image: pebbleImage,
    command: ['/pebble', '-config', '/pebble-files/config.json'],
    env: { PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '0', ...env },
    mounts: { '/pebble-files': { configMap: `${name}-files` } },
    port: 14_000,
  });
  const path = `/api/v1/namespaces/${ns}/services/https:${name}:15000/proxy/roots/0`;
  roots[name] = await cluster.kubectl('get', '--raw', path);
}

async function issuer(name: string, pebble: string, more: object = {}): Promise<void> {
  const certbot = {
    config: `server = https://${pebble}.${ns}.svc:14000/dir\n`,
    caBundle: bundles[pebble],
    trustAnchors: roots[pebble],
    account: { keySecretRef: { name: `${pebble}-account` }, termsOfService: TERMS },
    image,
    ...more,
  };
  await cluster.apply({
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: { name },
    spec: { backend: { certbot }, defaults: { duration: '168h' } },
  });
  await cluster.waitFor(`clustercaissuer/${name}`, 'condition=Ready');
}

/** A claim for a name that leads to the operator, unless told otherwise. Resolves with the name. */
async function claim(name: string, issuerName: string, address = distribution): Promise<string> {
  const dnsName = `${name}.${ns}.certbot.example`;
  await cluster.resolve({ [dnsName]: address });
  const issuerRef = { kind: 'ClusterCAIssuer', name: issuerName };
  await cluster.apply(
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name },
      spec: { secretName: `${name}-tls`, issuerRef, dnsNames: [dnsName] },
    },
    ns,
  );
  return dnsName;
}

const claimMessages = async (name: string): Promise<string> => {
  const found = await cluster.get<ClaimObject>('certificateclaim', name, ns);
  return (found?.status?.conditions ?? []).map(({ message }) => message).join(' | ');
};

async function leafOf(name: string): Promise<X509Certificate> {
  const secret = await cluster.get<{ data: Record<string, string> }>('secret', `${name}-tls`, ns);
  return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64'));
}

const operatorSaid = async (text: string, since: string): Promise<true | undefined> => {
  const selector = `app.kubernetes.io/instance=${RELEASE}`;
  const log = await cluster.kubectl(
    'logs',
    '--namespace',
    NAMESPACE,
    '--selector',
    selector,
    '--tail=-1',
    `--since-time=${since}`,
  );
  return log.includes(text) || undefined;
};

beforeAll(async () => {
  await cluster.installed({ rbac: { optional: ['certbot'] } });
  image = await cluster.image('debian');
  const pebbleImage = await cluster.image('pebble');
  ns = await cluster.namespace('certbot');
  await startPebble('pebble', pebbleImage, { PEBBLE_VA_NOSLEEP: '1' });
  // A day or so before it looks at a name.
  await startPebble('asleep', pebbleImage, { PEBBLE_VA_SLEEPTIME: '200000' });
  const service = await cluster.get<{ spec: { clusterIP: string } }>('service', `${RELEASE}-distribution`, NAMESPACE);
  distribution = service?.spec.clusterIP ?? '';
  await cluster.apply({
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateRequestPolicy',
    metadata: { name: 'certbot' },
    spec: { selector: { issuerRef: { name: 'certbot*' } }, allowed: { dnsNames: { values: ['**.certbot.example'] } } },
  });
  await issuer('certbot', 'pebble');
});

test('a claim has its certificate of pebble, by a Job that is named as its record and may do nothing', async () => {
  const before = await jobs();
  const begun = performance.now();
  const dnsName = await claim('web', 'certbot');
  const { metadata } = await newJob(before);
  await cluster.waitFor('certificateclaim/web', 'condition=Ready', ns, 300);
  cluster.measure('certbot: claim created to ready', `${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const leaf = await leafOf('web');
  expect(leaf.subjectAltName).toBe(`DNS:${dnsName}`);
  expect(leaf.issuer).toContain('Pebble Intermediate CA');
  const record = await cluster.get<{ spec: { names: string[] } }>('issuedcertificate', metadata.name, NAMESPACE);
  expect(record?.spec.names).toEqual([`dns:${dnsName}`]);
  const { items } = JSON.parse(
    await cluster.kubectl(
      'get',
      'pods',
      '--namespace',
      NAMESPACE,
      '--output',
      'json',
      '--selector',
      `countersign.dev/certbot-run=${metadata.name}`,
    ),
  ) as {
    items: { spec: { automountServiceAccountToken: boolean; volumes: { projected?: { sources: object[] } }[] } }[];
  };
  expect(items).toHaveLength(1);
  expect(items[0]?.spec.automountServiceAccountToken).toBe(false);
  expect(JSON.stringify(items[0]?.spec.volumes)).not.toContain('serviceAccountToken');
});

test('four at a time, by one account', async () => {
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await claim(name, 'certbot');
  for (const name of names) await cluster.waitFor(`certificateclaim/${name}`, 'condition=Ready', ns, 300);
  const serials = await Promise.all(names.map(async (name) => (await leafOf(name)).serialNumber));
  expect(new Set(serials).size).toBe(4);
  const log = await cluster.logs('pod/pebble', ns);
  expect(log.match(/There are now (\d+) accounts in memory/g)?.at(-1)).toBe('There are now 1 accounts in memory');
});

test('a name that leads elsewhere is told by the name, and nothing of the log is', async () => {
  const before = await jobs();
  const dnsName = await claim('elsewhere', 'certbot', '10.98.255.254');
  const job = await newJob(before);
  const message = await eventually(
    'the claim says so',
    async () => /could not validate[^|]*/.exec(await claimMessages('elsewhere'))?.[0],
    300,
  );
  expect(message).toContain(`could not validate ${dnsName} (`);
  const log = await cluster.logs(`job/${job.metadata.name}`, NAMESPACE);
  expect(log).toContain('Some challenges have failed');
  expect(await claimMessages('elsewhere')).not.toMatch(/Detail|Hint|10\.98\.255\.254|letsencrypt/);
});

test('certbot that hangs is ended at its deadline', async () => {
  await issuer('certbot-hung', 'asleep', { deadline: '15s' });
  await claim('hung', 'certbot-hung');
  expect(
    await eventually(
      'the claim says so',
      async () => /did not sign in time/.exec(await claimMessages('hung'))?.[0],
      300,
    ),
  ).toBe('did not sign in time');
});

test('what the operator, killed, had begun goes on, and is one certificate', async () => {
  const before = await jobs();
  await claim('killed', 'certbot');
  // Its answers are not laid out before the operator is back.
  const { metadata } = await newJob(before);
  const selector = `app.kubernetes.io/instance=${RELEASE}`;
  await cluster.kubectl(
    'delete',
    'pods',
    '--namespace',
    NAMESPACE,
    '--selector',
    selector,
    '--force',
    '--grace-period=0',
  );
  await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, '--namespace', NAMESPACE, '--timeout=300s');
  await cluster.waitFor('certificateclaim/killed', 'condition=Ready', ns, 300);
  const since = (await jobs()).filter((each) => !before.some((one) => one.metadata.uid === each.metadata.uid));
  expect(since.map((each) => [each.metadata.uid, each.status?.succeeded])).toEqual([[metadata.uid, 1]]);
  expect((await leafOf('killed')).issuer).toContain('Pebble Intermediate CA');
});

test('too little memory is said to be so, and more of it is the cure', async () => {
  const since = new Date().toISOString();
  await issuer('certbot-memory', 'pebble', { resources: { limits: { memory: '24Mi' } } });
  await claim('memory', 'certbot-memory');
  await eventually('the operator says so', () => operatorSaid('memory', since), 300);
  await issuer('certbot-memory', 'pebble', { resources: { limits: { memory: '512Mi' } } });
  await cluster.waitFor('certificateclaim/memory', 'condition=Ready', ns, 600);
});

test('an image that cannot be had is said to be so, and another is the cure', async () => {
  const since = new Date().toISOString();
  await issuer('certbot-image', 'pebble', { image: 'localhost/nothing:1' });
  await claim('image', 'certbot-image');
  await eventually('the operator says so', () => operatorSaid('the image of certbot cannot be had', since), 300);
  await issuer('certbot-image', 'pebble');
  await cluster.waitFor('certificateclaim/image', 'condition=Ready', ns, 600);
});

test('without the rights to run Jobs, the operator says which', async () => {
  await cluster.installed();
  const since = new Date().toISOString();
  await claim('rights', 'certbot');
  await eventually('the operator says so', () => operatorSaid('jobs.batch', since), 300);
  await cluster.installed({ rbac: { optional: ['certbot'] } });
  await cluster.waitFor('certificateclaim/rights', 'condition=Ready', ns, 600);
});
