// Rules across the fields of a CertificateRequestPolicy, and of texts that the schema cannot read. Expressions are not compiled
// here: the object's Ready condition tells of those.
import { parseDuration } from '../domain/duration.ts';
import type { CertificateRequestPolicy, PolicySpec } from './certificate-request-policy.ts';
import type { FieldError } from './kind.ts';
import { explainedRule, placeErrors, type PlaceRule, placeRule } from './rule.ts';
import { expressionRule, labelsRule, networkRule, patternRule } from './text-rules.ts';

type KeyRule = NonNullable<NonNullable<PolicySpec['constraints']>['privateKey']>[number];
type Networks = NonNullable<PolicySpec['selector']['sources']>;
type Namespaces = NonNullable<PolicySpec['selector']['namespace']>;

const namesRules = (at: string, syntax: 'dns' | 'uri' | 'email') => [
  patternRule(`${at}.values[]`, syntax),
  patternRule(`${at}.except[]`, syntax),
];

const networkRules = (at: string) => [networkRule(`${at}.cidrs[]`), networkRule(`${at}.except[]`)];

const KEY_RULES: readonly PlaceRule[] = [
  explainedRule<KeyRule>({
    at: 'spec.constraints.privateKey[]',
    cel: "!has(self.sizes) || self.sizes.all(size, self.algorithm == 'RSA' ? size >= 2048 && size % 8 == 0 : self.algorithm == 'ECDSA' && size in [256, 384, 521])",
    message: 'sizes must be sizes of the algorithm: 2048 or more in steps of 8 for RSA, 256, 384 or 521 for ECDSA',
    faults: ({ algorithm, sizes = [] }) =>
      sizes.flatMap((size, i) =>
        SIZES[algorithm].fits(size) ? [] : [{ path: `sizes[${i}]`, message: SIZES[algorithm].message }],
      ),
  }),
  explainedRule<KeyRule>({
    at: 'spec.constraints.privateKey[]',
    cel: "!has(self.minSize) || (self.algorithm == 'RSA' ? self.minSize >= 2048 : self.algorithm == 'ECDSA' && self.minSize <= 521)",
    message: 'minSize must be 2048 or more for RSA, at most 521 for ECDSA, and absent for Ed25519',
    faults: ({ algorithm, minSize }) =>
      minSize === undefined || SIZES[algorithm].floor(minSize)
        ? []
        : [{ path: 'minSize', message: SIZES[algorithm].message }],
  }),
  explainedRule<KeyRule>({
    at: 'spec.constraints.privateKey[]',
    cel: '!has(self.minSize) || !has(self.sizes)',
    message: 'minSize cannot stand beside sizes: use one of them',
    faults: ({ sizes, minSize }) =>
      sizes && minSize !== undefined
        ? [{ path: 'minSize', message: 'cannot stand beside sizes: use one of them' }]
        : [],
  }),
];

export const POLICY_RULES: readonly PlaceRule[] = [
  ...networkRules('spec.selector.sources'),
  placeRule<Networks>({
    at: 'spec.selector.sources',
    cel: 'has(self.cidrs) || has(self.except)',
    message: 'needs cidrs or except; leave it out to match every source',
    holds: ({ cidrs, except }) => cidrs !== undefined || except !== undefined,
  }),
  placeRule<Namespaces>({
    at: 'spec.selector.namespace',
    cel: 'has(self.matchNames) || has(self.matchLabels)',
    message: 'needs matchNames or matchLabels; leave it out to match every requester',
    holds: ({ matchNames, matchLabels }) => matchNames !== undefined || matchLabels !== undefined,
  }),
  labelsRule('spec.selector.namespace.matchLabels'),
  expressionRule('spec.selector.publicKeys[]', /^[0-9a-fA-F]{64}$/, 'must be a SHA-256 in 64 hexadecimal digits'),
  ...networkRules('spec.allowed.ipAddresses'),
  placeRule<Networks>({
    at: 'spec.allowed.ipAddresses',
    cel: 'has(self.cidrs)',
    message: 'needs cidrs: what is not listed is not allowed',
    holds: ({ cidrs }) => cidrs !== undefined,
  }),
  patternRule('spec.allowed.commonName.value', 'dns'),
  ...namesRules('spec.allowed.dnsNames', 'dns'),
  ...namesRules('spec.allowed.uris', 'uri'),
  ...namesRules('spec.allowed.emailAddresses', 'email'),
  ...networkRules('spec.constraints.servers'),
  placeRule<string>({
    at: 'spec.constraints.maxDuration',
    cel: "duration(self) > duration('0s')",
    message: 'must be a duration longer than zero, such as 2160h',
    holds: isPositiveDuration,
  }),
  ...KEY_RULES,
];

export function policyRules(object: CertificateRequestPolicy, old?: CertificateRequestPolicy): FieldError[] {
  return placeErrors(POLICY_RULES, object, old);
}

/** Sizes that keys of an algorithm can have and that are ever allowed. */
const SIZES: Record<
  KeyRule['algorithm'],
  { fits: (bits: number) => boolean; floor: (bits: number) => boolean; message: string }
> = {
  RSA: {
    fits: (bits) => bits >= 2048 && bits % 8 === 0,
    floor: (bits) => bits >= 2048,
    message: 'must be at least 2048 and a multiple of 8 for RSA',
  },
  ECDSA: {
    fits: (bits) => [256, 384, 521].includes(bits),
    floor: (bits) => bits <= 521,
    message: 'must be 256, 384 or 521 for ECDSA',
  },
  Ed25519: { fits: () => false, floor: () => false, message: 'has no meaning for Ed25519' },
};

function isPositiveDuration(text: string): boolean {
  try {
    return parseDuration(text) > 0;
  } catch {
    return false;
  }
}
