// Rules across the fields of a ClusterCAIssuer, and of texts that the schema cannot read.
import type { ClusterCAIssuer, Profile } from './ca-issuer.ts';
import { durationOrderRule, keySizeRule, positiveDurationRule } from './common-rules.ts';
import type { FieldError } from './kind.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';
import { subjectTemplateRule } from './subject-template-rule.ts';
import { caaIdentityRule, labelsRule, nameserverRule, networkRule, patternRule, webRule } from './text-rules.ts';

export const ISSUER_RULES: readonly PlaceRule[] = [
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
  subjectTemplateRule('spec.subject.template'),
  webRule('spec.acme.termsOfService'),
  webRule('spec.acme.website'),
  caaIdentityRule('spec.acme.caa.identities[]'),
];

/** Beyond ISSUER_RULES, at places that a ClusterCAIssuer alone has. */
export const CLUSTER_ISSUER_RULES: readonly PlaceRule[] = [
  ...ISSUER_RULES,
  nameserverRule('spec.acme.validation.nameservers[]'),
  labelsRule('spec.allowedNamespaces.matchLabels'),
];

export function issuerRules(object: ClusterCAIssuer, old?: ClusterCAIssuer): FieldError[] {
  return placeErrors(CLUSTER_ISSUER_RULES, object, old);
}
