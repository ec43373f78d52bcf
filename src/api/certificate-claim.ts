// CertificateClaim: "keep me a certificate for these names in this Secret".
import { type Static, Type } from 'typebox';
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
  Name,
  SetOf,
  Text,
  Usage,
  VERSION,
} from './kind.ts';

const Values = (what: string) => Type.Optional(List(Text(what, 128), what, 8));

const Spec = Closed({
  secretName: Name('Secret of type kubernetes.io/tls to keep: tls.crt, tls.key, ca.crt.'),
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
});

const Status = Closed({
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
