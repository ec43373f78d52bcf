import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createAuthority, subjectKeyIdentifier, type TestAuthority } from '../../test/contract/authorities.ts';
import { aModel, createKey } from '../../test/contract/models.ts';
import { opensslTest, verifyStrict } from '../../test/contract/openssl.ts';
import * as der from '../../test/support/der-writer.ts';
import { parseCertificate } from './certificate.ts';
import { buildCertificate } from './certificate-builder.ts';
import type { DistinguishedName } from './certificate-model.ts';
import { signatureAlgorithm, signWith } from './certificate-signature.ts';
import { nameViolations, parseNameConstraints } from './name-constraints.ts';

/** [form:]base; the form is dns where none is given. */
type Base = string;
type Verdict = 'ok' | 'refused';

interface Row {
  permitted?: Base[];
  excluded?: Base[];
  name: string;
  ours: Verdict;
  /** OpenSSL's verdict where it is another, and why ours is what it is. */
  openssl?: Verdict;
  because?: string;
}

function general(base: Base): Buffer {
  const at = base.search(/^(ip|email|uri|dir|upn|rid|raw):/) === 0 ? base.indexOf(':') : -1;
  const text = base.slice(at + 1);
  switch (base.slice(0, Math.max(at, 0))) {
    case 'ip': {
      const [address = '', mask = ''] = text.split('/');
      return der.tlv(0x87, Buffer.concat([der.ipBytes(address), der.ipBytes(mask)]));
    }
    case 'email':
      return der.generalName.email(text);
    case 'uri':
      return der.generalName.uri(text);
    case 'dir':
      return der.context(4, der.distinguishedName([['2.5.4.10', text]]));
    case 'upn':
      return der.generalName.upn(text);
    case 'rid':
      return der.generalName.registeredID(text);
    case 'raw':
      return der.tlv(0x87, Buffer.from(text, 'hex'));
    default:
      return der.generalName.dns(text);
  }
}

function constraintsDer({ permitted = [], excluded = [] }: Pick<Row, 'permitted' | 'excluded'>): Buffer {
  const subtrees = (list: Base[]) => list.map((base) => der.sequence(general(base)));
  return der.sequence(
    ...(permitted.length > 0 ? [der.context(0, ...subtrees(permitted))] : []),
    ...(excluded.length > 0 ? [der.context(1, ...subtrees(excluded))] : []),
  );
}

/** A name as in a certificate: form:text, dns where no form is given; `cn:`, `ipcn:`, `mail:` and `org:` stand in the subject. */
function namesOf(name: string) {
  const none = { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] };
  const at = name.search(/^(ip|email|uri|cn|ipcn|mail|org):/) === 0 ? name.indexOf(':') : -1;
  const text = name.slice(at + 1);
  const filler = { ...none, dnsNames: ['filler.example.test'] };
  const subject = (oid: string): DistinguishedName => [[{ oid, value: text }]];
  switch (name.slice(0, Math.max(at, 0))) {
    case 'ip':
      return { names: { ...none, ipAddresses: [text] }, subject: [] };
    case 'email':
      return { names: { ...none, emailAddresses: [text] }, subject: [] };
    case 'uri':
      return { names: { ...none, uris: [text] }, subject: [] };
    case 'cn':
      return { names: { ...none, uris: ['spiffe://filler.example.test/x'] }, subject: subject('2.5.4.3') };
    case 'ipcn':
      return { names: { ...none, ipAddresses: [text] }, subject: subject('2.5.4.3') };
    case 'mail':
      return { names: filler, subject: subject('1.2.840.113549.1.9.1') };
    case 'org':
      return { names: filler, subject: subject('2.5.4.10') };
    default:
      return { names: { ...none, dnsNames: [text] }, subject: [] };
  }
}

