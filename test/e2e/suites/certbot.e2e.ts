// The certbot backend on nodes: Jobs with Debian's certbot, in a namespace held to "restricted", against pebble, which asks BIND; names
// proved by the replicas of the operator, or by a plugin of certbot.
import { X509Certificate } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import { connectCluster } from '../cluster.ts';
import { PEBBLE_TERMS, type PebbleInCluster, startPebble } from '../pebble.ts';
import { type NameServer, startBind, TSIG_KEY } from '../solvers.ts';

interface OwnedObject {
  metadata: {
    name: string;
    uid: string;
    annotations?: Record<string, string>;
    ownerReferences?: { uid: string }[];
  };
}

interface JobObject extends OwnedObject {
  spec: { ttlSecondsAfterFinished: number; template: { metadata: { labels: object }; spec: object } };
  status?: { succeeded?: number };
}

interface PodObject extends OwnedObject {
  spec: { automountServiceAccountToken: boolean; volumes: object[] };
}

interface RecordObject extends OwnedObject {
  spec: { names: string[] };
}

interface ClaimObject {
  status?: { conditions?: { message: string }[] };
}

const cluster = connectCluster();
const ZONE = 'certbot.example';
/** Where pebble, which is asked to look there, has nothing at port 80. */
const NOWHERE = '127.0.0.1';
const inside = ['--namespace', NAMESPACE];
let [ns, image] = ['', ''];
let pebble: PebbleInCluster;
let bind: NameServer;

async function list<T>(kind: string, selector = 'countersign.dev/certbot-run'): Promise<T[]> {
  const found = await cluster.kubectl('get', kind, ...inside, '--output', 'json', '--selector', selector);
  return (JSON.parse(found) as { items: T[] }).items;
}

const jobs = () => list<JobObject>('jobs');

/** The Job of what a claim asks for, by its first name; the records of that name are one. */
async function jobOf(dnsName: string): Promise<JobObject> {
  return eventually(
    `the Job for ${dnsName} begins`,
    async () => {
      const records = (await list<RecordObject>('issuedcertificates', '')).filter(({ spec }) =>
        spec.names.includes(`dns:${dnsName}`),
      );
      expect(records.length).toBeLessThanOrEqual(1);
      return records[0] && (await cluster.get<JobObject>('job', records[0].metadata.name, NAMESPACE));
    },
    180,
  );
}

/** Ready, with the account that all of them have. */
async function issuer(name: string, more: object = {}): Promise<void> {
  const certbot = {
    config: `server = ${pebble.directory}\n`,
    caBundle: pebble.caBundle,
    trustAnchors: pebble.root,
    account: { keySecretRef: { name: 'certbot-account' }, termsOfService: PEBBLE_TERMS },
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

const dns01 = (propagation: string) => ({
  dns01: { plugin: 'rfc2136', credentialsSecretRef: { name: 'dns-credentials', key: 'credentials.ini' }, propagation },
});

/** Resolves with its first name. */
async function claim(name: string, issuerName = 'certbot', more: readonly string[] = []): Promise<string> {
  const dnsName = `${name}.${ZONE}`;
  const issuerRef = { kind: 'ClusterCAIssuer', name: issuerName };
  await cluster.apply(
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name },
      spec: { secretName: `${name}-tls`, issuerRef, dnsNames: [dnsName, ...more] },
    },
    ns,
  );
  return dnsName;
}

const ready = (name: string) => cluster.waitFor(`certificateclaim/${name}`, 'condition=Ready', ns, 300);

const messageOf = (name: string, wanted: RegExp): Promise<string> =>
  eventually(
    `the claim ${name} says so`,
    async () => {
      const found = await cluster.get<ClaimObject>('certificateclaim', name, ns);
      const messages = (found?.status?.conditions ?? []).map(({ message }) => message).join(' | ');
      return wanted.test(messages) ? messages : undefined;
    },
    300,
  );

async function leafOf(name: string): Promise<X509Certificate> {
  const secret = await cluster.get<{ data: Record<string, string> }>('secret', `${name}-tls`, ns);
  return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64'));
}

const operatorSays = (text: string, since: string): Promise<string> =>
  eventually(
    `the operator says ${text}`,
    async () => {
      const selector = `app.kubernetes.io/instance=${RELEASE}`;
      const args = ['--selector', selector, '--tail=-1', `--since-time=${since}`];
      const log = await cluster.kubectl('logs', ...inside, ...args).catch(() => '');
      return log.split('\n').find((line) => line.includes(text));
    },
    300,
  );

