import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { caaDenial, type CaaQuestion, type CaaRecords, climbCaa, parseIssueValue } from './caa.ts';

const ACCOUNT = 'https://acme.example/acme/corp/account/1';
const question: CaaQuestion = {
  wildcard: false,
  identities: ['pki.example', 'alias.example'],
  accountURL: ACCOUNT,
  challenge: 'http-01',
};

const issue = (value: string, tag = 'issue') => ({ critical: false, tag, value });

/** What the records say for a plain name and for a wildcard. */
const ROWS: readonly [title: string, records: ReturnType<typeof issue>[], plain: boolean, wildcard: boolean][] = [
  ['our name', [issue('pki.example')], true, true],
  ['our second name, in capitals', [issue('ALIAS.Example')], true, true],
  ['another issuer', [issue('other.example')], false, false],
  ['a name that only begins like ours', [issue('pki.example.evil')], false, false],
  ['ours among others', [issue('other.example'), issue('pki.example')], true, true],
  ['nobody', [issue(';')], false, false],
  ['nobody, without a semicolon', [issue('')], false, false],
  ['ours beside nobody', [issue(';'), issue('pki.example')], true, true],
  ['issuewild alone', [issue('other.example', 'issuewild')], true, false],
  ['issuewild for us', [issue('other.example'), issue('pki.example', 'issuewild')], false, true],
  ['issuewild for nobody', [issue('pki.example'), issue(';', 'issuewild')], true, false],
  // EJBCA ignored this one for wildcards.
  ['issue for nobody and no issuewild', [issue(';')], false, false],
  ['iodef alone', [issue('mailto:a@b.example', 'iodef')], true, true],
  ['issuemail alone', [issue(';', 'issuemail')], true, true],
  ['an unknown property', [issue('x', 'future')], true, true],
  ['a critical unknown property', [issue('pki.example'), { critical: true, tag: 'future', value: 'x' }], false, false],
  ['a critical known property', [{ critical: true, tag: 'issue', value: 'pki.example' }], true, true],
  ['a critical issuemail', [{ critical: true, tag: 'issuemail', value: ';' }], true, true],
  ['a tag in capitals', [issue('other.example', 'ISSUE')], false, false],
  ['blanks around', [issue(' \tpki.example \t; ')], true, true],
  ['a broken name', [issue('pki example')], false, false],
  ['a trailing dot', [issue('pki.example.')], false, false],
  ['a broken parameter', [issue('pki.example; accounturi')], false, false],
  ['a semicolon after a parameter', [issue('pki.example; a=b;')], false, false],
  ['an unknown parameter', [issue('pki.example; policy=ev')], true, true],
  ['this account', [issue(`pki.example; accounturi=${ACCOUNT}`)], true, true],
  ['another account', [issue(`pki.example; accounturi=${ACCOUNT}2`)], false, false],
  ['this account, twice', [issue(`pki.example; accounturi=${ACCOUNT}; accounturi=${ACCOUNT}`)], false, false],
  ['another account first, then any', [issue('pki.example; accounturi=x:y'), issue('pki.example')], true, true],
  ['this method', [issue('pki.example; validationmethods=dns-01,http-01')], true, true],
  ['another method', [issue('pki.example; validationmethods=dns-01')], false, false],
  ['no method', [issue('pki.example; validationmethods=')], false, false],
  ['an unknown method', [issue('pki.example; validationmethods=ca-foo')], false, false],
  ['method right, account wrong', [issue('pki.example; validationmethods=http-01; accounturi=x:y')], false, false],
  ['parameters in capitals', [issue('pki.example; AccountURI=x:y')], false, false],
];

test.each(ROWS)('%s', (_title, records, plain, wildcard) => {
  expect(caaDenial(records, question) === undefined).toBe(plain);
  expect(caaDenial(records, { ...question, wildcard: true }) === undefined).toBe(wildcard);
});

test('an issuer without identities issues only where nobody is named', () => {
  expect(caaDenial([issue('pki.example')], { ...question, identities: [] })).toBeDefined();
  expect(caaDenial([issue('')], { ...question, identities: [''] })).toBeDefined();
  expect(caaDenial([], { ...question, identities: [] })).toBeUndefined();
});

function zone(answers: Record<string, CaaRecords>) {
  const asked: string[] = [];
  const lookUp = (name: string): Promise<CaaRecords> => {
    asked.push(name);
    return Promise.resolve(answers[name] ?? { state: 'absent' });
  };
  return { asked, lookUp };
}

test('the climb ends at the first records and never asks for the root', async () => {
  const none = zone({});
  expect(await climbCaa('a.b.example', none.lookUp)).toEqual({ state: 'absent', at: 'example' });
  expect(none.asked).toEqual(['a.b.example', 'b.example', 'example']);

  const middle = zone({ 'b.example': { state: 'found', records: [issue(';')] } });
  expect(await climbCaa('a.b.example', middle.lookUp)).toMatchObject({ state: 'found', at: 'b.example' });
  expect(middle.asked).toEqual(['a.b.example', 'b.example']);
});

test('the climb goes past an empty set, and a failure ends it', async () => {
  const { asked, lookUp } = zone({
    'a.b.example': { state: 'found', records: [] },
    'b.example': { state: 'failed', reason: 'SERVFAIL' },
    example: { state: 'found', records: [issue('pki.example')] },
  });
  expect(await climbCaa('a.b.example', lookUp)).toEqual({ state: 'failed', reason: 'SERVFAIL', at: 'b.example' });
  expect(asked).toEqual(['a.b.example', 'b.example']);
});

test('a value of any text is read or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab.-=; \t,:/é"'.split('')), maxLength: 40 }), (text) => {
      const parsed = parseIssueValue(text);
      expect(parsed === undefined || parsed.name === '' || text.toLowerCase().includes(parsed.name.toLowerCase())).toBe(
        true,
      );
    }),
  );
});

test('long runs of blanks take linear time', () => {
  // Quadratic, this would be some 10^11 steps.
  const text = `pki.example${' '.repeat(300_000)}x`;
  expect(parseIssueValue(text)).toBeUndefined();
  expect(parseIssueValue(`pki.example;${' '.repeat(300_000)}a=b`)?.parameters).toEqual([{ tag: 'a', value: 'b' }]);
});
