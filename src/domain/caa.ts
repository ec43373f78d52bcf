// Certification Authority Authorization: which records apply to a name (RFC 8659) and whether they let us issue (with RFC 8657).
import type { ChallengeType } from './challenge.ts';

interface CaaProperty {
  readonly critical: boolean;
  readonly tag: string;
  readonly value: string;
}

export type CaaRecords<T extends CaaProperty = CaaProperty> =
  | { state: 'found'; records: readonly T[] }
  | { state: 'absent' }
  | { state: 'failed'; reason: string };

/**
 * The relevant record set, RFC 8659 section 3: the records at the name, else at its nearest ancestor that has any; the root is not
 * asked. `lookUp` is called for one name after the other. A failure ends the climb: what was not seen may forbid.
 */
export async function climbCaa(
  name: string,
  lookUp: (name: string) => Promise<CaaRecords>,
): Promise<CaaRecords & { at: string }> {
  for (let at = name; ; at = at.slice(at.indexOf('.') + 1)) {
    const answer = await lookUp(at);
    const empty = answer.state === 'absent' || (answer.state === 'found' && answer.records.length === 0);
    if (!empty) return { ...answer, at };
    if (!at.includes('.')) return { state: 'absent', at };
  }
}

export interface CaaQuestion {
  wildcard: boolean;
  /** Our names as an issuer, `meta.caaIdentities`. */
  identities: readonly string[];
  accountURL: string;
  /** How the name is validated. */
  challenge: ChallengeType;
}

/** Property tags that are understood; a critical one of any other kind forbids issuance, RFC 8659 section 4.5. */
const KNOWN_TAGS: ReadonlySet<string> = new Set([
  'issue',
  'issuewild',
  'iodef',
  'issuemail',
  'contactemail',
  'contactphone',
]);

/**
 * Why the relevant record set forbids issuance, in words safe to show, or undefined if it does not. Where a set has no
 * `issuewild`, its `issue` records bind wildcards too (RFC 8659 section 4.3).
 */
export function caaDenial(records: readonly CaaProperty[], question: CaaQuestion): string | undefined {
  if (records.some(({ critical, tag }) => critical && !KNOWN_TAGS.has(tag.toLowerCase())))
    return 'a critical CAA property is of an unknown kind';
  const tagged = (wanted: string) => records.filter(({ tag }) => tag.toLowerCase() === wanted);
  const wild = question.wildcard ? tagged('issuewild') : [];
  const binding = wild.length > 0 ? wild : tagged('issue');
  if (binding.length === 0) return undefined;
  const ours = binding.flatMap(({ value }) => {
    const issuer = parseIssueValue(value);
    return issuer?.name && question.identities.some((identity) => sameName(identity, issuer.name)) ? [issuer] : [];
  });
  if (ours.length === 0) return 'CAA records name other issuers';
  if (ours.some((issuer) => permits(issuer, question))) return undefined;
  return 'CAA records name this issuer for another account or validation method';
}

interface IssueValue {
  /** Empty where nobody may issue. */
  name: string;
  parameters: readonly { tag: string; value: string }[];
}

const LABEL = '[a-z0-9](?:-*[a-z0-9])*';
const DOMAIN = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`, 'i');
const PARAMETER = new RegExp(`^(${LABEL})[ \\t]*=[ \\t]*([\\x21-\\x3a\\x3c-\\x7e]*)$`, 'i');

/** RFC 8659 section 4.2; undefined for what breaks its grammar, which then counts as naming nobody. */
export function parseIssueValue(text: string): IssueValue | undefined {
  const [name = '', ...rest] = text.split(';').map(trimBlanks);
  if (name !== '' && !DOMAIN.test(name)) return undefined;
  // A semicolon with nothing after it may stand after the name, but not after a parameter.
  const texts = rest.length === 1 && rest[0] === '' ? [] : rest;
  const matches = texts.map((part) => PARAMETER.exec(part));
  if (matches.includes(null)) return undefined;
  return {
    name,
    parameters: matches.map((match) => ({ tag: (match?.[1] ?? '').toLowerCase(), value: match?.[2] ?? '' })),
  };
}

/** WSP is space and tab. By hand, since a regular expression for the end of the text takes quadratic time on long runs. */
function trimBlanks(text: string): string {
  const blank = (at: number) => text[at] === ' ' || text[at] === '\t';
  let [start, end] = [0, text.length];
  while (start < end && blank(start)) start++;
  while (end > start && blank(end - 1)) end--;
  return text.slice(start, end);
}

/** RFC 8657 sections 3 and 4. A parameter given twice is satisfied by nobody; unknown parameters are the CA's, not ours. */
function permits({ parameters }: IssueValue, { accountURL, challenge }: CaaQuestion): boolean {
  const values = (wanted: string) => parameters.filter(({ tag }) => tag === wanted).map(({ value }) => value);
  const accounts = values('accounturi');
  const methods = values('validationmethods');
  if (accounts.length > 1 || methods.length > 1) return false;
  const [account, list] = [accounts[0], methods[0]];
  return (
    (account === undefined || account === accountURL) && (list === undefined || list.split(',').includes(challenge))
  );
}

const sameName = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
