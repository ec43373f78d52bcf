// The `certbot` backend in the spec of an issuer.
import { type Static, Type } from 'typebox';
import { parseDuration } from '../domain/duration.ts';
import { AcmeAccount } from './acme-backend.ts';
import { oneOfRule } from './common-rules.ts';
import { CaBundleRef } from './ejbca-backend.ts';
import { Closed, Duration, List, MatchLabels, Name, SecretKeyRef, SecretRef, Text } from './kind.ts';
import { type PlaceRule, placeRule } from './rule.ts';
import { certificatesRule, expressionRule, labelsRule, mailboxRule, uriRule } from './text-rules.ts';

const { previousKeySecretRef: _rollover, ...account } = AcmeAccount.properties;

const amounts = (what: string) =>
  Closed(
    {
      cpu: Type.Optional(Text('CPU, such as 100m.', 32)),
      memory: Type.Optional(Text('Memory, such as 128Mi.', 32)),
    },
    what,
  );

const Dns01 = Closed(
  {
    plugin: Text(
      'Name of the plugin of certbot, without dns-, such as rfc2136 or cloudflare. The image must have it.',
      40,
    ),
    credentialsSecretRef: SecretKeyRef,
    propagation: Type.Optional(
      Duration('How long certbot waits before the CA looks, at most 1h; as the plugin has it when absent.'),
    ),
  },
  'Prove names by dns-01, by a plugin of certbot with a credentials file. When absent, by http-01: every replica answers at /.well-known/acme-challenge/.',
);

export const CertbotBackend = Closed(
  {
    config: Type.Optional(
      Text(
        'Configuration of certbot, as its ini file has it. `server`, the https URL of the ACME directory, must be there; further keys that may be are in docs/backends/certbot.md.',
        16_384,
      ),
    ),
    configRef: Type.Optional(
      Closed(
        { name: Name('Name of the ConfigMap.'), key: Text('Key in it.', 253) },
        'A ConfigMap in the namespace of the operator that holds it.',
      ),
    ),
    trustAnchors: Text('CA certificates, PEM. Every certificate of the CA must chain to one of them.', 65_536),
    caBundle: Type.Optional(
      Text(
        'CA certificates that the certificate of the ACME server must chain to, PEM; when absent those that Node.js and certbot trust.',
        65_536,
      ),
    ),
    caBundleRef: Type.Optional(CaBundleRef),
    account: Closed(
      account,
      'Our account at the ACME server. Its private key is private_key.json of the Secret keySecretRef, as certbot keeps it, made where there is none. It is registered once, by the operator.',
    ),
    dns01: Type.Optional(Dns01),
    image: Type.Optional(
      Text(
        'Image with certbot and python3 on its PATH. Needed in a cluster; `dev` runs the certbot of its machine.',
        512,
      ),
    ),
    imagePullSecrets: Type.Optional(List(SecretRef, 'Secrets to pull it with.', 8)),
    resources: Type.Optional(
      Closed(
        {
          requests: Type.Optional(amounts('What a Pod is given at least.')),
          limits: Type.Optional(amounts('What it may use at most.')),
        },
        'Resources of the Pods; 50m and 96Mi requested, and memory limited to 256Mi, when absent.',
      ),
    ),
    nodeSelector: Type.Optional(MatchLabels('Labels of the nodes that the Pods may run on.')),
    deadline: Type.Optional(
      Duration('How long certbot may take from its start, at least 5s, at most 1h; 10m when absent.'),
    ),
    concurrency: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 64, description: 'Jobs under way at a time; 4 when absent.' }),
    ),
  },
  'Have requests signed by an ACME CA through certbot, one Job for each (docs/backends/certbot.md). Its Secrets, ConfigMaps and Jobs are in the namespace of the operator.',
);
export type CertbotBackendSpec = Static<typeof CertbotBackend>;

const AT = 'spec.backend.certbot';
/** As the API server writes and reads quantities, without those that are less than nothing. */
const QUANTITY = /^[0-9]+([.][0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$/;

function betweenRule(at: string, least: string, most: string): PlaceRule {
  return placeRule<string>({
    at,
    cel: `duration(self) >= duration('${least}') && duration(self) <= duration('${most}')`,
    message: `must be at least ${least} and at most ${most}`,
    holds: (self) => parseDuration(self) >= parseDuration(least) && parseDuration(self) <= parseDuration(most),
  });
}

export const CERTBOT_RULES: readonly PlaceRule[] = [
  oneOfRule(AT, ['config', 'configRef']),
  certificatesRule(`${AT}.trustAnchors`),
  certificatesRule(`${AT}.caBundle`),
  placeRule<CertbotBackendSpec>({
    at: AT,
    cel: '!has(self.caBundle) || !has(self.caBundleRef)',
    message: 'caBundle and caBundleRef do not go together',
    holds: (self) => self.caBundle === undefined || self.caBundleRef === undefined,
  }),
  mailboxRule(`${AT}.account.contacts[]`),
  uriRule(`${AT}.account.termsOfService`),
  expressionRule(
    `${AT}.dns01.plugin`,
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/,
    'must be lower-case letters, digits and hyphens',
  ),
  expressionRule(`${AT}.image`, /^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/, 'must be the reference of an image, without spaces'),
  ...['requests', 'limits'].flatMap((kind) =>
    ['cpu', 'memory'].map((what) =>
      expressionRule(`${AT}.resources.${kind}.${what}`, QUANTITY, 'must be a quantity such as 100m or 128Mi'),
    ),
  ),
  labelsRule(`${AT}.nodeSelector`),
  betweenRule(`${AT}.deadline`, '5s', '1h'),
  betweenRule(`${AT}.dns01.propagation`, '0s', '1h'),
];
