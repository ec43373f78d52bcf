// Account and Authorization: what the ACME server must remember. Written by the operator only; each carries a MAC.
import { type Static, Type } from 'typebox';
import { ChallengeType } from './acme-offer.ts';
import { ACME_GROUP, Closed, Instant, type Kind, type KubeObject, Text, VERSION, Whole } from './kind.ts';

const Mac = Text(
  'HMAC-SHA-256 over the rest of the spec and the name, base64url. An object without a good one is ignored.',
  128,
);

const AccountSpec = Whole({
  issuerUID: Text('metadata.uid of the issuer.', 64),
  thumbprint: Text('RFC 7638 thumbprint of the current key.', 64),
  spkiHash: Text('SHA-256 of the SubjectPublicKeyInfo, base64url.', 64),
  jwk: Type.Record(Type.String({ maxLength: 16 }), Type.String({ maxLength: 2048 }), {
    description: 'The current public key.',
  }),
  retired: Type.Optional(
    Type.Array(Type.String({ maxLength: 64 }), {
      maxItems: 64,
      description: 'Thumbprints of former keys, refused for good.',
    }),
  ),
  /** An alias holds the thumbprint of a later or retired key and names the account. */
  aliasOf: Type.Optional(Text('Account this thumbprint leads to; an alias has nothing else of its own.', 253)),
  contact: Type.Optional(Type.Array(Type.String({ maxLength: 260 }), { maxItems: 16, description: 'Contact URLs.' })),
  termsOfServiceAgreed: Type.Optional(Type.String({ maxLength: 2048, description: 'URL of the terms agreed to.' })),
  externalAccountBinding: Type.Optional(
    Closed({ keyID: Text('Key identifier.', 128), jws: Text('The binding as received, JSON.', 8192) }),
  ),
  deactivated: Type.Optional(Type.Boolean({ description: 'Deactivated for good.' })),
  mac: Mac,
});
const AccountSchema = Closed({ spec: AccountSpec });
export type AccountSpec = Static<typeof AccountSpec>;
export type Account = KubeObject & Static<typeof AccountSchema>;

export const AccountKind: Kind<Account> = {
  group: ACME_GROUP,
  version: VERSION,
  kind: 'Account',
  plural: 'accounts',
  singular: 'account',
  shortNames: [],
  namespaced: true,
  statusSubresource: false,
  schema: AccountSchema,
  columns: [
    { name: 'Contact', jsonPath: '.spec.contact[*]', type: 'string' },
    { name: 'EAB key', jsonPath: '.spec.externalAccountBinding.keyID', type: 'string' },
    { name: 'Deactivated', jsonPath: '.spec.deactivated', type: 'boolean' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description: 'An ACME account, RFC 8555 section 7.1.2. Written by the operator only.',
  rules: () => [],
};

const AuthorizationSpec = Whole({
  orderID: Text('Identifier of the order.', 64),
  index: Type.Integer({ minimum: 0, maximum: 99, description: 'Position in the order.' }),
  account: Text('Account.', 253),
  issuerUID: Text('metadata.uid of the issuer.', 64),
  identifier: Closed({
    type: Type.Enum(['dns', 'ip'], { description: 'Type of the identifier.' }),
    value: Text('Value, without the wildcard label.', 253),
  }),
  wildcard: Type.Boolean({ description: 'Whether the order asked for *.value.' }),
  namespace: Type.Optional(Text('Namespace of the requester, where it was known.', 63)),
  outcome: Type.Enum(['valid', 'invalid', 'deactivated'], { description: 'What became of it.' }),
  challenge: Type.Optional(ChallengeType),
  problem: Type.Optional(Text('Problem document of a failed challenge, JSON.', 8192)),
  addresses: Type.Optional(
    Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64, description: 'Addresses contacted or found.' }),
  ),
  validated: Type.Optional(Instant('When the outcome was found.')),
  expires: Instant('Until when a valid outcome serves.'),
  mac: Mac,
});
const AuthorizationSchema = Closed({ spec: AuthorizationSpec });
export type AuthorizationSpec = Static<typeof AuthorizationSpec>;
export type Authorization = KubeObject & Static<typeof AuthorizationSchema>;

export const AuthorizationKind: Kind<Authorization> = {
  group: ACME_GROUP,
  version: VERSION,
  kind: 'Authorization',
  plural: 'authorizations',
  singular: 'authorization',
  shortNames: [],
  namespaced: true,
  statusSubresource: false,
  schema: AuthorizationSchema,
  columns: [
    { name: 'Identifier', jsonPath: '.spec.identifier.value', type: 'string' },
    { name: 'Outcome', jsonPath: '.spec.outcome', type: 'string' },
    { name: 'Account', jsonPath: '.spec.account', type: 'string' },
    { name: 'Expires', jsonPath: '.spec.expires', type: 'date' },
  ],
  description: 'The result of validating one identifier, RFC 8555 section 7.1.4. Written by the operator only.',
  rules: () => [],
};
