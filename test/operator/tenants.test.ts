// A CAIssuer from end to end: its own paths, its own Secrets, its own policies, its own namespace.
import { X509Certificate } from 'node:crypto';
import 'reflect-metadata';
import { X509Crl } from '@peculiar/x509';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { findCondition } from '../../src/domain/conditions.ts';
import { certificateID, readCertificate } from '../conformance/certificates.ts';
import { expectProblem, expectReply } from '../conformance/expectations.ts';
import { binding, EAB_KEYS } from '../conformance/external-account-keys.ts';
import { attempt, challengeOf, identifiersOf, issue, newOrder } from '../support/acme-flow.ts';
import { eventually } from '../support/eventually.ts';
import { base64url, createSigningKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { NAMESPACE } from './harness.ts';
import { aTenantIssuer, secretNames, startTenants, type Tenants } from './tenants.ts';

let t: Tenants;

beforeAll(async () => {
  t = await startTenants();
}, 120_000);

afterAll(() => t.stop());

const readyOf = async (namespace: string, name: string) => {
  const issuer = await t.operator.cluster.get(CAIssuerKind, { namespace, name });
  return findCondition(issuer?.status?.conditions, 'Ready');
};

const recordOf = async (certificateUrl: string) =>
  t.operator.cluster.get(IssuedCertificateKind, { namespace: NAMESPACE, name: certificateUrl.split('/').at(-1) ?? '' });

test('http-01 from the directory to the certificate, every URL under the path of the namespace', async () => {
  const acme = await t.client('main', 'team-a');
  const base = `${t.operator.origin}/ns/team-a/acme/main/`;
  const { meta: _meta, ...urls } = acme.directory;
  const name = freshName();
  const { order, certificateUrl } = await issue(acme, t, [name]);
  const handedOut = [
    ...Object.values(urls),
    acme.account.url,
    order.url,
    order.object.finalize,
    ...order.object.authorizations,
    (await challengeOf(acme, order.object.authorizations[0] ?? '', 'http-01')).url,
    certificateUrl,
  ];
  expect(handedOut.filter((url) => !url.startsWith(base))).toEqual([]);
  const reply = await acme.get(certificateUrl);
  expect(reply.links.index).toEqual([`${base}directory`]);
  const leaf = new X509Certificate(reply.text);
  expect(leaf.subjectAltName).toBe(`DNS:${name}`);
  expect(leaf.issuer).toBe('CN=CA main of team-a');
  const ca = await t.operator.cluster.get(SecretKind, { namespace: 'team-a', name: 'main-ca' });
  const certificate = new X509Certificate(Buffer.from(ca?.data?.['tls.crt'] ?? '', 'base64'));
  expect(leaf.verify(certificate.publicKey)).toBe(true);
});

test('the record, the audit log and the metrics say whose issuer it was; the requester stays unknown', async () => {
  const acme = await t.client('main', 'team-b');
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  const record = await recordOf(certificateUrl);
  expect(record?.spec.issuerRef).toEqual({ kind: 'CAIssuer', namespace: 'team-b', name: 'main' });
  expect(record?.metadata.labels).toMatchObject({ 'countersign.dev/issuer-namespace': 'team-b' });
  expect(record?.spec.requester).not.toHaveProperty('namespace');
  const lines = t.operator.audit.filter((line) => line.issuerNamespace === 'team-b' && line.issuer === 'main');
  expect(new Set(lines.map((line) => line.audit))).toEqual(new Set(['validation', 'decision', 'issuance']));
  const metrics = (await t.transport.request('GET', `${t.operator.distribution}/metrics`)).text;
  expect(metrics).toMatch(/certificates_issued_total\{issuer="main",issuer_namespace="team-b",door="ACME"\} [1-9]/);
});

test('renewal information, replaces, revocation and the CRL are those of the issuer', async () => {
  const acme = await t.client('main', 'team-a');
  const name = freshName();
  const first = await readCertificate(acme, await issue(acme, t, [name]));
  const id = certificateID(first);
  expectReply(await t.transport.request('GET', `${acme.directory.renewalInfo}/${id}`), 200);
  const renewed = await issue(acme, t, [name], { replaces: id });
  expect((await recordOf(renewed.certificateUrl))?.spec.replaces).toMatch(/^ic-/);
  expectReply(await acme.post(acme.directory.revokeCert, { certificate: base64url(first.raw) }), 200);
  const listed = async (path: string): Promise<string[]> => {
    const reply = await t.transport.request('GET', `${t.operator.distribution}${path}`);
    expectReply(reply, 200);
    return new X509Crl(reply.body).entries.map(({ serialNumber }) => serialNumber.toLowerCase());
  };
  const serial = first.serialNumber.toLowerCase();
  await eventually('the certificate is on the list', async () =>
    (await listed('/ns/team-a/crl/main.crl')).includes(serial) ? true : undefined,
  );
  for (const path of ['/crl/main.crl', '/ns/team-b/crl/main.crl']) expect(await listed(path)).not.toContain(serial);
});

test('a certificate points to the list and the CA of its own issuer, which are there', async () => {
  const acme = await t.client('main', 'team-a');
  const leaf = await readCertificate(acme, await issue(acme, t, [freshName()]));
  const pointers = [
    `${t.operator.distribution}/ns/team-a/crl/main.crl`,
    `${t.operator.distribution}/ns/team-a/ca/main.cer`,
  ];
  for (const url of pointers) expect(leaf.raw.toString('latin1')).toContain(url);
  const ca = new X509Certificate((await t.transport.request('GET', pointers[1] ?? '')).body);
  expect(leaf.verify(ca.publicKey)).toBe(true);
  for (const path of [
    '/ns/team-c/crl/main.crl',
    '/ns/team-c/ca/main.cer',
    '/ns/team-a/crl/other.crl',
    '/ns//ca/main.cer',
  ])
    expect((await t.transport.request('GET', `${t.operator.distribution}${path}`)).status).toBe(404);
});

test('without a policy that names its kind and namespace an issuer issues nothing', async () => {
  const { cluster } = t.operator;
  await cluster.create(NamespaceKind, { metadata: { name: 'others' } });
  await aTenantIssuer(t.operator, 'others');
  const acme = await t.client('main', 'others');
  const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([freshName()]) });
  expectProblem(reply, 'unauthorized/403');
  expect(reply.problem.detail).toMatch(/no policy is meant for .* to the issuer "others\/main" through ACME/);
});

