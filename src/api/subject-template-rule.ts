// The rule over templates of subjects, and its grammar as a regular expression for CEL.
import { ATTRIBUTE_NAMES } from '../domain/distinguished-name.ts';
import { parseSubjectTemplate } from '../domain/subject.ts';
import { explainedRule, type PlaceRule } from './rule.ts';

const ARC = '(0|[1-9][0-9]{0,9})';
const OID = `(2\\.${ARC}|[01]\\.([0-9]|[1-3][0-9]))(\\.${ARC}){1,11}`;
const PLACEHOLDER = '\\{((dnsNames|ipAddresses|names)\\[[0-9]{1,2}\\]|account|namespace|claim)\\}';
/** \x22 is the quotation mark, which ends the string of CEL that all this stands in. */
const ESCAPE = '\\\\([0-9A-Fa-f]{2}|[ \\x22#+,;<=>\\\\{}])';
const PLAIN = '[^\\x22+,;<>\\\\{}]';
const FIRST = '[^\\x22+,;<>\\\\{} #]';

/** An attribute, its type by an expression. Spaces around type and value are no part of them. */
function attribute(type: string): string {
  return ` *(${type}) *= *(${ESCAPE}|${PLACEHOLDER}|${FIRST})(${ESCAPE}|${PLACEHOLDER}|${PLAIN})*`;
}

const ANY = attribute(`(?i:${ATTRIBUTE_NAMES.join('|')})|${OID}`);
const COMMON_NAME = attribute('(?i:CN)|2\\.5\\.4\\.3');

const TEMPLATE = `^${ANY}([,+]${ANY})*$`;
const TWO_COMMON_NAMES = `^(${ANY}[,+])*${COMMON_NAME}[,+](${ANY}[,+])*${COMMON_NAME}([,+]${ANY})*$`;

/** Beyond CEL: that fixed values fit their attributes (lengths, characters), and that hexadecimal pairs are UTF-8. */
export function subjectTemplateRule(at: string): PlaceRule {
  return explainedRule<string>({
    at,
    cel: `self.matches(r"${TEMPLATE}") && !self.matches(r"${TWO_COMMON_NAMES}")`,
    message: 'must be attributes such as CN={dnsNames[0]},O=Example, one CN at most',
    faults: (self) => {
      const template = parseSubjectTemplate(self);
      return typeof template === 'string' ? [{ path: '', message: template }] : [];
    },
  });
}
