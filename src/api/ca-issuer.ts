// ClusterCAIssuer: a backend and how it is offered. One ACME directory each.
import { type Static, Type } from 'typebox';
import { AcmeBackend } from './acme-backend.ts';
import { Acme } from './acme-offer.ts';
import { CLUSTER_ISSUER_RULES, issuerRules } from './ca-issuer-rules.ts';
import { CertbotBackend } from './certbot-backend.ts';
import { EjbcaBackend } from './ejbca-backend.ts';
import {
  Cidr,
  Closed,
  Conditions,
  Duration,
  GROUP,
  Instant,
  type Kind,
  type KubeObject,
  KeyedList,
  List,
  MatchLabels,
  SecretKeyRef,
  SecretRef,
  SetOf,
  Text,
  Usage,
  VERSION,
} from './kind.ts';
import { PublishTrust } from './publish-trust.ts';
import { WebhookBackend } from './webhook-backend.ts';

export const KeyParameters = Closed(
  {
    algorithm: Type.Enum(['RSA', 'ECDSA', 'Ed25519'], { description: 'Key algorithm.' }),
    size: Type.Optional(
      Type.Enum([256, 384, 521, 2048, 3072, 4096], {
        description:
          'Bits: 256 (default), 384 or 521 for ECDSA; 2048 (default), 3072 or 4096 for RSA; absent for Ed25519.',
      }),
    ),
  },
  'A key to make.',
);
export type KeyParameters = Static<typeof KeyParameters>;

const CaBackend = Closed(
  {
    secretRef: SecretRef,
    passphraseSecretRef: Type.Optional(SecretKeyRef),
    selfSigned: Type.Optional(
      Closed(
        {
          commonName: Text('Common name of the CA certificate.', 64),
          organization: Type.Optional(Text('Organization of the CA certificate.', 64)),
          duration: Type.Optional(Duration('Lifetime of the CA certificate; 87600h when absent.')),
          privateKey: Type.Optional(KeyParameters),
        },
        'Make a key and a self-signed CA certificate where the Secret does not exist. An existing Secret is never overwritten.',
      ),
    ),
    alternateChains: Type.Optional(
      List(
        SecretKeyRef,
        'PEM bundles, each another chain from the same CA key to another root; offered as alternate chains.',
        4,
      ),
    ),
    crlDuration: Type.Optional(Duration('Time from thisUpdate to nextUpdate of the CRL; 168h when absent.')),
  },
  'Sign with a CA key and certificate kept in a Secret (keys tls.key and tls.crt, the chain in tls.crt). Secrets of a CAIssuer are those of its own namespace, of a ClusterCAIssuer those of the namespace of the operator.',
);
export type CaBackendSpec = Static<typeof CaBackend>;

const Profile = Closed({
  name: Text('Name, offered to ACME clients as a profile.', 63),
  default: Type.Optional(Type.Boolean({ description: 'Used when a request names no profile.' })),
  description: Text('Sentence shown to clients in the directory.', 256),
  duration: Type.Optional(
    Closed(
      {
        default: Type.Optional(Duration('Lifetime when the request names none.')),
        max: Type.Optional(Duration('Longest lifetime.')),
      },
      'Lifetimes under this profile.',
    ),
  ),
  usages: Type.Optional(SetOf(Usage, 'Extended key usages of the certificate; server auth when absent.', 2)),
});
export type Profile = Static<typeof Profile>;

