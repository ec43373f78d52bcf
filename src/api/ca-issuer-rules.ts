// Rules across the fields of a ClusterCAIssuer, and of texts that the schema cannot read.
import { parseAddress } from '../domain/address.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { parseDuration } from '../domain/duration.ts';
import { parseDnsName } from '../domain/identifier.ts';
import { parseCidr } from '../domain/policy/network-range.ts';
import { NAMESPACE_PLACEHOLDER, parsePattern } from '../domain/policy/pattern.ts';
import { parseSubjectTemplate } from '../domain/subject.ts';
import { parseCertificate } from '../domain/certificate.ts';
import type { CAIssuerSpec, ClusterCAIssuer, Profile } from './ca-issuer.ts';
import type { WebhookBackendSpec } from './webhook-backend.ts';
import { durationOrderRule, keySizeRule, oneOfRule, positiveDurationRule } from './common-rules.ts';
import type { FieldError } from './kind.ts';
import { labelErrors } from './metadata.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';

export const ISSUER_RULES: readonly PlaceRule[] = [
  oneOfRule('spec.backend', ['ca', 'webhook']),
  oneOfRule('spec.backend.webhook.authentication', ['clientCertificateRef', 'hmac']),
  placeRule<Record<string, unknown>>({
    at: 'spec.backend.webhook',
    cel: '!has(self.caBundle) || !has(self.caBundleRef)',
    message: 'caBundle and caBundleRef do not go together',
    holds: (self) => self.caBundle === undefined || self.caBundleRef === undefined,
  }),
  placeRule<string>({
    at: 'spec.backend.webhook.url',
    cel: "self.startsWith('https://')",
    message: 'must be an https URL',
    holds: (self) => self.startsWith('https://'),
  }),
  placeRule<string>({
    at: 'spec.backend.webhook.timeout',
    cel: "duration(self) > duration('0s') && duration(self) <= duration('10m')",
    message: 'must be longer than zero and at most 10m',
    holds: (self) => parseDuration(self) > 0 && parseDuration(self) <= 600_000,
  }),
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

export function issuerRules(object: ClusterCAIssuer, old?: ClusterCAIssuer): FieldError[] {
  const { spec } = object;
  return [
    ...placeErrors(ISSUER_RULES, object, old),
    ...webhookErrors(spec.backend.webhook),
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

function webhookErrors(webhook: WebhookBackendSpec | undefined): FieldError[] {
  if (!webhook) return [];
  const path = 'spec.backend.webhook';
  const url = URL.parse(webhook.url);
  const plain = url && url.username === '' && url.password === '' && url.hash === '' && url.search === '';
  return [
    ...(plain ? [] : [{ path: `${path}.url`, message: 'must be a URL without user, query and fragment' }]),
    ...pemErrors(`${path}.trustAnchors`, webhook.trustAnchors),
    ...pemErrors(`${path}.caBundle`, webhook.caBundle),
  ];
}

function pemErrors(path: string, pem: string | undefined): FieldError[] {
  try {
    if (pem === undefined || parsePemCertificates(pem).map(parseCertificate).length > 0) return [];
    return [{ path, message: 'holds no certificate in PEM' }];
  } catch (error) {
    return [
      { path, message: `holds a certificate that cannot be read: ${error instanceof Error ? error.message : ''}` },
    ];
  }
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
  if (url === undefined || (url && ['http:', 'https:'].includes(url.protocol))) return [];
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
