// One object of each kind in which every field that has siblings stands among them: a value put at any field makes an object of which
// that value alone may be wrong. Fields that stand alone need no place here.
import { claim, record } from '../contract/cluster.ts';
import { PEM } from './verdict-values.ts';

type Body = { spec: object; status?: object };

/** Where one body cannot hold all fields, the others by the path below which they are used; the first that fits counts. */
interface Base extends Body {
  instead?: readonly (readonly [path: string, body: Body])[];
}

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

const binding = { mode: 'Optional', keys: [{ keyID: 'one', secretRef: secretKey }] };
const withAcme = (acme: object): Body => ({
  ...issuer,
  spec: { ...issuer.spec, acme, publishTrust: { configMap: { name: 'trust' } } },
});
const clusterOnly: Base['instead'] = [
  [
    'spec.acme.externalAccountBinding.keys[].namespace',
    withAcme({
      externalAccountBinding: { ...binding, keys: [{ keyID: 'one', secretRef: secretKey, scope: 'Namespace' }] },
    }),
  ],
  [
    'spec.acme.externalAccountBinding.mint.',
    withAcme({ externalAccountBinding: { mode: 'Optional', mint: { namespaceSelector: {}, secretName: 'eab' } } }),
  ],
  ['spec.acme.proof.podAddress.', withAcme({ proof: { podAddress: { enabled: true } } })],
  ['spec.publishTrust.', withAcme({})],
];

const webhook = {
  url: 'https://signer.test/sign',
  trustAnchors: PEM,
  authentication: { hmac: { secretRef: secretKey } },
};
const withWebhook = (more: object): Body => ({
  ...issuer,
  spec: { ...issuer.spec, backend: { webhook: { ...webhook, ...more } } },
});

const ejbca = {
  url: 'https://ejbca.test/ejbcaws',
  clientCertificateRef: { name: 'a' },
  trustAnchors: PEM,
  endEntityProfile: 'a',
  certificateProfile: 'a',
  caName: 'a',
  email: 'a@a.test',
};
const withEjbca = (more: object): Body => ({
  ...issuer,
  spec: { ...issuer.spec, backend: { ejbca: { ...ejbca, ...more } } },
});

const certbot = {
  config: 'server = https://ca.test/directory',
  trustAnchors: PEM,
  account: { keySecretRef: { name: 'a' }, externalAccountBinding: { keyID: 'a', secretRef: secretKey } },
};
const withCertbot = (more: object): Body => ({
  ...issuer,
  spec: { ...issuer.spec, backend: { certbot: { ...certbot, ...more } } },
});
const certbots: Base['instead'] = [
  ['spec.backend.certbot.configRef.', withCertbot({ config: undefined, configRef: secretKey })],
  ['spec.backend.certbot.caBundleRef.', withCertbot({ caBundleRef: { kind: 'Secret', ...secretKey } })],
  ['spec.backend.certbot.dns01.', withCertbot({ dns01: { plugin: 'a', credentialsSecretRef: secretKey } })],
  ['spec.backend.certbot.resources.', withCertbot({ resources: { requests: { cpu: '1' }, limits: { cpu: '1' } } })],
  ['spec.backend.certbot.imagePullSecrets[].', withCertbot({ imagePullSecrets: [{ name: 'a' }] })],
  ['spec.backend.certbot.', withCertbot({})],
];

const upstreamAccount = {
  keySecretRef: { name: 'a' },
  previousKeySecretRef: { name: 'b' },
  externalAccountBinding: { keyID: 'a', secretRef: secretKey },
};
const upstream = {
  directory: 'https://ca.test/directory',
  trustAnchors: PEM,
  account: upstreamAccount,
  preCheck: { enabled: true },
  backup: { directory: 'https://other.test/directory', account: upstreamAccount },
};
const withUpstream = (more: object): Body => ({
  ...issuer,
  spec: { ...issuer.spec, backend: { acme: { ...upstream, ...more } } },
});
const caBundleRef = { kind: 'Secret', ...secretKey };
const upstreams: Base['instead'] = [
  ['spec.backend.acme.caBundleRef.', withUpstream({ caBundleRef })],
  ['spec.backend.acme.backup.caBundleRef.', withUpstream({ backup: { ...upstream.backup, caBundleRef } })],
];
const solvers: Base['instead'] = [
  [
    'spec.backend.acme.dns01.acmeDNS.',
    withUpstream({ dns01: { acmeDNS: { url: 'https://dns.test', accountsSecretRef: secretKey } } }),
  ],
  [
    'spec.backend.acme.dns01.webhook.',
    withUpstream({ dns01: { webhook: { url: 'https://dns.test', hmac: { secretRef: secretKey } } } }),
  ],
  [
    'spec.backend.acme.',
    withUpstream({
      challenges: ['http-01'],
      dns01: { rfc2136: { nameserver: '192.0.2.1', tsig: { keyName: 'a', secretRef: secretKey } } },
    }),
  ],
];

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

const finished: Body = {
  spec: {
    ...recordSpec,
    approved: {
      subject: 'AAAA',
      usages: ['server auth'],
      notBefore: '2030-01-01T00:00:00Z',
      notAfter: '2030-04-01T00:00:00Z',
    },
    revocation: { reason: 0, revokedAt: '2030-01-01T00:00:00Z', by: 'x' },
  },
  ...(recordStatus ? { status: recordStatus } : {}),
};
const refusal = { type: 'x', detail: 'x', status: 403, refusedAt: '2030-01-01T00:00:00Z' };

const webhooks: Base['instead'] = [
  ['spec.backend.webhook.caBundleRef.', withWebhook({ caBundleRef: secretKey })],
  [
    'spec.backend.webhook.authentication.clientCertificateRef.',
    withWebhook({ authentication: { clientCertificateRef: { name: 'a' } } }),
  ],
  ['spec.backend.webhook.', withWebhook({})],
];

const BASES: Readonly<Record<string, Base>> = {
  ClusterCAIssuer: {
    ...issuer,
    instead: [
      ...clusterOnly,
      ...webhooks,
      ...upstreams,
      ...solvers,
      ...certbots,
      ['spec.backend.ejbca.caBundleRef.', withEjbca({ caBundleRef: { kind: 'Secret', ...secretKey } })],
      ['spec.backend.ejbca.caNameByKey.', withEjbca({ caNameByKey: { RSA: 'a', ECDSA: 'a', Ed25519: 'a' } })],
      ['spec.backend.ejbca.', withEjbca({})],
    ],
  },
  CAIssuer: { ...issuer, instead: [...webhooks, ...upstreams, ['spec.backend.acme.', withUpstream({})]] },
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
  IssuedCertificate: { ...finished, instead: [['status.refusal.', { ...finished, status: { refusal } }]] },
  Account: account,
  Authorization: authorization,
};

/** The object around a field. */
export function baseOf(kind: string, path: string): Body {
  const base = BASES[kind];
  if (!base) throw new Error(`there is no object of kind ${kind}`);
  const { instead = [], ...usual } = base;
  return instead.find(([below]) => path.startsWith(below))?.[1] ?? usual;
}
