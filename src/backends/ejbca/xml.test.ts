import { describe, expect, test } from 'vitest';
import fc from '../../../test/support/property.ts';
import { escapeXml, parseXml, XmlError } from './xml.ts';

const parse = (text: string) => parseXml(Buffer.from(text));

describe('reads', () => {
  test('elements by namespace, whatever the prefix', () => {
    const root = parse(
      '<?xml version="1.0" encoding="utf-8"?>\n<a:x xmlns:a="urn:1"><y xmlns="urn:2"><z/></y><w/></a:x>\n',
    );
    expect(root).toMatchObject({ namespace: 'urn:1', name: 'x' });
    expect(root.children).toMatchObject([
      { namespace: 'urn:2', name: 'y', children: [{ namespace: 'urn:2', name: 'z' }] },
      { namespace: '', name: 'w' },
    ]);
  });

  test.each([
    ['<a>b</a>', 'b'],
    ['<a>&lt;&gt;&amp;&quot;&apos;</a>', `<>&"'`],
    ['<a>&#65;&#x42;&#xD;</a>', 'AB\r'],
    ['<a><![CDATA[<b>&amp;]]>c</a>', '<b>&amp;c'],
    ['<a>b<!-- c -->d</a>', 'bd'],
    ['<a>x\r\ny</a>', 'x\ny'],
    ['<a b=\'1\' c="2" >ü</a >', 'ü'],
  ])('%s', (text, wanted) => {
    expect(parse(text).text).toBe(wanted);
  });

  test('xsi:nil', () => {
    const nil = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"';
    expect(parse(`<a ${nil} i:nil="true"/>`).isNil).toBe(true);
    expect(parse(`<a ${nil} i:nil="false"/>`).isNil).toBe(false);
  });

  test('whatever was escaped', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        let escaped: string;
        try {
          escaped = escapeXml(text);
        } catch (error) {
          expect(error).toBeInstanceOf(XmlError);
          return;
        }
        expect(parse(`<a>${escaped}</a>`).text).toBe(text);
      }),
    );
  });
});

const BOMB = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">${Array.from({ length: 9 }, (_, i) => `<!ENTITY a${i} "${`&a${i - 1};`.repeat(10)}">`).join('')}]><x>&a8;</x>`;

describe('refuses', () => {
  test.each([
    ['a document type', '<!DOCTYPE a><a/>'],
    ['a bomb of entities', BOMB],
    ['an external entity', '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>'],
    ['an entity of HTML', '<a>&nbsp;</a>'],
    ['a bare ampersand', '<a>&</a>'],
    ['a bare ampersand beside an entity', '<a>&amp;&</a>'],
    ['the reference of no character', '<a>&#0;</a>'],
    ['the reference of a surrogate', '<a>&#xD800;</a>'],
    ['a reference beyond Unicode', '<a>&#x110000;</a>'],
    ['a processing instruction', '<a><?php x?></a>'],
    ['another encoding', '<?xml version="1.0" encoding="ISO-8859-1"?><a/>'],
    ['version 1.1', '<?xml version="1.1"?><a/>'],
    ['an end too early', '<a><b></b>'],
    ['an end in a tag', '<a><b'],
    ['an end in a comment', '<a><!-- </a>'],
    ['tags that overlap', '<a><b></a></b>'],
    ['an end tag too many', '<a/></a>'],
    ['two roots', '<a/><b/>'],
    ['text beside the root', '<a/>b'],
    ['CDATA beside the root', '<a/><![CDATA[b]]>'],
    ['nothing', ''],
    ['no XML', 'hello'],
    ['an attribute twice', '<a b="1" b="2"/>'],
    ['an attribute without quotes', '<a b=1/>'],
    ['< in an attribute', '<a b="<"/>'],
    ['a prefix that is not declared', '<a:b/>'],
    ['a prefix like a member of every object', '<constructor:b/>'],
    ['two colons', '<a:b:c xmlns:a="u"/>'],
    ['too many levels', '<a>'.repeat(33) + '</a>'.repeat(33)],
    ['too many elements', `<a>${'<b/>'.repeat(50_000)}</a>`],
    ['a control character', '<a>\u0001</a>'],
  ])('%s', (_, text) => {
    expect(() => parse(text)).toThrow(XmlError);
  });

  test('bytes that are not UTF-8', () => {
    expect(() => parseXml(Buffer.from([0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e]))).toThrow(XmlError);
    expect(() => parseXml(Buffer.from('<a/>', 'utf16le'))).toThrow(XmlError);
  });

  test('any bytes at all end in an element or an XmlError', () => {
    const piece = fc.constantFrom(
      '<a',
      '>',
      '</a>',
      '<!',
      '[CDATA[',
      ']]>',
      '<!--',
      '-->',
      '&',
      ';',
      'x',
      '"',
      '=',
      ' ',
      '<?xml',
      '?>',
      ':',
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        try {
          expect(parse(pieces.join('')).name).toBe('a');
        } catch (error) {
          expect(error).toBeInstanceOf(XmlError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
