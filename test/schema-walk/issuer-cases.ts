// Effects of the fields of a ClusterCAIssuer and of a CAIssuer that the running program shows.
import 'reflect-metadata';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { X509Crl } from '@peculiar/x509';
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { SecretKind } from '../../src/api/core.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { CAIssuerKind, issuerKind } from '../../src/api/issuer.ts';
import { issuerPath, issuerRef } from '../../src/domain/issuer.ts';
import { createFakeStore, startWorld } from '../fakes/world.ts';
import { NAMESPACE } from '../operator/harness.ts';
import { binding, EAB_KEYS } from '../conformance/external-account-keys.ts';
import {
  attempt,
  challengeOf,
  finalize,
  identifiersOf,
  issue,
  newOrder,
  poll,
  readyOrder,
} from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { buildCaCertificate, createKeyPair, pemOf, privateKeyPem } from '../support/certificate-builder.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey, keyAuthorization } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { ABSENT, type FieldCase } from './field-case.ts';
import { leavesOf } from './leaves.ts';
import {
  aClaim,
  anIssuer,
  aSecret,
  clientOf,
  inNamespace,
  keyOf,
  lab,
  lifetime,
  registered,
  registeredAt,
  secretNamespace,
  uniqueName,
} from './lab.ts';

type Outcome = (spec: CAIssuerSpec) => Promise<unknown>;

const DAY = 86_400_000;
const IN_A_DAY = new Date(Date.now() + DAY).toISOString();

/** A CA of its own for each issuer, unless the base says otherwise. */
function issuer(path: string, values: readonly unknown[], outcome: Outcome, base: object = {}): FieldCase {
  const ca = { secretRef: { name: uniqueName('walk-ca') }, selfSigned: { commonName: 'Walk CA' } };
  return { kind: ClusterCAIssuerKind, path, base: { backend: { ca }, ...base }, values, outcome: fresh(outcome) };
}

/** Two runs must not share a CA: the second would find the Secret of the first. */
function fresh(outcome: Outcome): Outcome {
  return (spec) => {
    const { ca } = spec.backend;
    if (ca?.selfSigned && ca.secretRef.name.startsWith('walk-ca-')) ca.secretRef.name = uniqueName('walk-ca');
    return outcome(spec);
  };
}

const ready: Outcome = async (spec) => {
  const { status } = await anIssuer(spec);
  const { status: state, reason } = status?.conditions?.find(({ type }) => type === 'Ready') ?? {};
  return { state, reason };
};

const caCertificate = async (spec: CAIssuerSpec): Promise<X509Certificate> => {
  const { status } = await anIssuer(spec);
  return new X509Certificate(status?.chains?.[0]?.pem ?? '');
};

const directoryMeta: Outcome = async (spec) => (await clientOf(await anIssuer(spec))).directory.meta ?? {};

/** The certificate of an order for a fresh name, or the one given; PEM of the chain, and links to others. */
async function issuedBy(acme: AcmeWire, names = [freshName()], extra: object = {}) {
  const { certificateUrl, order } = await issue(acme, (await lab()).responders, names, extra);
  const reply = await acme.get(certificateUrl);
  const chain = reply.text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return { leaf: new X509Certificate(reply.text), chain: chain.map((pem) => new X509Certificate(pem)), reply, order };
}

const issuedLifetime: Outcome = async (spec) => lifetime((await issuedBy(await registered(spec))).leaf);

/** A key that signs, under two roots: Secrets with the CA and with the other chain, `good` and `bad` keys. */
async function crossSignedCa(): Promise<{ secretRef: { name: string } }> {
  const issuing = createKeyPair();
  const chain = (root: string, keys = createKeyPair()): string =>
    pemOf('CERTIFICATE', buildCaCertificate('Cross CA', issuing, { subject: root, keys })) +
    pemOf('CERTIFICATE', buildCaCertificate(root, keys));
  await aSecret('cross-ca', { 'tls.crt': chain('Root 1'), 'tls.key': privateKeyPem(issuing) });
  await aSecret('cross-chains', { 'second.pem': chain('Root 2'), 'third.pem': chain('Root 3') });
  await aSecret('cross-others', { 'second.pem': chain('Root 4') });
  return { secretRef: { name: 'cross-ca' } };
}

