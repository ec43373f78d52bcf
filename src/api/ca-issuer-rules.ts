// Rules across the fields of a ClusterCAIssuer and of a CAIssuer, and of texts that the schema cannot read.
import { parseDuration } from '../domain/duration.ts';
import { ACME_CLUSTER_RULES, ACME_RULES } from './acme-backend.ts';
import { MINTED_PREFIX } from '../domain/minted-key.ts';
import type { ClusterCAIssuer, Profile } from './ca-issuer.ts';
import { durationOrderRule, keySizeRule, oneOfRule, positiveDurationRule } from './common-rules.ts';
import { CERTBOT_RULES } from './certbot-backend.ts';
import { EJBCA_RULES } from './ejbca-backend.ts';
import type { CAIssuer } from './issuer.ts';
import type { FieldError } from './kind.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';
import { subjectTemplateRule } from './subject-template-rule.ts';
import {
  caaIdentityRule,
  certificatesRule,
  labelsRule,
  nameserverRule,
  networkRule,
  patternRule,
  webhookRule,
  webRule,
} from './text-rules.ts';

/** Which of the backends that its schema has a CAIssuer may have, the configuration of the operator says. */
const WEBHOOK_RULES: readonly PlaceRule[] = [
  oneOfRule('spec.backend.webhook.authentication', ['clientCertificateRef', 'hmac']),
  placeRule<Record<string, unknown>>({
    at: 'spec.backend.webhook',
    cel: '!has(self.caBundle) || !has(self.caBundleRef)',
    message: 'caBundle and caBundleRef do not go together',
    holds: (self) => self.caBundle === undefined || self.caBundleRef === undefined,
  }),
  webhookRule('spec.backend.webhook.url'),
  certificatesRule('spec.backend.webhook.trustAnchors'),
  certificatesRule('spec.backend.webhook.caBundle'),
  placeRule<string>({
    at: 'spec.backend.webhook.timeout',
    cel: "duration(self) > duration('0s') && duration(self) <= duration('10m')",
    message: 'must be longer than zero and at most 10m',
    holds: (self) => parseDuration(self) > 0 && parseDuration(self) <= 600_000,
  }),
];

export const ISSUER_RULES: readonly PlaceRule[] = [
  ...WEBHOOK_RULES,
  ...ACME_RULES,
  placeRule<Profile[]>({
    at: 'spec.profiles',
    cel: 'self.filter(p, has(p.default) && p.default).size() <= 1',
    message: 'at most one profile is the default',
    holds: (self) => self.filter((profile) => profile.default).length <= 1,
  }),
  durationOrderRule('spec.profiles[].duration', 'default', 'max', false),
  durationOrderRule('spec.defaults', 'renewBefore', 'duration', true),
  keySizeRule('spec.backend.ca.selfSigned.privateKey'),
  keySizeRule('spec.defaults.privateKey'),
  ...[
    'spec.backend.ca.crlDuration',
    'spec.backend.ca.selfSigned.duration',
    'spec.profiles[].duration.default',
    'spec.profiles[].duration.max',
    'spec.acme.orderDuration',
    'spec.acme.authorizationDuration',
    'spec.defaults.duration',
  ].map(positiveDurationRule),
  patternRule('spec.deny.dnsNames[]', 'dns', false),
  networkRule('spec.deny.cidrs[]'),
  certificatesRule('spec.publishTrust.additional'),
  subjectTemplateRule('spec.subject.template'),
  webRule('spec.acme.termsOfService'),
  webRule('spec.acme.website'),
  caaIdentityRule('spec.acme.caa.identities[]'),
];

type Binding = NonNullable<NonNullable<ClusterCAIssuer['spec']['acme']>['externalAccountBinding']>;
type BindingKey = NonNullable<Binding['keys']>[number];

const BINDING_RULES: readonly PlaceRule[] = [
  placeRule<Binding>({
    at: 'spec.acme.externalAccountBinding',
    cel: 'has(self.keys) || has(self.mint)',
    message: 'needs keys or mint',
    holds: ({ keys, mint }) => keys !== undefined || mint !== undefined,
  }),
  placeRule<BindingKey>({
    at: 'spec.acme.externalAccountBinding.keys[]',
    // `namespace` is a reserved word of CEL, which Kubernetes escapes.
    cel: "has(self.__namespace__) ? has(self.scope) : !has(self.scope) || self.scope != 'Namespace'",
    message: 'scope Namespace needs namespace, and namespace a scope',
    holds: ({ scope, namespace }) => (namespace === undefined ? scope !== 'Namespace' : scope !== undefined),
  }),
  placeRule<BindingKey>({
    at: 'spec.acme.externalAccountBinding.keys[]',
    cel: "!self.keyID.startsWith('ns.')",
    message: 'keyID must not begin with ns., as those of minted keys do',
    holds: ({ keyID }) => !keyID.startsWith(MINTED_PREFIX),
  }),
  placeRule<string>({
    at: 'spec.acme.proof.gateways[]',
    cel: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
    message: 'must be NAMESPACE/NAME',
    holds: (self) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?\/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(self),
  }),
  positiveDurationRule('spec.acme.externalAccountBinding.mint.rotateAfter'),
  labelsRule('spec.acme.externalAccountBinding.mint.namespaceSelector.matchLabels'),
];

/** Beyond ISSUER_RULES, at places that a ClusterCAIssuer alone has. */
export const CLUSTER_ISSUER_RULES: readonly PlaceRule[] = [
  oneOfRule('spec.backend', ['acme', 'ca', 'certbot', 'ejbca', 'webhook']),
  ...ISSUER_RULES,
  ...EJBCA_RULES,
  ...CERTBOT_RULES,
  ...ACME_CLUSTER_RULES,
  ...BINDING_RULES,
  nameserverRule('spec.acme.validation.nameservers[]'),
  labelsRule('spec.allowedNamespaces.matchLabels'),
  labelsRule('spec.publishTrust.configMap.namespaceSelector.matchLabels'),
];

/** What is written for a tenant is kept and judged beside what is written for everyone: tenants do not say for how long. */
const TENANT_LIMIT = '24h';

/** Beyond ISSUER_RULES, of a CAIssuer alone. */
export const TENANT_ISSUER_RULES: readonly PlaceRule[] = [
  oneOfRule('spec.backend', ['acme', 'ca', 'webhook']),
  ...ISSUER_RULES,
  placeRule<Pick<Binding, 'keys'>>({
    at: 'spec.acme.externalAccountBinding',
    cel: 'has(self.keys)',
    message: 'needs keys',
    holds: ({ keys }) => keys !== undefined,
  }),
  ...['spec.acme.orderDuration', 'spec.acme.authorizationDuration'].map((at) =>
    placeRule<string>({
      at,
      cel: `duration(self) <= duration('${TENANT_LIMIT}')`,
      message: `must not be longer than ${TENANT_LIMIT} for a CAIssuer`,
      holds: (self) => parseDuration(self) <= parseDuration(TENANT_LIMIT),
    }),
  ),
];

export function tenantIssuerRules(object: CAIssuer, old?: CAIssuer): FieldError[] {
  return placeErrors(TENANT_ISSUER_RULES, object, old);
}

export function issuerRules(object: ClusterCAIssuer, old?: ClusterCAIssuer): FieldError[] {
  return placeErrors(CLUSTER_ISSUER_RULES, object, old);
}
