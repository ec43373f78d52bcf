// A strict reader of small XML documents in UTF-8 (XML 1.0, Namespaces in XML 1.0), as SOAP servers send them: no DOCTYPE, no processing
// instructions, no entities but the five, and bounds on everything that could grow. And the way to write text into XML.

export interface XmlElement {
  /** URI; '' for none. */
  namespace: string;
  /** Local name. */
  name: string;
  /** Whether it says xsi:nil. */
  isNil: boolean;
  children: XmlElement[];
  /** Its own text, that of children left out. */
  text: string;
}

export class XmlError extends Error {
  override readonly name = 'XmlError';
}

const MAX_DEPTH = 32;
const MAX_ELEMENTS = 50_000;
const MAX_ATTRIBUTES = 32;
const XML = 'http://www.w3.org/XML/1998/namespace';
const XSI = 'http://www.w3.org/2001/XMLSchema-instance';

const NAME = '[A-Za-z_\\u00c0-\\uffef][A-Za-z0-9_.\\u00b7-\\uffef-]*';
const DECLARATION =
  /^<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')(?:\s+encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["'])?(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>/;
const START = new RegExp(`<((?:${NAME}:)?${NAME})`, 'y');
const END = new RegExp(`</((?:${NAME}:)?${NAME})\\s*>`, 'y');
const ATTRIBUTE = new RegExp(`\\s+((?:${NAME}:)?${NAME})\\s*=\\s*(?:"([^"<]*)"|'([^'<]*)')`, 'y');
const CLOSE = /\s*(\/?)>/y;
const REFERENCE = /&(?:(lt|gt|amp|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));/g;
/** What XML 1.0 section 2.2 calls no character. */
const UNFIT = /[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const FIVE = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

interface Open {
  element: XmlElement;
  /** As written, prefix and all. */
  tag: string;
  /** URIs by prefix; '' is the default. */
  scope: Readonly<Record<string, string>>;
}

interface Cursor {
  text: string;
  at: number;
  elements: number;
  open: Open[];
  root: XmlElement | undefined;
}

/** The root element. Throws XmlError. */
export function parseXml(bytes: Buffer): XmlElement {
  const cursor: Cursor = { text: decode(bytes), at: 0, elements: 0, open: [], root: undefined };
  const declaration = DECLARATION.exec(cursor.text);
  if (declaration && (declaration[1] ?? 'UTF-8').toUpperCase() !== 'UTF-8') throw new XmlError('not in UTF-8');
  cursor.at = declaration?.[0].length ?? 0;
  while (cursor.at < cursor.text.length) readNext(cursor);
  if (!cursor.root || cursor.open.length > 0) throw new XmlError('the document ends too early');
  return cursor.root;
}

function decode(bytes: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new XmlError('not in UTF-8');
  }
  if (UNFIT.test(text)) throw new XmlError('a character that XML does not have');
  return text.replace(/\r\n?/g, '\n');
}

function readNext(cursor: Cursor): void {
  const { text, at } = cursor;
  if (text[at] !== '<') return readText(cursor);
  if (text.startsWith('</', at)) return readEnd(cursor);
  if (text.startsWith('<!--', at)) return void readDelimited(cursor, '<!--', '-->');
  if (text.startsWith('<![CDATA[', at)) return append(cursor, readDelimited(cursor, '<![CDATA[', ']]>'));
  if (text.startsWith('<!', at)) throw new XmlError('a document type, which is not taken');
  if (text.startsWith('<?', at)) throw new XmlError('a processing instruction, which is not taken');
  readStart(cursor);
}

function readText(cursor: Cursor): void {
  const found = cursor.text.indexOf('<', cursor.at);
  const end = found < 0 ? cursor.text.length : found;
  const raw = cursor.text.slice(cursor.at, end);
  cursor.at = end;
  append(cursor, resolve(raw));
}

function append({ open }: Cursor, text: string): void {
  const inner = open.at(-1);
  if (inner) inner.element.text += text;
  else if (text.trim() !== '') throw new XmlError('text outside of the root element');
}

function readDelimited(cursor: Cursor, before: string, after: string): string {
  const end = cursor.text.indexOf(after, cursor.at + before.length);
  if (end < 0) throw new XmlError('the document ends too early');
  const inner = cursor.text.slice(cursor.at + before.length, end);
  cursor.at = end + after.length;
  return inner;
}

function readEnd(cursor: Cursor): void {
  const [whole, tag] = match(cursor, END);
  if (cursor.open.pop()?.tag !== tag) throw new XmlError('elements that overlap');
  cursor.at += whole.length;
}

function readStart(cursor: Cursor): void {
  const [whole, tag = ''] = match(cursor, START);
  cursor.at += whole.length;
  const attributes = readAttributes(cursor);
  const [closing, slash] = match(cursor, CLOSE);
  cursor.at += closing.length;
  if (++cursor.elements > MAX_ELEMENTS) throw new XmlError(`more than ${MAX_ELEMENTS} elements`);
  if (cursor.open.length >= MAX_DEPTH) throw new XmlError(`more than ${MAX_DEPTH} levels`);
  const parent = cursor.open.at(-1);
  if (!parent && cursor.root) throw new XmlError('two root elements');
  const scope = scopeOf(attributes, parent?.scope ?? { xml: XML });
  const [namespace, name] = expand(tag, scope, true);
  const isNil = [...attributes].some(
    ([key, value]) => expand(key, scope, false).join(' ') === `${XSI} nil` && /^(true|1)$/.test(value.trim()),
  );
  const element = { namespace, name, isNil, children: [], text: '' };
  if (parent) parent.element.children.push(element);
  else cursor.root = element;
  if (slash === '') cursor.open.push({ element, tag, scope });
}

function readAttributes(cursor: Cursor): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (;;) {
    ATTRIBUTE.lastIndex = cursor.at;
    const attribute = ATTRIBUTE.exec(cursor.text);
    if (!attribute) return found;
    const [whole, name = '', double, single] = attribute;
    if (found.has(name) || found.size >= MAX_ATTRIBUTES) throw new XmlError('an attribute twice, or too many');
    found.set(name, resolve(double ?? single ?? ''));
    cursor.at += whole.length;
  }
}

