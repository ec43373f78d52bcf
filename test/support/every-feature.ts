// One run through every feature of a running operator, each step waited for in the state of the world.
import { AccountKind, AuthorizationKind } from '../../src/api/acme.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CAIssuerKind, type Issuer } from '../../src/api/issuer.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { ConfigMapKind, EventKind, SecretKind } from '../../src/api/core.ts';
import { IssuedCertificateKind, isIssued, RecordAnnotation } from '../../src/api/issued-certificate.ts';
import { parsePemCertificates } from '../../src/domain/chain.ts';
import { createChainStore } from '../../src/issuance/chains.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { apiServerAddresses } from '../../src/commands/api-server-addresses.ts';
import { LEADER_LEASE } from '../../src/commands/rights.ts';
import { loadKeyring, rotateOnce } from '../../src/commands/sealing-keys.ts';
import { createServingTls } from '../../src/commands/serving-tls.ts';
import { isTrue } from '../../src/domain/conditions.ts';
import type { Cluster } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createEventRecorder } from '../../src/runtime/event-recorder.ts';
import { createLeaderElection } from '../../src/runtime/leader-election.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createCapturingLog } from '../fakes/log.ts';
import { readCertificate } from '../conformance/certificates.ts';
import { binding, EAB_KEYS } from '../conformance/external-account-keys.ts';
import type { HarnessOptions } from '../operator/harness.ts';
import { expectStatus, issue, newOrder, readyOrder, register, type Responders } from './acme-flow.ts';
import type { AcmeWire } from './acme-wire.ts';
import { buildCaCertificate, createKeyPair, pemOf, privateKeyPem } from './certificate-builder.ts';
import { eventually } from './eventually.ts';
import { signUpstream } from './upstream-feature.ts';
import { startWebhookPeer } from './webhook-peer.ts';
import { createJumpingClock, type JumpingClock } from './jumping-clock.ts';
import { base64url, createSigningKey, signJws } from './jws.ts';

export interface Stage {
  /** Somebody who may do anything. */
  admin: Cluster;
  /** What the operator itself goes through. */
  operator: Cluster;
  /** The operator's namespace, and one that is served. */
  namespace: string;
  tenant: string;
  /** Connected to issuer `main`, which has ISSUER, without an account. */
  acme: AcmeWire;
  responders: Responders;
  /** The operator's. */
  clock: JumpingClock;
}

export const ISSUER: NonNullable<HarnessOptions['issuer']> = {
  acme: {
    externalAccountBinding: {
      mode: 'Optional',
      reuse: 'Never',
      keys: [{ keyID: 'kid-1', secretRef: { name: 'eab-keys', key: 'kid-1' } }],
    },
  },
};

const DAY_MS = 24 * 3_600_000;
const SWEEP_MS = 20 * 60_000;

export async function useEveryFeature(stage: Stage): Promise<void> {
  await bindExternally(stage);
  await issueAndRevoke(stage);
  await changeAccount(stage);
  await decideAuthorizations(stage);
  await claim(stage);
  await claimForAWhile(stage);
  await offerOwnIssuer(stage);
  await signElsewhere(stage);
  await trustByConfigMap(stage);
  await signUpstream({ ...stage, operator: stage.namespace });
  await keepNewChain(stage);
  await lead(stage);
  await replicate(stage);
  await repeat(stage);
  await expire(stage);
}

async function bindExternally({ admin, namespace, acme }: Stage): Promise<void> {
  const data = { 'kid-1': Buffer.from(EAB_KEYS['kid-1']).toString('base64') };
  await admin.create(SecretKind, { metadata: { namespace, name: 'eab-keys' }, type: 'Opaque', data });
  const bound = acme.another();
  const key = createSigningKey();
  const reply = await register(bound, key, { externalAccountBinding: binding(bound, key) });
  if (reply.status !== 201) throw new Error(`the bound account was not made: ${reply.text}`);
}

async function issueAndRevoke({ admin, namespace, acme, responders }: Stage): Promise<void> {
  await register(acme);
  const issued = await issue(acme, responders, ['www.every.test', 'other.every.test']);
  const leaf = await readCertificate(acme, issued);
  const revocation = { certificate: base64url(leaf.raw) };
  expectStatus(await acme.post(acme.directory.revokeCert, revocation), 200, 'revokeCert');
  const { items } = await admin.list(IssuedCertificateKind, { namespace });
  if (!items.some(({ spec }) => spec.revocation)) throw new Error('no record is revoked');
}

