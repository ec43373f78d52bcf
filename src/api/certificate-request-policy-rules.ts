// Rules across the fields of a CertificateRequestPolicy, and of texts that the schema cannot read. Expressions are not compiled
// here: the object's Ready condition tells of those.
import { parseDuration } from '../domain/duration.ts';
import { parseCidr } from '../domain/policy/network-range.ts';
import { parsePattern, type Syntax } from '../domain/policy/pattern.ts';
import type { CertificateRequestPolicy, PolicySpec } from './certificate-request-policy.ts';
import type { FieldError } from './kind.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';

/** `namespace` is a reserved word of CEL, which Kubernetes escapes. */
export const POLICY_RULES: readonly PlaceRule[] = [
  placeRule<NonNullable<PolicySpec['selector']['issuerRef']>>({
    at: 'spec.selector.issuerRef',
    cel: "!has(self.__namespace__) || (has(self.kind) && self.kind == 'CAIssuer')",
    message: 'namespace needs kind CAIssuer: a ClusterCAIssuer has none',
    holds: ({ kind, namespace }) => namespace === undefined || kind === 'CAIssuer',
  }),
];

export function policyRules(object: CertificateRequestPolicy, old?: CertificateRequestPolicy): FieldError[] {
  const { selector, allowed, constraints = {} } = object.spec;
  return [
    ...placeErrors(POLICY_RULES, object, old),
    ...selectorRules(selector),
    ...allowedRules(allowed),
    ...constraintRules(constraints),
  ];
}

function selectorRules({ sources, namespace, publicKeys }: PolicySpec['selector']): FieldError[] {
  const errors = networks(sources, 'spec.selector.sources');
  if (sources && !sources.cidrs && !sources.except)
    errors.push({
      path: 'spec.selector.sources',
      message: 'needs cidrs or except; leave it out to match every source',
    });
  if (namespace && !namespace.matchNames && !namespace.matchLabels)
    errors.push({
      path: 'spec.selector.namespace',
      message: 'needs matchNames or matchLabels; leave it out to match every requester',
    });
  for (const [i, key] of (publicKeys ?? []).entries()) {
    if (!/^[0-9a-fA-F]{64}$/.test(key))
      errors.push({ path: `spec.selector.publicKeys[${i}]`, message: 'must be a SHA-256 in 64 hexadecimal digits' });
  }
  return errors;
}

function allowedRules(allowed: PolicySpec['allowed']): FieldError[] {
  const errors = networks(allowed.ipAddresses, 'spec.allowed.ipAddresses');
  if (allowed.ipAddresses && !allowed.ipAddresses.cidrs)
    errors.push({ path: 'spec.allowed.ipAddresses', message: 'needs cidrs: what is not listed is not allowed' });
  if (allowed.commonName)
    errors.push(...patterns([allowed.commonName.value], 'dns', () => 'spec.allowed.commonName.value'));
  return [
    ...errors,
    ...names(allowed.dnsNames, 'dns', 'spec.allowed.dnsNames'),
    ...names(allowed.uris, 'uri', 'spec.allowed.uris'),
    ...names(allowed.emailAddresses, 'email', 'spec.allowed.emailAddresses'),
  ];
}

function constraintRules({ servers, maxDuration, privateKey }: NonNullable<PolicySpec['constraints']>): FieldError[] {
  const errors = networks(servers, 'spec.constraints.servers');
  if (maxDuration !== undefined && !isPositiveDuration(maxDuration))
    errors.push({
      path: 'spec.constraints.maxDuration',
      message: 'must be a duration longer than zero, such as 2160h',
    });
  const keys = (privateKey ?? []).flatMap((rule, i) => keyRules(rule, `spec.constraints.privateKey[${i}]`));
  return [...errors, ...keys];
}

type KeyRule = NonNullable<NonNullable<PolicySpec['constraints']>['privateKey']>[number];

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

function keyRules({ algorithm, sizes = [], minSize }: KeyRule, path: string): FieldError[] {
  const { fits, floor, message } = SIZES[algorithm];
  const errors = sizes.flatMap((size, i) => (fits(size) ? [] : [{ path: `${path}.sizes[${i}]`, message }]));
  if (minSize === undefined) return errors;
  if (!floor(minSize)) errors.push({ path: `${path}.minSize`, message });
  if (sizes.length > 0) errors.push({ path: `${path}.minSize`, message: 'cannot stand beside sizes: use one of them' });
  return errors;
}

function names(rule: { values: string[]; except?: string[] } | undefined, syntax: Syntax, path: string): FieldError[] {
  if (!rule) return [];
  return [
    ...patterns(rule.values, syntax, (i) => `${path}.values[${i}]`),
    ...patterns(rule.except ?? [], syntax, (i) => `${path}.except[${i}]`),
  ];
}

function patterns(sources: readonly string[], syntax: Syntax, path: (i: number) => string): FieldError[] {
  return sources.flatMap((source, i) => {
    const parsed = parsePattern(source, syntax);
    return 'error' in parsed ? [{ path: path(i), message: parsed.error }] : [];
  });
}

function networks(rule: { cidrs?: string[]; except?: string[] } | undefined, path: string): FieldError[] {
  return (['cidrs', 'except'] as const).flatMap((field) =>
    (rule?.[field] ?? []).flatMap((text, i) => {
      const network = parseCidr(text);
      return 'error' in network ? [{ path: `${path}.${field}[${i}]`, message: network.error }] : [];
    }),
  );
}

function isPositiveDuration(text: string): boolean {
  try {
    return parseDuration(text) > 0;
  } catch {
    return false;
  }
}
