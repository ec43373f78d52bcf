// Whose a request is: a policy of namespaces is enforced on every path by which a namespace is known, and forged evidence gives nothing.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import {
  CERT_MANAGER,
  certificate,
  certManagerInstalled,
  clusterIssuer,
  type Order,
  ordersOf,
  publishedBundle,
  recordsOf,
  refusalOf,
  RIGHTS,
  service,
} from '../cert-manager.ts';
import { directoryOf } from '../certbot.ts';
import { connectCluster } from '../cluster.ts';
import { caIssuer } from '../objects.ts';

const cluster = connectCluster();
/** Two namespaces of tenants. */
let [mine, theirs] = ['', ''];
let image = '';
let bundle = '';

/** An ACME client of few words: what became of the account and of one order, without answering any challenge. */
const CLIENT = `
import json, os, sys
import josepy
from acme import client, crypto_util, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

directory, name = sys.argv[1:]
key = josepy.JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
net = client.ClientNetwork(key, alg=josepy.RS256, user_agent="tenant")
for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
    if "FORWARDED" in os.environ:
        net.session.headers[header] = ("for=" if header == "Forwarded" else "") + os.environ["FORWARDED"]
known = messages.Directory.from_json(net.get(directory).json())
acme = client.ClientV2(known, net)

def say(**members):
    print(json.dumps(members), flush=True)

try:
    fields = {}
    if "KID" in os.environ:
        fields["external_account_binding"] = messages.ExternalAccountBinding.from_data(
            key.public_key(), os.environ["KID"], os.environ["KEY"], known)
    acme.new_account(messages.NewRegistration.from_data(terms_of_service_agreed=True, **fields))
    secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    order = acme.new_order(crypto_util.make_csr(secret, [name]))
    states = [each.body.status.name for each in order.authorizations]
    if states == ["valid"]:
        acme.poll_and_finalize(order)
        states = ["issued"]
    say(outcome=states[0])
except messages.Error as error:
    say(outcome="refused", type=error.typ, detail=str(error))
`;

interface Told {
  outcome: 'issued' | 'pending' | 'refused';
  type?: string;
  detail?: string;
}

let asked = 0;

interface Asking {
  namespace: string;
  name: string;
  env?: Record<string, string>;
  labels?: Record<string, string>;
  issuer?: string;
}

/** What a Pod of that namespace is told that asks for that name. */
async function ask({ namespace, name, env = {}, labels = {}, issuer = 'attr' }: Asking): Promise<Told> {
  const log = await cluster.run(`ask-${++asked}`, namespace, {
    image,
    // A Pod is known by its address as soon as the API server is told of that.
    command: ['sh', '-c', 'sleep 3; exec python3 /client/client.py "$@"', 'ask', directoryOf(issuer), name],
    env: { REQUESTS_CA_BUNDLE: '/trust/ca.crt', ...env },
    labels,
    mounts: { '/client': { configMap: 'client' }, '/trust': { configMap: 'trust' } },
  });
  return JSON.parse(log.trim().split('\n').at(-1) ?? '') as Told;
}

/** The key minted for that namespace, as its clients read it. */
async function keyOf(namespace: string): Promise<{ KID: string; KEY: string }> {
  const { data } = await eventually('the key is minted', () =>
    cluster.get<{ data: Record<string, string> }>('secret', 'attr-eab', namespace),
  );
  const read = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString();
  return { KID: read('keyID'), KEY: read('secret') };
}

const servesNobodyElse = async (issuer: string) => {
  for (const { spec } of await recordsOf(cluster, issuer))
    expect(spec.names).toEqual([expect.stringMatching(new RegExp(`\\.${spec.requester.namespace}\\.svc$`))]);
};

beforeAll(async () => {
  await Promise.all([cluster.installed(RIGHTS), certManagerInstalled(cluster)]);
  image = await cluster.image('debian');
  [mine, theirs] = [await cluster.namespace('attr', { attr: 'yes' }), await cluster.namespace('attr', { attr: 'yes' })];
  const proof = { certManagerOrders: true, services: true, podAddress: { enabled: true } };
  const externalAccountBinding = {
    mode: 'Optional',
    mint: { namespaceSelector: { matchLabels: { attr: 'yes' } }, secretName: 'attr-eab' },
  };
  const [issuer, policy] = caIssuer('attr', ['*.{{namespace}}.svc'], {
    acme: { proof, externalAccountBinding },
    publishTrust: { configMap: { name: 'attr-trust' } },
  });
  const selector = { issuerRef: { name: 'attr*' }, namespace: { matchNames: ['attr-*'] } };
  await cluster.apply([issuer as object, { ...policy, spec: { ...(policy as { spec: object }).spec, selector } }]);
  await cluster.waitFor('clustercaissuer/attr', 'condition=Ready');
  bundle = await publishedBundle(cluster, 'attr-trust');
  await cluster.apply(clusterIssuer('attr', bundle));
  await cluster.waitFor('clusterissuer/attr', 'condition=Ready');
  for (const namespace of [mine, theirs]) {
    await cluster.trust(namespace);
    const client = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'client' }, data: { 'client.py': CLIENT } };
    await cluster.apply([client, ...['web', 'victim', 'two'].map(service)], namespace);
  }
});

