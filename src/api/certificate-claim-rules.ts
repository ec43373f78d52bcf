// Rules across the fields of a CertificateClaim, and of names that the schema cannot read.
import { parseDnsName, parseIdentifier } from '../domain/identifier.ts';
import type { CertificateClaim, CertificateClaimSpec } from './certificate-claim.ts';
import { durationOrderRule, keySizeRule, positiveDurationRule } from './common-rules.ts';
import type { FieldError } from './kind.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';

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
  placeRule<string>({
    at: 'spec.subject.countries[]',
    cel: "self.matches('^[A-Z]{2}$')",
    message: 'must be two capital letters (ISO 3166-1)',
    holds: (self) => /^[A-Z]{2}$/.test(self),
  }),
  positiveDurationRule('spec.duration'),
  durationOrderRule('spec', 'renewBefore', 'duration', true),
  keySizeRule('spec.privateKey'),
];

export function claimRules(object: CertificateClaim, old?: CertificateClaim): FieldError[] {
  const { dnsNames, ipAddresses, uris, emailAddresses } = object.spec;
  return [
    ...placeErrors(CLAIM_RULES, object, old),
    ...nameErrors('spec.dnsNames', dnsNames, parseDnsName),
    ...nameErrors('spec.ipAddresses', ipAddresses, (value) => parseIdentifier({ type: 'ip', value })),
    ...nameErrors('spec.uris', uris, parseUri),
    ...nameErrors('spec.emailAddresses', emailAddresses, parseMailbox),
  ];
}

function nameErrors(path: string, names: readonly string[] = [], parse: (text: string) => unknown): FieldError[] {
  return names.flatMap((name, i) => {
    try {
      parse(name);
      return [];
    } catch (error) {
      return [{ path: `${path}[${i}]`, message: error instanceof Error ? error.message : String(error) }];
    }
  });
}

/** RFC 5280 section 4.2.1.6: absolute, ASCII. */
function parseUri(text: string): void {
  if (!/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(text) || !URL.canParse(text))
    throw new TypeError('must be an absolute URI of printable ASCII characters');
}

/** RFC 5280 section 4.2.1.6: local part and domain, without a name before it. */
function parseMailbox(text: string): void {
  const at = text.lastIndexOf('@');
  if (at < 1 || at > 64 || !/^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/i.test(text.slice(0, at)))
    throw new TypeError('must be an e-mail address, local part and domain');
  const domain = text.slice(at + 1);
  if (domain.startsWith('*')) throw new TypeError('must be an e-mail address without wildcard');
  parseDnsName(domain);
}