/** All replicas at once, without a chance to end in order. */
const killOperator = () =>
  cluster.kubectl(
    'delete',
    'pods',
    ...inside,
    '--selector',
    `app.kubernetes.io/instance=${RELEASE}`,
    '--force',
    '--grace-period=0',
  );

const operatorIsBack = () => cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...inside, '--timeout=300s');

/** What the Pod says is the chain. */
async function chainIn(pod: string, { metadata }: JobObject): Promise<X509Certificate> {
  const marker = metadata.annotations?.['countersign.dev/certbot-marker'] ?? '';
  const [, rest = ''] = (await cluster.logs(pod, NAMESPACE)).split(`${marker} chain`);
  return new X509Certificate(rest.split(`${marker} end`)[0]?.trim() ?? '');
}

beforeAll(async () => {
  await cluster.installed({ rbac: { optional: ['certbot'] } });
  image = await cluster.image('debian');
  ns = await cluster.namespace('certbot');
  const service = await cluster.get<{ spec: { clusterIP: string } }>('service', `${RELEASE}-distribution`, NAMESPACE);
  const records = [`* A ${service?.spec.clusterIP}`, `elsewhere A ${NOWHERE}`];
  bind = await startBind(cluster, ZONE, ns, records);
  const env = { PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_VA_NOSLEEP: '1' };
  pebble = await startPebble(cluster, { name: 'pebble', namespace: ns, nameserver: bind.address, env });
  const credentials = { server: bind.address, name: TSIG_KEY, secret: bind.secret, algorithm: 'HMAC-SHA256' };
  await cluster.apply([
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateRequestPolicy',
      metadata: { name: 'certbot' },
      spec: {
        selector: { issuerRef: { name: 'certbot*' } },
        allowed: { dnsNames: { values: [`**.${ZONE}`], wildcards: true } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: NAMESPACE, name: 'dns-credentials' },
      stringData: {
        'credentials.ini': Object.entries(credentials)
          .map(([name, value]) => `dns_rfc2136_${name} = ${value}\n`)
          .join(''),
      },
    },
  ]);
  await issuer('certbot');
});