const E = 'example.test';
const ROWS: Row[] = [
  // DNS, permitted
  { permitted: [E], name: E, ours: 'ok' },
  { permitted: [E], name: `a.${E}`, ours: 'ok' },
  { permitted: [E], name: `a.b.${E}`, ours: 'ok' },
  { permitted: [E], name: `not${E}`, ours: 'refused' },
  { permitted: [E], name: 'other.test', ours: 'refused' },
  { permitted: [E], name: 'test', ours: 'refused' },
  { permitted: [E], name: `*.${E}`, ours: 'ok' },
  { permitted: [`a.${E}`], name: `*.${E}`, ours: 'refused' },
  { permitted: [`a.${E}`], name: `*.a.${E}`, ours: 'ok' },
  { permitted: ['EXAMPLE.Test'], name: `a.${E}`, ours: 'ok' },
  { permitted: [`.${E}`], name: `a.${E}`, ours: 'ok' },
  { permitted: [`.${E}`], name: E, ours: 'refused' },
  { permitted: [`.${E}`], name: `*.${E}`, ours: 'ok' },
  { permitted: [`${E}.`], name: E, ours: 'refused' },
  { permitted: ['*.example.test'], name: `a.${E}`, ours: 'refused' },
  { permitted: [''], name: E, ours: 'ok' },
  { permitted: ['other.test', E], name: E, ours: 'ok' },
  { permitted: [E], name: 'ip:192.0.2.1', ours: 'ok' },
  // DNS, excluded
  { excluded: [E], name: E, ours: 'refused' },
  { excluded: [E], name: `a.${E}`, ours: 'refused' },
  { excluded: [E], name: `not${E}`, ours: 'ok' },
  { excluded: ['EXAMPLE.TEST'], name: `a.${E}`, ours: 'refused' },
  { excluded: [`a.${E}`], name: E, ours: 'ok' },
  {
    excluded: [`a.${E}`],
    name: `*.${E}`,
    ours: 'refused',
    openssl: 'ok',
    because: 'the wildcard stands for the excluded name (CVE-2025-61727)',
  },
  { excluded: [`a.b.${E}`], name: `*.${E}`, ours: 'ok' },
  { excluded: [`a.b.${E}`], name: `*.b.${E}`, ours: 'refused', openssl: 'ok', because: 'as above' },
  { excluded: [E], name: `*.${E}`, ours: 'refused' },
  { excluded: [`.${E}`], name: `a.${E}`, ours: 'refused' },
  { excluded: [`.${E}`], name: E, ours: 'ok' },
  { excluded: [''], name: E, ours: 'refused' },
  { excluded: [''], name: 'ip:192.0.2.1', ours: 'ok' },
  {
    excluded: [`${E}.`],
    name: E,
    ours: 'refused',
    openssl: 'ok',
    because: 'a constraint that is not understood forbids',
  },
  { permitted: [E], excluded: [`a.${E}`], name: `a.${E}`, ours: 'refused' },
  { permitted: [E], excluded: [`a.${E}`], name: `b.${E}`, ours: 'ok' },
  // The common name counts where it looks like a host
  { permitted: [E], name: `cn:a.${E}`, ours: 'ok' },
  { permitted: [E], name: 'cn:other.test', ours: 'refused' },
  { excluded: [E], name: `cn:A.${E}`, ours: 'refused' },
  { permitted: [E], name: 'cn:Payments team', ours: 'ok' },
  {
    permitted: ['ip:192.0.2.0/255.255.255.0'],
    name: 'cn:198.51.100.1',
    ours: 'refused',
    openssl: 'ok',
    because: 'some clients read addresses from common names',
  },
  { permitted: [E], name: 'ipcn:192.0.2.1', ours: 'refused' },
  { permitted: [E], name: 'ipcn:2001:db8::1', ours: 'ok' },
  // Addresses
  { permitted: ['ip:192.0.2.0/255.255.255.0'], name: 'ip:192.0.2.255', ours: 'ok' },
  { permitted: ['ip:192.0.2.0/255.255.255.0'], name: 'ip:192.0.3.0', ours: 'refused' },
  { permitted: ['ip:192.0.2.77/255.255.255.0'], name: 'ip:192.0.2.1', ours: 'ok' },
  { permitted: ['ip:192.0.2.0/255.255.255.0'], name: 'ip:2001:db8::1', ours: 'refused' },
  { permitted: ['ip:192.0.2.0/255.255.255.0'], name: E, ours: 'ok' },
  { permitted: ['ip:2001:db8::/ffff:ffff::'], name: 'ip:2001:db8:1::1', ours: 'ok' },
  { permitted: ['ip:2001:db8::/ffff:ffff::'], name: 'ip:2001:db9::1', ours: 'refused' },
  { excluded: ['ip:0.0.0.0/0.0.0.0'], name: 'ip:10.0.0.1', ours: 'refused' },
  { excluded: ['ip:0.0.0.0/0.0.0.0'], name: 'ip:2001:db8::1', ours: 'ok' },
  { excluded: ['ip:10.1.2.3/255.255.255.255'], name: 'ip:10.1.2.3', ours: 'refused' },
  {
    permitted: ['ip:10.0.0.0/255.0.255.0'],
    name: 'ip:10.9.0.1',
    ours: 'refused',
    openssl: 'ok',
    because: 'a mask with a gap is not understood',
  },
  { permitted: ['raw:0a000000ff0000'], name: 'ip:10.0.0.1', ours: 'refused' },
  // E-mail
  { permitted: [`email:${E}`], name: `email:a@${E}`, ours: 'ok' },
  { permitted: [`email:${E}`], name: `email:a@x.${E}`, ours: 'refused' },
  { permitted: [`email:.${E}`], name: `email:a@x.${E}`, ours: 'ok' },
  { permitted: [`email:.${E}`], name: `email:a@${E}`, ours: 'refused' },
  { permitted: [`email:root@${E}`], name: `email:root@EXAMPLE.test`, ours: 'ok' },
  { permitted: [`email:root@${E}`], name: `email:ROOT@${E}`, ours: 'refused' },
  {
    excluded: [`email:root@${E}`],
    name: `email:ROOT@${E}`,
    ours: 'refused',
    openssl: 'ok',
    because: 'an exclusion holds for every spelling of a mailbox',
  },
  { excluded: [`email:${E}`], name: `mail:a@${E}`, ours: 'refused' },
  { permitted: [E, 'email:other.test'], name: `mail:a@${E}`, ours: 'refused' },
  // URIs
  { permitted: [`uri:${E}`], name: `uri:https://${E}/x`, ours: 'ok' },
  { permitted: [`uri:${E}`], name: `uri:https://a.${E}/x`, ours: 'refused' },
  { permitted: [`uri:.${E}`], name: `uri:https://user@a.${E}:8443/x`, ours: 'ok' },
  { permitted: [`uri:.${E}`], name: `uri:https://evil.test/.${E}`, ours: 'refused' },
  { permitted: [`uri:${E}`], name: 'uri:urn:example:a', ours: 'refused' },
  { permitted: [`uri:${E}`], name: 'uri:https://192.0.2.1/x', ours: 'refused' },
  { excluded: [`uri:${E}`], name: `uri:spiffe://${E}/x`, ours: 'refused' },
  { excluded: [`uri:${E}`], name: 'uri:urn:example:a', ours: 'refused' },
  // Directory names
  { permitted: [E, 'dir:Example'], name: 'org:Example', ours: 'ok' },
  { permitted: [E, 'dir:Example'], name: 'org:EXAMPLE', ours: 'ok' },
  { permitted: [E, 'dir:Example'], name: 'org:Other', ours: 'refused' },
  { excluded: ['dir:Example'], name: 'org:Example', ours: 'refused' },
  { excluded: ['dir:Example'], name: `a.${E}`, ours: 'ok' },
  // Forms nobody asked us to judge
  {
    excluded: ['upn:x'],
    name: E,
    ours: 'refused',
    openssl: 'ok',
    because: 'a constraint that is not understood forbids',
  },
  { permitted: ['rid:1.2.3'], name: E, ours: 'refused', openssl: 'ok', because: 'as above' },
];

