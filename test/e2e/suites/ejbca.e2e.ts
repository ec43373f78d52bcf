// The ejbca backend in a cluster, against the double of EJBCA in a Pod: by SOAP and by REST, client certificates changed while it runs, EJBCA
// away while orders wait.
import { X509Certificate } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import { CERTBOT, certbotPod } from '../certbot.ts';
import { connectCluster } from '../cluster.ts';
import { type EjbcaInCluster, startEjbca } from '../ejbca.ts';
import { elsewhere, watchElsewhere } from '../elsewhere.ts';

const cluster = connectCluster();
const seen = watchElsewhere(cluster);
const SECRET = 'ejbca-client';
let ejbca: EjbcaInCluster;
let [ns, image] = ['', ''];

const nameOf = (claim: string) => `${claim}.${ns}.ejbca.example`;

async function client(stringData: Record<string, string>): Promise<void> {
  const metadata = { name: SECRET, namespace: NAMESPACE };
  await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', stringData });
}

/** What EJBCA has for a name that is not revoked: DER in base64. */
async function signedFor(name: string): Promise<string[]> {
  const { certificates } = await ejbca.state();
  return certificates
    .filter(({ der, reason }) => reason < 0 && new X509Certificate(der).subjectAltName === `DNS:${name}`)
    .map(({ der }) => der.toString('base64'));
}

/** Identity and restarts of the operator's Pods. */
const pods = () =>
  cluster.kubectl(
    'get',
    'pods',
    '--namespace',
    NAMESPACE,
    '--selector',
    `app.kubernetes.io/instance=${RELEASE}`,
    '--output',
    'jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount}{"\\n"}{end}',
  );

beforeAll(async () => {
  await cluster.installed();
  image = await cluster.image('debian');
  ns = await cluster.namespace('ejbca');
  await cluster.trust(ns);
  ejbca = await startEjbca(cluster, ns);
  const names = ['**.ejbca.example', '*.*.svc.cluster.local'];
  await client(ejbca.client('stranger'));
  await cluster.apply([
    ...elsewhere('ejbca', { ejbca: ejbca.spec('SOAP', SECRET) }, names),
    ...elsewhere('ejbca-rest', { ejbca: ejbca.spec('REST', SECRET) }, names),
  ]);
});

test('a client certificate in no role is told of; one that is takes its place without a restart', async () => {
  await seen.becomes('ejbca', 'Ready', /^False AccessRuleMissing$/);
  await seen.becomes('ejbca-rest', 'Ready', /^False Unauthorized$/);
  const before = await pods();
  await client(ejbca.client('operator'));
  for (const issuer of ['ejbca', 'ejbca-rest']) await cluster.waitFor(`clustercaissuer/${issuer}`, 'condition=Ready');
  expect(await pods()).toBe(before);
});

test('a claim has its certificate of the CA for its key, and so has one by REST', async () => {
  const begun = performance.now();
  await seen.claim(ns, 'ejbca', { web: nameOf('web') });
  await cluster.waitFor('certificateclaim/web', 'condition=Ready', ns);
  cluster.measure('ejbca: claim created to ready', `${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await seen.claim(ns, 'ejbca-rest', { rest: nameOf('rest') });
  await cluster.waitFor('certificateclaim/rest', 'condition=Ready', ns);
  for (const name of ['web', 'rest']) {
    const leaf = await seen.leafOf(ns, name);
    expect([leaf.subjectAltName, leaf.issuer]).toEqual([
      `DNS:${nameOf(name)}`,
      expect.stringContaining('CN=Double EC CA'),
    ]);
    expect(await signedFor(nameOf(name))).toEqual([leaf.raw.toString('base64')]);
  }
});

test('an ACME order has its certificate', async () => {
  await cluster.apply(certbotPod(image, { issuer: 'ejbca', service: 'acme', namespace: ns }), ns);
  await cluster.waitFor('pod/certbot-acme', CERTBOT.ended, ns);
  const name = `acme.${ns}.svc.cluster.local`;
  expect(await signedFor(name)).toEqual(await seen.released([name]));
});

test('while EJBCA is away, claims and orders wait; conditions and metrics say so; once it is back each has one certificate', async () => {
  const before = await seen.failed('ejbca');
  await ejbca.cutOff();
  const claims = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, nameOf(name)]));
  await seen.claim(ns, 'ejbca', claims);
  await cluster.apply(certbotPod(image, { issuer: 'ejbca', service: 'waits', namespace: ns }), ns);
  await seen.becomes('ejbca', 'BackendReachable', /^False /);
  await seen.becomes('ejbca', 'Ready', /^False /);
  await seen.failsMore('ejbca', before);
  expect(await seen.metric('countersign_issuer_condition', { issuer: 'ejbca', backend: 'ejbca', type: 'Ready' })).toBe(
    0,
  );
  for (const name of Object.values(claims)) expect(await signedFor(name)).toEqual([]);
  const begun = performance.now();
  await ejbca.restore();
  for (const name of Object.keys(claims)) await cluster.waitFor(`certificateclaim/${name}`, 'condition=Ready', ns);
  cluster.measure('ejbca: back to the last claim ready', `${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await cluster.waitFor('pod/certbot-waits', CERTBOT.ended, ns);
  await seen.becomes('ejbca', 'Ready', /^True /);
  const names = [...Object.values(claims), `waits.${ns}.svc.cluster.local`];
  const signed = await Promise.all(names.map(signedFor));
  expect(signed).toEqual((await seen.released(names)).map((der) => [der]));
});

test('what was signed when the leader was killed is found, and released once', async () => {
  await ejbca.behave({ kind: 'slow', ms: 8_000 });
  await seen.claim(ns, 'ejbca', { slow: nameOf('slow') });
  await expect.poll(() => signedFor(nameOf('slow')), { timeout: 60_000 }).toHaveLength(1);
  await seen.killLeader();
  await ejbca.behave({ kind: 'sign' });
  await cluster.waitFor('certificateclaim/slow', 'condition=Ready', ns);
  expect(await signedFor(nameOf('slow'))).toEqual(await seen.released([nameOf('slow')]));
});

test('a client certificate that is changed is the one that is shown from then on', async () => {
  const before = await pods();
  await client(ejbca.client('stranger'));
  await seen.becomes('ejbca', 'Ready', /^False AccessRuleMissing$/);
  await client(ejbca.client('operator'));
  await seen.becomes('ejbca', 'Ready', /^True /);
  await seen.claim(ns, 'ejbca', { rotated: nameOf('rotated') });
  await cluster.waitFor('certificateclaim/rotated', 'condition=Ready', ns);
  expect(await pods()).toBe(before);
});