async function changeAccount({ acme }: Stage): Promise<void> {
  const { key, url } = acme.account;
  expectStatus(await acme.post(url, { contact: ['mailto:pki@every.test'] }), 200, 'a new contact');
  const next = createSigningKey();
  const inner = signJws(
    next,
    { alg: next.alg, jwk: next.jwk, url: acme.directory.keyChange },
    { account: url, oldKey: key.jwk },
  );
  expectStatus(await acme.post(acme.directory.keyChange, inner), 200, 'keyChange');
  acme.account = { key: next, url };
}

async function decideAuthorizations({ admin, namespace, acme, responders }: Stage): Promise<void> {
  const valid = await readyOrder(acme, responders, ['valid.every.test']);
  const pending = await newOrder(acme, ['pending.every.test']);
  for (const { object } of [valid, pending]) {
    const reply = await acme.post(object.authorizations[0] ?? '', { status: 'deactivated' });
    expectStatus(reply, 200, 'deactivating an authorization');
  }
  const { items } = await admin.list(AuthorizationKind, { namespace });
  const deactivated = items.filter(({ spec }) => spec.outcome === 'deactivated');
  if (deactivated.length !== 2) throw new Error(`${deactivated.length} authorizations are deactivated`);
}

async function claim({ admin, tenant: namespace }: Stage): Promise<void> {
  const ref = { namespace, name: 'shop' };
  const spec = {
    secretName: 'shop-tls',
    issuerRef: { kind: 'ClusterCAIssuer' as const, name: 'main' },
    dnsNames: ['shop.every.test'],
  };
  await admin.create(CertificateClaimKind, { metadata: ref, spec });
  await untilRevision(admin, ref, 1);
  await eventually('the claim has other names', async () => {
    const current = await admin.get(CertificateClaimKind, ref);
    if (!current) throw new Error('the claim is gone');
    const dnsNames = ['shop.every.test', 'store.every.test'];
    return admin
      .replace(CertificateClaimKind, { ...current, spec: { ...current.spec, dnsNames } })
      .catch(() => undefined);
  });
  await untilRevision(admin, ref, 2);
  if (!(await admin.get(SecretKind, { namespace, name: spec.secretName }))) throw new Error('there is no Secret');
}

/** With a store, and revoked when it goes. */
async function claimForAWhile({ admin, namespace: home, tenant: namespace }: Stage): Promise<void> {
  const [ref, password] = [
    { namespace, name: 'popup' },
    { namespace, name: 'popup-password' },
  ];
  await admin.create(SecretKind, { metadata: password, type: 'Opaque', stringData: { password: 'correct horse' } });
  const spec = {
    secretName: 'popup-tls',
    issuerRef: { kind: 'ClusterCAIssuer' as const, name: 'main' },
    dnsNames: ['popup.every.test'],
    keystores: { pkcs12: { create: true, passwordSecretRef: { name: password.name, key: 'password' } } },
    revokeOnDelete: true,
  };
  await admin.create(CertificateClaimKind, { metadata: ref, spec });
  const { record = '' } = await untilRevision(admin, ref, 1);
  await admin.delete(CertificateClaimKind, ref);
  await eventually('the claim is gone', async () => ((await admin.get(CertificateClaimKind, ref)) ? undefined : true));
  const { spec: kept } = (await admin.get(IssuedCertificateKind, { namespace: home, name: record })) ?? {};
  if (kept?.revocation?.reason !== 5) throw new Error('the certificate of the claim that went is not revoked');
}

async function untilRevision(admin: Cluster, ref: { namespace: string; name: string }, revision: number) {
  return eventually(`the claim has revision ${revision}`, async () => {
    const { status } = (await admin.get(CertificateClaimKind, ref)) ?? {};
    return status?.revision === revision ? status : undefined;
  });
}