test('Secrets are those of its namespace: a CA elsewhere is not found, and a self-signed one is made there', async () => {
  expect(await secretNames(t.operator, 'team-a')).toContain('main-ca');
  // The operator's CA has the same name, and is not it.
  const own = await t.operator.cluster.get(SecretKind, { namespace: NAMESPACE, name: 'main-ca' });
  const theirs = await t.operator.cluster.get(SecretKind, { namespace: 'team-a', name: 'main-ca' });
  expect(own?.data?.['tls.crt']).not.toBe(theirs?.data?.['tls.crt']);
  await aTenantIssuer(t.operator, 'team-c', { backend: { ca: { secretRef: { name: 'main-ca' } } } });
  expect(await readyOf('team-c', 'main')).toMatchObject({
    status: 'False',
    reason: 'SecretNotFound',
    message: 'there is no Secret main-ca',
  });
  const acme = await t.client('main', 'team-c');
  const order = await newOrder(acme, [freshName()]);
  expect(order.object.status).toBe('pending');
  expect(await secretNames(t.operator, 'team-c')).toEqual([]);
});

test('a Secret of its CA is noticed in its own namespace, and nowhere else', async () => {
  const name = 'later';
  await aTenantIssuer(t.operator, 'team-b', { name, backend: { ca: { secretRef: { name: 'later-ca' } } } });
  const ca = await t.operator.cluster.get(SecretKind, { namespace: 'team-b', name: 'main-ca' });
  const data = ca?.data ?? {};
  await t.operator.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name: 'later-ca' }, data });
  await t.operator.cluster.create(SecretKind, { metadata: { namespace: 'team-a', name: 'later-ca' }, data });
  expect(await readyOf('team-b', name)).toMatchObject({ reason: 'SecretNotFound' });
  await t.operator.cluster.create(SecretKind, { metadata: { namespace: 'team-b', name: 'later-ca' }, data });
  await eventually('the issuer is ready', async () =>
    (await readyOf('team-b', name))?.status === 'True' ? true : undefined,
  );
});

