// The chart on a cluster that never had it: installed, used, watched, uninstalled, installed again.
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { ALERTS } from '../../../scripts/generate/alerts.ts';
import { renderDashboard } from '../../../scripts/generate/dashboard.ts';
import { eventually } from '../../support/eventually.ts';
import { CHART, NAMESPACE, RELEASE } from '../../support/helm.ts';
import {
  allowedBy,
  type Connection,
  connectionsAt,
  connectionsOf,
  nodeWatch,
  type Pod,
  surroundings,
  WATCH,
} from '../connections.ts';
import { connectCluster } from '../cluster.ts';
import { CERTBOT, certbotPod } from '../certbot.ts';
import { measureUsage, usage } from '../usage.ts';

const cluster = connectCluster();
const HERE = ['--namespace', NAMESPACE];

const FIRST = [
  {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: { name: 'install' },
    spec: { backend: { ca: { secretRef: { name: 'install-ca' }, selfSigned: { commonName: 'Install CA' } } } },
  },
  {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateRequestPolicy',
    metadata: { name: 'install' },
    spec: {
      selector: { issuerRef: { name: 'install' } },
      allowed: { dnsNames: { values: ['**.install.example', '*.*.svc.cluster.local'] } },
    },
  },
];
const claim = (name: string) => ({
  apiVersion: 'countersign.dev/v1alpha1',
  kind: 'CertificateClaim',
  metadata: { name },
  spec: {
    secretName: `${name}-tls`,
    issuerRef: { kind: 'ClusterCAIssuer', name: 'install' },
    dnsNames: [`${name}.install.example`],
  },
});

interface SecretObject {
  data: Record<string, string>;
}
interface PodStatus extends Pod {
  status: Pod['status'] & {
    conditions: { type: string; status: string; lastTransitionTime: string }[];
    containerStatuses: { ready: boolean; restartCount: number; state: { running?: { startedAt: string } } }[];
  };
}

const seconds = (from: number) => `${((performance.now() - from) / 1000).toFixed(1)} s`;
const decoded = (text = '') => Buffer.from(text, 'base64').toString();

async function replicas(): Promise<PodStatus[]> {
  const selector = `--selector=app.kubernetes.io/instance=${RELEASE}`;
  const { items } = JSON.parse(await cluster.kubectl('get', 'pods', ...HERE, selector, '--output', 'json')) as {
    items: PodStatus[];
  };
  return items;
}

async function certificateOf(
  secret: string,
  namespace: string,
): Promise<{ leaf: X509Certificate; ca: X509Certificate }> {
  const found = await cluster.get<SecretObject>('secret', secret, namespace);
  return {
    leaf: new X509Certificate(decoded(found?.data['tls.crt'])),
    ca: new X509Certificate(decoded(found?.data['ca.crt'])),
  };
}

let tenant = '';

beforeAll(async () => {
  // What other suites have left.
  await cluster.command('helm', ['uninstall', RELEASE, ...HERE, '--wait']);
  await cluster.kubectl('delete', 'crd', `--selector=app.kubernetes.io/name=countersign`, '--ignore-not-found');
  await cluster.kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found');
  await cluster.imageValues();
  tenant = await cluster.namespace('install');
});

test('from `helm install` to the first certificate', async () => {
  const values = JSON.stringify({ ...(await cluster.imageValues()), dashboard: { enabled: true } });
  await cluster.kubectl('create', 'namespace', NAMESPACE);
  await cluster.kubectl('label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted');
  const begun = performance.now();
  const said = await cluster.command('helm', ['install', RELEASE, CHART, ...HERE, '--values', '-'], values);
  expect(said, said.stderr).toMatchObject({ status: 0 });
  expect(said.stderr).not.toMatch(/PodSecurity|warning/i);
  // The API server serves new kinds a moment after it has taken their definitions.
  await eventually('the API server knows the kinds', async () => {
    await cluster.apply([...FIRST, claim('first')], tenant).catch(() => undefined);
    return cluster.get('certificateclaim', 'first', tenant).catch(() => undefined);
  });
  await cluster.waitFor('certificateclaim/first', 'condition=Ready', tenant);
  cluster.measure('helm install to the first certificate', seconds(begun));

  const { leaf, ca } = await certificateOf('first-tls', tenant);
  expect(leaf.subjectAltName).toBe('DNS:first.install.example');
  expect(ca.subject).toBe('CN=Install CA');
  expect(leaf.verify(ca.publicKey)).toBe(true);
});

