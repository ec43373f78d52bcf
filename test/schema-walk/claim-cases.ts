// Effects of the fields of a CertificateClaim: what the running program puts into the Secret and the status.
import { createSecureContext } from 'node:tls';
import { CertificateClaimKind, type CertificateClaimSpec } from '../../src/api/certificate-claim.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { SecretKind } from '../../src/api/core.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { NAMESPACE } from '../operator/harness.ts';
import { eventually } from '../support/eventually.ts';
import type { FieldCase } from './field-case.ts';
import { ABSENT } from './field-case.ts';
import { aClaim, anIssuer, type Claimed, keyOf, lab, lifetime, settledClaim, uniqueName } from './lab.ts';

type Outcome = (spec: CertificateClaimSpec) => Promise<unknown>;

const BASE = {
  secretName: 'tls',
  issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
  dnsNames: ['a.example.test', 'b.example.test'],
};

function claim(path: string, values: readonly unknown[], outcome: Outcome, base: object = {}): FieldCase {
  return { kind: CertificateClaimKind, path, base: { ...BASE, ...base }, values, outcome };
}

/** The claim with a Secret of its own. */
const claimed = (spec: CertificateClaimSpec): Promise<Claimed> => aClaim({ ...spec, secretName: uniqueName('tls') });

/** A property of the certificate, or why there is none. */
const certified =
  (read: (certificate: NonNullable<Claimed['certificate']>) => unknown): Outcome =>
  async (spec) => {
    const { certificate, claim: made } = await claimed(spec);
    return certificate ? read(certificate) : (made.status?.conditions ?? []).map(({ message }) => message);
  };

const names = certified(({ subjectAltName }) => subjectAltName);
const subject = certified((certificate) => certificate.subject);

const renewalIn: Outcome = async (spec) => {
  const { status } = (await claimed(spec)).claim;
  return Math.round((new Date(status?.renewalTime ?? '').getTime() - Date.now()) / 3_600_000);
};

/** Whether the key is another after the issuer had everything issued again. */
const keyAfterRenewal: Outcome = async (spec) => {
  const { cluster } = (await lab()).operator;
  const { metadata } = await anIssuer({
    backend: { ca: { secretRef: { name: uniqueName('ca') }, selfSigned: { commonName: 'Rotation CA' } } },
  });
  const issuerRef = { kind: 'ClusterCAIssuer' as const, name: metadata.name };
  const first = await claimed({ ...spec, issuerRef });
  const issuer = await cluster.get(ClusterCAIssuerKind, { name: metadata.name });
  const reissueBefore = new Date(Date.now() + 1000).toISOString();
  if (issuer) await cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, reissueBefore } });
  const second = await settledClaim(first.claim.metadata.name, (first.claim.status?.revision ?? 0) + 1);
  return first.secret?.data?.['tls.key'] === second.secret?.data?.['tls.key'];
};

const keysOf: Outcome = async (spec) => {
  await passwords();
  return Object.keys((await claimed(spec)).secret?.data ?? {}).toSorted();
};

const stores = (more: object): object => ({
  keystores: { pkcs12: { create: true, passwordSecretRef: { name: 'first-password', key: 'one' }, ...more } },
});

/** Two Secrets with two passwords each, all different. */
async function passwords(): Promise<void> {
  const { cluster } = (await lab()).operator;
  for (const [name, one, two] of [
    ['first-password', 'one', 'two'],
    ['second-password', 'three', 'four'],
  ] as const)
    await cluster.apply(
      SecretKind,
      { metadata: { namespace: 'default', name }, type: 'Opaque', stringData: { one, two } },
      { fieldManager: 'test' },
    );
}

async function storeOf(spec: CertificateClaimSpec): Promise<Buffer> {
  await passwords();
  return Buffer.from((await claimed(spec)).secret?.data?.['keystore.p12'] ?? '', 'base64');
}

/** Which of the passwords open the store. */
const opened: Outcome = async (spec) => {
  const pfx = await storeOf(spec);
  return ['one', 'two', 'three', 'four'].filter((passphrase) => {
    try {
      createSecureContext({ pfx, passphrase });
      return true;
    } catch {
      return false;
    }
  });
};

