// Name constraints of a CA (RFC 5280 section 4.2.1.10): read, and applied to names about to be signed. What is not understood forbids.
import { isIP } from 'node:net';
import { type Address, contains, type Network, parseAddress, renderAddress } from './address.ts';
import type { AlternativeNames, DistinguishedName } from './certificate-model.ts';
import { DerError, DerReader } from './der.ts';
import { decodeIa5 } from './der-values.ts';
import { attributeValues, rdnKeys, readName, renderName } from './distinguished-name.ts';
import { OID } from './oid.ts';

type NameForm = 'DNS' | 'IP' | 'URI' | 'email' | 'directory';

/** A subtree. `match` is undefined for one that cannot be understood: nothing is within it and nothing is without it. */
interface Subtree {
  form: NameForm | 'unknown';
  /** As people read it. */
  text: string;
  match: ((name: string) => boolean) | undefined;
}

export interface NameConstraints {
  permitted: readonly Subtree[];
  excluded: readonly Subtree[];
}

/** A name the constraints forbid. `form` unknown: the constraints themselves could not be understood. */
export interface NameViolation {
  form: NameForm | 'unknown';
  name: string;
  reason: string;
}

/** Content of a nameConstraints extension. */
export function parseNameConstraints(value: Buffer): NameConstraints {
  const reader = DerReader.of(value);
  const content = reader.readSequence();
  reader.end();
  const permitted = content.peekTag() === 0xa0 ? readSubtrees(content.readTagged(0), 'permitted') : [];
  const excluded = content.peekTag() === 0xa1 ? readSubtrees(content.readTagged(1), 'excluded') : [];
  content.end();
  if (permitted.length + excluded.length === 0) throw new DerError('nameConstraints without subtrees');
  return { permitted, excluded };
}

type List = 'permitted' | 'excluded';

function readSubtrees(list: DerReader, which: List): Subtree[] {
  const subtrees: Subtree[] = [];
  while (list.more()) {
    const subtree = list.readSequence();
    const parsed = readBase(subtree, which);
    // minimum other than 0 and maximum are not used by RFC 5280; what they would mean is not understood.
    subtrees.push(subtree.more() ? { ...parsed, text: `${parsed.text} with a depth`, match: undefined } : parsed);
  }
  return subtrees;
}

function readBase(subtree: DerReader, which: List): Subtree {
  if (subtree.peekTag() === 0xa4) return directorySubtree(subtree.readTagged(4));
  const { tag, content } = subtree.readAny();
  if (tag === 0x87) return addressSubtree(content);
  const read = TEXT_FORMS[tag];
  if (!read) return { form: 'unknown', text: `a name form with tag ${tag.toString(16)}`, match: undefined };
  const text = decodeIa5(content);
  return {
    form: read.form,
    text: text === '' ? 'all' : text,
    match: text === '' ? () => true : read.matcher(text, which),
  };
}

const TEXT_FORMS: Readonly<
  Record<number, { form: NameForm; matcher: (base: string, which: List) => Subtree['match'] }>
> = {
  0x81: { form: 'email', matcher: emailMatcher },
  0x82: { form: 'DNS', matcher: dnsMatcher },
  0x86: { form: 'URI', matcher: uriMatcher },
};

const HOST = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/** `example.com` holds itself and all below; `.example.com`, outside the RFC but in use, only what is below. */
function dnsMatcher(text: string, which: List): Subtree['match'] {
  const base = text.toLowerCase();
  const bare = base.startsWith('.') ? base.slice(1) : base;
  if (!HOST.test(bare)) return undefined;
  const within = (host: string) => host.endsWith(`.${bare}`) || (base === bare && host === bare);
  if (which === 'permitted') return within;
  // A wildcard stands for every name one label below its base: it touches an excluded subtree whose top is such a name.
  const parent = bare.slice(bare.indexOf('.') + 1);
  return (host) => within(host) || (base === bare && bare.includes('.') && host === `*.${parent}`);
}

function hostMatcher(base: string): (host: string) => boolean {
  return base.startsWith('.') ? (host) => host.endsWith(base) && host.length > base.length : (host) => host === base;
}

/** A mailbox, a host, or `.domain` for all hosts below. Local parts that differ in case differ, yet an exclusion holds for both. */
function emailMatcher(text: string, which: List): Subtree['match'] {
  const at = text.lastIndexOf('@');
  const host = text.slice(at + 1).toLowerCase();
  if (!HOST.test(host.replace(/^\./, '')) || (at >= 0 && host.startsWith('.'))) return undefined;
  if (at < 0) {
    const inHost = hostMatcher(host);
    return (mailbox) => inHost(mailbox.slice(mailbox.lastIndexOf('@') + 1).toLowerCase());
  }
  const fold = which === 'excluded' ? (mailbox: string) => mailbox.toLowerCase() : lowerHost;
  return (mailbox) => fold(mailbox) === fold(text);
}

function lowerHost(mailbox: string): string {
  const at = mailbox.lastIndexOf('@');
  return mailbox.slice(0, at) + mailbox.slice(at).toLowerCase();
}

