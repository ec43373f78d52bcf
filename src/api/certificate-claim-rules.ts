// Rules across the fields of a CertificateClaim, and of names that the schema cannot read.
import type { CertificateClaim, CertificateClaimSpec } from './certificate-claim.ts';
import { durationOrderRule, keySizeRule, positiveDurationRule } from './common-rules.ts';
import type { FieldError } from './kind.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';
import { annotationKeysRule, unreservedKeysRule } from './secret-template-rule.ts';
import { addressRule, dnsNameRule, expressionRule, labelsRule, mailboxRule, uriRule } from './text-rules.ts';

export const CLAIM_RULES: readonly PlaceRule[] = [
  placeRule<CertificateClaimSpec>({
    at: 'spec',
    cel: 'has(self.dnsNames) || has(self.ipAddresses) || has(self.uris) || has(self.emailAddresses)',
    message: 'needs at least one of dnsNames, ipAddresses, uris and emailAddresses',
    holds: (self) => [self.dnsNames, self.ipAddresses, self.uris, self.emailAddresses].some((names) => names),
  }),
  placeRule<CertificateClaimSpec>({
    at: 'spec',
    cel: '!has(self.commonName) || (has(self.dnsNames) && self.commonName in self.dnsNames) || (has(self.ipAddresses) && self.commonName in self.ipAddresses)',
    message: 'commonName must be one of dnsNames or ipAddresses',
    holds: ({ commonName, dnsNames = [], ipAddresses = [] }) =>
      commonName === undefined || dnsNames.includes(commonName) || ipAddresses.includes(commonName),
  }),
  expressionRule('spec.subject.countries[]', /^[A-Z]{2}$/, 'must be two capital letters (ISO 3166-1)'),
  positiveDurationRule('spec.duration'),
  durationOrderRule('spec', 'renewBefore', 'duration', true),
  keySizeRule('spec.privateKey'),
  labelsRule('spec.secretTemplate.labels'),
  unreservedKeysRule('spec.secretTemplate.labels'),
  annotationKeysRule('spec.secretTemplate.annotations'),
  unreservedKeysRule('spec.secretTemplate.annotations'),
  dnsNameRule('spec.dnsNames[]'),
  addressRule('spec.ipAddresses[]'),
  uriRule('spec.uris[]'),
  mailboxRule('spec.emailAddresses[]'),
];

export function claimRules(object: CertificateClaim, old?: CertificateClaim): FieldError[] {
  return placeErrors(CLAIM_RULES, object, old);
}
