// Patterns of names, matched by whole segments: labels of a DNS name, path segments of a URI, local part and labels of an
// e-mail address. One `**` at most, so that a match is one pass over the segments.

export type Syntax = 'dns' | 'uri' | 'email';

export const NAMESPACE_PLACEHOLDER = '{{namespace}}';

type Segment =
  | { kind: 'literal'; text: string }
  /** `*`: any one segment. */
  | { kind: 'any' }
  /** A segment with `{{namespace}}` in it: the texts around the placeholders. */
  | { kind: 'template'; pieces: readonly string[] };

export interface NamePattern {
  readonly source: string;
  readonly syntax: Syntax;
  /** Segments before `**`, or all of them. */
  readonly head: readonly Segment[];
  /** Segments after `**`. */
  readonly tail: readonly Segment[];
  /** Whether there is a `**`. */
  readonly deep: boolean;
  readonly templated: boolean;
}

/** `maybe`: only the namespace, which is not known, could tell. */
export type Match = 'yes' | 'no' | 'maybe';

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** What a wildcard may stand for in a URI: RFC 3986 pchar without percent-encoding, so that no `%2e%2e` hides in it. */
const URI_SEGMENT = /^[A-Za-z0-9._~!$&'()*+,;=:@-]+$/;

/** A namespace that may be put into a pattern: a DNS label, which holds no dot, star or slash. Undefined for anything else. */
export function insertableNamespace(namespace: string | undefined): string | undefined {
  return namespace !== undefined && NAMESPACE.test(namespace) ? namespace : undefined;
}

/**
 * Segments of a name, or undefined where the text is not a name in normal form, which then matches nothing. DNS names and the
 * domain of an address are folded to lower case. `*` may stand as the first label of a
 * DNS name alone, and over two labels at least.
 */
export function nameSegments(text: string, syntax: Syntax): readonly string[] | undefined {
  if (text === '') return undefined;
  if (syntax === 'uri') return text.split('/');
  if (syntax === 'email') return emailSegments(text);
  const labels = text.toLowerCase().split('.');
  const wildcard = labels[0] === '*';
  const plain = wildcard ? labels.slice(1) : labels;
  return plain.length > (wildcard ? 1 : 0) && plain.every((label) => LABEL.test(label)) ? labels : undefined;
}

function emailSegments(text: string): readonly string[] | undefined {
  const at = text.indexOf('@');
  if (at <= 0 || at !== text.lastIndexOf('@')) return undefined;
  const labels = text
    .slice(at + 1)
    .toLowerCase()
    .split('.');
  return labels.every((label) => LABEL.test(label)) ? [text.slice(0, at), ...labels] : undefined;
}

/** The pattern, or what is wrong with it. */
export function parsePattern(source: string, syntax: Syntax): NamePattern | { error: string } {
  const texts = patternSegments(source, syntax);
  if ('error' in texts) return texts;
  const deep = texts.segments.indexOf('**');
  if (deep !== texts.segments.lastIndexOf('**')) return { error: 'has more than one "**"' };
  const segments: Segment[] = [];
  for (const [i, text] of texts.segments.entries()) {
    if (i === deep) continue;
    const segment = parseSegment(text, syntax === 'uri' || (syntax === 'email' && i === 0));
    if ('error' in segment) return segment;
    segments.push(segment);
  }
  return {
    source,
    syntax,
    head: deep < 0 ? segments : segments.slice(0, deep),
    tail: deep < 0 ? [] : segments.slice(deep),
    deep: deep >= 0,
    templated: segments.some((segment) => segment.kind === 'template'),
  };
}

function patternSegments(source: string, syntax: Syntax): { segments: string[] } | { error: string } {
  // eslint-disable-next-line no-control-regex -- the range is what "printable ASCII" excludes
  if (/[^\x21-\x7e]/.test(source)) return { error: 'is not printable ASCII; write names as A-labels (xn--…)' };
  if (syntax === 'uri') return { segments: source.split('/') };
  if (syntax === 'dns') return { segments: source.split('.') };
  const at = source.indexOf('@');
  if (at <= 0 || at !== source.lastIndexOf('@')) return { error: 'needs one "@" after a local part' };
  const local = source.slice(0, at);
  if (local === '**') return { error: 'has "**" as local part: write "*"' };
  return {
    segments: [local, ...source.slice(at + 1).split('.')],
  };
}

/** `free` segments hold any text, others a DNS label, folded to lower case. */
function parseSegment(text: string, free: boolean): Segment | { error: string } {
  if (text === '*') return { kind: 'any' };
  if (text.includes('*')) return { error: '"*" and "**" stand for whole labels or segments' };
  const pieces = text.split(NAMESPACE_PLACEHOLDER).map((piece) => (free ? piece : piece.toLowerCase()));
  if (pieces.some((piece) => /[{}]/.test(piece))) return { error: `knows no placeholder but ${NAMESPACE_PLACEHOLDER}` };
  if (!free) {
    const label = pieces.join('x');
    if (!LABEL.test(label) || label.length > 63) return { error: 'has a label that no DNS name can have' };
  }
  return pieces.length > 1 ? { kind: 'template', pieces } : { kind: 'literal', text: pieces.join('') };
}

/**
 * Whether the pattern allows the name. A wildcard name (first label `*`) is allowed only by a pattern whose `*` or `**` stands
 * in that place: one that allows every name the certificate would be good for.
 */
export function covers(pattern: NamePattern, segments: readonly string[], namespace: string | undefined): Match {
  return match(pattern, segments, { namespace, anyFirst: false });
}

/**
 * Whether the pattern meets the name. A wildcard name is met by a pattern of any one name the certificate would be good for:
 * `*.example.com` by `admin.example.com`.
 */
export function touches(pattern: NamePattern, segments: readonly string[], namespace: string | undefined): Match {
  return match(pattern, segments, { namespace, anyFirst: pattern.syntax === 'dns' && segments[0] === '*' });
}

interface MatchOptions {
  namespace: string | undefined;
  /** The first segment stands for every label. */
  anyFirst: boolean;
}

function match(pattern: NamePattern, segments: readonly string[], options: MatchOptions): Match {
  const { head, tail, deep } = pattern;
  const between = segments.length - head.length - tail.length;
  if (deep ? between < 1 : between !== 0) return 'no';
  let result: Match = 'yes';
  // From the end, where DNS names differ first.
  for (let i = head.length + tail.length - 1; i >= 0; i--) {
    const [segment, at] = i < head.length ? [head[i], i] : [tail[i - head.length], i + between];
    const one = matchAt(pattern, segment, { segments, at, options });
    if (one === 'no') return 'no';
    if (one === 'maybe') result = 'maybe';
  }
  if (!deep || pattern.syntax !== 'uri') return result;
  return segments.slice(head.length, head.length + between).every(isFree) ? result : 'no';
}

interface Position {
  segments: readonly string[];
  at: number;
  options: MatchOptions;
}

function matchAt(pattern: NamePattern, segment: Segment | undefined, position: Position): Match {
  if (position.at === 0 && position.options.anyFirst) return 'yes';
  const text = position.segments[position.at];
  if (segment === undefined || text === undefined) return 'no';
  if (segment.kind === 'any') return pattern.syntax !== 'uri' || isFree(text) ? 'yes' : 'no';
  if (segment.kind === 'literal') return segment.text === text ? 'yes' : 'no';
  const { namespace } = position.options;
  if (namespace === undefined) return couldBe(segment.pieces, text) ? 'maybe' : 'no';
  return segment.pieces.join(namespace) === text ? 'yes' : 'no';
}

function isFree(segment: string): boolean {
  return segment !== '.' && segment !== '..' && URI_SEGMENT.test(segment);
}

/** Whether some namespace makes the text of the pieces. */
function couldBe(pieces: readonly string[], text: string): boolean {
  const places = pieces.length - 1;
  const fixed = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const length = (text.length - fixed) / places;
  if (!Number.isInteger(length) || length < 1) return false;
  const start = pieces[0]?.length ?? 0;
  const namespace = insertableNamespace(text.slice(start, start + length));
  return namespace !== undefined && pieces.join(namespace) === text;
}