export const CLAIM_CASES: readonly FieldCase[] = [
  claim('spec.secretName', ['first-tls', 'second-tls'], async (spec) => {
    const { cluster } = (await lab()).operator;
    const { claim: made } = await aClaim(spec);
    const { items } = await cluster.list(SecretKind, { namespace: 'default' });
    const held = items.map(({ metadata }) => metadata.name).filter((name) => /^(first|second)-tls$/.test(name));
    await cluster.delete(CertificateClaimKind, made.metadata);
    for (const name of held) await cluster.delete(SecretKind, { namespace: 'default', name });
    return held;
  }),
  claim('spec.issuerRef.kind', ['ClusterCAIssuer', 'CAIssuer'], async (spec) => {
    const { cluster } = (await lab()).operator;
    const ca = { secretRef: { name: 'namesake-ca' }, selfSigned: { commonName: 'Namesake CA' } };
    await cluster.apply(
      CAIssuerKind,
      { metadata: { namespace: 'default', name: 'main' }, spec: { backend: { ca } } },
      { fieldManager: 'test' },
    );
    return certified(({ issuer }) => issuer)(spec);
  }),
  claim('spec.issuerRef.name', ['main', 'second'], async (spec) => {
    const { cluster } = (await lab()).operator;
    const ca = { secretRef: { name: 'second-issuer-ca' }, selfSigned: { commonName: 'Second CA' } };
    await cluster.apply(
      ClusterCAIssuerKind,
      { metadata: { name: 'second' }, spec: { backend: { ca } } },
      { fieldManager: 'test' },
    );
    return certified(({ issuer }) => issuer)(spec);
  }),
  claim('spec.commonName', ['a.example.test', 'b.example.test'], subject),
  ...['organizations', 'organizationalUnits', 'countries', 'provinces', 'localities'].map((field) =>
    claim(`spec.subject.${field}`, [['DE'], ['FR']], subject),
  ),
  claim('spec.dnsNames', [['a.example.test'], ['b.example.test']], names),
  claim('spec.ipAddresses', [['10.0.0.1'], ['10.0.0.2']], names),
  claim('spec.uris', [['spiffe://trust/a'], ['spiffe://trust/b']], names),
  claim('spec.emailAddresses', [['a@example.test'], ['b@example.test']], names),
  claim('spec.duration', ['24h', '48h'], certified(lifetime)),
  claim('spec.renewBefore', ['24h', '240h'], renewalIn),
  claim('spec.privateKey.algorithm', ['RSA', 'ECDSA', 'Ed25519'], certified(keyOf)),
  claim('spec.privateKey.size', [256, 384, 521], certified(keyOf), { privateKey: { algorithm: 'ECDSA' } }),
  claim('spec.privateKey.size', [2048, 3072, 4096], certified(keyOf), { privateKey: { algorithm: 'RSA' } }),
  claim('spec.rotationPolicy', ['Always', 'Never'], keyAfterRenewal),
  claim(
    'spec.usages',
    [['server auth'], ['client auth']],
    certified(({ keyUsage }) => keyUsage),
  ),
  claim('spec.secretTemplate.labels', [{ team: 'a' }, { team: 'b' }], async (spec) => {
    const { secret } = await claimed(spec);
    return secret?.metadata.labels ?? null;
  }),
  claim('spec.secretTemplate.annotations', [{ 'a.test/b': 'a' }, { 'a.test/b': 'b' }], async (spec) => {
    const { secret } = await claimed(spec);
    return secret?.metadata.annotations?.['a.test/b'] ?? null;
  }),
  claim(
    'spec.additionalOutputFormats',
    [['tls-combined.pem'], ['key.der', 'fullchain.pem'], ['chain.pem'], ABSENT],
    keysOf,
  ),
  claim('spec.keystores.pkcs12.create', [true, false], keysOf, stores({})),
  claim(
    'spec.keystores.pkcs12.friendlyName',
    ['first', 'second'],
    async (spec) => {
      // It stands beside the encrypted key too, in UTF-16 with the high byte first.
      const store = await storeOf(spec);
      return ['first', 'second'].filter((name) => store.includes(Buffer.from(name, 'utf16le').swap16()));
    },
    stores({}),
  ),
  claim('spec.keystores.pkcs12.passwordSecretRef.name', ['first-password', 'second-password'], opened, stores({})),
  claim('spec.keystores.pkcs12.passwordSecretRef.key', ['one', 'two'], opened, stores({})),
  claim('spec.revokeOnDelete', [true, false], async (spec) => {
    const { cluster } = (await lab()).operator;
    const { metadata, status } = (await claimed(spec)).claim;
    await cluster.delete(CertificateClaimKind, metadata);
    await eventually(
      'the claim is gone',
      async () => !(await cluster.get(CertificateClaimKind, metadata)) || undefined,
    );
    const record = await cluster.get(IssuedCertificateKind, { namespace: NAMESPACE, name: status?.record ?? '' });
    return record?.spec.revocation?.reason ?? null;
  }),
  claim('spec.profile', ['short', ABSENT], async (spec) => {
    const { metadata } = await anIssuer({
      backend: { ca: { secretRef: { name: uniqueName('ca') }, selfSigned: { commonName: 'Profile CA' } } },
      profiles: [{ name: 'short', description: 'Short', duration: { default: '24h' } }],
    });
    return certified(lifetime)({ ...spec, issuerRef: { kind: 'ClusterCAIssuer', name: metadata.name } });
  }),
];
