// Checklist section E, identifiers: lines 58 to 62.
import { expect } from 'vitest';
import { identifiersOf, newOrder } from '../support/acme-flow.ts';
import type { AcmeWire, Identifier, Reply } from '../support/acme-wire.ts';
import { freshName } from '../support/names.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const order = (acme: AcmeWire, identifiers: unknown, extra: object = {}): Promise<Reply> =>
  acme.post(acme.directory.newOrder, { identifiers, ...extra });

const sorted = (identifiers: readonly Identifier[]): string[] =>
  identifiers.map(({ type, value }) => `${type}:${value}`).sort();

line(58, 'an unknown identifier type is unsupportedIdentifier', async (t) => {
  const acme = await t.shared();
  for (const type of ['email', 'DNS', 'permanent-identifier', '__proto__']) {
    expectProblem(await order(acme, [{ type, value: freshName() }]), 'unsupportedIdentifier/400');
  }
});

line(58, 'identifiers of the wrong shape are malformed', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  for (const identifiers of [
    [{ type: 'dns', value: 7 }],
    [{ type: 'dns' }],
    [name],
    { type: 'dns', value: name },
    'dns',
    [null],
  ]) {
    expectProblem(await order(acme, identifiers), 'malformed/400', 'unsupportedIdentifier/400');
  }
});

line(59, 'a name that policy denies is rejectedIdentifier', async (t) => {
  const acme = await t.shared();
  const reply = await order(acme, identifiersOf(['www.denied.test']));
  expectProblem(reply, 'rejectedIdentifier/403', 'rejectedIdentifier/400');
  expect(reply.problem.detail).toContain('www.denied.test');
  expect(reply.problem).not.toHaveProperty('identifier');
  expect(reply.headers).not.toHaveProperty('location');
});

line(59, 'of several names each denied one has its subproblem', async (t) => {
  const acme = await t.shared();
  const denied = ['a.denied.test', 'b.denied.test'];
  const reply = await order(acme, identifiersOf([freshName(), ...denied]));
  expectProblem(reply, 'rejectedIdentifier/403', 'rejectedIdentifier/400');
  const subproblems = reply.problem.subproblems ?? [];
  expect(sorted(subproblems.map(({ identifier }) => identifier))).toEqual(denied.map((name) => `dns:${name}`));
  for (const { type, detail } of subproblems) {
    expect(type).toBe('urn:ietf:params:acme:error:rejectedIdentifier');
    expect(detail).toMatch(/\w/);
  }
});

line(60, 'names are lower-cased', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const reply = await order(acme, identifiersOf([name.toUpperCase()]));
  expectReply(reply, 201);
  expect(reply.json.identifiers).toEqual([{ type: 'dns', value: name }]);
});

line(60, 'a valid A-label is accepted', async (t) => {
  const reply = await order(await t.shared(), identifiersOf([`xn--bcher-kva.${freshName()}`]));
  expectReply(reply, 201);
});

const label = (length: number): string => 'a'.repeat(length);
const badNames: Record<string, string> = {
  empty: '',
  'a trailing dot': 'a.example.test.',
  'a leading dot': '.example.test',
  'an empty label': 'a..example.test',
  'an underscore': 'a_b.example.test',
  'a leading hyphen': '-a.example.test',
  'a trailing hyphen': 'a-.example.test',
  'a label of 64': `${label(64)}.example.test`,
  'more than 253 characters': `${[label(63), label(63), label(63), label(60)].join('.')}.example.test`,
  'an IPv4 address': '127.0.0.1',
  'an IPv6 address': '::1',
  'a U-label': 'bücher.example.test',
  'a punycode label that does not decode': 'xn--\u0030\u0030\u0030.example.test',
  'a punycode label of plain ASCII': 'xn--abc-.example.test',
  'a punycode label that is not normal': 'xn--BCHER-KVA-9999.example.test',
  'hyphens where punycode has them': 'ab--cd.example.test',
  'a blank': 'a b.example.test',
  'a NUL': 'a\u0000.example.test',
  'a line break': 'a\nb.example.test',
  'a comma and a second name': 'a.example.test,DNS:b.example.test',
  'a full-width dot': 'a。example.test',
  'a port': 'a.example.test:443',
  'a URL': 'https://a.example.test/',
};
for (const [name, value] of Object.entries(badNames)) {
  line(60, `a bad DNS name is malformed or rejectedIdentifier: ${name}`, async (t) => {
    const acme = await t.shared();
    expectProblem(await order(acme, [{ type: 'dns', value }]), 'malformed/400', 'rejectedIdentifier/400');
  });
}

line(61, 'duplicates collapse, whatever their case', async (t) => {
  const acme = await t.shared();
  const [one, two] = [freshName(), freshName()];
  const reply = await order(acme, identifiersOf([one, two, one, one.toUpperCase()]));
  expectReply(reply, 201);
  expect(sorted(reply.json.identifiers)).toEqual([`dns:${one}`, `dns:${two}`].sort());
  expect(reply.json.authorizations).toHaveLength(2);
});

line(61, 'a missing or empty list is malformed', async (t) => {
  const acme = await t.shared();
  for (const identifiers of [[], undefined, null]) expectProblem(await order(acme, identifiers), 'malformed/400');
});

line(61, '100 names are accepted', async (t) => {
  const acme = await t.shared();
  const { object, url } = await newOrder(
    acme,
    Array.from({ length: 100 }, (_, index) => `n${index}.hundred.example.test`),
  );
  expect(object.identifiers).toHaveLength(100);
  expect(object.authorizations).toHaveLength(100);
  const read = await acme.get(url);
  expect(sorted(read.json.identifiers)).toEqual(sorted(object.identifiers));
});

line(61, 'more than 100 names are malformed', async (t) => {
  const acme = await t.shared();
  for (const length of [101, 1000]) {
    const names = Array.from({ length }, (_, index) => `n${index}.more.example.test`);
    expectProblem(await order(acme, identifiersOf(names)), 'malformed/400');
  }
});

line(62, 'a wildcard has an authorization of its base name that offers DNS challenges only', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const { object } = await newOrder(acme, [`*.${name}`]);
  expect(object.identifiers).toEqual([{ type: 'dns', value: `*.${name}` }]);
  const { identifier, wildcard, challenges } = (await acme.get(object.authorizations[0] ?? '')).json;
  expect(identifier).toEqual({ type: 'dns', value: name });
  expect(wildcard).toBe(true);
  expect(challenges.map(({ type }) => type)).toContain('dns-01');
  for (const { type } of challenges) expect(type).toMatch(/^dns-/);
});

line(62, 'a wildcard and its base name are two authorizations', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const { object } = await newOrder(acme, [`*.${name}`, name]);
  const read = [];
  for (const url of object.authorizations) read.push((await acme.get(url)).json);
  expect(read.map(({ wildcard }) => String(wildcard)).sort()).toEqual(['true', 'undefined']);
  expect(read.map(({ identifier }) => identifier.value)).toEqual([name, name]);
});

line(62, 'other uses of the asterisk are refused', async (t) => {
  const acme = await t.shared();
  for (const value of [
    '*.*.example.test',
    'a.*.example.test',
    '*',
    '*.',
    '**.example.test',
    'w*.example.test',
    '*a.example.test',
    '.*.example.test',
  ]) {
    const reply = await order(acme, [{ type: 'dns', value }]);
    expectProblem(reply, 'malformed/400', 'rejectedIdentifier/400', 'rejectedIdentifier/403');
  }
});
