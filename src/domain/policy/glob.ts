// `*` as any run of characters, for names of objects and attribute values. Linear in the text, whatever the pattern.

/** A literal piece between stars, with its Knuth-Morris-Pratt failure table. */
interface Piece {
  text: string;
  failure: Uint16Array;
}

export interface Glob {
  readonly source: string;
  /** Text before the first star; the whole where there is none. */
  readonly first: string;
  /** Pieces between stars, in order, none empty. */
  readonly middle: readonly Piece[];
  /** Text after the last star; undefined where there is no star. */
  readonly last: string | undefined;
}

export function parseGlob(source: string): Glob {
  const [first = '', ...rest] = source.split('*');
  const last = rest.pop();
  const middle = rest.filter((text) => text !== '').map((text) => ({ text, failure: failureOf(text) }));
  return { source, first, middle, last };
}

/** The text, or a stand-in that counts how often it is looked at. */
type Text = Pick<string, 'length' | 'charCodeAt'>;

/** Whether the whole text matches. Each character is looked at no more than a fixed number of times. */
export function matchesGlob(glob: Glob, text: Text): boolean {
  if (glob.last === undefined) return text.length === glob.first.length && at(text, glob.first, 0);
  const end = text.length - glob.last.length;
  if (end < glob.first.length || !at(text, glob.first, 0) || !at(text, glob.last, end)) return false;
  let from = glob.first.length;
  for (const piece of glob.middle) {
    from = find(text, piece, { from, end });
    if (from < 0) return false;
  }
  return true;
}

function at(text: Text, literal: string, start: number): boolean {
  for (let i = 0; i < literal.length; i++) if (text.charCodeAt(start + i) !== literal.charCodeAt(i)) return false;
  return true;
}

/** Where the first occurrence inside the range ends, or -1. */
function find(text: Text, piece: Piece, range: { from: number; end: number }): number {
  let matched = 0;
  for (let i = range.from; i < range.end; i++) {
    const code = text.charCodeAt(i);
    while (matched > 0 && piece.text.charCodeAt(matched) !== code) matched = piece.failure[matched - 1] ?? 0;
    if (piece.text.charCodeAt(matched) === code) matched++;
    if (matched === piece.text.length) return i + 1;
  }
  return -1;
}

function failureOf(text: string): Uint16Array {
  const failure = new Uint16Array(text.length);
  let matched = 0;
  for (let i = 1; i < text.length; i++) {
    while (matched > 0 && text.charCodeAt(i) !== text.charCodeAt(matched)) matched = failure[matched - 1] ?? 0;
    if (text.charCodeAt(i) === text.charCodeAt(matched)) matched++;
    failure[i] = matched;
  }
  return failure;
}
