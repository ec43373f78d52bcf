// The `acme` backend in the spec of an issuer.
import { type Static, Type } from 'typebox';
import { parseDuration } from '../domain/duration.ts';
import { CaBundleRef } from './ejbca-backend.ts';
import { Closed, Duration, List, SecretKeyRef, SecretRef, Text } from './kind.ts';
import { type PlaceRule, placeRule } from './rule.ts';
import { certificatesRule, mailboxRule, webhookRule, webRule } from './text-rules.ts';

const Account = Closed(
  {
    keySecretRef: SecretRef,
    previousKeySecretRef: Type.Optional(SecretRef),
    contacts: Type.Optional(List(Text('E-mail address.', 254), 'Where the CA may write to.', 8)),
    termsOfService: Type.Optional(
      Text('URL of the terms of service that are agreed to. While the CA names another one, the issuer is not ready.', 2048),
    ),
    externalAccountBinding: Type.Optional(
      Closed(
        {
          keyID: Text('Key identifier that the CA handed out.', 256),
          secretRef: SecretKeyRef,
        },
        'External account binding (HS256); the MAC key is base64url text in a Secret, as the CA handed it out.',
      ),
    ),
  },
  'Our account. Its private key is account.key (PEM) of the Secret keySecretRef, made where there is none. To change the key, name a new Secret there and the one before in previousKeySecretRef.',
);
export type AcmeAccountSpec = Static<typeof Account>;

const serverMembers = {
  directory: Text('https URL of the ACME directory.', 2048),
  caBundle: Type.Optional(
    Text(
      'CA certificates that the server certificate must chain to, PEM; those that Node.js trusts when absent.',
      65_536,
    ),
  ),
  caBundleRef: Type.Optional(CaBundleRef),
  account: Account,
};

const Server = Closed(serverMembers);
/** One ACME server, and who we are there. */
export type AcmeServerSpec = Static<typeof Server>;

export const AcmeBackend = Closed(
  {
    ...serverMembers,
    trustAnchors: Text('CA certificates, PEM. Every certificate of the CA must chain to one of them.', 65_536),
    profile: Type.Optional(Text('Profile of the CA that orders name.', 64)),
    preCheck: Type.Optional(
      Closed(
        {
          enabled: Type.Optional(
            Type.Boolean({ description: 'False has the CA look without a look of our own. True when absent.' }),
          ),
          timeout: Type.Optional(
            Duration('How long to look before the challenge counts as failed, at most 1h; 2m when absent.'),
          ),
        },
        'A look at our own answer to a challenge, as the CA would look, before it is told to.',
      ),
    ),
    timeout: Type.Optional(Duration('Longest time for one answer, at most 10m; 30s when absent.')),
    concurrency: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 64, description: 'Requests under way at a time; 8 when absent.' }),
    ),
  },
  'Have requests signed by an ACME CA elsewhere (docs/backends/acme.md). Its Secrets are in the namespace of the operator, those of a CAIssuer in its own.',
);
export type AcmeBackendSpec = Static<typeof AcmeBackend>;

const AT = 'spec.backend.acme';

function durationRule(at: string, limit: string): PlaceRule {
  return placeRule<string>({
    at,
    cel: `duration(self) > duration('0s') && duration(self) <= duration('${limit}')`,
    message: `must be longer than zero and at most ${limit}`,
    holds: (self) => parseDuration(self) > 0 && parseDuration(self) <= parseDuration(limit),
  });
}

function serverRules(at: string): readonly PlaceRule[] {
  return [
    webhookRule(`${at}.directory`),
    certificatesRule(`${at}.caBundle`),
    placeRule<AcmeServerSpec>({
      at,
      cel: '!has(self.caBundle) || !has(self.caBundleRef)',
      message: 'caBundle and caBundleRef do not go together',
      holds: (self) => self.caBundle === undefined || self.caBundleRef === undefined,
    }),
    mailboxRule(`${at}.account.contacts[]`),
    webRule(`${at}.account.termsOfService`),
  ];
}

export const ACME_RULES: readonly PlaceRule[] = [
  ...serverRules(AT),
  certificatesRule(`${AT}.trustAnchors`),
  durationRule(`${AT}.timeout`, '10m'),
  durationRule(`${AT}.preCheck.timeout`, '1h'),
];
