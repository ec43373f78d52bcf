// The JSON reader against the platform's, and against hostile texts (inputs 20 to 22) with the work counted.
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { parseJson } from './json.ts';
import { Problem } from './problem.ts';

const parse = (text: string | Buffer, limits = {}) => parseJson(Buffer.from(text), limits);

const refused: [what: string, text: string | Buffer, reason: RegExp][] = [
  ['nothing', '', /ends too early/],
  ['white space', ' \n', /ends too early/],
  ['a second value', '{} {}', /unexpected/],
  ['a trailing comma in an object', '{"a":1,}', /unexpected/],
  ['a trailing comma in an array', '[1,]', /unexpected/],
  ['a missing comma', '[1 2]', /unexpected/],
  ['a missing colon', '{"a" 1}', /unexpected/],
  ['a missing value', '{"a":}', /unexpected/],
  ['an unquoted key', '{a:1}', /unexpected/],
  ['single quotes', "{'a':1}", /unexpected/],
  ['an open object', '{"a":1', /ends too early/],
  ['an open array', '[1', /ends too early/],
  ['an open string', '"abc', /ends too early/],
  ['a comment', '/* */ {}', /unexpected/],
  ['NaN', 'NaN', /unexpected/],
  ['Infinity', '-Infinity', /unexpected/],
  ['a leading zero', '01', /unexpected/],
  ['a leading plus', '+1', /unexpected/],
  ['a bare point', '1.', /unexpected/],
  ['a leading point', '.5', /unexpected/],
  ['a bare exponent', '1e', /unexpected/],
  ['a hexadecimal number', '0x10', /unexpected/],
  ['a number beyond a double', '1e400', /too large/],
  ['a negative number beyond a double', '[-1e400]', /too large/],
  ['a cut word', 'tru', /unexpected/],
  ['a capital word', 'True', /unexpected/],
  ['a raw newline in a string', '"a\nb"', /unexpected/],
  ['a raw NUL in a string', '"a\0b"', /unexpected/],
  ['NUL between values', '[1,\x002]', /unexpected/],
  ['an unknown escape', String.raw`"\x41"`, /unexpected/],
  ['a cut escape', '"\\', /ends too early|unexpected/],
  ['a short \\u escape', String.raw`"\u12"`, /unexpected/],
  ['a \\u escape with a sign', String.raw`"\u+123"`, /unexpected/],
  ['a lone high surrogate', String.raw`"\ud800"`, /lone surrogate/],
  ['a lone low surrogate', String.raw`"\udc00"`, /lone surrogate/],
  ['surrogates the wrong way round', String.raw`"\udc00\ud800"`, /lone surrogate/],
  ['a lone surrogate as a key', String.raw`{"\ud800":1}`, /lone surrogate/],
  ['a byte order mark', Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]), /unexpected/],
  ['UTF-16', Buffer.from('{"a":1}', 'utf16le'), /unexpected/],
  ['UTF-16 with a byte order mark', Buffer.from('\ufeff{}', 'utf16le'), /UTF-8/],
  ['Latin-1', Buffer.from('"é"', 'latin1'), /UTF-8/],
  ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), /UTF-8/],
  ['an encoded surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), /UTF-8/],
  ['other white space', '\u00a0{}', /unexpected/],
  ['a key twice', '{"alg":"ES256","alg":"none"}', /"alg" twice/],
  ['a key twice, once escaped', String.raw`{"alg":1,"\u0061lg":2}`, /"alg" twice/],
  ['a key twice deep inside', '{"a":[{"b":1,"b":1}]}', /"b" twice/],
  ['__proto__', '{"__proto__":{"admin":true}}', /__proto__/],
  ['__proto__ escaped', String.raw`{"\u005f_proto__":{"admin":true}}`, /__proto__/],
];

test.each(refused)('%s is refused', (_, text, reason) => {
  const act = () => parse(text);
  expect(act).toThrow(Problem);
  expect(act).toThrow(expect.objectContaining({ type: 'malformed', detail: expect.stringMatching(reason) }));
});