test('in the namespace of the operator a CAIssuer has no Secrets at all', async () => {
  const before = await secretNames(t.operator, NAMESPACE);
  await aTenantIssuer(t.operator, NAMESPACE, { name: 'sly', backend: { ca: { secretRef: { name: 'main-ca' } } } });
  await aTenantIssuer(t.operator, NAMESPACE, { name: 'maker' });
  for (const name of ['sly', 'maker'])
    expect(await readyOf(NAMESPACE, name)).toMatchObject({ status: 'False', reason: 'NamespaceForbidden' });
  expect(await secretNames(t.operator, NAMESPACE)).toEqual(before);
});

test('external account keys are looked for in its namespace alone', async () => {
  const keys = [{ keyID: 'kid-1', secretRef: { name: 'eab', key: 'mac' } }];
  const acmeSpec = { acme: { externalAccountBinding: { mode: 'Required' as const, keys } } };
  await aTenantIssuer(t.operator, 'team-a', { name: 'bound', ...acmeSpec });
  const stringData = { mac: EAB_KEYS['kid-1'] };
  await t.operator.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name: 'eab' }, stringData });
  const acme = await t.connect('bound', 'team-a');
  const bind = async () => {
    const key = createSigningKey();
    const externalAccountBinding = binding(acme, key);
    return acme.post(acme.directory.newAccount, { externalAccountBinding }, { jwkOf: key });
  };
  expectProblem(await bind(), 'unauthorized/403');
  await t.operator.cluster.create(SecretKind, { metadata: { namespace: 'team-a', name: 'eab' }, stringData });
  expectReply(await bind(), 201);
});

test('a claim names a CAIssuer of its own namespace only', async () => {
  await aTenantIssuer(t.operator, 'team-a', { name: 'only-here' });
  const claim = async (namespace: string) => {
    await t.operator.cluster.create(CertificateClaimKind, {
      metadata: { namespace, name: 'web' },
      spec: { secretName: 'web-tls', issuerRef: { kind: 'CAIssuer', name: 'only-here' }, dnsNames: [freshName()] },
    });
    return eventually(`the claim in ${namespace} is judged`, async () => {
      const found = await t.operator.cluster.get(CertificateClaimKind, { namespace, name: 'web' });
      return findCondition(found?.status?.conditions, 'Ready');
    });
  };
  expect(await claim('team-a')).toMatchObject({ status: 'True', reason: 'Issued' });
  const secret = await t.operator.cluster.get(SecretKind, { namespace: 'team-a', name: 'web-tls' });
  const leaf = new X509Certificate(Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64'));
  expect(leaf.issuer).toBe('CN=CA only-here of team-a');
  expect(await claim('team-b')).toMatchObject({
    status: 'False',
    reason: 'IssuerNotFound',
    message: 'there is no CAIssuer team-b/only-here: a claim may name a CAIssuer of its own namespace only',
  });
});

test('validation never contacts what is denied to all', async () => {
  const acme = await t.client('main', 'team-a');
  const name = freshName();
  t.dns.set(name, 'A', ['169.254.169.254']);
  const { object } = await newOrder(acme, [name]);
  const end = await attempt(acme, await challengeOf(acme, object.authorizations[0] ?? '', 'http-01'));
  expect(end).toMatchObject({ status: 'invalid' });
  expect(end.error?.detail).toContain('a link-local address, which validation never contacts');
});

test('an issuer that is gone is gone, and another of the same name knows nothing of it', async () => {
  await aTenantIssuer(t.operator, 'team-b', { name: 'passing' });
  const acme = await t.client('passing', 'team-b');
  const { order } = await issue(acme, t, [freshName()]);
  await t.operator.cluster.delete(CAIssuerKind, { namespace: 'team-b', name: 'passing' });
  await eventually('the directory is gone', async () =>
    (await t.transport.request('GET', acme.directoryUrl)).status === 404 ? true : undefined,
  );
  expectProblem(await acme.post(order.url, undefined), 'malformed/404');
  await aTenantIssuer(t.operator, 'team-b', { name: 'passing' });
  expectProblem(await acme.post(order.url, undefined), 'accountDoesNotExist/400');
  const again = await t.connect('passing', 'team-b');
  const reply = await again.post(again.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: acme.account.key });
  expectProblem(reply, 'accountDoesNotExist/400');
});
