// The `acme` backend in the spec of an issuer.
import { type Static, Type } from 'typebox';
import { parseDuration } from '../domain/duration.ts';
import { oneOfRule, positiveDurationRule } from './common-rules.ts';
import { CaBundleRef } from './ejbca-backend.ts';
import { SharedKey } from './webhook-backend.ts';
import { Closed, Duration, List, SecretKeyRef, SecretRef, Text } from './kind.ts';
import { type PlaceRule, placeRule } from './rule.ts';
import { certificatesRule, expressionRule, mailboxRule, nameserverRule, uriRule, webhookRule } from './text-rules.ts';

export const AcmeAccount = Closed(
  {
    keySecretRef: SecretRef,
    previousKeySecretRef: Type.Optional(SecretRef),
    contacts: Type.Optional(List(Text('E-mail address.', 254), 'Where the CA may write to.', 8)),
    termsOfService: Type.Optional(
      Text(
        'URL of the terms of service that are agreed to. While the CA names another one, the issuer is not ready.',
        2048,
      ),
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
export type AcmeAccountSpec = Static<typeof AcmeAccount>;

const serverMembers = {
  directory: Text('https URL of the ACME directory.', 2048),
  caBundle: Type.Optional(
    Text(
      'CA certificates that the server certificate must chain to, PEM; those that Node.js trusts when absent.',
      65_536,
    ),
  ),
  caBundleRef: Type.Optional(CaBundleRef),
  account: AcmeAccount,
  profile: Type.Optional(Text('Profile of the CA that orders name.', 64)),
};

const Server = Closed(serverMembers);
/** One ACME server, and who we are there. */
export type AcmeServerSpec = Static<typeof Server>;

const Rfc2136 = Closed(
  {
    nameserver: Text('Name server that takes updates: address, address:port or [address]:port.', 64),
    tsig: Closed(
      {
        keyName: Text('Name of the key.', 253),
        algorithm: Type.Optional(
          Type.Enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512'], {
            description: 'Algorithm of the key; hmac-sha256 when absent.',
          }),
        ),
        secretRef: SecretKeyRef,
      },
      'Key that signs the updates (TSIG); base64 text in a Secret, as name servers write it.',
    ),
  },
  'Dynamic updates, RFC 2136, over TCP.',
);
export type Rfc2136Spec = Static<typeof Rfc2136>;

const SERVICE_CA =
  'CA certificates that its server certificate must chain to, PEM; those that Node.js trusts when absent.';

const AcmeDns = Closed(
  {
    url: Text('https URL of the API.', 2048),
    caBundle: Type.Optional(Text(SERVICE_CA, 65_536)),
    accountsSecretRef: SecretKeyRef,
  },
  'A server of acme-dns. The Secret holds accounts as JSON, as lego and cert-manager keep them; the one whose fulldomain _acme-challenge.<name> leads to is used.',
);
export type AcmeDnsSpec = Static<typeof AcmeDns>;

const DnsWebhook = Closed(
  {
    url: Text('https URL; /present and /cleanup below it are posted to.', 2048),
    caBundle: Type.Optional(Text(SERVICE_CA, 65_536)),
    hmac: SharedKey,
  },
  'An HTTPS service of your own that writes TXT records (docs/backends/acme.md).',
);
export type DnsWebhookSpec = Static<typeof DnsWebhook>;

const Dns01 = Closed(
  { rfc2136: Type.Optional(Rfc2136), acmeDNS: Type.Optional(AcmeDns), webhook: Type.Optional(DnsWebhook) },
  'How answers to dns-01 get into the DNS. Exactly one. A CNAME at _acme-challenge.<name> is followed.',
);
export type Dns01Spec = Static<typeof Dns01>;

const Backup = Closed(
  {
    ...serverMembers,
    after: Type.Optional(Duration('How long the first server must have been away; 1m when absent.')),
  },
  'Another ACME server, on another host, that new orders go to while the first is away. Its CA certificates are among the trustAnchors.',
);

export const AcmeBackend = Closed(
  {
    ...serverMembers,
    trustAnchors: Text('CA certificates, PEM. Every certificate of the CA must chain to one of them.', 65_536),
    challenges: Type.Optional(
      List(
        Type.Enum(['http-01', 'dns-01'], { description: 'An ACME challenge type.' }),
        'Challenge types, the preferred one first: where one fails, the next is tried. When absent, http-01, and after it dns-01 where that is set up.',
        2,
      ),
    ),
    dns01: Type.Optional(Dns01),
    preCheck: Type.Optional(
      Closed(
        {
          enabled: Type.Optional(
            Type.Boolean({ description: 'False has the CA look without a look of our own. True when absent.' }),
          ),
          timeout: Type.Optional(
            Duration(
              'How long a type of challenge has until its answers are laid out and seen, at most 1h; 2m when absent.',
            ),
          ),
        },
        'A look at our own answer to a challenge, as the CA would look, before it is told to.',
      ),
    ),
    backup: Type.Optional(Backup),
    timeout: Type.Optional(Duration('Longest time for one answer, at most 10m; 30s when absent.')),
    concurrency: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 64, description: 'Requests under way at a time; 8 when absent.' }),
    ),
  },
  'Have requests signed by an ACME CA elsewhere (docs/backends/acme.md). Its Secrets are in the namespace of the operator.',
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

/** Of an https URL, its port apart. */
const HOST = /^https:\/\/([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])/;
const hostOf = (url: string) => HOST.exec(url)?.[0]?.toLowerCase();

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
    uriRule(`${at}.account.termsOfService`),
  ];
}

/** At places that a ClusterCAIssuer alone has. */
export const ACME_CLUSTER_RULES: readonly PlaceRule[] = [
  placeRule<AcmeBackendSpec>({
    at: AT,
    cel: "!has(self.challenges) || has(self.dns01) || !('dns-01' in self.challenges)",
    message: 'dns-01 among the challenges needs dns01',
    holds: (self) => self.dns01 !== undefined || !self.challenges?.includes('dns-01'),
  }),
  oneOfRule(`${AT}.dns01`, ['acmeDNS', 'rfc2136', 'webhook']),
  ...['acmeDNS', 'webhook'].flatMap((service) => [
    webhookRule(`${AT}.dns01.${service}.url`),
    certificatesRule(`${AT}.dns01.${service}.caBundle`),
  ]),
  nameserverRule(`${AT}.dns01.rfc2136.nameserver`),
  expressionRule(
    `${AT}.dns01.rfc2136.tsig.keyName`,
    /^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$/,
    'must be labels of letters, digits, hyphens and underscores',
  ),
];

export const ACME_RULES: readonly PlaceRule[] = [
  ...serverRules(AT),
  ...serverRules(`${AT}.backup`),
  positiveDurationRule(`${AT}.backup.after`),
  placeRule<AcmeBackendSpec>({
    at: AT,
    cel: `!has(self.backup) || self.directory.find(r"${HOST.source}").lowerAscii() != self.backup.directory.find(r"${HOST.source}").lowerAscii()`,
    message: 'the backup must be on another host',
    holds: ({ directory, backup }) => backup === undefined || hostOf(directory) !== hostOf(backup.directory),
  }),
  certificatesRule(`${AT}.trustAnchors`),
  durationRule(`${AT}.timeout`, '10m'),
  durationRule(`${AT}.preCheck.timeout`, '1h'),
];
