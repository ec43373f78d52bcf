import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { nameProblem, renderName } from './distinguished-name.ts';
import { defaultSubject, parseSubjectTemplate, renderSubject, type SubjectFacts } from './subject.ts';

const NONE = { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] };
const facts: SubjectFacts = {
  names: { ...NONE, dnsNames: ['a.example.test', 'b.example.test'], ipAddresses: ['192.0.2.1'] },
  namespace: 'payments',
};

function render(text: string, about: SubjectFacts = facts): string {
  const template = parseSubjectTemplate(text);
  if (typeof template === 'string') throw new Error(template);
  return renderName(renderSubject(template, about));
}

test.each([
  ['CN={dnsNames[0]},O=Example,OU={namespace}', 'CN=a.example.test,O=Example,OU=payments'],
  ['CN={dnsNames[1]}', 'CN=b.example.test'],
  ['CN={ipAddresses[0]}', 'CN=192.0.2.1'],
  ['CN={names[2]}', 'CN=192.0.2.1'],
  ['CN={dnsNames[2]},O=Example', 'O=Example'],
  ['OU=account {account},O=Example', 'O=Example'],
  ['OU={claim}', ''],
  ['OU=team {namespace}/{dnsNames[0]}', 'OU=team payments/a.example.test'],
  [' cn = {dnsNames[0]} , o = Example Ltd ', 'CN=a.example.test,O=Example Ltd'],
  ['O=Example\\, Inc.,C=DE', 'O=Example\\, Inc.,C=DE'],
  ['O=M\\C3\\BCller', 'O=Müller'],
  ['O=\\{x\\}', 'O={x}'],
  ['O=a\\\\\\ ', 'O=a\\\\\\ '],
  ['O=a=b#c', 'O=a=b#c'],
  ['OU=a+CN={names[0]},O=x', 'OU=a+CN=a.example.test,O=x'],
  ['2.5.4.10=Example', 'O=Example'],
  // A value that the attribute cannot hold leaves it out.
  ['C={namespace},O=x', 'O=x'],
])('%s', (template, text) => expect(render(template)).toBe(text));

test('RDNs are encoded in the reverse order of the text', () => {
  const template = parseSubjectTemplate('CN={names[0]},O=Example,C=DE');
  expect(
    typeof template === 'string' ? template : renderSubject(template, facts).map(([first]) => first?.value),
  ).toEqual(['DE', 'Example', 'a.example.test']);
});

test.each([
  ['', /has no "="/],
  ['CN', /"CN" has no "="/],
  ['CN=a,', /has no "="/],
  ['CN=a,,O=b', /has no "="/],
  ['CN=a+', /has no "="/],
  ['XX=a', /"XX" is no attribute type/],
  ['CN\t=a', /is no attribute type/],
  // The second arc below 0 and 1 ends at 39.
  ['1.40.1=a', /is no attribute type/],
  ['1.100.1=a', /is no attribute type/],
  ['CN=', /CN is empty/],
  ['CN=a,CN=b', /two CNs/],
  ['CN={dnsName[0]}', /no placeholder \{dnsName\[0\]\}: use/],
  ['CN={dnsNames}', /no placeholder/],
  ['CN={namespace[0]}', /no placeholder/],
  ['CN={dnsNames[100]}', /no placeholder/],
  ['CN={}', /no placeholder/],
  ['CN={names[0]', /"\{n" must be escaped/],
  ['CN=a}', /must be escaped/],
  ['CN=a"b', /must be escaped/],
  ['CN=a;b', /must be escaped/],
  ['CN=a\\', /must be escaped/],
  ['CN=a\\x', /must be escaped/],
  ['CN=#0c0161', /hexadecimal BER/],
  ['CN=\\ff', /not UTF-8/],
  ['CN=a\\00b', /control/],
  ['C=Germany', /longer than 2/],
  [`CN=${'x'.repeat(65)}`, /longer than 64/],
])('%j is refused', (template, reason) => expect(parseSubjectTemplate(template)).toMatch(reason));

test('a common name of 64 characters stays, one of 65 is left out', () => {
  const long = (length: number) => ({ names: { ...NONE, dnsNames: ['x'.repeat(length)] } });
  expect(render('CN={dnsNames[0]},O=x', long(64))).toBe(`CN=${'x'.repeat(64)},O=x`);
  expect(render('CN={dnsNames[0]},O=x', long(65))).toBe('O=x');
});

test('no value can add, remove or change another attribute', () => {
  const template = parseSubjectTemplate('CN={names[0]},OU={namespace}+UID={account},O=Example');
  if (typeof template === 'string') throw new Error(template);
  const text = fc.string({ unit: 'binary', maxLength: 80 });
  const tricky = fc.oneof(text, fc.constantFrom('x,O=Evil', 'x+O=Evil', '{names[0]}', '\\2C', '#0c00', '", ', ''));
  fc.assert(
    fc.property(tricky, tricky, tricky, (name, namespace, account) => {
      const subject = renderSubject(template, { names: { ...NONE, dnsNames: [name] }, namespace, account });
      expect(nameProblem(subject)).toBeUndefined();
      const given: Record<string, string> = {
        '2.5.4.3': name,
        '2.5.4.11': namespace,
        '0.9.2342.19200300.100.1.1': account,
        '2.5.4.10': 'Example',
      };
      for (const { oid, value } of subject.flat()) expect(value).toBe(given[oid]);
      expect(subject.flat().filter(({ oid }) => oid === '2.5.4.10')).toHaveLength(1);
    }),
  );
});

test('any text either parses or is explained, and what parses renders', () => {
  const unit = fc.constantFrom('CN', 'O', '=', ',', '+', '\\', '{', '}', 'names[0]', ' ', '"', '#', 'a', '41', 'é');
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 20 }), (parts) => {
      const template = parseSubjectTemplate(parts.join(''));
      if (typeof template === 'string') expect(template).not.toBe('');
      else expect(nameProblem(renderSubject(template, facts))).toBeUndefined();
    }),
    { numRuns: 2000 },
  );
});

test('a rendered name without placeholders parses back to itself', () => {
  const value = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter((text) => !nameProblem([[{ oid: '2.5.4.3', value: text }]]));
  fc.assert(
    fc.property(value, value, (organization, unit) => {
      const name = [[{ oid: '2.5.4.10', value: organization }], [{ oid: '2.5.4.11', value: unit }]];
      const escaped = renderName(name).replaceAll('{', '\\{').replaceAll('}', '\\}');
      const template = parseSubjectTemplate(escaped);
      expect(typeof template === 'string' ? template : renderSubject(template, facts)).toEqual(name);
    }),
  );
});

test.each([
  [['b.example.test', 'a.test'], [], 'CN=a.test'],
  [['b.test', 'a.test'], [], 'CN=b.test'],
  [[`${'x'.repeat(60)}.test`, `${'y'.repeat(59)}.test`], [], `CN=${'y'.repeat(59)}.test`],
  [['x'.repeat(65)], [], ''],
  [['*.example.test'], ['10.0.0.1'], 'CN=10.0.0.1'],
  [[], [], ''],
])('default subject of %j %j', (dnsNames, ipAddresses, text) =>
  expect(renderName(defaultSubject({ ...NONE, dnsNames, ipAddresses }))).toBe(text),
);