/** Roots on offer, the default first. */
const roots: Outcome = async (spec) => {
  const cross = await crossSignedCa();
  const acme = await registered({ ...spec, backend: { ca: { ...spec.backend.ca, ...cross } } });
  const { chain, reply } = await issuedBy(acme);
  const others = await Promise.all((reply.links.alternate ?? []).map((url) => acme.get(url)));
  const last = (text: string): string => {
    const pem = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.at(-1) ?? '';
    return new X509Certificate(pem).issuer;
  };
  return [chain.at(-1)?.issuer, ...others.map(({ text }) => last(text))];
};

const crossBase = (more: object = {}) => ({ backend: { ca: { secretRef: { name: 'cross-ca' }, ...more } } });

/** An encrypted CA key, with its passphrase and another one in Secrets. */
const encryptedCa: Outcome = async (spec) => {
  const keys = createKeyPair();
  const plain = createPrivateKey(privateKeyPem(keys));
  const sealed = plain.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' }) as string;
  await aSecret('sealed-ca', {
    'tls.crt': pemOf('CERTIFICATE', buildCaCertificate('Sealed CA', keys)),
    'tls.key': sealed,
  });
  await aSecret('phrases', { good: 'right', bad: 'wrong' });
  await aSecret('other-phrases', { good: 'wrong' });
  return ready(spec);
};

const sealedBase = {
  backend: { ca: { secretRef: { name: 'sealed-ca' }, passphraseSecretRef: { name: 'phrases', key: 'good' } } },
};

/** Status of newAccount, with a binding by key `one` whose MAC key is the first of ours. */
async function bind(acme: AcmeWire, kid = 'one'): Promise<number> {
  const key = createSigningKey();
  const externalAccountBinding = binding(acme, key, { kid, macKey: EAB_KEYS['kid-1'] });
  const payload = { termsOfServiceAgreed: true, externalAccountBinding };
  return (await acme.post(acme.directory.newAccount, payload, { jwkOf: key })).status;
}

const eabSecrets = async (): Promise<void> => {
  await aSecret('eab', { mac: EAB_KEYS['kid-1'], other: EAB_KEYS['kid-2'] });
  await aSecret('eab-others', { mac: EAB_KEYS['kid-2'] });
};
const bindOne: Outcome = async (spec) => {
  await eabSecrets();
  return bind(await clientOf(await anIssuer(spec)));
};
const eabBase = (more: object = {}) => ({
  acme: {
    externalAccountBinding: {
      mode: 'Required',
      keys: [{ keyID: 'one', secretRef: { name: 'eab', key: 'mac' } }],
      ...more,
    },
  },
});

/** How an http-01 challenge for the name ends. */
async function challenged(
  acme: AcmeWire,
  name: string,
  place: (token: string, answer: string) => void,
): Promise<string> {
  const { object } = await newOrder(acme, [name]);
  const challenge = await challengeOf(acme, object.authorizations[0] ?? '', 'http-01');
  place(challenge.token, keyAuthorization(challenge.token, acme.account.key));
  const end = await attempt(acme, challenge);
  return `${end.status} ${end.error?.type ?? ''}`;
}

const underCaa: Outcome = async (spec) => {
  const { responders } = await lab();
  const name = freshName();
  responders.dns.set(name, 'CAA', [{ tag: 'issue', value: 'pki.example.test' }]);
  return challenged(await registered(spec), name, (token, body) => responders.http01.set(token, { body }));
};

/** The first answer: a redirect that is not followed is tried again for up to a minute. */
const afterRedirect: Outcome = async (spec) => {
  const { http01 } = (await lab()).responders;
  const acme = await registered(spec);
  const { object } = await newOrder(acme, [freshName()]);
  const { token, url } = await challengeOf(acme, object.authorizations[0] ?? '', 'http-01');
  http01.setPath(`/elsewhere/${token}`, { body: keyAuthorization(token, acme.account.key) });
  http01.set(token, { status: 302, headers: { location: `/elsewhere/${token}` }, body: '' });
  return (await acme.post(url, {})).json.status;
};

