// ClusterCAIssuer: a backend and how it is offered. One ACME directory each.
import { type Static, Type } from 'typebox';
import { AcmeBackend } from './acme-backend.ts';
import { CLUSTER_ISSUER_RULES, issuerRules } from './ca-issuer-rules.ts';
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

export const ChallengeType = Type.Enum(['http-01', 'dns-01', 'tls-alpn-01'], {
  description: 'An ACME challenge type.',
});

const ExternalAccountBinding = Closed(
  {
    mode: Type.Enum(['Optional', 'Required'], { description: 'Whether newAccount must carry a binding.' }),
    reuse: Type.Optional(
      Type.Enum(['Always', 'Never'], { description: 'Whether one key may bind several accounts; Always when absent.' }),
    ),
    keys: KeyedList(
      Closed({
        keyID: Type.String({
          pattern: '^[A-Za-z0-9._-]+$',
          maxLength: 128,
          minLength: 1,
          description: 'Key identifier given to the client.',
        }),
        secretRef: SecretKeyRef,
      }),
      'keyID',
      'MAC keys, each base64url text of at least 32 bytes in a Secret beside that of the CA.',
      256,
    ),
  },
  'External account binding, RFC 8555 section 7.3.4.',
);

const Acme = Closed(
  {
    challenges: Type.Optional(SetOf(ChallengeType, 'Challenge types offered; all three when absent.', 3)),
    termsOfService: Type.Optional(Text('URL of the terms that newAccount must agree to.', 2048)),
    website: Type.Optional(Text('URL shown in the directory.', 2048)),
    caa: Type.Optional(
      Closed(
        {
          identities: List(
            Text('Domain name that CAA records name.', 253),
            'Names by which CAA records permit this CA.',
            16,
          ),
          enforce: Type.Optional(
            Type.Boolean({
              description:
                'Check CAA records (RFC 8659, RFC 8657) before an authorization is valid and before signing.',
            }),
          ),
        },
        'Certification Authority Authorization.',
      ),
    ),
    externalAccountBinding: Type.Optional(ExternalAccountBinding),
    validation: Type.Optional(
      Closed(
        {
          nameservers: Type.Optional(
            List(Text('Address or address:port.', 64), 'DNS servers asked; the system resolver when absent.', 8),
          ),
          redirects: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 10,
              description: 'HTTP redirects followed by http-01; 0 when absent.',
            }),
          ),
        },
        'How challenges are validated.',
      ),
    ),
    orderDuration: Type.Optional(Duration('Life of an order; 24h when absent.')),
    authorizationDuration: Type.Optional(
      Duration('How long a valid authorization serves later orders; 24h when absent.'),
    ),
    finalizeTimeout: Type.Optional(
      Duration('How long finalize waits for the certificate before it answers processing; 10s when absent.'),
    ),
  },
  'How the issuer is offered over ACME.',
);

const Spec = Closed({
  backend: Closed(
    {
      acme: Type.Optional(AcmeBackend),
      ca: Type.Optional(CaBackend),
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