test('the Order of cert-manager: a namespace has its own names, and no others', async () => {
  await cluster.apply(certificate('own', { issuer: 'attr', names: [`web.${mine}.svc`] }), mine);
  await cluster.waitFor('certificate/own', 'condition=Ready', mine);
  await cluster.apply(certificate('foreign', { issuer: 'attr', names: [`web.${theirs}.svc`] }), mine);
  const { status } = await refusalOf(cluster, mine, 'foreign');
  expect(status?.reason).toContain(`policy "attr" refuses "web.${theirs}.svc"`);
  await servesNobodyElse('attr');
});

test('the address of a Pod: the same, without a challenge and without cert-manager', async () => {
  expect(await ask({ namespace: mine, name: `web.${mine}.svc` })).toEqual({ outcome: 'issued' });
  const told = await ask({ namespace: mine, name: `web.${theirs}.svc` });
  expect(told).toMatchObject({ outcome: 'refused', detail: expect.stringContaining(`web.${theirs}.svc`) as string });
  await servesNobodyElse('attr');
});

test('a minted key: an Issuer that is bound with that of its namespace has its names, and no others', async () => {
  const { KID } = await keyOf(mine);
  const acme = { externalAccountBinding: { keyID: KID, keySecretRef: { name: 'attr-eab', key: 'secret' } } };
  await cluster.apply({ ...clusterIssuer('bound', bundle, acme, 'attr'), kind: 'Issuer' }, mine);
  await cluster.waitFor('issuer/bound', 'condition=Ready', mine);
  const of = { issuer: 'bound', kind: 'Issuer' } as const;
  await cluster.apply(certificate('bound-own', { ...of, names: [`web.${mine}.svc`] }), mine);
  await cluster.waitFor('certificate/bound-own', 'condition=Ready', mine);
  await cluster.apply(certificate('bound-foreign', { ...of, names: [`web.${theirs}.svc`] }), mine);
  expect((await refusalOf(cluster, mine, 'bound-foreign')).status?.reason).toContain(`refuses "web.${theirs}.svc"`);
  await servesNobodyElse('attr');
});

test('the key of another namespace: a Pod and an Issuer that have it are refused, for whatever names', async () => {
  const env = await keyOf(theirs);
  for (const namespace of [theirs, mine]) {
    const told = await ask({ namespace: mine, name: `web.${namespace}.svc`, env });
    expect(told).toMatchObject({ outcome: 'refused', type: 'urn:ietf:params:acme:error:unauthorized' });
    expect(told.detail).toContain(mine);
    expect(told.detail).toContain(theirs);
  }
  const stolen = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'stolen' }, stringData: { secret: env.KEY } };
  const acme = { externalAccountBinding: { keyID: env.KID, keySecretRef: { name: 'stolen', key: 'secret' } } };
  await cluster.apply([stolen, { ...clusterIssuer('thief', bundle, acme, 'attr'), kind: 'Issuer' }], mine);
  await cluster.waitFor('issuer/thief', 'condition=Ready', mine);
  const of = { issuer: 'thief', kind: 'Issuer' } as const;
  await cluster.apply(certificate('thief-theirs', { ...of, names: [`web.${theirs}.svc`] }), mine);
  const { status } = await refusalOf(cluster, mine, 'thief-theirs');
  expect(status?.reason).toContain(mine);
  expect(status?.reason).toContain(theirs);
  // Before there is an Order there is the key alone, and that is for the other.
  await cluster.apply(certificate('thief-own', { ...of, names: [`web.${mine}.svc`] }), mine);
  expect((await refusalOf(cluster, mine, 'thief-own')).status?.reason).toContain(`refuses "web.${mine}.svc"`);
  // Its own key, said to be that of the other.
  const { KEY } = await keyOf(mine);
  const told = await ask({ namespace: mine, name: `web.${theirs}.svc`, env: { KID: env.KID, KEY } });
  expect(told).toMatchObject({ outcome: 'refused', type: 'urn:ietf:params:acme:error:unauthorized' });
  await servesNobodyElse('attr');
});