/** Whose servers are asked shows in who was asked. */
const askedServers: Outcome = async (spec) => {
  const { responders } = await lab();
  const own = await startDnsServer();
  const name = freshName();
  const nameservers = spec.acme?.validation?.nameservers && [own.address];
  const acme = { ...spec.acme, ...(nameservers ? { validation: { nameservers } } : {}) };
  await challenged(await registered({ ...spec, acme }), name, (token, body) => responders.http01.set(token, { body }));
  const asked = [own.queries(name) > 0, responders.dns.queries(name) > 0];
  await own.stop();
  return asked;
};

const offered: Outcome = async (spec) => {
  const acme = await registered(spec);
  const { object } = await newOrder(acme, [freshName()]);
  const { challenges } = (await acme.get(object.authorizations[0] ?? '')).json;
  return challenges.map(({ type }) => type).toSorted();
};

/** Hours from now, rounded: the outcome must not depend on how fast the test runs. */
const hoursTo = (instant: string): number => Math.round((new Date(instant).getTime() - Date.now()) / 3_600_000);

/** A claim's certificate and status under an issuer of this spec. */
const claimUnder = async (spec: CAIssuerSpec, more: object = {}) => {
  const { kind, name } = issuerRef(await anIssuer(spec));
  return aClaim({ secretName: uniqueName('tls'), issuerRef: { kind, name }, dnsNames: [freshName()], ...more });
};

const renewalIn: Outcome = async (spec) => hoursTo((await claimUnder(spec)).claim.status?.renewalTime ?? '');

const claimKey: Outcome = async (spec) => {
  const { certificate } = await claimUnder(spec);
  return certificate ? keyOf(certificate) : 'none';
};

/** Subject of a certificate whose CSR asks for an organization. */
const subjectGiven: Outcome = async (spec) => {
  const acme = await registered(spec);
  const order = await readyOrder(acme, (await lab()).responders, ['subject.example.test']);
  const names = csrNames(order.object.identifiers);
  const csr = buildCsr({ names, commonName: 'subject.example.test' });
  await finalize(acme, order, csr.der);
  const { certificate } = (await acme.get(order.url)).json;
  return new X509Certificate((await acme.get(certificate ?? '')).text).subject;
};

/** Whether a record outlives its certificate by two days. */
const recordLeft: Outcome = async (spec) => {
  const store = createFakeStore();
  const { metadata } = await store.cluster.create(ClusterCAIssuerKind, { metadata: { name: 'corporate' }, spec });
  const world = await startWorld(store);
  const instant = (ms: number) => new Date(world.clock.now().getTime() + ms).toISOString();
  await store.cluster.create(IssuedCertificateKind, {
    metadata: { namespace: NAMESPACE, name: 'one' },
    spec: {
      requestID: 'one',
      door: 'ACME',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      issuerUID: metadata.uid,
      requester: {},
      names: ['dns:a.example.test'],
      csr: 'AAAA',
      policy: 'p',
      decisionID: 'd',
    },
    status: {
      certificate: 'AAAA',
      serial: '01',
      notBefore: instant(-DAY),
      notAfter: instant(DAY),
      issuedAt: instant(0),
      chain: 'c',
    },
  });
  await world.pass(3 * DAY, 6);
  const { items } = await store.cluster.list(IssuedCertificateKind);
  await world.stop();
  return items.length;
};

const profiles = (more: object = {}) => ({ profiles: [{ name: 'server', description: 'For servers', ...more }] });

