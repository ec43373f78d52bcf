// Rules over texts that a regular expression of a schema cannot hold to the letter: names, addresses, networks, patterns. Where CEL
// cannot say all that the function says, the comment tells what it leaves out; test/integration/crds.test.ts has the list.
import { isMappedAddress, parseAddress } from '../domain/address.ts';
import { parseCertificate } from '../domain/certificate.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { parseDnsName, parseIdentifier } from '../domain/identifier.ts';
import { parseCidr } from '../domain/policy/network-range.ts';
import { NAMESPACE_PLACEHOLDER, parsePattern, type Syntax } from '../domain/policy/pattern.ts';
import { labelErrors } from './metadata.ts';
import { explainedRule, type PlaceRule, placeRule } from './rule.ts';

/** CEL that asks whether `self` (or another value) matches. The expression must mean the same to JavaScript and to RE2. */
function matches(expression: string, value = 'self'): string {
  if (expression.includes('"')) throw new TypeError('a raw string of CEL cannot hold its own quote');
  return `${value}.matches(r"${expression}")`;
}

/** A rule over one text; `fault` says what is wrong with it. */
function textRule(rule: {
  at: string;
  cel: string;
  message: string;
  fault: (text: string) => string | undefined;
}): PlaceRule {
  const { at, cel, message, fault } = rule;
  return explainedRule<string>({
    at,
    cel,
    message,
    faults: (self) => {
      const wrong = fault(self);
      return wrong === undefined ? [] : [{ path: '', message: wrong }];
    },
  });
}