const title = (row: Row) =>
  `${row.permitted ? `permitted ${row.permitted.join()} ` : ''}${row.excluded ? `excluded ${row.excluded.join()} ` : ''}: ${row.name} is ${row.ours}`;

test.each(ROWS.map((row) => [title(row), row] as const))('%s', (_, row) => {
  const { names, subject } = namesOf(row.name);
  const violations = nameViolations(parseNameConstraints(constraintsDer(row)), names, subject);
  expect(violations.length > 0 ? 'refused' : 'ok').toBe(row.ours);
  for (const { reason } of violations) expect(reason).toMatch(/ CA\b/);
});

function leafUnder(ca: TestAuthority, name: string): Buffer {
  const certificate = parseCertificate(ca.der);
  const algorithm = signatureAlgorithm(ca.keys.privateKey);
  const identifier = certificate.subjectKeyIdentifier ?? Buffer.alloc(20);
  const model = aModel({ ...namesOf(name), keys: KEY });
  return buildCertificate(
    { name: certificate.subjectDer, keyIdentifier: identifier, algorithm },
    { ...model, serial: Buffer.of(1) },
    (tbs) => signWith(ca.keys.privateKey, tbs),
  );
}

const KEY = createKey('P-256');
const CA_KEY = createKey('P-256');

