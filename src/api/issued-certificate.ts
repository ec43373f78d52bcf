// IssuedCertificate: the record of one issuance through any door. Written by the operator only; a finished record is one create.
import { type Static, Type } from 'typebox';
import { Door } from './certificate-request-policy.ts';
import { RECORD_RULES, recordRules } from './issued-certificate-rules.ts';
import { Closed, GROUP, Instant, IssuerRef, type Kind, type KubeObject, Name, Text, VERSION } from './kind.ts';

const Requester = Closed(
  {
    account: Type.Optional(Text('ACME account.', 253)),
    eabKeyID: Type.Optional(Text('External account binding key of that account.', 128)),
    namespace: Type.Optional(Text('Namespace of the requester.', 253)),
    claim: Type.Optional(Text('Name of the CertificateClaim.', 253)),
    source: Type.Optional(Text('Address from which the request came.', 64)),
  },
  'Who asked.',
);

const Revocation = Closed(
  {
    reason: Type.Integer({
      minimum: 0,
      maximum: 10,
      description: 'CRLReason, RFC 5280 section 5.3.1; 0 leaves the entry without a reasonCode.',
    }),
    revokedAt: Instant('When.'),
    by: Text('Who asked for it.', 253),
  },
  'Set once, never taken back.',
);

/** The issuer as it was named when it signed. */
const RecordedIssuer = Closed(
  {
    ...IssuerRef.properties,
    namespace: Type.Optional(Text('Namespace of a CAIssuer.', 63)),
  },
  'The issuer that signed.',
);

const Spec = Closed({
  requestID: Text('Identifier of the request within its door.', 512),
  door: Door,
  issuerRef: RecordedIssuer,
  issuerUID: Text('metadata.uid of the issuer.', 64),
  requester: Requester,
  names: Type.Array(Type.String({ maxLength: 1100 }), {
    minItems: 1,
    maxItems: 132,
    description: 'Names of the certificate as type:value, sorted.',
  }),
  profile: Type.Optional(Text('Profile.', 63)),
  csr: Text('The PKCS#10 request as received, base64 DER.', 90_000),
  policy: Name('CertificateRequestPolicy that allowed it.'),
  decisionID: Text('Identifier of the decision in the audit log.', 64),
  replaces: Type.Optional(Text('Record that this certificate replaces (ARI).', 253)),
  order: Type.Optional(Text('ACME order in the form that its URL seals.', 8192)),
  orderExpires: Type.Optional(Instant('Expiry of the ACME order.')),
  revocation: Type.Optional(Revocation),
});

const Status = Closed({
  certificate: Text('The leaf, base64 DER.', 90_000),
  serial: Text('Serial number, hex.', 64),
  notBefore: Instant('Start of validity.'),
  notAfter: Instant('End of validity.'),
  issuedAt: Instant('When the record was made.'),
  chain: Text('Fingerprint of its chain among status.chains of the issuer.', 64),
});

const Schema = Closed({ spec: Spec, status: Status });
export type IssuedCertificateSpec = Static<typeof Spec>;
export type Revocation = Static<typeof Revocation>;
export type IssuedCertificate = KubeObject & Static<typeof Schema>;

/** Labels by which replicas index records from metadata alone. Hashes are lower-case base32 of SHA-256. */
export const RecordLabel = {
  serial: 'countersign.dev/serial',
  authorityKeyID: 'countersign.dev/authority-key-id',
  publicKey: 'countersign.dev/public-key',
  names: 'countersign.dev/names',
  door: 'countersign.dev/door',
  account: 'countersign.dev/account',
  namespace: 'countersign.dev/namespace',
  /** metadata.uid of the CertificateClaim. */
  claim: 'countersign.dev/claim-uid',
  issuer: 'countersign.dev/issuer',
  issuerNamespace: 'countersign.dev/issuer-namespace',
  replaces: 'countersign.dev/replaces',
  /** What the door was asked for, in its own terms. */
  request: 'countersign.dev/request',
  revoked: 'countersign.dev/revoked',
} as const;

export const IssuedCertificateKind: Kind<IssuedCertificate> = {
  group: GROUP,
  version: VERSION,
  kind: 'IssuedCertificate',
  plural: 'issuedcertificates',
  singular: 'issuedcertificate',
  shortNames: ['icert'],
  namespaced: true,
  statusSubresource: false,
  schema: Schema,
  columns: [
    { name: 'Names', jsonPath: '.spec.names[*]', type: 'string' },
    { name: 'Issuer', jsonPath: '.spec.issuerRef.name', type: 'string' },
    { name: 'Expires', jsonPath: '.status.notAfter', type: 'date' },
    { name: 'Revoked', jsonPath: '.spec.revocation.revokedAt', type: 'date' },
    { name: 'Issuer namespace', jsonPath: '.spec.issuerRef.namespace', type: 'string', wide: true },
    { name: 'Door', jsonPath: '.spec.door', type: 'string', wide: true },
    { name: 'Account', jsonPath: '.spec.requester.account', type: 'string', wide: true },
    { name: 'Claim', jsonPath: '.spec.requester.claim', type: 'string', wide: true },
    { name: 'Namespace', jsonPath: '.spec.requester.namespace', type: 'string', wide: true },
    { name: 'Source', jsonPath: '.spec.requester.source', type: 'string', wide: true },
    { name: 'Policy', jsonPath: '.spec.policy', type: 'string', wide: true },
    { name: 'Serial', jsonPath: '.status.serial', type: 'string', wide: true },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description:
    'The record of one issuance: request, decision, certificate, lineage, revocation. Written by the operator only.',
  rules: recordRules,
  cel: RECORD_RULES,
};
