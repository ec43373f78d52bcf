// The acme backend in a cluster: Pebble as the CA upstream, names proved there by the operator, over HTTP through its Service and by a name
// server that takes updates; Pebble away and the leader killed while orders wait.
//
// The names are in a zone that has two faces: Pebble asks BIND, where each leads to the operator; to the cluster's own DNS they lead to who
// orders, whom the operator has prove them in turn. Below `dns.` of it there is but the face of BIND.
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import { CERTBOT, certbotPod } from '../certbot.ts';
import { connectCluster } from '../cluster.ts';
import { elsewhere, watchElsewhere } from '../elsewhere.ts';
import { PEBBLE_TERMS, type PebbleInCluster, startPebble } from '../pebble.ts';
import { startBind, TSIG_KEY } from '../solvers.ts';

interface ServiceObject {
  spec: { clusterIP: string };
}

const cluster = connectCluster();
const seen = watchElsewhere(cluster);
const ZONE = 'upstream.example';
const HANDLE = 'countersign.dev/handle';
let pebble: PebbleInCluster;
let [ns, image] = ['', ''];

const nameOf = (claim: string) => `${claim}.${ns}.${ZONE}`;

const addressOf = async (service: string, namespace: string): Promise<string> =>
  (await cluster.get<ServiceObject>('service', service, namespace))?.spec.clusterIP ?? '';

/** The cluster's DNS asks that address for names below the zone. */
async function forward(zone: string, address: string): Promise<void> {
  const where = ['--namespace', 'kube-system'];
  const config = await cluster.get<{ data: Record<string, string> }>('configmap', 'coredns', 'kube-system');
  const others = (config?.data['Corefile'] ?? '').replace(new RegExp(`^${zone}:53 \\{[^}]*\\}\n`, 'm'), '');
  const data = { Corefile: `${others}${zone}:53 {\n    forward . ${address}\n}\n` };
  await cluster.kubectl('patch', 'configmap', 'coredns', ...where, '--type=merge', '--patch', JSON.stringify({ data }));
  await cluster.kubectl('rollout', 'restart', 'deployment/coredns', ...where);
  await cluster.kubectl('rollout', 'status', 'deployment/coredns', ...where, '--timeout=180s');
}

/** A Pod that orders a certificate for a name of the zone, once the cluster's DNS leads to it. Resolves with the name. */
async function order(service: string): Promise<string> {
  const name = nameOf(service);
  const [front, pod] = certbotPod(image, { issuer: 'upstream', service, namespace: ns, name });
  await cluster.apply([front ?? {}], ns);
  await cluster.resolve({ [name]: await addressOf(service, ns) });
  await cluster.apply([pod ?? {}], ns);
  return name;
}

beforeAll(async () => {
  await cluster.installed();
  image = await cluster.image('debian');
  ns = await cluster.namespace('upstream');
  await cluster.trust(ns);
  const operator = await addressOf(`${RELEASE}-distribution`, NAMESPACE);
  const bind = await startBind(cluster, ZONE, ns, [`* A ${operator}`, `*.${ns} A ${operator}`]);
  pebble = await startPebble(cluster, {
    name: 'pebble',
    namespace: ns,
    nameserver: bind.address,
    // Up to so many seconds before it looks at a name.
    env: { PEBBLE_VA_SLEEPTIME: '2' },
  });
  const acme = {
    directory: pebble.directory,
    caBundle: pebble.caBundle,
    trustAnchors: pebble.root,
    account: { keySecretRef: { name: 'upstream-account' }, termsOfService: PEBBLE_TERMS },
  };
  // It would go where the cluster's DNS leads.
  const preCheck = { enabled: false };
  await forward(`dns.${ZONE}`, bind.address);
  const secretRef = { name: 'upstream-tsig', key: 'secret' };
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secretRef.name, namespace: NAMESPACE },
    stringData: { [secretRef.key]: bind.secret },
  });
  const rfc2136 = { nameserver: `${bind.address}:53`, tsig: { keyName: TSIG_KEY, secretRef } };
  const names = [`**.${ZONE}`];
  await cluster.apply([
    ...elsewhere('upstream', { acme: { ...acme, preCheck, challenges: ['http-01'] } }, names),
    ...elsewhere('upstream-dns', { acme: { ...acme, challenges: ['dns-01'], dns01: { rfc2136 } } }, names),
  ]);
  for (const issuer of ['upstream', 'upstream-dns'])
    await cluster.waitFor(`clustercaissuer/${issuer}`, 'condition=Ready');
});

test('a claim has its certificate of Pebble, which looked at the operator', async () => {
  const begun = performance.now();
  await seen.claim(ns, 'upstream', { web: nameOf('web') });
  await cluster.waitFor('certificateclaim/web', 'condition=Ready', ns);
  cluster.measure('upstream: claim created to ready, http-01', `${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const leaf = await seen.leafOf(ns, 'web');
  expect([leaf.subjectAltName, leaf.issuer]).toEqual([
    `DNS:${nameOf('web')}`,
    expect.stringContaining('Pebble Intermediate CA'),
  ]);
});

test('so has one for a wildcard, by a name server that takes updates', async () => {
  const name = `*.${ns}.dns.${ZONE}`;
  await seen.claim(ns, 'upstream-dns', { wild: name });
  await cluster.waitFor('certificateclaim/wild', 'condition=Ready', ns);
  const leaf = await seen.leafOf(ns, 'wild');
  expect(leaf.subjectAltName).toBe(`DNS:${name}`);
});

test('an ACME order is proved twice: to the operator by who orders, to Pebble by the operator', async () => {
  const name = await order('acme');
  await cluster.waitFor('pod/certbot-acme', CERTBOT.ended, ns);
  expect(await seen.released([name])).toHaveLength(1);
});

test('while Pebble is away and the leader is killed, claims and orders wait; once it is back each has one certificate', async () => {
  const issued = await pebble.issued();
  await pebble.cutOff();
  await seen.killLeader();
  const claims = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, nameOf(name)]));
  await seen.claim(ns, 'upstream', claims);
  const ordered = await order('waits');
  await seen.becomes('upstream', 'BackendReachable', /^False /);
  await seen.becomes('upstream', 'Ready', /^False /);
  await seen.failsMore('upstream', 0);
  expect(
    await seen.metric('countersign_issuer_condition', { issuer: 'upstream', backend: 'acme', type: 'Ready' }),
  ).toBe(0);
  expect(await pebble.issued()).toBe(issued);
  const begun = performance.now();
  await pebble.restore();
  for (const name of Object.keys(claims)) await cluster.waitFor(`certificateclaim/${name}`, 'condition=Ready', ns);
  cluster.measure('upstream: back to the last claim ready', `${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await cluster.waitFor('pod/certbot-waits', CERTBOT.ended, ns);
  await seen.becomes('upstream', 'Ready', /^True /);
  expect(new Set(await seen.released([...Object.values(claims), ordered])).size).toBe(4);
  expect(await pebble.issued()).toBe(issued + 4);
});

test('an order that is under way when the leader is killed is gone on with, not begun anew', async () => {
  const before = [await pebble.orders(), await pebble.issued()];
  const name = nameOf('killed');
  await seen.claim(ns, 'upstream', { killed: name });
  await eventually('the order is on record', async () => {
    const [record] = await seen.records(name);
    return (record?.metadata.annotations?.[HANDLE] ?? '').includes('"order":') || undefined;
  });
  await seen.killLeader();
  await cluster.waitFor('certificateclaim/killed', 'condition=Ready', ns);
  expect([await pebble.orders(), await pebble.issued()]).toEqual(before.map((count) => count + 1));
});
