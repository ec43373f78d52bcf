// Subjects of issued certificates: an issuer's template such as `CN={dnsNames[0]},O=Example`, parsed once, rendered per certificate.
// Placeholders stand inside attribute values only and what they insert is never parsed, so no value can add an attribute.
import type { AlternativeNames, DistinguishedName, NameAttribute } from './certificate-model.ts';
import { attributeOid, attributeProblem } from './distinguished-name.ts';
import { OID } from './oid.ts';

/** What placeholders stand for. */
export interface SubjectFacts {
  names: AlternativeNames;
  account?: string;
  namespace?: string;
  claim?: string;
}

interface Placeholder {
  name: 'dnsNames' | 'ipAddresses' | 'names' | 'account' | 'namespace' | 'claim';
  index: number;
}

interface TemplateAttribute {
  oid: string;
  parts: readonly (string | Placeholder)[];
}

/** RDNs in encoding order. */
export type SubjectTemplate = readonly (readonly TemplateAttribute[])[];

const LISTS = ['dnsNames', 'ipAddresses', 'names'] as const;
const WORDS = ['account', 'namespace', 'claim'] as const;
const HELP = 'use {dnsNames[0]}, {ipAddresses[0]}, {names[0]}, {account}, {namespace} or {claim}';

class TemplateError extends Error {}

/**
 * A template in RFC 4514 form (most specific first; `+` joins attributes of one RDN; `\` escapes a special character, a brace or two
 * hexadecimal digits), or text saying what is wrong with it.
 */
export function parseSubjectTemplate(text: string): SubjectTemplate | string {
  try {
    const rdns = split(text, ',').map((rdn) => split(rdn, '+').map(parseAttribute));
    checkWhole(rdns.flat());
    // RFC 4514 section 2.1: text has the last RDN first.
    return rdns.toReversed();
  } catch (error) {
    if (error instanceof TemplateError) return error.message;
    throw error;
  }
}

/** Parts between unescaped separators. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === separator) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function parseAttribute(text: string): TemplateAttribute {
  const equals = text.indexOf('=');
  if (equals < 0) throw new TemplateError(`${quoted(text)} has no "=": write TYPE=value, and escape commas with "\\"`);
  const type = text.slice(0, equals).replace(/^ +| +$/g, '');
  const oid = attributeOid(type);
  if (oid === undefined)
    throw new TemplateError(`${quoted(type)} is no attribute type: use CN, O, OU, L, ST, C and the like`);
  const parts = parseValue(text.slice(equals + 1).replace(/^ +/, ''), type);
  const fixed = parts.every((part) => typeof part === 'string');
  const problem = fixed ? attributeProblem({ oid, value: parts.join('') }) : undefined;
  if (problem) throw new TemplateError(problem);
  return { oid, parts };
}

const TOKEN = /\\([0-9a-fA-F]{2}(?:\\[0-9a-fA-F]{2})*)|\\([ "#+,;<=>\\{}])|\{([^{}]*)\}|([^"+,;<>\\{}]+)/suy;

function parseValue(text: string, type: string): (string | Placeholder)[] {
  if (text.startsWith('#'))
    throw new TemplateError(`${type}: values in hexadecimal BER are not supported; escape "#" with "\\"`);
  const parts: (string | Placeholder)[] = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) throw new TemplateError(`${type}: ${quoted(text.slice(at, at + 2))} must be escaped with "\\"`);
    const [whole, hex, escaped, placeholder, plain] = match;
    at += whole.length;
    // Spaces around a value are no part of it unless escaped.
    const literal = at === text.length ? plain?.replace(/ +$/, '') : plain;
    if (placeholder !== undefined) parts.push(parsePlaceholder(placeholder));
    else parts.push(hex === undefined ? (escaped ?? literal ?? '') : decodeHex(hex, type));
  }
  return parts;
}

function decodeHex(pairs: string, type: string): string {
  const text = Buffer.from(pairs.replaceAll('\\', ''), 'hex').toString('utf8');
  if (text.includes('\ufffd')) throw new TemplateError(`${type}: hexadecimal pairs that are not UTF-8`);
  return text;
}

function parsePlaceholder(text: string): Placeholder {
  const match = /^([A-Za-z]+)(?:\[(\d{1,2})\])?$/.exec(text);
  const list = LISTS.find((name) => name === match?.[1]);
  const word = WORDS.find((name) => name === match?.[1]);
  if (list && match?.[2] !== undefined) return { name: list, index: Number(match[2]) };
  if (word && match?.[2] === undefined) return { name: word, index: 0 };
  throw new TemplateError(`no placeholder {${text.slice(0, 64)}}: ${HELP}`);
}

function checkWhole(attributes: readonly TemplateAttribute[]): void {
  // A second common name is where readers of certificates disagree on who the subject is.
  if (attributes.filter(({ oid }) => oid === OID.commonName).length > 1)
    throw new TemplateError('the template has two CNs');
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

/** The subject for these facts: an attribute with a placeholder without value, or whose value no certificate can hold, is left out. */
export function renderSubject(template: SubjectTemplate, facts: SubjectFacts): DistinguishedName {
  return template.flatMap((rdn) => {
    const attributes = rdn.flatMap((attribute) => renderAttribute(attribute, facts));
    return attributes.length > 0 ? [attributes] : [];
  });
}

function renderAttribute({ oid, parts }: TemplateAttribute, facts: SubjectFacts): NameAttribute[] {
  const values = parts.map((part) => (typeof part === 'string' ? part : valueOf(part, facts)));
  if (values.includes(undefined)) return [];
  const attribute = { oid, value: values.join('') };
  return attributeProblem(attribute) === undefined ? [attribute] : [];
}

function valueOf({ name, index }: Placeholder, facts: SubjectFacts): string | undefined {
  if (name === 'names') return hosts(facts.names)[index];
  if (name === 'dnsNames' || name === 'ipAddresses') return facts.names[name][index];
  return facts[name] || undefined;
}

function hosts(names: AlternativeNames): string[] {
  return [...names.dnsNames, ...names.ipAddresses];
}

/** Upper bound of a common name, RFC 5280 appendix A.1 (ub-common-name). */
const MAX_COMMON_NAME = 64;

/** Subject where neither template nor request has one: the shortest DNS name or address a common name can hold, the first of equals, else empty. */
export function defaultSubject(names: AlternativeNames): DistinguishedName {
  const [shortest] = hosts(names)
    .filter((name) => name.length <= MAX_COMMON_NAME)
    .sort((a, b) => a.length - b.length);
  return shortest === undefined ? [] : [[{ oid: OID.commonName, value: shortest }]];
}
