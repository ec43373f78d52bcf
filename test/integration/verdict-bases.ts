// One object of each kind in which every field that has siblings stands among them: a value put at any field makes an object of which
// that value alone may be wrong. Fields that stand alone need no place here.
import { claim, record } from '../contract/cluster.ts';

type Body = { spec: object; status?: object };

const secretKey = { name: 'a', key: 'b' };
const condition = {
  type: 'Ready',
  status: 'True',
  reason: 'Ready',
  message: '',
  lastTransitionTime: '2030-01-01T00:00:00Z',
};

const issuer: Body = {
  spec: {
    backend: {
      ca: {
        secretRef: { name: 'ca' },
        passphraseSecretRef: secretKey,
        selfSigned: { commonName: 'x', privateKey: { algorithm: 'RSA' } },
        alternateChains: [secretKey],
      },
    },
    subject: { template: 'CN={names[0]}' },
    defaults: { privateKey: { algorithm: 'RSA' } },
    profiles: [{ name: 'server', description: 'x' }],
    acme: {
      caa: { identities: ['pki.example'] },
      externalAccountBinding: { mode: 'Optional', keys: [{ keyID: 'one', secretRef: secretKey }] },
    },
  },
  status: {
    conditions: [condition],
    acme: { directoryURL: 'https://x' },
    ca: { subject: 'x', notAfter: '2030-01-01T00:00:00Z', fingerprint: 'ab' },
    chains: [{ fingerprint: 'ab', pem: 'x' }],
  },
};

const policy: Body = {
  spec: {
    selector: {
      issuerRef: { kind: 'CAIssuer', namespace: 'x' },
      sources: { cidrs: ['10.0.0.0/8'] },
      namespace: { matchNames: ['x'] },
    },
    allowed: {
      commonName: { value: 'a.test' },
      dnsNames: { values: ['a.test'] },
      ipAddresses: { cidrs: ['10.0.0.0/8'] },
      uris: { values: ['urn:a'] },
      emailAddresses: { values: ['a@b.test'] },
      subject: Object.fromEntries(
        ['organizations', 'organizationalUnits', 'countries', 'provinces', 'localities'].map((name) => [
          name,
          { values: ['x'] },
        ]),
      ),
      validations: [{ rule: 'true' }],
    },
    constraints: { privateKey: [{ algorithm: 'RSA' }] },
  },
  status: { conditions: [condition] },
};

const account: Body = {
  spec: {
    issuerUID: 'x',
    thumbprint: 'x',
    spkiHash: 'x',
    jwk: { kty: 'EC' },
    externalAccountBinding: { keyID: 'x', jws: '{}' },
    mac: 'x',
  },
};

const authorization: Body = {
  spec: {
    orderID: 'x',
    index: 0,
    account: 'x',
    issuerUID: 'x',
    identifier: { type: 'dns', value: 'a.test' },
    wildcard: false,
    outcome: 'valid',
    expires: '2030-01-01T00:00:00Z',
    mac: 'x',
  },
};

const { spec: claimSpec } = claim('default', 'x');
const { spec: recordSpec, status: recordStatus } = record('default', 'x');

/** By kind. */
export const BASES: Readonly<Record<string, Body>> = {
  ClusterCAIssuer: issuer,
  CAIssuer: issuer,
  CertificateRequestPolicy: policy,
  CertificateClaim: {
    spec: {
      ...claimSpec,
      privateKey: { algorithm: 'RSA' },
      secretTemplate: { labels: { a: 'b' }, annotations: { a: 'b' } },
      keystores: { pkcs12: { create: true, passwordSecretRef: secretKey } },
    },
    status: { conditions: [condition] },
  },
  IssuedCertificate: {
    spec: { ...recordSpec, revocation: { reason: 0, revokedAt: '2030-01-01T00:00:00Z', by: 'x' } },
    status: recordStatus,
  },
  Account: account,
  Authorization: authorization,
};