function uriMatcher(text: string): Subtree['match'] {
  const base = text.toLowerCase();
  if (!HOST.test(base.replace(/^\./, ''))) return undefined;
  const inHost = hostMatcher(base);
  return (uri) => inHost(uriHost(uri) ?? '');
}

/** Host of the authority, lower case, where it is a DNS name: constraints apply to no other (RFC 5280 section 4.2.1.10). */
function uriHost(uri: string): string | undefined {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#@:[\]]+)(?::\d*)?(?:[/?#]|$)/i
    .exec(uri)?.[1]
    ?.toLowerCase();
  return authority !== undefined && HOST.test(authority) && isIP(authority) === 0 ? authority : undefined;
}

function addressSubtree(content: Buffer): Subtree {
  const network = readNetwork(content);
  if (!network) return { form: 'IP', text: content.toString('hex'), match: undefined };
  const text = `${renderAddress(network.address)}/${network.prefix}`;
  return { form: 'IP', text, match: (name) => within(network, parseAddress(name)) };
}

function within(network: Network, address: Address | undefined): boolean {
  return address !== undefined && contains(network, address);
}

/** Address and mask; a mask with a gap is not understood. */
function readNetwork(content: Buffer): Network | undefined {
  if (content.length !== 8 && content.length !== 32) return undefined;
  const half = content.length / 2;
  const mask = [...content.subarray(half)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const prefix = mask.indexOf('0') < 0 ? mask.length : mask.indexOf('0');
  return mask.includes('1', prefix) ? undefined : { address: content.subarray(0, half), prefix };
}

function directorySubtree(content: DerReader): Subtree {
  const name = readName(content, true);
  content.end();
  const base = rdnKeys(name);
  return {
    form: 'directory',
    text: renderName(name),
    // Here `name` is the JSON of rdnKeys.
    match: (key) => {
      const rdns = JSON.parse(key) as string[];
      return base.every((rdn, i) => rdns[i] === rdn);
    },
  };
}

/**
 * Names that the constraints of one CA certificate forbid, none if all may be signed. The subject counts as a directory name, its
 * e-mail addresses as such, and a common name that is written like a host name or an address as one, since some clients read it so.
 */
export function nameViolations(
  constraints: NameConstraints,
  names: AlternativeNames,
  subject: DistinguishedName,
): NameViolation[] {
  const broken = [...constraints.permitted, ...constraints.excluded].filter((subtree) => !subtree.match);
  if (broken.length > 0)
    return broken.map(({ form, text }) => ({
      form: 'unknown',
      name: text,
      reason: `the CA has a name constraint that is not understood (${form} ${text})`,
    }));
  return namesOf(names, subject).flatMap(({ form, name, shown }) => {
    const reason = violation(constraints, form, name);
    return reason === undefined ? [] : [{ form, name: shown, reason: `${shown} ${reason}` }];
  });
}

interface NamedForm {
  form: NameForm;
  /** What subtrees match against. */
  name: string;
  shown: string;
}

function namesOf(names: AlternativeNames, subject: DistinguishedName): NamedForm[] {
  const plain = (form: NameForm) => (name: string) => ({ form, name, shown: name });
  const commonNames = attributeValues(subject, OID.commonName).map((name) => name.toLowerCase());
  // OpenSSL takes even an IPv4 address there for a host name where no alternative name is one.
  const hosts = commonNames.filter(
    (name) =>
      name.includes('.') && HOST.test(name.replace(/^\*\./, '')) && (isIP(name) === 0 || names.dnsNames.length === 0),
  );
  const addresses = commonNames.filter((name) => isIP(name) !== 0);
  return [
    ...unique([...names.dnsNames.map((name) => name.toLowerCase()), ...hosts]).map(plain('DNS')),
    ...unique([...names.ipAddresses, ...addresses]).map(plain('IP')),
    ...names.uris.map(plain('URI')),
    ...[...names.emailAddresses, ...attributeValues(subject, OID.emailAddress)].map(plain('email')),
    ...(subject.length > 0
      ? [{ form: 'directory' as const, name: JSON.stringify(rdnKeys(subject)), shown: renderName(subject) }]
      : []),
  ];
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

function violation({ permitted, excluded }: NameConstraints, form: NameForm, name: string): string | undefined {
  const mine = (list: readonly Subtree[]) => list.filter((subtree) => subtree.form === form);
  const [allow, forbid] = [mine(permitted), mine(excluded)];
  // Where a URI is constrained it must have a host to constrain.
  if (form === 'URI' && allow.length + forbid.length > 0 && uriHost(name) === undefined)
    return 'has no host name, as the name constraints of the CA ask for';
  if (forbid.some((subtree) => subtree.match?.(name))) return 'is excluded by the name constraints of the CA';
  if (allow.length > 0 && !allow.some((subtree) => subtree.match?.(name)))
    return 'is outside the names the CA is permitted to sign';
  return undefined;
}