const caCases = [
  issuer('spec.backend.ca.secretRef.name', ['first-ca', 'second-ca'], async (spec) => {
    const { cluster } = (await lab()).operator;
    const candidates = ['first-ca', 'second-ca'];
    const namespace = secretNamespace();
    for (const name of candidates) await cluster.delete(SecretKind, { namespace, name });
    await anIssuer(spec);
    const { items } = await cluster.list(SecretKind, { namespace });
    return items.map(({ metadata }) => metadata.name).filter((name) => candidates.includes(name));
  }),
  issuer('spec.backend.ca.passphraseSecretRef.name', ['phrases', 'other-phrases'], encryptedCa, sealedBase),
  issuer('spec.backend.ca.passphraseSecretRef.key', ['good', 'bad'], encryptedCa, sealedBase),
  issuer(
    'spec.backend.ca.selfSigned.commonName',
    ['One CA', 'Two CA'],
    async (spec) => (await caCertificate(spec)).subject,
  ),
  issuer(
    'spec.backend.ca.selfSigned.organization',
    ['One', ABSENT],
    async (spec) => (await caCertificate(spec)).subject,
  ),
  issuer('spec.backend.ca.selfSigned.duration', ['48h', ABSENT], async (spec) => lifetime(await caCertificate(spec))),
  issuer('spec.backend.ca.selfSigned.privateKey.algorithm', ['RSA', 'ECDSA', 'Ed25519'], async (spec) =>
    keyOf(await caCertificate(spec)),
  ),
  ...[['ECDSA', [256, 384, 521]] as const, ['RSA', [2048, 3072, 4096]] as const].map(([algorithm, sizes]) =>
    issuer('spec.backend.ca.selfSigned.privateKey.size', sizes, async (spec) => keyOf(await caCertificate(spec)), {
      backend: {
        ca: { secretRef: { name: 'walk-ca-x' }, selfSigned: { commonName: 'Walk CA', privateKey: { algorithm } } },
      },
    }),
  ),
  issuer(
    'spec.backend.ca.alternateChains[].name',
    ['cross-chains', 'cross-others'],
    roots,
    crossBase({ alternateChains: [{ key: 'second.pem' }] }),
  ),
  issuer(
    'spec.backend.ca.alternateChains[].key',
    ['second.pem', 'third.pem'],
    roots,
    crossBase({ alternateChains: [{ name: 'cross-chains' }] }),
  ),
  issuer('spec.backend.ca.crlDuration', ['24h', '48h'], async (spec) => {
    const { metadata } = await anIssuer(spec);
    const { operator, transport } = await lab();
    const { body } = await transport.request(
      'GET',
      `${operator.distribution}${issuerPath(metadata)}/crl/${metadata.name}.crl`,
    );
    const { thisUpdate, nextUpdate } = new X509Crl(body);
    return (nextUpdate?.getTime() ?? 0) - thisUpdate.getTime();
  }),
  issuer(
    'spec.chain.trimRoot',
    [true, false],
    async (spec) =>
      (await issuedBy(await registered({ ...spec, backend: { ca: await crossSignedCa() } }))).chain.length,
  ),
  issuer(
    'spec.chain.preferred',
    [['Root 1'], ['Root 2']],
    roots,
    crossBase({ alternateChains: [{ name: 'cross-chains', key: 'second.pem' }] }),
  ),
];

const certificateCases = [
  issuer('spec.subject.template', ['CN={dnsNames[0]}', 'CN={dnsNames[0]},O=Example'], subjectGiven, {
    subject: { force: true },
  }),
  issuer('spec.subject.force', [true, false], subjectGiven, { subject: { template: 'CN={dnsNames[0]},O=Example' } }),
  issuer('spec.profiles[].name', ['server', 'device'], directoryMeta, profiles()),
  issuer('spec.profiles[].description', ['For servers', 'For all'], directoryMeta, profiles()),
  issuer('spec.profiles[].default', [true, false], issuedLifetime, profiles({ duration: { default: '24h' } })),
  issuer('spec.profiles[].duration.default', ['24h', '48h'], issuedLifetime, profiles({ default: true })),
  issuer(
    'spec.profiles[].usages',
    [['server auth'], ['client auth'], ['server auth', 'client auth']],
    async (spec) => (await issuedBy(await registered(spec))).leaf.keyUsage,
    profiles({ default: true }),
  ),
  issuer('spec.defaults.duration', ['24h', '48h'], issuedLifetime),
  issuer('spec.defaults.renewBefore', ['24h', '240h'], renewalIn),
  issuer('spec.defaults.privateKey.algorithm', ['RSA', 'ECDSA', 'Ed25519'], claimKey),
  ...[['ECDSA', [256, 384, 521]] as const, ['RSA', [2048, 3072, 4096]] as const].map(([algorithm, sizes]) =>
    issuer('spec.defaults.privateKey.size', sizes, claimKey, { defaults: { privateKey: { algorithm } } }),
  ),
  issuer('spec.reissueBefore', [IN_A_DAY, ABSENT], renewalIn),
  issuer('spec.recordGrace', ['24h', '72h'], recordLeft),
];