function scopeOf(attributes: ReadonlyMap<string, string>, outer: Open['scope']): Open['scope'] {
  const own = [...attributes].flatMap(([key, uri]) => {
    if (key === 'xmlns') return [['', uri] as const];
    return key.startsWith('xmlns:') ? [[key.slice(6), uri] as const] : [];
  });
  return own.length === 0 ? outer : { ...outer, ...Object.fromEntries(own) };
}

/** Namespace and local name. The default namespace is not for attributes. */
function expand(tag: string, scope: Open['scope'], isElement: boolean): [string, string] {
  const [first = '', second] = tag.split(':');
  if (second === undefined) return [isElement ? (scope[''] ?? '') : '', first];
  const namespace = first === 'xmlns' ? 'xmlns' : Object.hasOwn(scope, first) ? scope[first] : undefined;
  if (namespace === undefined || namespace === '') throw new XmlError('a prefix without namespace');
  return [namespace, second];
}

function match(cursor: Cursor, expression: RegExp): RegExpExecArray {
  expression.lastIndex = cursor.at;
  const found = expression.exec(cursor.text);
  if (!found) throw new XmlError('not well-formed');
  return found;
}

function resolve(raw: string): string {
  if (!raw.includes('&')) return raw;
  if (raw.replace(REFERENCE, '').includes('&')) throw new XmlError('an entity that is none of the five');
  return raw.replace(REFERENCE, (_, name: keyof typeof FIVE | undefined, decimal?: string, hex?: string) => {
    if (name) return FIVE[name];
    const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal);
    const character = code > 0x10_ffff ? '\0' : String.fromCodePoint(code);
    if (UNFIT.test(character)) throw new XmlError('a character that XML does not have');
    return character;
  });
}

/** Text as it stands between tags. Throws XmlError for characters that XML does not have. */
export function escapeXml(text: string): string {
  if (UNFIT.test(text)) throw new XmlError('a character that XML does not have');
  // A bare CR would be read as LF.
  return text.replace(/[<>&\r]/g, (character) => ESCAPES[character] ?? character);
}

const ESCAPES: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '\r': '&#13;' };

/** Children of this name. */
export function childrenOf(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

/** Text of the child of this name; undefined where there is none, or it is nil. */
export function childText(element: XmlElement, name: string): string | undefined {
  const child = element.children.find((each) => each.name === name);
  return child && !child.isNil ? child.text : undefined;
}
