// Whole objects as text for terminals: the same values to whoever parses it, and nothing in it that a terminal would obey.
import { Document, isScalar, visit } from 'yaml';

/** What stays as it is: printable characters and the line breaks of the layout. */
const UNFIT = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu;

/** Inside a quoted text, \uXXXX and \u{XXXXX} in the notation of the format. */
export function renderJson(value: unknown): string {
  const text = JSON.stringify(value, undefined, 2);
  return `${text.replace(UNFIT, (character) =>
    units(character)
      .map((unit) => `\\u${hex(unit, 4)}`)
      .join(''),
  )}\n`;
}

export function renderYaml(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, (_key, node) => {
    // Only a double-quoted text has escapes.
    if (isScalar(node) && typeof node.value === 'string' && node.value.search(UNFIT) >= 0) node.type = 'QUOTE_DOUBLE';
  });
  return document.toString({ lineWidth: 0 }).replace(UNFIT, (character) => {
    const point = character.codePointAt(0) ?? 0;
    return point > 0xffff ? `\\U${hex(point, 8)}` : `\\u${hex(point, 4)}`;
  });
}

function units(character: string): number[] {
  return Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
