// Text that came from a system elsewhere, or from whoever may write objects, and is shown to people: cut to size, on one line, without
// characters that a terminal, a log viewer or a browser would obey rather than show.

const MAX = 300;

/** At most 300 characters; what is not fit to be shown as it is becomes \uXXXX or \u{XXXXX}. */
export function shownText(text: string, max = MAX): string {
  const characters = Array.from(text.slice(0, max * 2).trim());
  const cut = characters.length > max || text.length > max * 2;
  const shown = characters
    .slice(0, max)
    .map((character) => (UNFIT.test(character) ? escaped(character) : character))
    .join('');
  return cut ? `${shown}…` : shown;
}

/** All of it on one line, unfit characters as shownText has them. */
export function oneLine(text: string): string {
  return PLAIN.test(text) ? text : text.replace(EACH_UNFIT, escaped);
}

/** Most text is plain. */
const PLAIN = /^[\x20-\x7e]*$/;

/** Controls, format characters (bidirectional marks, zero width), line and paragraph separators, surrogates, unassigned. */
const UNFIT = /[\p{C}\p{Zl}\p{Zp}]/u;
const EACH_UNFIT = new RegExp(UNFIT, 'gu');

function escaped(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16);
  return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, '0')}`;
}