const Spec = Closed({
  backend: Closed(
    {
      acme: Type.Optional(AcmeBackend),
      ca: Type.Optional(CaBackend),
      certbot: Type.Optional(CertbotBackend),
      ejbca: Type.Optional(EjbcaBackend),
      webhook: Type.Optional(WebhookBackend),
    },
    'What signs. Exactly one.',
  ),
  deny: Type.Optional(
    Closed(
      {
        dnsNames: Type.Optional(List(Text('Pattern: * is one label, ** any depth.', 253), 'Names never issued.')),
        cidrs: Type.Optional(List(Cidr, 'Addresses never issued and never contacted by validation.')),
      },
      'Absolute refusals, judged before any policy.',
    ),
  ),
  subject: Type.Optional(
    Closed(
      {
        template: Text('Subject such as CN={dnsNames[0]},O=Example; inserted values are escaped.', 512),
        force: Type.Optional(Type.Boolean({ description: 'Use the template even where the CSR has a subject.' })),
      },
      'Subject of issued certificates. Without it: the CN of the CSR, else the shortest name of at most 64 characters.',
    ),
  ),
  profiles: Type.Optional(KeyedList(Profile, 'name', 'Profiles offered.', 32)),
  chain: Type.Optional(
    Closed(
      {
        trimRoot: Type.Optional(
          Type.Boolean({
            description:
              'Leave a self-signed root out of the chain; when absent, it is left out unless it is itself the issuing CA.',
          }),
        ),
        preferred: Type.Optional(
          List(Text('CN or SHA-256 fingerprint (hex) of a root.', 256), 'Roots by preference.', 8),
        ),
      },
      'The chain handed out.',
    ),
  ),
  acme: Type.Optional(Acme),
  allowedNamespaces: Type.Optional(
    Closed(
      {
        matchLabels: MatchLabels('Labels the namespace must have.'),
      },
      'Namespaces whose claims may use this issuer; all when absent.',
    ),
  ),
  defaults: Type.Optional(
    Closed(
      {
        duration: Type.Optional(Duration('Lifetime of certificates when nothing else says; 2160h when absent.')),
        renewBefore: Type.Optional(
          Duration('How long before expiry a claim renews; a third of the lifetime when absent.'),
        ),
        privateKey: Type.Optional(KeyParameters),
      },
      'Defaults for requests that leave these out.',
    ),
  ),
  publishTrust: Type.Optional(PublishTrust),
  reissueBefore: Type.Optional(
    Instant('Certificates issued before this instant are due for renewal now (ARI and claims).'),
  ),
  recordGrace: Type.Optional(Duration('How long a record outlives its certificate; 168h when absent.')),
  suspend: Type.Optional(
    Type.Boolean({ description: 'Refuse new orders and signatures for now (HTTP 503); reads go on.' }),
  ),
});

const ChainStatus = Closed({
  fingerprint: Text('SHA-256 of the concatenated DER certificates, hex.', 64),
  pem: Text('The chain above the leaf, PEM, issuing CA first, root last.', 65_536),
});

const Status = Closed({
  conditions: Type.Optional(Conditions),
  acme: Type.Optional(Closed({ directoryURL: Text('URL of the ACME directory.', 2048) })),
  ca: Type.Optional(
    Closed({
      subject: Text('Subject of the issuing certificate.', 1024),
      notAfter: Instant('Its expiry.'),
      fingerprint: Text('SHA-256 of it, hex.', 64),
    }),
  ),
  chains: Type.Optional(
    Type.Array(ChainStatus, { maxItems: 16, description: 'Chains of live certificates, the preferred one first.' }),
  ),
});

const Schema = Closed({ spec: Spec, status: Type.Optional(Status) });
export { Spec as ClusterIssuerSpec, Status as IssuerStatus };
export type CAIssuerSpec = Static<typeof Spec>;
export type CAIssuerStatus = Static<typeof Status>;
export type ClusterCAIssuer = KubeObject & Static<typeof Schema>;

export const ClusterCAIssuerKind: Kind<ClusterCAIssuer> = {
  group: GROUP,
  version: VERSION,
  kind: 'ClusterCAIssuer',
  plural: 'clustercaissuers',
  singular: 'clustercaissuer',
  shortNames: ['ccai'],
  namespaced: false,
  statusSubresource: true,
  schema: Schema,
  columns: [
    { name: 'Ready', jsonPath: '.status.conditions[?(@.type=="Ready")].status', type: 'string' },
    { name: 'Directory', jsonPath: '.status.acme.directoryURL', type: 'string' },
    { name: 'CA', jsonPath: '.status.ca.subject', type: 'string', wide: true },
    { name: 'CA expires', jsonPath: '.status.ca.notAfter', type: 'date', wide: true },
    { name: 'Status', jsonPath: '.status.conditions[?(@.type=="Ready")].message', type: 'string', wide: true },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description:
    'A certificate authority backend and how it is offered: one ACME directory each. Its Secrets live in the namespace of the operator.',
  rules: issuerRules,
  cel: CLUSTER_ISSUER_RULES,
};
