// A strict JSON reader (RFC 8259, RFC 7493) for what strangers send: one text has one meaning, and no text costs much.
import { quote } from './identifier.ts';
import { Problem } from './problem.ts';

export interface JsonLimits {
  /** Arrays and objects inside one another. */
  depth?: number;
  /** Members of all objects together. */
  keys?: number;
}

/** Counts what was read, for tests. */
export interface JsonWork {
  values: number;
  keys: number;
}

const DEFAULT_DEPTH = 16;
const DEFAULT_KEYS = 4096;

/**
 * The value of a JSON text in UTF-8. Objects have no prototype, so a member named `constructor` is a member and nothing else;
 * `__proto__` is refused. Throws malformed for all that is not JSON, and for what readers disagree on: a byte order mark, a key
 * twice in an object, lone surrogates, numbers beyond a double.
 */
export function parseJson(bytes: Buffer, limits: JsonLimits = {}, work: JsonWork = { values: 0, keys: 0 }): unknown {
  return new JsonReader(decode(bytes), limits, work).readDocument();
}

function decode(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  // Bad bytes decode to U+FFFD, which encodes to other bytes.
  if (text.includes('\ufffd') && !Buffer.from(text).equals(bytes)) throw malformed('it is not valid UTF-8');
  return text;
}

function malformed(reason: string): Problem {
  return new Problem('malformed', `not acceptable as JSON: ${reason}`);
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// oxlint-disable-next-line no-control-regex -- control characters must be escaped in JSON
const PLAIN = /[^"\\\x00-\x1f]*/y;
const SPACE = /[ \t\n\r]*/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

class JsonReader {
  readonly #text: string;
  readonly #work: JsonWork;
  readonly #maxKeys: number;
  #depth: number;
  #at = 0;

  constructor(text: string, limits: JsonLimits, work: JsonWork) {
    this.#text = text;
    this.#work = work;
    this.#depth = limits.depth ?? DEFAULT_DEPTH;
    this.#maxKeys = limits.keys ?? DEFAULT_KEYS;
  }

  readDocument(): unknown {
    const value = this.#readValue();
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return value;
  }

  #readValue(): unknown {
    this.#work.values++;
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#nested(() => this.#readObject());
      case '[':
        return this.#nested(() => this.#readArray());
      case '"':
        return this.#readString();
      case 't':
        return this.#readWord('true', true);
      case 'f':
        return this.#readWord('false', false);
      case 'n':
        return this.#readWord('null', null);
      default:
        return this.#readNumber();
    }
  }

  #nested<T>(read: () => T): T {
    if (--this.#depth < 0) throw malformed('it is nested too deeply');
    this.#at++;
    const value = read();
    this.#depth++;
    return value;
  }

  #readObject(): Record<string, unknown> {
    const object = Object.create(null) as Record<string, unknown>;
    if (this.#skips('}')) return object;
    do {
      this.#skipSpace();
      const key = this.#readKey(object);
      this.#skipSpace();
      if (!this.#skips(':')) throw this.#unexpected();
      object[key] = this.#readValue();
    } while (this.#skips(','));
    if (!this.#skips('}')) throw this.#unexpected();
    return object;
  }

  #readKey(object: object): string {
    if (this.#text[this.#at] !== '"') throw this.#unexpected();
    if (++this.#work.keys > this.#maxKeys) throw malformed(`it has more than ${this.#maxKeys} object members`);
    const key = this.#readString();
    if (key in object) throw malformed(`it has the member ${quote(key)} twice`);
    if (key === '__proto__') throw malformed('it has a member "__proto__"');
    return key;
  }

  #readArray(): unknown[] {
    const array: unknown[] = [];
    if (this.#skips(']')) return array;
    do array.push(this.#readValue());
    while (this.#skips(','));
    if (!this.#skips(']')) throw this.#unexpected();
    return array;
  }

  /** At an opening quote. */
  #readString(): string {
    this.#at++;
    let value = this.#match(PLAIN);
    let surrogates = false;
    while (this.#text[this.#at] === '\\') {
      surrogates ||= this.#text[this.#at + 1] === 'u';
      value += this.#readEscape() + this.#match(PLAIN);
    }
    if (this.#text[this.#at] !== '"') throw this.#unexpected();
    this.#at++;
    if (surrogates && !value.isWellFormed()) throw malformed('it has a lone surrogate');
    return value;
  }

  #readEscape(): string {
    const letter = this.#text[this.#at + 1] ?? '';
    if (letter !== 'u') {
      const value = ESCAPES[letter];
      if (value === undefined || letter.length !== 1) throw this.#unexpected();
      this.#at += 2;
      return value;
    }
    const hex = this.#text.slice(this.#at + 2, this.#at + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) throw this.#unexpected();
    this.#at += 6;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  #readNumber(): number {
    const text = this.#match(NUMBER);
    if (text === '') throw this.#unexpected();
    const value = Number(text);
    if (!Number.isFinite(value)) throw malformed('it has a number that is too large');
    return value;
  }

  #readWord<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected();
    this.#at += word.length;
    return value;
  }

  /** Moves past what the sticky pattern matches here, perhaps nothing. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const matched = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += matched.length;
    return matched;
  }

  #skipSpace(): void {
    const code = this.#text.charCodeAt(this.#at);
    if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) this.#match(SPACE);
  }

  /** Moves past white space and then this character, if it is there. */
  #skips(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #unexpected(): Problem {
    if (this.#at >= this.#text.length) return malformed('it ends too early');
    return malformed(`unexpected ${quote(this.#text[this.#at] ?? '')} at character ${this.#at}`);
  }
}