test('a claim has its certificate of pebble, by a Job that is named as its record and may do nothing', async () => {
  const begun = performance.now();
  const job = await jobOf(await claim('web'));
  await ready('web');
  cluster.measure('certbot: claim created to ready', `${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const leaf = await leafOf('web');
  expect(leaf.subjectAltName).toBe(`DNS:web.${ZONE}`);
  expect(leaf.issuer).toContain('Pebble Intermediate CA');
  const { name, uid } = job.metadata;
  const pods = await list<PodObject>('pods', `countersign.dev/certbot-run=${name}`);
  expect(pods.map(({ metadata }) => metadata.ownerReferences?.map((owner) => owner.uid))).toEqual([[uid]]);
  expect(pods[0]?.spec.automountServiceAccountToken).toBe(false);
  expect(JSON.stringify(pods[0]?.spec.volumes)).not.toContain('serviceAccountToken');
});

test('four at a time', async () => {
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await claim(name);
  for (const name of names) await ready(name);
  const serials = await Promise.all(names.map(async (name) => (await leafOf(name)).serialNumber));
  expect(new Set(serials).size).toBe(4);
});

test('a plugin with a credentials file proves a wildcard, and what is in the file is seen nowhere', async () => {
  await issuer('certbot-dns', dns01('1s'));
  const job = await jobOf(await claim('wild', 'certbot-dns', [`*.wild.${ZONE}`]));
  await ready('wild');
  expect((await leafOf('wild')).subjectAltName?.split(', ').sort()).toEqual([`DNS:*.wild.${ZONE}`, `DNS:wild.${ZONE}`]);
  const changes = await cluster.logs('pod/bind', ns);
  expect(changes.match(/adding an RR at '_acme-challenge\.wild\./g)).toHaveLength(2);
  expect(changes.match(/deleting an RR at _acme-challenge\.wild\./g)).toHaveLength(2);
  const log = await cluster.logs(`job/${job.metadata.name}`, NAMESPACE);
  const seen = [
    log,
    JSON.stringify(await jobs()),
    await cluster.kubectl('get', 'events', ...inside, '--output', 'json'),
  ];
  for (const text of seen) expect(text).not.toContain(bind.secret);
});

test('a name that leads elsewhere is told by the name, and nothing of the log is', async () => {
  const job = await jobOf(await claim('elsewhere'));
  const message = await messageOf('elsewhere', /could not validate/);
  expect(message).toContain(`could not validate elsewhere.${ZONE} (`);
  const log = await cluster.logs(`job/${job.metadata.name}`, NAMESPACE);
  expect(log).toContain('Some challenges have failed');
  expect(message).not.toMatch(/Detail|Hint|127\.0\.0\.1|letsencrypt/);
});

test('certbot that hangs is ended at its deadline', async () => {
  await issuer('certbot-hung', { ...dns01('1h'), deadline: '15s' });
  await claim('hung', 'certbot-hung');
  expect(await messageOf('hung', /in time/)).toContain('the CA did not sign in time');
});

test('what the operator, killed, had begun goes on, and is one certificate', async () => {
  const dnsName = await claim('killed');
  // Its answers are not laid out before the operator is back.
  const { metadata } = await jobOf(dnsName);
  await killOperator();
  await operatorIsBack();
  await ready('killed');
  // The claim may have it before Kubernetes has counted.
  await cluster.waitFor(`job/${metadata.name}`, 'condition=Complete', NAMESPACE);
  const job = await jobOf(dnsName);
  expect([job.metadata.uid, job.status?.succeeded]).toEqual([metadata.uid, 1]);
  expect((await leafOf('killed')).issuer).toContain('Pebble Intermediate CA');
});

test('of a Job that succeeds twice while the operator is away, the first certificate is the one', async () => {
  const replicas = (count: number) =>
    cluster.kubectl('scale', `deployment/${RELEASE}`, ...inside, `--replicas=${count}`);
  await issuer('certbot-twice', dns01('15s'));
  const { metadata } = await jobOf(await claim('twice', 'certbot-twice'));
  try {
    await replicas(0);
    await killOperator();
    await cluster.waitFor(`job/${metadata.name}`, 'condition=Complete', NAMESPACE, 300);
    const job = await cluster.get<JobObject>('job', metadata.name, NAMESPACE);
    if (!job) throw new Error('the Job is gone');
    const again = `${metadata.name}-x`;
    const { name, uid } = metadata;
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        namespace: NAMESPACE,
        name: again,
        labels: job.spec.template.metadata.labels,
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid, controller: true }],
      },
      spec: job.spec.template.spec,
    });
    await cluster.waitFor(`pod/${again}`, 'jsonpath={.status.phase}=Succeeded', NAMESPACE, 300);
    const pods = await list<PodObject>('pods', `countersign.dev/certbot-run=${name}`);
    const first = pods.map((pod) => pod.metadata.name).find((each) => each !== again) ?? '';
    const made = [await chainIn(`pod/${first}`, job), await chainIn(`pod/${again}`, job)];
    expect(new Set(made.map(({ serialNumber }) => serialNumber)).size).toBe(2);
    await replicas(2);
    await operatorIsBack();
    await ready('twice');
    expect((await leafOf('twice')).serialNumber).toBe(made[0]?.serialNumber);
  } finally {
    await replicas(2);
  }
});

test('too little memory is said to be so, and more of it is the cure', async () => {
  const since = new Date().toISOString();
  await issuer('certbot-memory', { resources: { limits: { memory: '40Mi' } } });
  await claim('memory', 'certbot-memory');
  await operatorSays('for want of memory', since);
  await issuer('certbot-memory', { resources: { limits: { memory: '512Mi' } } });
  await ready('memory');
});

test('an image that cannot be had is said to be so, and another is the cure', async () => {
  const since = new Date().toISOString();
  await issuer('certbot-image', { image: 'localhost/nothing:1' });
  await claim('image', 'certbot-image');
  await operatorSays('the image of certbot cannot be had', since);
  await issuer('certbot-image');
  await ready('image');
});

test('Pods go with their Jobs: with those that were made anew, and with those that have ended for long', async () => {
  // They would be tried again.
  await cluster.kubectl('delete', 'certificateclaims', '--namespace', ns, 'elsewhere', 'hung');
  const [job] = await jobs();
  expect(job?.spec.ttlSecondsAfterFinished).toBe(3600);
  const patch = JSON.stringify({ spec: { ttlSecondsAfterFinished: 1 } });
  for (const { metadata } of await jobs())
    await cluster.kubectl('patch', 'job', metadata.name, ...inside, '--type=merge', '--patch', patch);
  await eventually(
    'none is left',
    async () => (await jobs()).length + (await list('pods')).length === 0 || undefined,
    300,
  );
});

test('without the rights to run Jobs, the operator says which', async () => {
  await cluster.installed();
  const since = new Date().toISOString();
  await claim('rights');
  await operatorSays('jobs.batch', since);
  await cluster.installed({ rbac: { optional: ['certbot'] } });
  await ready('rights');
});

test('through all of it there was one account', async () => {
  const log = await cluster.logs('pod/pebble', ns);
  expect(log.match(/There are now \d+ accounts in memory/g)).toEqual(['There are now 1 accounts in memory']);
});