test('values of every kind', () => {
  expect(parse(' {"a": [1, -0.5e+2, true, false, null, "x"], "b": {}, "c": []} ')).toEqual({
    a: [1, -50, true, false, null, 'x'],
    b: {},
    c: [],
  });
  expect(parse(String.raw`"\"\\\/\b\f\n\r\té\ud83d\ude00😀"`)).toBe('"\\/\b\f\n\r\té😀😀');
  expect(parse('"a literal \ufffd"')).toBe('a literal \ufffd');
  expect(Object.is(parse('-0'), -0)).toBe(true);
});

test('names of what objects inherit are members and nothing else', () => {
  const value = parse('{"constructor":{"prototype":{"polluted":1}},"toString":2,"hasOwnProperty":3}') as Record<
    string,
    unknown
  >;
  expect(Object.getPrototypeOf(value)).toBeNull();
  expect(Object.keys(value)).toEqual(['constructor', 'toString', 'hasOwnProperty']);
  expect(value['toString' as string]).toBe(2);
  expect(parse('{}')).not.toHaveProperty('constructor');
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  expect(Object.prototype).not.toHaveProperty('admin');
});

test('depth is limited, and nothing is read past the limit', () => {
  const nest = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  expect(parse(nest(16))).toBeInstanceOf(Array);
  expect(() => parse(nest(17))).toThrow(/nested too deeply/);
  expect(parse('[[],[],[[]]]', { depth: 3 })).toHaveLength(3);
  expect(() => parse('[[],[],[[]]]', { depth: 2 })).toThrow(/nested too deeply/);
  for (const text of [nest(200_000), '{"a":'.repeat(200_000)]) {
    const work = { values: 0, keys: 0 };
    expect(() => parseJson(Buffer.from(text), {}, work)).toThrow(/nested too deeply/);
    expect(work.values).toBe(17);
  }
});

test('members are limited over all objects, and nothing is read past the limit', () => {
  const many = (key: (i: number) => string) =>
    `{${Array.from({ length: 100_000 }, (_, i) => `"${key(i)}":0`).join(',')}}`;
  for (const text of [
    many((i) => `k${i}`),
    many((i) => String(i * 65_536)),
    `[${Array.from({ length: 100_000 }, () => '{"a":0}').join(',')}]`,
  ]) {
    const work = { values: 0, keys: 0 };
    expect(() => parseJson(Buffer.from(text), {}, work)).toThrow(/more than 4096/);
    expect(work.keys).toBe(4097);
  }
  expect(() => parse('{"a":{"b":1}}', { keys: 1 })).toThrow(/more than 1 /);
});

test('work is one step a value and a key', () => {
  const work = { values: 0, keys: 0 };
  parseJson(Buffer.from('{"a":[1,2,{"b":null}],"c":"d"}'), {}, work);
  expect(work).toEqual({ values: 7, keys: 3 });
});

test('property: what the platform writes is read as the platform reads it', () => {
  const json = fc.json({ maxDepth: 8 }).filter((text) => !text.includes('__proto__'));
  fc.assert(
    fc.property(json, fc.constantFrom(0, 1, '\t'), (text, space) => {
      const value: unknown = JSON.parse(text);
      expect(parse(JSON.stringify(value, undefined, space))).toEqual(value);
    }),
    { numRuns: 1000 },
  );
});

test('property: of changed texts, none is taken that the platform refuses or reads otherwise', () => {
  const sample = String.raw`{"protected":"eyJ9","n":[1,-2.5e3,true,null],"u":"\u00e9\n","o":{"k":"é"}}`;
  const mutations = fc.array(
    fc.tuple(
      fc.nat(),
      fc.constantFrom('"', '\\', ',', ':', '{', ']', '0', '9', 'e', '-', '.', 'u', ' ', '\x01'),
      fc.boolean(),
    ),
    { minLength: 1, maxLength: 3 },
  );
  let taken = 0;
  fc.assert(
    fc.property(mutations, (changes) => {
      let text = sample;
      for (const [where, character, replace] of changes) {
        const at = where % text.length;
        text = text.slice(0, at) + character + text.slice(replace ? at + 1 : at);
      }
      let value: unknown;
      try {
        value = parse(text);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!/twice|surrogate|too large/.test(error.detail))
          expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
        return;
      }
      taken++;
      expect(value).toEqual(JSON.parse(text));
    }),
    { numRuns: 5000 },
  );
  expect(taken).toBeGreaterThan(100);
});
