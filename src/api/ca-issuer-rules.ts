// Rules across the fields of a ClusterCAIssuer and of a CAIssuer, and of texts that the schema cannot read.
import { parseAddress } from '../domain/address.ts';
import { parseDnsName } from '../domain/identifier.ts';
import { parseCidr } from '../domain/policy/network-range.ts';
import { NAMESPACE_PLACEHOLDER, parsePattern } from '../domain/policy/pattern.ts';
import { parseSubjectTemplate } from '../domain/subject.ts';
import type { CAIssuerSpec, ClusterCAIssuer, Profile } from './ca-issuer.ts';
import { parseDuration } from '../domain/duration.ts';
import { durationOrderRule, keySizeRule, positiveDurationRule } from './common-rules.ts';
import type { CAIssuer } from './issuer.ts';
import type { FieldError } from './kind.ts';
import { labelErrors } from './metadata.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';

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
];

/** What is written for a tenant is kept and judged beside what is written for everyone: tenants do not say for how long. */
const TENANT_LIMIT = '24h';

/** Beyond ISSUER_RULES, of a CAIssuer alone. */
const TENANT_RULES: readonly PlaceRule[] = [
  placeRule<Record<string, unknown>>({
    at: 'spec.backend',
    cel: 'has(self.ca)',
    message: 'a CAIssuer signs with the backend ca alone',
    holds: (self) => self.ca !== undefined,
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

export const TENANT_ISSUER_RULES: readonly PlaceRule[] = [...ISSUER_RULES, ...TENANT_RULES];

export function tenantIssuerRules(object: CAIssuer, old?: CAIssuer): FieldError[] {
  return [...issuerRules(object, old), ...placeErrors(TENANT_RULES, object, old)];
}

export function issuerRules(object: ClusterCAIssuer, old?: ClusterCAIssuer): FieldError[] {
  const { spec } = object;
  return [
    ...placeErrors(ISSUER_RULES, object, old),
    ...denyErrors(spec.deny ?? {}),
    ...subjectErrors(spec.subject),
    ...acmeErrors(spec.acme ?? {}),
    ...labelErrors(spec.allowedNamespaces?.matchLabels, 'spec.allowedNamespaces.matchLabels'),
  ];
}

/** An error for each entry that `fault` finds fault with. */
function each(
  path: string,
  texts: readonly string[] | undefined,
  fault: (text: string) => string | undefined,
): FieldError[] {
  return (texts ?? []).flatMap((text, i) => {
    const message = fault(text);
    return message === undefined ? [] : [{ path: `${path}[${i}]`, message }];
  });
}

function denyErrors({ dnsNames, cidrs }: NonNullable<CAIssuerSpec['deny']>): FieldError[] {
  return [
    ...each('spec.deny.dnsNames', dnsNames, (text) => {
      const pattern = parsePattern(text, 'dns');
      if ('error' in pattern) return pattern.error;
      return pattern.templated
        ? `cannot use ${NAMESPACE_PLACEHOLDER}: what is denied to all does not depend on who asks`
        : undefined;
    }),
    ...each('spec.deny.cidrs', cidrs, (text) => {
      const network = parseCidr(text);
      return 'error' in network ? network.error : undefined;
    }),
  ];
}

function subjectErrors(subject: CAIssuerSpec['subject']): FieldError[] {
  if (!subject) return [];
  const template = parseSubjectTemplate(subject.template);
  return typeof template === 'string' ? [{ path: 'spec.subject.template', message: template }] : [];
}

function acmeErrors({ termsOfService, website, caa, validation }: NonNullable<CAIssuerSpec['acme']>): FieldError[] {
  return [
    ...urlErrors('spec.acme.termsOfService', termsOfService),
    ...urlErrors('spec.acme.website', website),
    ...each('spec.acme.caa.identities', caa?.identities, (text) =>
      isPlainName(text) ? undefined : 'must be a DNS name in lower case, as CAA records would have it',
    ),
    ...each('spec.acme.validation.nameservers', validation?.nameservers, (text) =>
      isNameserver(text) ? undefined : 'must be an IP address, address:port or [address]:port',
    ),
  ];
}

function urlErrors(path: string, text: string | undefined): FieldError[] {
  const url = text === undefined ? undefined : URL.parse(text);
  // It stands between < and > in a Link header, and URL drops line breaks.
  const fits = url && ['http:', 'https:'].includes(url.protocol) && /^[!#-;=?-~]+$/.test(text ?? '');
  if (url === undefined || fits) return [];
  return [{ path, message: 'must be an http or https URL' }];
}

function isPlainName(text: string): boolean {
  try {
    return parseDnsName(text) === text && !text.startsWith('*');
  } catch {
    return false;
  }
}

function isNameserver(text: string): boolean {
  if (parseAddress(text)) return true;
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(bracketed ?? plain ?? '');
  // An IPv6 address stands in brackets before a port.
  const fits = address !== undefined && (bracketed !== undefined) === text.startsWith('[') && Number(port) >= 1;
  return fits && Number(port) <= 65_535;
}