/** What a parser throws, as a fault. */
function thrown(parse: (text: string) => unknown): (text: string) => string | undefined {
  return (text) => {
    try {
      parse(text);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
}

/** A rule that is one regular expression. */
export function expressionRule(at: string, expression: RegExp, message: string): PlaceRule {
  return placeRule<string>({ at, cel: matches(expression.source), message, holds: (self) => expression.test(self) });
}

const LABEL = '[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?';
const NAME = `${LABEL}(\\.${LABEL})*`;
/** A last label that is a number, and a label with hyphens in third and fourth place that does not begin with xn. */
const NO_NAME = '(^|[.@])([0-9]+|0[xX][0-9A-Fa-f]*)$|(^|[.@])([^Xx.@][^.@]|[Xx][^Nn.@])--';

/** `*.` over two labels at least. Beyond CEL: that a label beginning with xn-- is a valid A-label (IDNA). */
export function dnsNameRule(at: string): PlaceRule {
  return textRule({
    at,
    cel: `${matches(`^(${NAME}|\\*\\.${LABEL}\\.${NAME})$`)} && !${matches(NO_NAME)}`,
    message: 'must be a DNS name, perhaps after "*."',
    fault: thrown(parseDnsName),
  });
}

/** A name as CAA records write it: lower case, no wildcard. Beyond CEL: as dnsNameRule. */
export function caaIdentityRule(at: string): PlaceRule {
  const message = 'must be a DNS name in lower case, as CAA records would have it';
  const fault = thrown(parseDnsName);
  return textRule({
    at,
    cel: `${matches(`^${NAME}$`)} && !${matches(NO_NAME)} && self == self.lowerAscii()`,
    message,
    fault: (text) =>
      fault(text) !== undefined || text.startsWith('*') || text !== text.toLowerCase() ? message : undefined,
  });
}

/** An address in the one form that certificates' names are compared in (RFC 5952), not IPv4-mapped. */
export function addressRule(at: string): PlaceRule {
  return textRule({
    at,
    cel: 'isIP(self) && ip.isCanonical(self)',
    message: 'must be an IPv4 address, or an IPv6 address as RFC 5952 writes it',
    fault: thrown((value) => parseIdentifier({ type: 'ip', value })),
  });
}

const LOCAL_PART = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*";

/** RFC 5280 section 4.2.1.6: local part and domain, without a name before it. Beyond CEL: as dnsNameRule. */
export function mailboxRule(at: string): PlaceRule {
  return textRule({
    at,
    cel: `${matches(`^${LOCAL_PART}@${NAME}$`)} && self.indexOf('@') <= 64 && !self.substring(self.indexOf('@')).matches(r"${NO_NAME}")`,
    message: 'must be an e-mail address, local part and domain',
    fault: thrown(parseMailbox),
  });
}

const LOCAL = new RegExp(`^${LOCAL_PART}$`);

function parseMailbox(text: string): void {
  const at = text.lastIndexOf('@');
  if (at < 1 || at > 64 || !LOCAL.test(text.slice(0, at)))
    throw new TypeError('must be an e-mail address, local part and domain');
  const domain = text.slice(at + 1);
  if (domain.startsWith('*')) throw new TypeError('must be an e-mail address without wildcard');
  parseDnsName(domain);
}

const HOST = '([A-Za-z0-9._~-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?';
const REST = "([A-Za-z0-9._~:/?#@!$&'()*+,;=\\[\\]-]|%[0-9A-Fa-f]{2})*";

/** RFC 3986, with a host where there is an authority (RFC 5280 section 4.2.1.6). */
const URI = new RegExp(
  `^[A-Za-z][A-Za-z0-9+.-]*:(//([A-Za-z0-9._~!$&'()*+,;=:%-]*@)?${HOST}([/?#]${REST})?|/|/?([A-Za-z0-9._~:?#@!$&'()*+,;=\\[\\]-]|%[0-9A-Fa-f]{2})${REST})$`,
);

export function uriRule(at: string): PlaceRule {
  return expressionRule(at, URI, 'must be an absolute URI of printable ASCII characters');
}

const WEB = new RegExp(`^[Hh][Tt][Tt][Pp][Ss]?://${HOST}([/?#]${REST})?$`);

export function webRule(at: string): PlaceRule {
  return expressionRule(at, WEB, 'must be an http or https URL');
}

const SERVICE = new RegExp(`^https://${HOST}(/([A-Za-z0-9._~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?$`);

/** An https URL to which paths can be added. */
export function webhookRule(at: string): PlaceRule {
  return expressionRule(at, SERVICE, 'must be an https URL without user, query and fragment');
}

/** Certificates in PEM. Beyond CEL: that they can be read. */
export function certificatesRule(at: string): PlaceRule {
  return textRule({
    at,
    cel: matches('-----BEGIN CERTIFICATE-----'),
    message: 'holds no certificate in PEM',
    fault: (pem) => {
      const unreadable = thrown(() => parsePemCertificates(pem).forEach(parseCertificate))(pem);
      if (unreadable !== undefined) return `holds a certificate that cannot be read: ${unreadable}`;
      return pem.includes('-----BEGIN CERTIFICATE-----') ? undefined : 'holds no certificate in PEM';
    },
  });
}

/** A network without bits beyond its prefix, or one address; never IPv4 in IPv6 form, which would be read in two ways. */
export function networkRule(at: string): PlaceRule {
  return textRule({
    at,
    cel: 'isCIDR(self) ? cidr(self).masked() == cidr(self) : isIP(self)',
    message: 'must be an IPv4 or IPv6 network without bits beyond its prefix, or an address',
    fault: (text) => {
      const network = parseCidr(text);
      if ('error' in network) return network.error;
      return isMappedAddress(text.split('/')[0] ?? '') ? 'is IPv4 in IPv6 form: write it as IPv4' : undefined;
    },
  });
}

/** Ports are 1 to 65535. */
const PORT = '0{0,4}([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';
const WITH_PORT = `(?:\\[[^\\]]+\\]|[0-9.]+):${PORT}`;

/** An address, perhaps with a port; an IPv6 address stands in brackets before one. */
export function nameserverRule(at: string): PlaceRule {
  const message = 'must be an IP address, address:port or [address]:port';
  const withPort = new RegExp(`^${WITH_PORT}$`);
  return textRule({
    at,
    cel: `isIP(self) || ${matches(withPort.source)} && isIP(self.startsWith('[') ? self.substring(1, self.indexOf(']')) : self.split(':')[0])`,
    message,
    fault: (text) => {
      const bare = text.startsWith('[') ? text.slice(1, text.indexOf(']')) : (text.split(':')[0] ?? '');
      const address = withPort.test(text) ? bare : text;
      return parseAddress(address) && !isMappedAddress(address) ? undefined : message;
    },
  });
}

const PLACEHOLDER = '\\{\\{namespace\\}\\}';
const EDGE = `([A-Za-z0-9]|${PLACEHOLDER})`;
const LABEL_PATTERN = `(\\*\\*?|${EDGE}(([-A-Za-z0-9]|${PLACEHOLDER}){0,61}${EDGE})?)`;
const LABEL_PATTERNS = `${LABEL_PATTERN}(\\.${LABEL_PATTERN})*`;
/** Printable ASCII but `*`, `/`, `{` and `}`; and but `*`, `@`, `{` and `}`. */
const SEGMENT_PATTERN = `(\\*\\*?|([!-)+-.0-z|~]|${PLACEHOLDER})*)`;
const LOCAL_PATTERN = `(\\*|([!-)+-?A-z|~]|${PLACEHOLDER})+)`;

const PATTERN: Record<Syntax, string> = {
  dns: `^${LABEL_PATTERNS}$`,
  uri: `^${SEGMENT_PATTERN}(/${SEGMENT_PATTERN})*$`,
  email: `^${LOCAL_PATTERN}@${LABEL_PATTERNS}$`,
};

const PATTERN_MESSAGE: Record<Syntax, string> = {
  dns: 'must be a pattern of DNS labels: text, * for any label, ** once for one or more, {{namespace}}',
  uri: 'must be a pattern of path segments: text, * for any segment, ** once for one or more, {{namespace}}',
  email: 'must be a pattern: a local part or *, @, and a pattern of DNS labels',
};

/** `open`: whether `{{namespace}}` may stand in it. */
export function patternRule(at: string, syntax: Syntax, open = true): PlaceRule {
  const closed = open ? '' : ` && !self.contains('${NAMESPACE_PLACEHOLDER}')`;
  return textRule({
    at,
    cel: `${matches(PATTERN[syntax])} && !${matches('\\*\\*.*\\*\\*')}${closed}`,
    message: PATTERN_MESSAGE[syntax],
    fault: (text) => {
      const pattern = parsePattern(text, syntax);
      if ('error' in pattern) return pattern.error;
      return !open && pattern.templated
        ? `cannot use ${NAMESPACE_PLACEHOLDER}: what is denied to all does not depend on who asks`
        : undefined;
    },
  });
}

const WORD = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const PREFIX = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';

/** Labels as Kubernetes takes them. */
export function labelsRule(at: string): PlaceRule {
  return explainedRule<Record<string, string>>({
    at,
    cel: `self.all(key, ${matches(`^(${PREFIX}/)?${WORD}$`, 'key')} && key.indexOf('/') <= 253 && ${matches(`^(${WORD})?$`, 'self[key]')})`,
    message: 'must be labels as Kubernetes takes them',
    faults: (self) => labelErrors(self, ''),
  });
}