test('both replicas are ready, were never started anew, and are held to the standard "restricted"', async () => {
  await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...HERE, '--timeout=180s');
  const pods = await replicas();
  expect(pods).toHaveLength(2);
  for (const { status, metadata } of pods) {
    expect(status.containerStatuses, metadata.name).toMatchObject([{ ready: true, restartCount: 0 }]);
    const [container] = status.containerStatuses;
    const ready = status.conditions.find(({ type }) => type === 'Ready')?.lastTransitionTime ?? '';
    const took = Date.parse(ready) - Date.parse(container?.state.running?.startedAt ?? '');
    cluster.measure(`start of a replica to ready (${metadata.name}), in whole seconds`, `${took / 1000} s`);
  }
  const offender = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'root' },
    spec: { containers: [{ name: 'a', image: 'a' }] },
  };
  await expect(cluster.apply(offender, NAMESPACE)).rejects.toThrow('violates PodSecurity "restricted');
});

test('what it is made of is measured', async () => {
  for (const fact of await cluster.imageFacts('countersign')) {
    const [, what = '', value = ''] = /^(\w+)\s+(.*)$/.exec(fact) ?? [];
    if (what === 'size' || what === 'start') cluster.measure(`image: ${what}`, value);
  }
  const before = await usage(cluster);
  expect([...before.keys()].sort()).toEqual((await replicas()).map(({ metadata }) => metadata.name).sort());
  const after = await usage(cluster, Math.max(...[...before.values()].map(({ at }) => at)) + 20_000);
  for (const { rssBytes } of after.values()) expect(rssBytes).toBeGreaterThan(10e6);
  measureUsage(cluster, 'idle', before, after);
});

/** With a nonce of one replica, a new account at the other. */
const CROSSING = `
import http.client, json, socket, ssl, sys
import josepy
from acme import jws
from cryptography.hazmat.primitives.asymmetric import rsa

HOST, PATH = sys.argv[1], "/acme/install"
trust = ssl.create_default_context(cafile="/trust/ca.crt")

def ask(address, method, path, body=None):
    link = http.client.HTTPSConnection(HOST, 8443, context=trust)
    link.sock = trust.wrap_socket(socket.create_connection((address, 8443)), server_hostname=HOST)
    link.request(method, path, body, {"Content-Type": "application/jose+json"})
    answer = link.getresponse()
    return answer, answer.read()

directory = json.loads(ask(sys.argv[2], "GET", PATH + "/directory")[1])
where = lambda name: directory[name].split(HOST, 1)[1]
key = josepy.JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
for giver, taker in [(sys.argv[2], sys.argv[3]), (sys.argv[3], sys.argv[2])]:
    nonce = josepy.decode_b64jose(ask(giver, "HEAD", where("newNonce"))[0].getheader("Replay-Nonce"))
    body = json.dumps({"termsOfServiceAgreed": True}).encode()
    signed = jws.JWS.sign(body, key=key, alg=josepy.RS256, nonce=nonce, url=directory["newAccount"])
    answer, text = ask(taker, "POST", where("newAccount"), signed.json_dumps())
    print(answer.status, text.decode())
`;