async function offerOwnIssuer({ admin, tenant: namespace }: Stage): Promise<void> {
  const spec = { backend: { ca: { secretRef: { name: 'team-ca' }, selfSigned: { commonName: 'Team CA' } } } };
  await admin.create(CAIssuerKind, { metadata: { namespace, name: 'team' }, spec });
  await eventually('the issuer of a tenant is ready', async () => {
    const { status } = (await admin.get(CAIssuerKind, { namespace, name: 'team' })) ?? {};
    return isTrue(status?.conditions, 'Ready') || undefined;
  });
}

/** A CA elsewhere: the record is reserved, the key staged, and both are finished; the revocation is carried there. */
async function signElsewhere({ admin, namespace: operator, tenant: namespace }: Stage): Promise<void> {
  const peer = await startWebhookPeer();
  try {
    for (const [name, stringData] of Object.entries(peer.secrets))
      await admin.create(SecretKind, { metadata: { namespace: operator, name }, type: 'Opaque', stringData });
    await admin.create(ClusterCAIssuerKind, {
      metadata: { name: 'elsewhere' },
      spec: { backend: { webhook: peer.spec } },
    });
    const ref = { namespace, name: 'far' };
    const issuerRef = { kind: 'ClusterCAIssuer' as const, name: 'elsewhere' };
    const spec = { secretName: 'far-tls', issuerRef, dnsNames: ['far.every.test'] };
    await admin.create(CertificateClaimKind, { metadata: ref, spec });
    await untilRevision(admin, ref, 1);
    // Or it would have another certificate made for the one that is revoked.
    await admin.delete(CertificateClaimKind, ref);
    const records = (await admin.list(IssuedCertificateKind, { namespace: operator })).items;
    const record = records.find((each) => each.spec.approved && isIssued(each));
    if (!record) throw new Error('no record was reserved and finished');
    const revocation = { reason: 4, revokedAt: new Date().toISOString(), by: 'somebody' };
    await admin.replace(IssuedCertificateKind, { ...record, spec: { ...record.spec, revocation } });
    await eventually('the revocation is carried', async () => {
      const { metadata } = (await admin.get(IssuedCertificateKind, record.metadata)) ?? {};
      return metadata?.annotations?.[RecordAnnotation.revocation] === 'Done' || undefined;
    });
  } finally {
    await peer.close();
  }
}

/** A CA elsewhere whose server certificate is trusted by what stands in a ConfigMap. Nobody listens there. */
async function trustByConfigMap({ admin, namespace }: Stage): Promise<void> {
  const keys = createKeyPair();
  const ca = pemOf('CERTIFICATE', buildCaCertificate('Bundled CA', keys));
  const pair = { 'tls.crt': ca, 'tls.key': privateKeyPem(keys) };
  await admin.create(SecretKind, { metadata: { namespace, name: 'ejbca-client' }, type: 'Opaque', stringData: pair });
  await admin.create(ConfigMapKind, { metadata: { namespace, name: 'ejbca-ca' }, data: { 'ca.crt': ca } });
  const ejbca = {
    url: 'https://127.0.0.1:1/ejbcaws',
    clientCertificateRef: { name: 'ejbca-client' },
    caBundleRef: { kind: 'ConfigMap' as const, name: 'ejbca-ca', key: 'ca.crt' },
    trustAnchors: ca,
    endEntityProfile: 'x',
    certificateProfile: 'x',
    caName: 'x',
  };
  await admin.create(ClusterCAIssuerKind, { metadata: { name: 'bundled' }, spec: { backend: { ejbca } } });
  await eventually('the issuer is judged', async () => {
    const { status } = (await admin.get(ClusterCAIssuerKind, { name: 'bundled' })) ?? {};
    return status?.conditions?.some(({ reason }) => reason === 'Unreachable') || undefined;
  });
  await admin.delete(ClusterCAIssuerKind, { name: 'bundled' });
}

/** A replica that signs with a new CA before the issuer's status has its chain: here, by a look at the issuer from before any. */
async function keepNewChain({ operator, admin, tenant: namespace }: Stage): Promise<void> {
  const issuers = [
    await admin.get(ClusterCAIssuerKind, { name: 'main' }),
    await admin.get(CAIssuerKind, { namespace, name: 'team' }),
  ];
  for (const issuer of issuers) await keepChainOf(issuer, operator);
}

