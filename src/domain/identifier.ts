// ACME identifiers (RFC 8555 section 7.1.4, RFC 8738): parsed once at the edge, from then on always normalised.
import { isIP } from 'node:net';
import { toASCII, toUnicode } from 'tr46';
import { parseExact, renderAddress } from './address.ts';
import { Problem } from './problem.ts';

/** `dns`: lower-case A-labels without trailing dot, perhaps under one `*.` label. `ip`: canonical text. */
export interface Identifier {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

const LDH = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** The identifier a client sent. Throws malformed, unsupportedIdentifier or rejectedIdentifier. */
export function parseIdentifier(input: unknown): Identifier {
  if (typeof input !== 'object' || input === null) throw new Problem('malformed', 'an identifier must be an object');
  const { type, value } = input as { type?: unknown; value?: unknown };
  if (typeof type !== 'string')
    throw new Problem('unsupportedIdentifier', 'identifier type must be the text "dns" or "ip"');
  if (type !== 'dns' && type !== 'ip')
    throw new Problem('unsupportedIdentifier', 'only identifiers of type dns and ip are supported');
  if (typeof value !== 'string') throw new Problem('malformed', 'identifier value must be text');
  return type === 'dns' ? { type, value: parseDnsName(value) } : { type, value: parseIpValue(value) };
}

/** Text that is safe to repeat in an error: printable ASCII, cut short. */
export function quote(text: string): string {
  const shown = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return JSON.stringify(shown.replace(/[^\x20-\x7e…]/g, '?'));
}

/**
 * A DNS name, possibly a wildcard, in normal form. Throws malformed for bad syntax, rejectedIdentifier for a wildcard we never issue.
 * `isValid` judges its `xn--` labels, which costs a hundred times the rest.
 */
export function parseDnsName(text: string, isValid: (aLabel: string) => boolean = isALabel): string {
  const name = text.toLowerCase();
  if (name === '' || name.length > 253) throw new Problem('malformed', 'a DNS name has 1 to 253 characters');
  if (isIP(name) !== 0) throw new Problem('malformed', `${quote(text)} is an IP address: use identifier type ip`);
  const base = name.startsWith('*.') ? name.slice(2) : name;
  if (base.includes('*') || base === '')
    throw new Problem('rejectedIdentifier', `${quote(text)}: a wildcard is one "*." before a name`);
  const labels = base.split('.');
  for (const label of labels) checkLabel(label, text, isValid);
  if (base !== name && labels.length < 2)
    throw new Problem('rejectedIdentifier', `${quote(text)}: no wildcard over a top-level name`);
  const last = labels.at(-1) ?? '';
  if (/^(\d+|0x[0-9a-f]*)$/.test(last))
    throw new Problem('malformed', `${quote(text)}: the last label of a DNS name is not a number`);
  return name;
}

function checkLabel(label: string, name: string, isValid: (aLabel: string) => boolean): void {
  if (label === '') throw new Problem('malformed', `${quote(name)} has an empty label or a trailing dot`);
  if (label.length > 63) throw new Problem('malformed', `${quote(name)} has a label longer than 63 characters`);
  if (!LDH.test(label)) throw new Problem('malformed', `${quote(name)}: labels have letters, digits and inner hyphens`);
  if (label.slice(2, 4) !== '--') return;
  if (!label.startsWith('xn--') || !isValid(label)) {
    throw new Problem('malformed', `${quote(name)} has a label that is not a valid A-label (RFC 5890)`);
  }
}

/** Whether an `xn--` label decodes, is valid under IDNA, and encodes to the same text. */
function isALabel(label: string): boolean {
  const options = {
    checkBidi: true,
    checkHyphens: true,
    checkJoiners: true,
    useSTD3ASCIIRules: true,
    transitionalProcessing: false,
  };
  const { domain, error } = toUnicode(label, options);
  // An xn-- label that decodes to ASCII alone is a second spelling of a plain label.
  // eslint-disable-next-line no-control-regex -- the range is what "ASCII" means
  if (error || /^[\x00-\x7f]*$/.test(domain)) return false;
  return toASCII(domain, { ...options, verifyDNSLength: true }) === label;
}

function parseIpValue(text: string): string {
  const bytes = parseExact(text);
  if (!bytes) throw new Problem('malformed', `${quote(text)} is not an IP address`);
  const canonical = renderAddress(bytes);
  if (canonical !== text)
    throw new Problem('malformed', `write the IP address as ${quote(canonical)} (RFC 8738 section 3)`);
  if (bytes.length === 16 && canonical.startsWith('::ffff:')) {
    throw new Problem('malformed', 'an IPv4-mapped address is not an identifier: use the IPv4 address');
  }
  return canonical;
}

export function isWildcard(identifier: Identifier): boolean {
  return identifier.type === 'dns' && identifier.value.startsWith('*.');
}

/** The identifier of an authorization: a wildcard's base name, RFC 8555 section 7.1.4. */
export function baseIdentifier(identifier: Identifier): Identifier {
  return isWildcard(identifier) ? { type: 'dns', value: identifier.value.slice(2) } : identifier;
}

/** One text per identifier, for sets and records. */
export function identifierKey(identifier: Identifier): string {
  return `${identifier.type}:${identifier.value}`;
}

/** Sorted and without duplicates. */
export function uniqueIdentifiers(identifiers: readonly Identifier[]): Identifier[] {
  const byKey = new Map(identifiers.map((identifier) => [identifierKey(identifier), identifier]));
  return [...byKey.values()].sort((a, b) => (identifierKey(a) < identifierKey(b) ? -1 : 1));
}