const acmeCases = [
  issuer('spec.acme.challenges', [['http-01'], ['dns-01'], ['tls-alpn-01']], offered),
  issuer('spec.acme.termsOfService', ['https://a.test/terms', ABSENT], directoryMeta),
  issuer('spec.acme.website', ['https://a.test', 'https://b.test'], directoryMeta),
  issuer('spec.acme.caa.identities', [['pki.example.test'], ['other.test']], underCaa, {
    acme: { caa: { enforce: true } },
  }),
  issuer('spec.acme.caa.enforce', [true, false], underCaa, { acme: { caa: { identities: ['other.test'] } } }),
  issuer(
    'spec.acme.externalAccountBinding.mode',
    ['Optional', 'Required'],
    async (spec) => {
      await eabSecrets();
      const acme = await clientOf(await anIssuer(spec));
      return (await acme.post(acme.directory.newAccount, { termsOfServiceAgreed: true }, { jwkOf: createSigningKey() }))
        .status;
    },
    eabBase(),
  ),
  issuer(
    'spec.acme.externalAccountBinding.reuse',
    ['Always', 'Never'],
    async (spec) => {
      await eabSecrets();
      const acme = await clientOf(await anIssuer(spec));
      return [await bind(acme), await bind(acme)];
    },
    eabBase(),
  ),
  issuer('spec.acme.externalAccountBinding.keys[].keyID', ['one', 'two'], bindOne, eabBase()),
  issuer('spec.acme.externalAccountBinding.keys[].secretRef.name', ['eab', 'eab-others'], bindOne, eabBase()),
  issuer('spec.acme.externalAccountBinding.keys[].secretRef.key', ['mac', 'other'], bindOne, eabBase()),
  issuer('spec.acme.validation.nameservers', [['127.0.0.1:1'], ABSENT], askedServers),
  issuer('spec.acme.validation.redirects', [0, 1], afterRedirect),
  issuer('spec.acme.orderDuration', ['2h', '4h'], async (spec) =>
    hoursTo((await newOrder(await registered(spec), [freshName()])).object.expires),
  ),
  issuer('spec.acme.authorizationDuration', ['2h', '4h'], async (spec) => {
    const acme = await registered(spec);
    const order = await readyOrder(acme, (await lab()).responders, [freshName()]);
    return hoursTo((await acme.get(order.object.authorizations[0] ?? '')).json.expires);
  }),
  issuer('spec.acme.finalizeTimeout', ['0s', '60s'], async (spec) => {
    const acme = await registered(spec);
    const order = await readyOrder(acme, (await lab()).responders, [freshName()]);
    const csr = buildCsr({ names: csrNames(order.object.identifiers) });
    const first = (await finalize(acme, order, csr.der)).json.status;
    // Whatever the first answer, the certificate comes.
    await poll(acme, order.url, ({ status }) => status === 'valid');
    return first;
  }),
  issuer('spec.suspend', [true, false], async (spec) => {
    const { cluster } = (await lab()).operator;
    const issuer = await anIssuer({ ...spec, suspend: false });
    const acme = await registeredAt(issuer);
    const kind = issuerKind(issuer);
    const live = await cluster.get(kind, issuer.metadata);
    const suspend = spec.suspend ?? false;
    if (live) await cluster.replace(kind, { ...live, spec: { ...live.spec, suspend } });
    // The server reads a cache: it follows soon.
    return eventually('the issuer follows its spec', async () => {
      const { status } = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([freshName()]) });
      return (status === 503) === suspend ? status : undefined;
    });
  }),
];

const CLUSTER_CASES: readonly FieldCase[] = [...caCases, ...certificateCases, ...acmeCases];
const SHARED = new Set(leavesOf(CAIssuerKind).map(({ path }) => path));

/** Every case of a field that both kinds have is one of each. */
export const ISSUER_CASES: readonly FieldCase[] = [
  ...CLUSTER_CASES,
  ...CLUSTER_CASES.filter(({ path }) => SHARED.has(path)).map((each) => ({
    ...each,
    kind: CAIssuerKind,
    outcome: inNamespace(async (spec: never) => each.outcome(spec)),
  })),
];
