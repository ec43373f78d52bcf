// IssuedCertificate: the record of one issuance through any door. Written by the operator only. Where the CA is at hand a record is made
// finished, by one create; where it is elsewhere, it is made as a reservation and finished by one replace (docs/adr/0007).
import { type Static, Type } from 'typebox';
import { Door } from './certificate-request-policy.ts';
import { RECORD_RULES, recordRules } from './issued-certificate-rules.ts';
import {
  Closed,
  GROUP,
  Instant,
  IssuerRef,
  type Kind,
  type KubeObject,
  Name,
  SetOf,
  Text,
  Usage,
  VERSION,
  Whole,
} from './kind.ts';

const Requester = Closed(
  {
    account: Type.Optional(Text('ACME account.', 253)),
    eabKeyID: Type.Optional(Text('External account binding key of that account.', 128)),
    namespace: Type.Optional(Text('Namespace of the requester.', 253)),
    serviceAccount: Type.Optional(
      Text('NAMESPACE/NAME of the ServiceAccount of the Pod that asked, where Pods are known by their addresses.', 317),
    ),
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

const Approved = Closed(
  {
    subject: Type.String({ maxLength: 8192, description: 'The subject, base64 DER.' }),
    usages: SetOf(Usage, 'Extended key usages.', 2),
    notBefore: Instant('Start of validity.'),
    notAfter: Instant('End of validity.'),
  },
  'What was approved beside names, key and profile, for a CA that is asked later: what it is to sign, and what its answer is held against.',
);

const Spec = Whole({
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
  approved: Type.Optional(Approved),
  replaces: Type.Optional(Text('Record that this certificate replaces (ARI).', 253)),
  order: Type.Optional(Text('ACME order in the form that its URL seals.', 8192)),
  orderExpires: Type.Optional(Instant('Expiry of the ACME order.')),
  revocation: Type.Optional(Revocation),
});

const Refusal = Closed(
  {
    type: Text('Type of the problem, as in ACME.', 64),
    detail: Type.String({ maxLength: 2048, description: 'Sentence for whoever asked.' }),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'HTTP status of the problem.' }),
    refusedAt: Instant('When.'),
  },
  'Why there is no certificate and never will be.',
);

const issuedMembers = {
  certificate: Text('The leaf, base64 DER.', 90_000),
  serial: Text('Serial number, hex.', 64),
  notBefore: Instant('Start of validity.'),
  notAfter: Instant('End of validity.'),
  issuedAt: Instant('When the certificate was put on record.'),
  chain: Text('Fingerprint of its chain among status.chains of the issuer.', 64),
};

const Issued = Closed(issuedMembers);

/** Absent while the CA has yet to answer; then a certificate or a refusal, for good. */
const Status = Whole({ ...Type.Partial(Issued).properties, refusal: Type.Optional(Refusal) });

const Schema = Closed({ spec: Spec, status: Type.Optional(Status) });
export type IssuedCertificateSpec = Static<typeof Spec>;
export type Revocation = Static<typeof Revocation>;
export type Refusal = Static<typeof Refusal>;
export type IssuedCertificateStatus = Static<typeof Issued>;
/** A record in any state. */
export type CertificateRecord = KubeObject & Static<typeof Schema>;
/** A record with a certificate. */
export type IssuedCertificate = Omit<CertificateRecord, 'status'> & { status: IssuedCertificateStatus };
/** A record of what was refused after it was reserved. */
export type RefusedCertificate = CertificateRecord & { status: { refusal: Refusal } };

export function isIssued(record: CertificateRecord): record is IssuedCertificate {
  return record.status?.certificate !== undefined;
}

export function isRefused(record: CertificateRecord): record is RefusedCertificate {
  return record.status?.refusal !== undefined;
}

/** Whether the CA has yet to answer. */
export function isReserved(record: CertificateRecord): boolean {
  return record.status === undefined;
}

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
  /** `reserved` while the CA has yet to answer, `refused` where it did not sign; absent once there is a certificate. */
  state: 'countersign.dev/state',
} as const;

export const RecordAnnotation = {
  /** By which the operator knows what it wrote. */
  mac: 'countersign.dev/mac',
  /** What the CA wants back when it is asked again, once it has said that it will take its time. */
  handle: 'countersign.dev/handle',
  /** Key authorizations that a CA elsewhere may ask for over HTTP while the record is reserved, separated by spaces. */
  keyAuthorizations: 'countersign.dev/key-authorizations',
  /** When the CA elsewhere wants the certificate renewed, where that is earlier than by itself. */
  renewal: 'countersign.dev/renewal',
  /** What became of the revocation at a CA elsewhere: `Done`, `Unsupported`, or `Refused: …`. */
  revocation: 'countersign.dev/revocation',
} as const;

export const IssuedCertificateKind: Kind<CertificateRecord> = {
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
    { name: 'Refusal', jsonPath: '.status.refusal.detail', type: 'string', wide: true },
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