test('X-Forwarded-For, labels and annotations make a Pod no other', async () => {
  await cluster.start('victim', theirs, { image, command: ['sleep', 'infinity'] });
  const pod = await cluster.get<{ status: { podIP: string } }>('pod', 'victim', theirs);
  const told = await ask({
    namespace: mine,
    name: `web.${theirs}.svc`,
    env: { FORWARDED: pod?.status.podIP ?? '' },
    labels: {
      'kubernetes.io/metadata.name': theirs,
      'countersign.dev/namespace': theirs,
      'acme.cert-manager.io/http01-solver': 'true',
    },
  });
  expect(told).toMatchObject({ outcome: 'refused', detail: expect.stringContaining(`web.${theirs}.svc`) as string });
  await servesNobodyElse('attr');
});

test('a tenant who may write orders/status forges the Order of another, with a key of its own: refused, both', async () => {
  const rules = [{ apiGroups: ['acme.cert-manager.io'], resources: ['orders', 'orders/status'], verbs: ['*'] }];
  const rbac = 'rbac.authorization.k8s.io';
  await cluster.apply(
    [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'tenant' } },
      { apiVersion: `${rbac}/v1`, kind: 'Role', metadata: { name: 'orders' }, rules },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'RoleBinding',
        metadata: { name: 'orders' },
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'orders' },
        subjects: [{ kind: 'ServiceAccount', name: 'tenant', namespace: mine }],
      },
    ],
    mine,
  );
  const asTenant = ['--as', `system:serviceaccount:${mine}:tenant`, '--namespace', mine];
  const scale = async (replicas: number) => {
    const where = ['--namespace', CERT_MANAGER];
    await cluster.kubectl('scale', `deployment/${CERT_MANAGER}`, `--replicas=${replicas}`, ...where);
    await cluster.kubectl('rollout', 'status', `deployment/${CERT_MANAGER}`, ...where, '--timeout=300s');
    const pods = ['pod', '--selector=app.kubernetes.io/component=controller'];
    if (replicas === 0) await cluster.kubectl('wait', ...pods, ...where, '--for=delete', '--timeout=120s');
  };

  // An order that waits, because the Service comes later.
  const host = `late.${theirs}.svc`;
  await cluster.apply(certificate('late', { issuer: 'attr', names: [host] }), theirs);
  const late = await eventually('the Order has its URL', async () =>
    (await ordersOf(cluster, theirs, 'late')).find(({ status }) => status?.url !== undefined),
  );
  // cert-manager makes an order for any Order without a URL at once, and its webhook then lets nobody change that: the tenant is quicker.
  await scale(0);
  const args = ['req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', join(cluster.folder, 'tenant.key')];
  const csr = execFileSync('openssl', [...args, '-subj', '/', '-addext', `subjectAltName=DNS:${host}`], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const forged = {
    apiVersion: 'acme.cert-manager.io/v1',
    kind: 'Order',
    metadata: { name: 'forged', namespace: mine },
    spec: { ...late.spec, request: Buffer.from(csr).toString('base64') },
  };
  const made = await cluster.command('kubectl', ['create', ...asTenant, '--filename', '-'], JSON.stringify(forged));
  expect(made).toMatchObject({ status: 0 });
  const patch = JSON.stringify({ status: late.status });
  const onStatus = ['--subresource=status', '--type=merge', '--patch', patch];
  await cluster.kubectl('patch', 'order', 'forged', ...asTenant, ...onStatus);
  await cluster.apply(service('late'), theirs);
  await scale(1);
  const { status } = await refusalOf(cluster, theirs, 'late');
  for (const namespace of [mine, theirs]) expect(status?.reason).toContain(namespace);
  const other = await eventually('the forged Order has failed', async () => {
    const order = await cluster.get<Order>('order', 'forged', mine);
    return order?.status?.state === 'errored' ? order : undefined;
  });
  expect(other.status?.reason).toContain(theirs);
  const names = async () => (await recordsOf(cluster, 'attr')).flatMap(({ spec }) => spec.names);
  expect(await names()).not.toContain(`dns:${host}`);

  // Without the forgery it is had again.
  await cluster.kubectl('delete', 'order', 'forged', ...asTenant);
  await cluster.apply(certificate('late-2', { issuer: 'attr', names: [host] }), theirs);
  await cluster.waitFor('certificate/late-2', 'condition=Ready', theirs, 300);
  await servesNobodyElse('attr');
});