async function keepChainOf(issuer: Issuer | undefined, operator: Cluster): Promise<void> {
  const [pem = ''] = issuer?.status?.chains?.map((chain) => chain.pem) ?? [];
  if (!issuer) throw new Error('there is no issuer');
  const { status: _none, ...before } = issuer;
  await createChainStore({ cluster: operator, inUse: () => new Set() }).keep(before, [
    ...parsePemCertificates(pem),
    ...parsePemCertificates(pem),
  ]);
}

/** Wins the lease, and gives it back. */
async function lead({ operator, namespace }: Stage): Promise<void> {
  const done = new AbortController();
  const election = createLeaderElection({
    cluster: operator,
    clock: createClock(),
    random: createRandom(),
    log: createCapturingLog(),
    namespace,
    name: LEADER_LEASE,
    identity: 'one',
  });
  await election.run(async () => done.abort(), done.signal);
}

/** What only `serve` does: looks for the API server, makes its certificate and renews it for another name, turns its keys over. */
async function replicate({ operator: cluster, namespace }: Stage): Promise<void> {
  const [clock, random, log] = [createJumpingClock(), createRandom(), createCapturingLog()];
  await apiServerAddresses({ cluster, server: new URL('https://127.0.0.1') }, (what, error) => {
    throw new Error(`${what} cannot be found out`, { cause: error });
  });
  const secrets = createSecretReader(cluster, namespace);
  const deps = { cluster, namespace, clock, random, log };
  let taken = 0;
  const tlsFor = (name: string) =>
    createServingTls({
      ...deps,
      secrets,
      secretName: undefined,
      names: { dnsNames: [name], ipAddresses: [] },
      use: () => void taken++,
    });
  await tlsFor('one.every.test').refresh();
  const renewing = new AbortController();
  const other = tlsFor('two.every.test');
  const renewed = other.renew(renewing.signal);
  await eventually('the certificate is renewed', async () => {
    await other.refresh();
    return taken > 2 ? true : undefined;
  });
  renewing.abort();
  await renewed;
  const keyring = await loadKeyring(deps);
  clock.jump(100 * DAY_MS);
  await rotateOnce({ ...deps, keyring, rotateAfterMs: 90 * DAY_MS, longestOrderMs: () => DAY_MS, macs: () => [] });
}

/** What goes on happening becomes a series of one Event. */
async function repeat({ operator, admin, tenant: namespace }: Stage): Promise<void> {
  const log = createCapturingLog();
  const events = createEventRecorder({
    cluster: operator,
    clock: createClock(),
    random: createRandom(),
    log,
    instance: 'one',
  });
  const about = [
    await admin.get(CertificateClaimKind, { namespace, name: 'shop' }),
    await admin.get(ClusterCAIssuerKind, { name: 'main' }),
  ];
  for (let times = 0; times < 2; times++) {
    for (const object of about) if (object) events.event(object, 'Warning', 'Repeated', 'this goes on');
    await events.drain();
  }
  await events.flush();
  if (log.lines.length > 0) throw new Error(`Events were not recorded: ${JSON.stringify(log.lines)}`);
  const { items } = await admin.list(EventKind);
  const series = items.filter(({ reason, series: more }) => reason === 'Repeated' && more?.count === 2);
  if (series.length !== 2) throw new Error(`${series.length} Events are series`);
}

/** Everything expires, and goes; the account that is bound externally stays. */
async function expire({ admin, namespace, clock }: Stage): Promise<void> {
  const before = await admin.list(IssuedCertificateKind, { namespace });
  const old = new Set(before.items.map(({ metadata }) => metadata.name));
  clock.jump(500 * DAY_MS);
  await eventually('what has expired is gone', async () => {
    clock.jump(SWEEP_MS);
    const records = await admin.list(IssuedCertificateKind, { namespace });
    const authorizations = await admin.list(AuthorizationKind, { namespace });
    const accounts = await admin.list(AccountKind, { namespace });
    const due = [
      ...records.items.filter(({ metadata }) => old.has(metadata.name)),
      ...authorizations.items,
      ...accounts.items.filter(({ spec }) => spec.contact !== undefined),
    ];
    return due.length === 0 ? true : undefined;
  });
}