test('connections that were seen are those that the NetworkPolicies let pass, and the other way round', async () => {
  const watcher = join(cluster.folder, 'watcher.json');
  // The image of clients knows no user but root, whom the standard refuses.
  writeFileSync(watcher, JSON.stringify({ securityContext: { runAsUser: 65532, runAsGroup: 65532 } }));
  const image = await cluster.image('debian');
  await cluster.apply(nodeWatch('node-watch', image), tenant);
  await cluster.waitFor('pod/node-watch', 'condition=Ready', tenant);
  const pods = await replicas();
  for (const { metadata } of pods) {
    const args = [
      metadata.name,
      ...HERE,
      `--image=${image}`,
      '--profile=restricted',
      `--custom=${watcher}`,
      '--container=watch',
    ];
    await cluster.kubectl('debug', ...args, '--', 'sh', '-c', WATCH);
  }
  const watched = async () =>
    Promise.all(pods.map(({ metadata }) => cluster.logs(`pod/${metadata.name}`, NAMESPACE, '--container=watch')));
  await eventually('both are watched', async () => {
    const logs = await watched().catch(() => []);
    return (logs.length > 0 && logs.every((log) => log.includes(' 0A'))) || undefined;
  });

  // A certificate by ACME, a claim, a request of each replica to the other, CRLs from outside.
  const ns = tenant;
  await cluster.trust(ns);
  await cluster.kubectl('create', 'configmap', 'crossing', '--namespace', ns, `--from-literal=crossing.py=${CROSSING}`);
  await cluster.apply(certbotPod(image, { issuer: 'install', service: 'watched', namespace: ns }), ns);
  await cluster.apply(claim('second'), ns);
  const crossed = await cluster.run('crossing', ns, {
    image,
    command: [
      'python3',
      '/crossing/crossing.py',
      `countersign.${NAMESPACE}.svc`,
      ...pods.map(({ status }) => status.podIP ?? ''),
    ],
    mounts: { '/crossing': { configMap: 'crossing' }, '/trust': { configMap: 'trust' } },
  });
  expect(crossed.match(/^\d+/gm)).toEqual(['201', '200']);
  await cluster.waitFor('certificateclaim/second', 'condition=Ready', ns);
  await cluster.waitFor('pod/certbot-watched', CERTBOT.ended, ns);

  const around = await surroundings(cluster, NAMESPACE);
  const seen: { pod: Pod; connection: Connection }[] = [];
  for (const [i, log] of (await watched()).entries())
    for (const connection of connectionsOf(log)) seen.push({ pod: pods[i] as Pod, connection });
  const onNode = await cluster.logs('pod/node-watch', ns);
  for (const pod of pods)
    for (const connection of connectionsAt(pod.status.podIP ?? '', onNode)) seen.push({ pod, connection });
  const shown = ({ direction, protocol, peer, port }: Connection) => `${direction} ${protocol} ${peer} ${port}`;
  const dropped = seen.filter(({ pod, connection }) => allowedBy(pod, connection, around) === undefined);
  expect(dropped.map(({ connection }) => shown(connection))).toEqual([]);

  const kinds = new Set(
    seen.map(
      ({ pod, connection }) =>
        `${connection.direction} ${connection.protocol} ${connection.port} ${allowedBy(pod, connection, around)}`,
    ),
  );
  console.log(`connections: ${[...kinds].sort().join(', ')}`);
  for (const wanted of [
    `in TCP 8443 ${RELEASE}-ingress`,
    `in TCP 8080 ${RELEASE}-ingress`,
    `in TCP 8444 ${RELEASE}-replicas`,
    `out TCP 8444 ${RELEASE}-egress`,
    `out UDP 53 ${RELEASE}-egress`,
    `out TCP 443 ${RELEASE}-egress`,
    `out TCP 80 ${RELEASE}-egress`,
  ])
    expect([...kinds]).toContain(wanted);
});

test('every metric of the dashboard and of the alerts is in a scrape', async () => {
  const { panels, templating } = JSON.parse(renderDashboard()) as {
    panels: { targets?: { expr: string }[] }[];
    templating: { list: { definition?: string }[] };
  };
  const expressions = [
    ...ALERTS.map(({ expr }) => expr),
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...templating.list.flatMap(({ definition }) => definition ?? []),
  ];
  const named = new Set(expressions.flatMap((expr) => expr.match(/countersign_\w+/g) ?? []));
  expect(named.size).toBeGreaterThan(15);
  const scrapes = [...(await cluster.metrics()).values()];
  expect(scrapes).toHaveLength(2);
  const told = new Set(
    scrapes.flatMap((text) =>
      [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name = '', type]) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    ),
  );
  for (const name of named) expect([...told], name).toContain(name);
});

test('uninstalling keeps the kinds, and all that is of them; installing anew goes on with it', async () => {
  const records = async () => cluster.kubectl('get', 'issuedcertificates', ...HERE, '--output', 'name');
  const before = { records: await records(), first: (await certificateOf('first-tls', tenant)).leaf.fingerprint256 };
  const uids = async (...kinds: string[]) =>
    cluster.kubectl('get', kinds.join(','), '--all-namespaces', '--output=jsonpath={.items[*].metadata.uid}');
  const kept = await uids('clustercaissuers', 'certificaterequestpolicies', 'certificateclaims');
  await cluster.helm('uninstall', RELEASE, ...HERE, '--wait');
  await eventually('the replicas are gone', async () => ((await replicas()).length === 0 ? true : undefined));
  const kinds = await cluster.kubectl(
    'get',
    'crd',
    '--selector=app.kubernetes.io/name=countersign',
    '--output',
    'name',
  );
  expect(kinds.trim().split('\n').length).toBeGreaterThanOrEqual(7);
  expect(await uids('clustercaissuers', 'certificaterequestpolicies', 'certificateclaims')).toBe(kept);
  expect(await records()).toBe(before.records);
  const left = await cluster.kubectl(
    'get',
    'clusterroles,clusterrolebindings,validatingadmissionpolicies',
    '--selector=app.kubernetes.io/instance=countersign',
    '--output',
    'name',
  );
  expect(left).toBe('');

  await cluster.installed();
  await cluster.apply(claim('third'), tenant);
  await cluster.waitFor('certificateclaim/third', 'condition=Ready', tenant);
  const third = await certificateOf('third-tls', tenant);
  expect(third.leaf.verify((await certificateOf('first-tls', tenant)).ca.publicKey)).toBe(true);
  expect((await certificateOf('first-tls', tenant)).leaf.fingerprint256).toBe(before.first);
});