/** OpenSSL's verdict on a leaf of this name; anything but a complaint about constraints is an error of the test. */
function opensslVerdict(row: Row, root: TestAuthority): Verdict {
  const ca = createAuthority({
    subject: 'constrained',
    keys: CA_KEY,
    parent: root,
    extensions: [
      subjectKeyIdentifier(Buffer.alloc(20, 2)),
      { oid: '2.5.29.35', value: der.sequence(der.contextPrimitive(0, Buffer.alloc(20, 1))) },
      { oid: '2.5.29.30', critical: true, value: constraintsDer(row) },
    ],
  });
  const { ok, output } = verifyStrict([leafUnder(ca, row.name), ca.der, root.der]);
  if (!ok && !/constraint|subtree|name syntax/i.test(output)) throw new Error(`${title(row)}: ${output}`);
  return ok ? 'ok' : 'refused';
}

opensslTest('OpenSSL sees each row the same way, or the row says why not', () => {
  const root = createAuthority({ subject: 'root', extensions: [subjectKeyIdentifier(Buffer.alloc(20, 1))] });
  const verdict = (row: Row, openssl: Verdict) => `${title(row)}, by OpenSSL ${openssl}`;
  const seen = ROWS.map((row) => verdict(row, opensslVerdict(row, root)));
  expect(seen).toEqual(ROWS.map((row) => verdict(row, row.openssl ?? row.ours)));
  expect(ROWS.filter(({ openssl, because }) => (openssl === undefined) !== (because === undefined))).toEqual([]);
});

test('depths, empty lists and trailing fields are not read over', () => {
  const depth = der.context(0, der.sequence(general(E), der.contextPrimitive(1, Buffer.of(1))));
  const parsed = parseNameConstraints(der.sequence(depth));
  expect(nameViolations(parsed, namesOf(E).names, [])).toHaveLength(1);
  expect(() => parseNameConstraints(der.sequence())).toThrow(/without subtrees/);
  expect(() => parseNameConstraints(der.sequence(der.context(1), der.context(0)))).toThrow();
  expect(() => parseNameConstraints(Buffer.concat([constraintsDer({ permitted: [E] }), Buffer.of(0)]))).toThrow(
    /trailing/,
  );
});

test('every forbidden name is reported, each once', () => {
  const constraints = parseNameConstraints(constraintsDer({ permitted: [E], excluded: ['ip:10.0.0.0/255.0.0.0'] }));
  const names = {
    dnsNames: ['a.test', `ok.${E}`, 'b.test'],
    ipAddresses: ['10.1.1.1', '192.0.2.1'],
    uris: [],
    emailAddresses: [],
  };
  const subject = [[{ oid: '2.5.4.3', value: 'a.test' }]];
  expect(nameViolations(constraints, names, subject).map(({ form, name }) => `${form} ${name}`)).toEqual([
    'DNS a.test',
    'DNS b.test',
    'IP 10.1.1.1',
  ]);
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?$/);
const host = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'));

test('a name below a base is permitted by it and excluded by it, whatever the case', () => {
  fc.assert(
    fc.property(host, fc.option(host), (base, above) => {
      const name = above === null ? base : `${above}.${base}`;
      const judge = (list: 'permitted' | 'excluded', text: string) =>
        nameViolations(parseNameConstraints(constraintsDer({ [list]: [text] })), namesOf(name).names, []).length;
      expect(judge('permitted', base)).toBe(0);
      expect(judge('permitted', base.toUpperCase())).toBe(0);
      expect(judge('excluded', base)).toBe(1);
      expect(judge('excluded', base.toUpperCase())).toBe(1);
    }),
  );
});

test('bytes that are no constraints throw, and none is read as "all allowed"', () => {
  const valid = constraintsDer({
    permitted: [E, 'ip:10.0.0.0/255.0.0.0', 'email:x', 'uri:y', 'dir:z'],
    excluded: ['a.test'],
  });
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Buffer.from(valid);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      try {
        const { permitted, excluded } = parseNameConstraints(bytes);
        expect(permitted.length + excluded.length).toBeGreaterThan(0);
      } catch (error) {
        expect((error as Error).name).toBe('DerError');
      }
    }),
    { numRuns: 500 },
  );
});
