// CertificateClaim: "keep me a certificate for these names in this Secret".
import { type Static, Type } from 'typebox';
import { FRIENDLY_NAME } from '../domain/pkcs12.ts';
import { CLAIM_RULES, claimRules } from './certificate-claim-rules.ts';
import { KeyParameters } from './ca-issuer.ts';
import {
  Closed,
  Conditions,
  Duration,
  GROUP,
  Instant,
  IssuerRef,
  type Kind,
  type KubeObject,
  List,
  MatchLabels,
  Name,
  SecretKeyRef,
  SetOf,
  Text,
  Usage,
  VERSION,
  Whole,
} from './kind.ts';

const Values = (what: string) => Type.Optional(List(Text(what, 128), what, 8));

const OutputFormat = Type.Enum(['tls-combined.pem', 'key.der', 'fullchain.pem', 'chain.pem'], {
  description: 'A key of the Secret.',
});
export type OutputFormat = Static<typeof OutputFormat>;

const SecretTemplate = Closed(
  {
    labels: Type.Optional(MatchLabels('Labels of the Secret.')),
    annotations: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 4096 }), {
        maxProperties: 32,
        description: 'Annotations of the Secret.',
      }),
    ),
  },
  'Labels and annotations to keep at the Secret; those taken out here are taken off there. Prefixes of countersign.dev, kubernetes.io and k8s.io are reserved, app.kubernetes.io apart.',
);

const Pkcs12 = Closed(
  {
    create: Type.Boolean({ description: 'Whether to keep the stores.' }),
    profile: Type.Optional(
      Type.Enum(['Modern2023'], {
        description: 'Algorithms: AES-256-CBC, PBKDF2-HMAC-SHA-256 and HMAC-SHA-256; Modern2023 when absent.',
      }),
    ),
    friendlyName: Type.Optional(
      Type.String({
        pattern: FRIENDLY_NAME,
        minLength: 1,
        maxLength: 64,
        accepts: 'printable ASCII without a space at either end',
        description: 'Name of the key in the store; none when absent.',
      }),
    ),
    passwordSecretRef: Closed(
      SecretKeyRef.properties,
      "The password of the stores, printable ASCII, in a Secret of the claim's namespace, of type Opaque or kubernetes.io/basic-auth.",
    ),
  },
  'keystore.p12 with key and chain, and truststore.p12 with the root where that is known.',
);

const Spec = Closed({
  secretName: Name('Secret of type kubernetes.io/tls to keep: tls.crt, tls.key, and ca.crt where the root is known.'),
  secretTemplate: Type.Optional(SecretTemplate),
  additionalOutputFormats: Type.Optional(
    SetOf(
      OutputFormat,
      'Further keys of the Secret: tls-combined.pem is key and chain in one, key.der the key as PKCS#8, fullchain.pem the whole chain and chain.pem that without the leaf.',
      4,
    ),
  ),
  keystores: Type.Optional(
    Closed({ pkcs12: Type.Optional(Pkcs12) }, 'Stores to keep in the Secret beside the PEM files.'),
  ),
  issuerRef: IssuerRef,
  commonName: Type.Optional(Text('Common name; must be one of the names.', 64)),
  subject: Type.Optional(
    Closed(
      {
        organizations: Values('Organization.'),
        organizationalUnits: Values('Organizational unit.'),
        countries: Values('Country, two letters.'),
        provinces: Values('Province.'),
        localities: Values('Locality.'),
      },
      'Subject attributes asked for.',
    ),
  ),
  dnsNames: Type.Optional(List(Text('DNS name.', 253), 'DNS names.', 100)),
  ipAddresses: Type.Optional(List(Text('IP address.', 45), 'IP addresses.', 100)),
  uris: Type.Optional(List(Text('URI.', 1024), 'URIs.', 16)),
  emailAddresses: Type.Optional(List(Text('E-mail address.', 254), 'E-mail addresses.', 16)),
  duration: Type.Optional(Duration('Lifetime asked for; clamped to what issuer and policy permit.')),
  renewBefore: Type.Optional(Duration('How long before expiry to renew; a third of the actual lifetime when absent.')),
  privateKey: Type.Optional(KeyParameters),
  rotationPolicy: Type.Optional(
    Type.Enum(['Always', 'Never'], { description: 'Whether a renewal makes a new key; Always when absent.' }),
  ),
  usages: Type.Optional(SetOf(Usage, 'Extended key usages; server auth when absent.', 2)),
  profile: Type.Optional(Text('Profile of the issuer.', 63)),
  revokeOnDelete: Type.Optional(
    Type.Boolean({
      description:
        'Whether to revoke the certificates of the claim that are still valid when it is deleted; false when absent.',
    }),
  ),
});

const Status = Whole({
  conditions: Type.Optional(Conditions),
  revision: Type.Optional(Type.Integer({ minimum: 0, description: 'Counts certificates issued for this claim.' })),
  refusedRevision: Type.Optional(
    Type.Integer({ minimum: 0, description: 'The last revision that a CA refused; the next attempt is another.' }),
  ),
  serial: Type.Optional(Text('Serial number of the current certificate, hex.', 64)),
  record: Type.Optional(Text('Name of its IssuedCertificate.', 253)),
  notBefore: Type.Optional(Instant('Start of its validity.')),
  notAfter: Type.Optional(Instant('End of its validity.')),
  renewalTime: Type.Optional(Instant('When it will be renewed.')),
  failures: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Failed attempts since the last success or change of the spec.' }),
  ),
  nextAttempt: Type.Optional(Instant('When the next attempt is due after a failure.')),
});

const Schema = Closed({ spec: Spec, status: Type.Optional(Status) });
export type CertificateClaimSpec = Static<typeof Spec>;
export type CertificateClaimStatus = Static<typeof Status>;
export type CertificateClaim = KubeObject & Static<typeof Schema>;

export const CertificateClaimKind: Kind<CertificateClaim> = {
  group: GROUP,
  version: VERSION,
  kind: 'CertificateClaim',
  plural: 'certificateclaims',
  singular: 'certificateclaim',
  shortNames: ['cclaim'],
  namespaced: true,
  statusSubresource: true,
  schema: Schema,
  columns: [
    { name: 'Ready', jsonPath: '.status.conditions[?(@.type=="Ready")].status', type: 'string' },
    { name: 'Secret', jsonPath: '.spec.secretName', type: 'string' },
    { name: 'Issuer', jsonPath: '.spec.issuerRef.name', type: 'string', wide: true },
    { name: 'Expires', jsonPath: '.status.notAfter', type: 'date', wide: true },
    { name: 'Status', jsonPath: '.status.conditions[?(@.type=="Ready")].message', type: 'string', wide: true },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description: 'Keep me a certificate for these names in this Secret: key, issuance, renewal.',
  rules: claimRules,
  cel: CLAIM_RULES,
};
