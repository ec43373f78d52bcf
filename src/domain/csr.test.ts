// Certificate requests: the list of what one may carry, hostile inputs 47 to 53 one by one, requests of other software, and properties.
import 'reflect-metadata';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign, webcrypto } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import fc from '../../test/support/property.ts';
import { afterAll, expect, test } from 'vitest';
import { createKeyPair, type KeyPair, signatureAlgorithm, signDer } from '../../test/support/certificate-builder.ts';
import {
  attribute,
  buildCsr,
  type CsrOptions,
  extensionRequest,
  rsaKeys,
  weakRsaKeys,
} from '../../test/support/csr-builder.ts';
import * as der from '../../test/support/der-writer.ts';
import { createCsrWork, csrCommonName, csrIdentifiers, MAX_CSR_BYTES, parseCsr } from './csr.ts';
import { parseDnsName } from './identifier.ts';
import { Problem } from './problem.ts';

const NAME = 'a.example.test';
const keys = createKeyPair();
const rsa = rsaKeys();
const build = (options: CsrOptions) => buildCsr({ keys, ...options }).der;
const identifiers = (csr: Buffer) => csrIdentifiers(parseCsr(csr)).map(({ type, value }) => `${type}:${value}`);

/** A request put together by hand, signed over whatever is in it. */
interface Parts {
  version?: Buffer;
  subject?: Buffer;
  spki?: Buffer;
  /** The [0] element. */
  attributes?: Buffer | undefined;
  /** Elements after the attributes. */
  extra?: readonly Buffer[];
  signer?: KeyPair;
  algorithm?: Buffer;
  signature?: (content: Buffer) => Buffer;
  /** Elements after the signature. */
  tail?: readonly Buffer[];
}

const spkiOf = (pair: KeyPair) => pair.publicKey.export({ type: 'spki', format: 'der' });
const goodAttributes = der.context(0, extensionRequest([der.subjectAltName([der.generalName.dns(NAME)])]));

function craft(parts: Parts): Buffer {
  const signer = parts.signer ?? keys;
  const content = der.sequence(
    parts.version ?? der.integer(0),
    parts.subject ?? der.sequence(),
    parts.spki ?? spkiOf(signer),
    ...('attributes' in parts ? (parts.attributes ? [parts.attributes] : []) : [goodAttributes]),
    ...(parts.extra ?? []),
  );
  const signature = parts.signature?.(content) ?? signDer(signer.privateKey, content, 'sha256');
  const algorithm = parts.algorithm ?? signatureAlgorithm(signer.privateKey, 'sha256');
  return der.sequence(content, algorithm, der.bitString(signature), ...(parts.tail ?? []));
}

/** A request with one SAN of NAME and this extension. */
const withExtension = (oid: string, value: Buffer, critical = false) =>
  build({ names: [NAME], extensions: [{ oid, value, critical }] });
const withName = (...extraNames: Buffer[]) => build({ names: [NAME], extraNames });
const withSan = (value: Buffer) => build({ extensions: [{ oid: '2.5.29.17', value }] });
const withSubject = (...rdns: Buffer[]) => craft({ subject: der.sequence(...rdns) });
const rdn = (...attributes: (readonly [oid: string, value: Buffer])[]) =>
  der.setOf(...attributes.map(([oid, value]) => der.sequence(der.oid(oid), value)));
const CN = '2.5.4.3';
const O = '2.5.4.10';

function refusal(csr: Buffer): { problem: Problem; operations: number; nodes: number } {
  const work = createCsrWork();
  try {
    parseCsr(csr, work);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { problem: error, operations: work.operations, nodes: work.budget.nodes };
  }
  return expect.unreachable('the request was accepted');
}

// ---- What is accepted ----------------------------------------------------------------------------------------------

test.each([
  ['P-256', keys],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' })],
  ['Ed25519', generateKeyPairSync('ed25519')],
  ['RSA', rsa],
])('a request with a key on %s gives its facts, for two key operations', (_, pair) => {
  const csr = buildCsr({
    names: ['A.example.test', '*.b.example.test', 'ip:10.0.0.1', 'ip:2001:db8::1'],
    subject: [[O, 'Example']],
    commonName: 'A.Example.test',
    keys: pair,
  }).der;
  const work = createCsrWork();
  const parsed = parseCsr(csr, work);
  expect(parsed.der).toEqual(csr);
  expect(parsed.subject).toEqual([[{ oid: CN, value: NAME }], [{ oid: O, value: 'Example' }]]);
  expect(parsed.names).toEqual({
    dnsNames: [NAME, '*.b.example.test'],
    ipAddresses: ['10.0.0.1', '2001:db8::1'],
    uris: [],
    emailAddresses: [],
  });
  expect(parsed.publicKey.spki).toEqual(spkiOf(pair));
  expect(parsed.usages).toBeUndefined();
  expect(work.operations).toBe(2);
  expect(work.budget.nodes).toBeLessThan(40);
});

test.each(['sha256', 'sha384', 'sha512'] as const)('%s with RSA and ECDSA', (hash) => {
  const suffix = { sha256: [11, 2], sha384: [12, 3], sha512: [13, 4] }[hash];
  const rsaAlgorithm = der.oid(`1.2.840.113549.1.1.${suffix[0]}`);
  const signature = (pair: KeyPair) => (content: Buffer) => sign(hash, content, pair.privateKey);
  expect(
    identifiers(
      craft({ signer: rsa, algorithm: der.sequence(rsaAlgorithm, der.nullValue()), signature: signature(rsa) }),
    ),
  ).toHaveLength(1);
  // RFC 4055 section 5: absent parameters are to be taken as well.
  expect(
    identifiers(craft({ signer: rsa, algorithm: der.sequence(rsaAlgorithm), signature: signature(rsa) })),
  ).toHaveLength(1);
  expect(
    identifiers(
      craft({ algorithm: der.sequence(der.oid(`1.2.840.10045.4.3.${suffix[1]}`)), signature: signature(keys) }),
    ),
  ).toHaveLength(1);
});

test('what a leaf may ask for is taken, and what is ignored leaves no trace', () => {
  const csr = build({
    names: [NAME],
    extraNames: [der.generalName.uri('spiffe://example.test/x'), der.generalName.email('ops@example.test')],
    extensions: [
      { oid: '2.5.29.19', critical: true, value: der.sequence() },
      { oid: '2.5.29.15', critical: true, value: der.bitString(Buffer.of(0xa8), 3) },
      { oid: '2.5.29.37', value: der.sequence(der.oid('1.3.6.1.5.5.7.3.1'), der.oid('1.3.6.1.5.5.7.3.2')) },
      { oid: '2.5.29.14', value: der.octetString(Buffer.alloc(20, 7)) },
    ],
    attributes: [
      attribute('1.2.840.113549.1.9.7', der.utf8String('secret')),
      attribute('1.2.840.113549.1.9.2', der.printableString('x')),
    ],
  });
  const parsed = parseCsr(csr);
  expect(parsed.usages).toEqual(['server auth', 'client auth']);
  expect(parsed.names).toEqual({
    dnsNames: [NAME],
    ipAddresses: [],
    uris: ['spiffe://example.test/x'],
    emailAddresses: ['ops@example.test'],
  });
  expect(Object.keys(parsed).sort()).toEqual(['der', 'names', 'publicKey', 'subject', 'usages']);
});

test('names are told once, in normal form', () => {
  const parsed = parseCsr(
    build({ names: ['B.example.test', 'b.EXAMPLE.test', 'ip:10.0.0.1', 'ip:10.0.0.1'], commonName: 'b.example.test' }),
  );
  expect(parsed.names.dnsNames).toEqual(['b.example.test']);
  expect(parsed.names.ipAddresses).toEqual(['10.0.0.1']);
  expect(csrIdentifiers(parsed)).toEqual([
    { type: 'dns', value: 'b.example.test' },
    { type: 'ip', value: '10.0.0.1' },
  ]);
});

test.each([
  ['a name of a person', 'Ada Lovelace'],
  ['initials', 'J. R. Hartley'],
  ['a Kubernetes identity', 'system:node:worker-1.example'],
  ['an e-mail address', 'ada@example.test'],
  ['a URI', 'spiffe://example.test/ns/x'],
  ['a name of a company', 'Müller GmbH & Co. KG'],
])('a common name that is %s is a fact for policy, and no identifier', (_, commonName) => {
  const parsed = parseCsr(build({ commonName, names: [NAME] }));
  expect(csrCommonName(parsed)).toBe(commonName);
  expect(csrIdentifiers(parsed)).toEqual([{ type: 'dns', value: NAME }]);
});

// ---- The list of cases of the first of the servers this one replaces ---------------------------------------------------

/**
 * Its outcome for the order `a.example.test` (or as named): "issued" or the error it gave. Ours: the identifiers that finalize compares
 * with the order, or badCSR.
 */
const seedCases: [what: string, csr: Buffer, seed: string, ours: readonly string[] | 'badCSR', why: string][] = [
  ['common name and SAN', build({ commonName: NAME, names: [NAME] }), 'issued', [`dns:${NAME}`], ''],
  ['common name alone', build({ commonName: NAME }), 'issued', [`dns:${NAME}`], ''],
  ['SAN alone', build({ names: [NAME] }), 'issued', [`dns:${NAME}`], ''],
  [
    'a name more than the order',
    build({ names: [NAME, 'b.example.test'] }),
    'badCSR',
    [`dns:${NAME}`, 'dns:b.example.test'],
    'the set differs from the order, which is where it is refused',
  ],
  [
    'a name fewer than the order',
    build({ commonName: 'b.example.test' }),
    'badCSR',
    ['dns:b.example.test'],
    'as above',
  ],
  [
    'a common name outside the SAN',
    build({ commonName: 'b.example.test', names: [NAME] }),
    'issued for an order of both',
    [`dns:${NAME}`, 'dns:b.example.test'],
    '',
  ],
  ['a common name that is an IPv6 address', build({ commonName: '2001:DB8::1' }), 'issued', ['ip:2001:db8::1'], ''],
  [
    'a common name that is an IPv4 address',
    build({ commonName: '192.0.2.1', names: ['ip:192.0.2.1'] }),
    'issued',
    ['ip:192.0.2.1'],
    '',
  ],
  ['neither common name nor SAN', build({}), 'badCSR', 'badCSR', ''],
  ['a subject without common name, no SAN', build({ subject: [[O, 'Example']] }), 'badCSR', 'badCSR', ''],
  [
    'capital letters',
    build({ names: ['A.EXAMPLE.test'] }),
    'badCSR',
    [`dns:${NAME}`],
    'DNS names have no case (RFC 4343); there, the comparison had',
  ],
  [
    'an e-mail address in the SAN',
    withName(der.generalName.email('a@example.test')),
    'issued, the address dropped',
    [`dns:${NAME}`],
    'kept as a fact: policy refuses what it does not allow',
  ],
  [
    'an otherName in the SAN',
    withName(der.generalName.upn('admin@corp')),
    'issued, the name dropped',
    'badCSR',
    'what we do not know is refused, not dropped',
  ],
  [
    'a directoryName in the SAN',
    withName(der.generalName.directory('x')),
    'issued, the name dropped',
    'badCSR',
    'as above',
  ],
  [
    'a wrong self-signature',
    build({ names: [NAME], signer: createKeyPair() }),
    'issued',
    'badCSR',
    'it was never verified there; RFC 2986 asks for it',
  ],
  ['garbage', Buffer.from('garbage'), 'HTTP 500', 'badCSR', 'the fault is the client’s'],
  ['no bytes', Buffer.alloc(0), 'HTTP 500', 'badCSR', 'as above'],
];

test.each(seedCases)('%s', (_, csr, seed, ours, why) => {
  const same = seed.startsWith('issued') ? ours !== 'badCSR' : seed === ours;
  expect(same || why !== '').toBe(true);
  if (ours === 'badCSR') expect(refusal(csr).problem.type).toBe('badCSR');
  else expect(identifiers(csr)).toEqual(ours);
});

// ---- Hostile inputs ------------------------------------------------------------------------------------------------

const generalNames = (...names: Buffer[]) => der.sequence(...names);
const other = (tag: number) => der.tlv(tag, Buffer.from('x'));
const psSalt = der.sequence(der.oid('1.2.840.113549.1.1.10'), der.sequence(der.context(2, der.integer(20))));
const ed448 = generateKeyPairSync('ed448');
const dsa = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 });
const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
const nested = (levels: number, tag = 0x31) => {
  let bytes = der.nullValue();
  for (let i = 0; i < levels; i++) bytes = der.tlv(tag, bytes);
  return bytes;
};
/** The same request, its outer SEQUENCE in another length form. */
const reframe = (csr: Buffer, header: Buffer, tail = Buffer.alloc(0)) => Buffer.concat([header, csr.subarray(4), tail]);
const good = build({ names: Array.from({ length: 8 }, (_, i) => `n${i}.example.test`) });
const length = good.subarray(2, 4);

/** `operations`: 2 where the key was imported and the signature checked; without it the request fell before any key operation. */
const hostile: [what: string, csr: Buffer, reason: RegExp, operations?: number][] = [
  // 47
  ['a common name of 65 characters', build({ commonName: 'x'.repeat(65), names: [NAME] }), /longer than 64/],
  [
    'two common names',
    withSubject(rdn([CN, der.utf8String(NAME)]), rdn([CN, der.utf8String('evil.test')])),
    /more than one common name/,
  ],
  [
    'two common names in one RDN',
    withSubject(rdn([CN, der.utf8String(NAME)], [CN, der.utf8String('evil.test')])),
    /more than one common name/,
  ],
  [
    'a common name beside another attribute',
    withSubject(rdn([CN, der.utf8String(NAME)], [O, der.utf8String('x')])),
    /shares/,
  ],
  [
    'an attribute twice in one RDN',
    withSubject(rdn([O, der.utf8String('x')], [O, der.utf8String('y')])),
    /one attribute twice/,
  ],
  ['an RDN without attributes', withSubject(der.setOf()), /without attributes/],
  ['an empty common name', withSubject(rdn([CN, der.utf8String('')])), /empty/],
  ['a newline in the subject', build({ names: [NAME], subject: [[O, 'a\nb']] }), /control/],
  ['a common name with a trailing dot', build({ commonName: 'a.example.test.' }), /trailing dot/],
  ['a common name with two wildcards', build({ commonName: '*.*.example.test' }), /wildcard/],
  ['a common name with a bare star', build({ commonName: '*', names: [NAME] }), /wildcard/],
  ['a common name with an underscore', build({ commonName: 'a_b.example.test', names: [NAME] }), /labels/],
  ['a common name in Unicode', build({ commonName: 'münchen.example', names: [NAME] }), /labels/],
  ['a common name with an ideographic dot', build({ commonName: 'a。example', names: [NAME] }), /labels/],
  ['a common name that is nearly an address', build({ commonName: '10.0.0.256', names: [NAME] }), /not a number/],
  ['a common name that is a mapped address', build({ commonName: '::ffff:10.0.0.1', names: [NAME] }), /mapped/],
  [
    'attributes of an RDN out of order',
    withSubject(
      der.tlv(
        0x31,
        der.sequence(der.oid(O), der.utf8String('x')),
        der.sequence(der.oid('2.5.4.7'), der.utf8String('x')),
      ),
    ),
    /out of order/,
  ],
  // 48
  ['an otherName', withName(der.generalName.upn('admin@corp')), /otherName/],
  ['a directoryName', withName(der.generalName.directory('evil')), /directoryName/],
  ['a registeredID', withName(der.generalName.registeredID('1.2.3')), /registeredID/],
  ['an x400Address', withName(other(0xa3)), /x400Address/],
  ['an ediPartyName', withName(other(0xa5)), /ediPartyName/],
  ['a GeneralName of an unknown kind', withName(other(0x89)), /GeneralName/],
  ['a GeneralName of a universal type', withName(der.utf8String(NAME)), /GeneralName/],
  ['a constructed dNSName', withName(other(0xa2)), /GeneralName/],
  ['a URI without a scheme', withName(der.generalName.uri('//example.test')), /not a URI/],
  ['a URI with a space', withName(der.generalName.uri('https://a b')), /not a URI/],
  ['an e-mail address without @', withName(der.generalName.email('example.test')), /not an e-mail/],
  ['an e-mail address with a newline', withName(der.generalName.email('a@b\nc')), /not an e-mail/],
  // 49
  [
    'a second SAN extension',
    build({ names: [NAME], extensions: [der.subjectAltName([der.generalName.dns('evil.test')])] }),
    /occurs twice/,
  ],
  [
    'two extension requests',
    build({ names: [NAME], attributes: [extensionRequest([der.subjectAltName([der.generalName.dns('evil.test')])])] }),
    /more than one extensionRequest/,
  ],
  [
    'two values in an extension request',
    craft({
      attributes: der.context(
        0,
        attribute(
          '1.2.840.113549.1.9.14',
          der.sequence(der.extension(der.subjectAltName([der.generalName.dns(NAME)]))),
          der.sequence(der.extension(der.subjectAltName([der.generalName.dns('evil.test')]))),
        ),
      ),
    }),
    /trailing bytes/,
  ],
  [
    'an extension request without values',
    craft({ attributes: der.context(0, attribute('1.2.840.113549.1.9.14')) }),
    /SEQUENCE expected/,
  ],
  [
    'an extension request without extensions',
    craft({ attributes: der.context(0, attribute('1.2.840.113549.1.9.14', der.sequence())) }),
    /empty list/,
  ],
  ['a SAN without names', withSan(der.sequence()), /without names/],
  [
    'a SAN with trailing bytes',
    withSan(Buffer.concat([generalNames(der.generalName.dns(NAME)), Buffer.of(0)])),
    /trailing/,
  ],
  [
    'a critical SAN without names',
    build({ extensions: [{ oid: '2.5.29.17', critical: true, value: der.sequence() }] }),
    /without names/,
  ],
  [
    'a Microsoft template name',
    withExtension('1.3.6.1.4.1.311.20.2', der.utf8String('User')),
    /1\.3\.6\.1\.4\.1\.311\.20\.2/,
  ],
  [
    'a Microsoft template',
    withExtension('1.3.6.1.4.1.311.21.7', der.sequence(der.oid('1.2.3'))),
    /1\.3\.6\.1\.4\.1\.311\.21\.7/,
  ],
  [
    'a Microsoft attribute',
    build({ names: [NAME], attributes: [attribute('1.3.6.1.4.1.311.13.2.3', der.ia5String('10.0'))] }),
    /attribute 1\.3\.6\.1\.4\.1\.311\.13\.2\.3/,
  ],
  [
    'a challengePassword as BMPString',
    build({ names: [NAME], attributes: [attribute('1.2.840.113549.1.9.7', der.tlv(0x1e, Buffer.of(0, 0x61)))] }),
    /BMPString/,
  ],
  [
    'an unknown attribute',
    build({ names: [NAME], attributes: [attribute('1.2.3.4', der.nullValue())] }),
    /attribute 1\.2\.3\.4/,
  ],
  // 50
  [
    'basicConstraints CA:TRUE',
    withExtension('2.5.29.19', der.sequence(der.boolean(true))),
    /basicConstraints \(2\.5\.29\.19\)/,
  ],
  [
    'basicConstraints CA:TRUE with a path length',
    withExtension('2.5.29.19', der.sequence(der.boolean(true), der.integer(0))),
    /basicConstraints/,
  ],
  ['a path length without CA', withExtension('2.5.29.19', der.sequence(der.integer(0))), /path length/],
  ['keyUsage certSign', withExtension('2.5.29.15', der.bitString(Buffer.of(0x84), 2)), /keyCertSign/],
  ['keyUsage cRLSign', withExtension('2.5.29.15', der.bitString(Buffer.of(0x82), 1)), /cRLSign/],
  ['keyUsage nonRepudiation', withExtension('2.5.29.15', der.bitString(Buffer.of(0xc0), 6)), /nonRepudiation/],
  ['keyUsage dataEncipherment', withExtension('2.5.29.15', der.bitString(Buffer.of(0x10), 4)), /dataEncipherment/],
  ['keyUsage decipherOnly', withExtension('2.5.29.15', der.bitString(Buffer.of(0x80, 0x80), 7)), /decipherOnly/],
  ['keyUsage bit 20', withExtension('2.5.29.15', der.bitString(Buffer.of(0x80, 0, 8), 3)), /bit 20/],
  ['keyUsage of nothing', withExtension('2.5.29.15', der.bitString(Buffer.alloc(0))), /without any usage/],
  ['keyUsage with trailing zeros', withExtension('2.5.29.15', der.bitString(Buffer.of(0x80), 0)), /ends? in zeros/],
  ['EKU any', withExtension('2.5.29.37', der.sequence(der.oid('2.5.29.37.0'))), /anyExtendedKeyUsage/],
  [
    'EKU codeSigning',
    withExtension('2.5.29.37', der.sequence(der.oid('1.3.6.1.5.5.7.3.1'), der.oid('1.3.6.1.5.5.7.3.3'))),
    /codeSigning/,
  ],
  ['EKU OCSP signing', withExtension('2.5.29.37', der.sequence(der.oid('1.3.6.1.5.5.7.3.9'))), /ocspSigning/],
  [
    'EKU of a smart card',
    withExtension('2.5.29.37', der.sequence(der.oid('1.3.6.1.4.1.311.20.2.2'))),
    /1\.3\.6\.1\.4\.1\.311\.20\.2\.2/,
  ],
  ['EKU of nothing', withExtension('2.5.29.37', der.sequence()), /without usages/],
  ['nameConstraints', withExtension('2.5.29.30', der.sequence()), /nameConstraints \(2\.5\.29\.30\)/],
  [
    'certificatePolicies',
    withExtension('2.5.29.32', der.sequence(der.sequence(der.oid('1.2.3')))),
    /certificatePolicies/,
  ],
  [
    'a forged authorityKeyIdentifier',
    withExtension('2.5.29.35', der.sequence(der.contextPrimitive(0, Buffer.alloc(20)))),
    /authorityKeyIdentifier/,
  ],
  ['the certificate transparency poison', withExtension('1.3.6.1.4.1.11129.2.4.3', der.nullValue(), true), /ctPoison/],
  ['must-staple', withExtension('1.3.6.1.5.5.7.1.24', der.sequence(der.integer(5))), /tlsFeature/],
  [
    'the ACME validation extension',
    withExtension('1.3.6.1.5.5.7.1.31', der.octetString(Buffer.alloc(32)), true),
    /acmeIdentifier/,
  ],
  ['an unknown critical extension', withExtension('1.2.3.4', der.nullValue(), true), /extension 1\.2\.3\.4/],
  ['an unknown extension', withExtension('1.2.3.4', der.nullValue()), /extension 1\.2\.3\.4/],
  // 51
  [
    'a wrong self-signature',
    craft({ signature: (content) => signDer(keys.privateKey, Buffer.concat([content, Buffer.of(0)]), 'sha256') }),
    /self-signature is wrong/,
    2,
  ],
  ['a signature of another key', build({ names: [NAME], signer: createKeyPair() }), /self-signature is wrong/, 2],
  ['a signature of a key of another type', build({ names: [NAME], signer: rsa }), /does not fit its key/, 2],
  ['an empty signature', craft({ signature: () => Buffer.alloc(0) }), /self-signature is wrong/, 2],
  [
    'an ECDSA signature as r and s',
    craft({ signature: (content) => sign('sha256', content, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }) }),
    /self-signature is wrong/,
    2,
  ],
  ['SHA-1 with ECDSA', build({ names: [NAME], hash: 'sha1' }), /ecdsaWithSha1/],
  ['SHA-1 with RSA', build({ names: [NAME], keys: rsa, hash: 'sha1' }), /sha1WithRsa/],
  ['MD5 with RSA', build({ names: [NAME], keys: rsa, hash: 'md5' }), /md5WithRsa/],
  ['RSA-PSS with odd parameters', craft({ signer: rsa, algorithm: psSalt }), /rsaPss/],
  ['an RSA-PSS key', craft({ spki: spkiOf(pss), signer: rsa }), /rsaPss/],
  ['a DSA key', craft({ signer: dsa, algorithm: signatureAlgorithm(keys.privateKey, 'sha256') }), /dsa/],
  [
    'an Ed448 key',
    craft({
      signer: ed448,
      algorithm: der.sequence(der.oid('1.3.101.113')),
      signature: (content) => sign(null, content, ed448.privateKey),
    }),
    /ed448/,
  ],
  [
    'ECDSA with parameters',
    craft({ algorithm: der.sequence(der.oid('1.2.840.10045.4.3.2'), der.nullValue()) }),
    /trailing/,
  ],
  [
    'RSA with parameters that are not NULL',
    craft({ signer: rsa, algorithm: der.sequence(der.oid('1.2.840.113549.1.1.11'), der.sequence()) }),
    /NULL expected/,
  ],
  ['an RSA key of 1024 bits', buildCsr({ names: [NAME], keys: weakRsaKeys() }).der, /1024 bits/],
  ['a key on secp256k1', craft({ signer: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }) }), /curve/],
  // 53
  ['indefinite length', reframe(good, Buffer.of(0x30, 0x80), Buffer.of(0, 0)), /indefinite/],
  ['a padded length', reframe(good, Buffer.concat([Buffer.of(0x30, 0x83, 0), length])), /not minimal/],
  ['trailing bytes', Buffer.concat([good, Buffer.of(0)]), /1 trailing/],
  ['a cut request', good.subarray(0, -1), /past the end/],
  ['an element after the signature', craft({ tail: [der.nullValue()] }), /trailing/],
  ['an element after the attributes', craft({ extra: [der.nullValue()] }), /trailing/],
  ['no attributes element', craft({ attributes: undefined }), /found the end/],
  ['version 2', craft({ version: der.integer(1) }), /version/],
  ['a negative version', craft({ version: der.tlv(2, Buffer.of(0xff)) }), /out of range/],
  ['a padded version', craft({ version: der.tlv(2, Buffer.of(0, 0)) }), /not minimal/],
  [
    'an OID with an arc of 2^128',
    withSubject(
      rdn(['2.5.4.10', der.utf8String('x')]),
      der.setOf(
        der.sequence(
          der.tlv(6, Buffer.concat([Buffer.of(0x69, 0x84), Buffer.alloc(17, 0x80), Buffer.of(0)])),
          der.utf8String('x'),
        ),
      ),
    ),
    /128 bits/,
  ],
  [
    'an OID of 100 bytes',
    withSubject(der.setOf(der.sequence(der.tlv(6, Buffer.alloc(100, 0x7f)), der.utf8String('x')))),
    /too many/,
  ],
  [
    'nested SETs in an ignored attribute',
    build({ names: [NAME], attributes: [attribute('1.2.840.113549.1.9.7', nested(2000))] }),
    /nested deeper/,
  ],
  ['10 000 nested SETs', nested(10_000), /larger|SEQUENCE expected/],
  ['4000 nested SEQUENCEs', nested(4000, 0x30), /expected/],
  [
    '5000 values',
    craft({ subject: der.sequence(...Array.from({ length: 1200 }, () => rdn([O, der.utf8String('x')]))) }),
    /larger|more than/,
  ],
  [
    '5000 small values in an ignored attribute',
    build({
      names: [NAME],
      attributes: [
        attribute('1.2.840.113549.1.9.7', der.sequence(...Array.from({ length: 5000 }, () => der.nullValue()))),
      ],
    }),
    /more than 4096/,
  ],
  ['a megabyte', Buffer.alloc(1_000_000, 0x30), /larger than 16384/],
  ['one byte too many', Buffer.concat([good, Buffer.alloc(MAX_CSR_BYTES + 1 - good.length)]), /larger than 16384/],
  ['PEM', Buffer.from(`-----BEGIN CERTIFICATE REQUEST-----\n${good.toString('base64')}\n`), /PEM/],
  [
    'a BMPString in the subject',
    withSubject(rdn([O, der.tlv(0x1e, Buffer.from('\u0101\u0101', 'utf16le'))])),
    /BMPString/,
  ],
  ['a TeletexString in the subject', withSubject(rdn([O, der.tlv(0x14, Buffer.from('x'))])), /TeletexString/],
  ['a UniversalString in the subject', withSubject(rdn([O, der.tlv(0x1c, Buffer.from('xxxx'))])), /UniversalString/],
  ['a subject value that is no string', withSubject(rdn([O, der.integer(1)])), /string expected/],
  ['NUL in the common name', withSubject(rdn([CN, der.utf8String('a.example.test\0.evil.test')])), /NUL/],
  ['NUL in a dNSName', withName(der.generalName.dns('a.example.test\0.evil.test')), /NUL/],
  ['UTF-8 in a dNSName', withName(der.contextPrimitive(2, Buffer.from('münchen.example'))), /ASCII/],
  ['an IP address of 5 bytes', withName(der.contextPrimitive(7, Buffer.alloc(5, 1))), /neither 4 nor 16/],
  [
    'an IP network of 8 bytes',
    withName(der.contextPrimitive(7, Buffer.of(10, 0, 0, 0, 255, 0, 0, 0))),
    /neither 4 nor 16/,
  ],
  ['an IP address of no bytes', withName(der.contextPrimitive(7, Buffer.alloc(0))), /neither 4 nor 16/],
  [
    'a mapped address',
    withName(der.contextPrimitive(7, Buffer.from('00000000000000000000ffff0a000001', 'hex'))),
    /mapped/,
  ],
  ['an empty dNSName', withName(der.generalName.dns('')), /1 to 253/],
  ['a dNSName with a trailing dot', withName(der.generalName.dns('a.example.test.')), /trailing dot/],
  ['a dNSName that is an address', withName(der.generalName.dns('10.0.0.1')), /IP address/],
  ['a dNSName with a port', withName(der.generalName.dns('a.example.test:8443')), /labels/],
  ['a dNSName with an injected name', withName(der.generalName.dns('a.example.test,DNS:evil.test')), /labels/],
  ['a dNSName that is a false A-label', withName(der.generalName.dns('xn--a.example.test')), /A-label/],
];

test.each(hostile)('%s is a badCSR', (_, csr, reason, operations = 0) => {
  const result = refusal(csr);
  expect(result.problem).toMatchObject({ type: 'badCSR', status: 400, detail: expect.stringMatching(reason) });
  expect(result.operations).toBe(operations);
  expect(result.nodes).toBeLessThanOrEqual(4097);
  // What goes to people and logs is one printable line.
  expect(result.problem.detail).toMatch(/^[\x20-\x7e…]+$/);
});

// ---- Requests of other software ------------------------------------------------------------------------------------

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

test('an independent library writes what is read here, and reads the same', async () => {
  const pair = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=a.example.test, O=Example',
    keys: pair,
    signingAlgorithm: EC,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'a.example.test' },
        { type: 'ip', value: '2001:db8::1' },
        { type: 'url', value: 'spiffe://example.test/x' },
      ]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    ],
  });
  const parsed = parseCsr(Buffer.from(request.rawData));
  expect(parsed.names).toMatchObject({
    dnsNames: [NAME],
    ipAddresses: ['2001:db8::1'],
    uris: ['spiffe://example.test/x'],
  });
  expect(parsed.usages).toEqual(['server auth']);
  const theirs = new x509.Pkcs10CertificateRequest(build({ commonName: NAME, names: [NAME, 'ip:10.0.0.1'] }));
  expect(await theirs.verify()).toBe(true);
});

const folder = mkdtempSync(join(tmpdir(), 'csr-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const OPENSSL = 'openssl';
const hasOpenssl = spawnSync(OPENSSL, ['version']).status === 0;
const required = process.env['COUNTERSIGN_REQUIRE'] === 'all';

test.skipIf(!hasOpenssl && !required)('requests of openssl (skipped where openssl is not installed)', () => {
  const request = (...args: string[]) => {
    const out = join(folder, 'csr.der');
    execFileSync(
      OPENSSL,
      ['req', '-new', '-nodes', '-keyout', join(folder, 'key.pem'), '-outform', 'DER', '-out', out, ...args],
      { stdio: 'pipe' },
    );
    return readFileSync(out);
  };
  const san = ['-addext', 'subjectAltName=DNS:a.example.test,IP:10.0.0.1'];
  const rsaRequest = request(
    '-newkey',
    'rsa:2048',
    '-subj',
    '/CN=a.example.test',
    ...san,
    '-addext',
    'basicConstraints=critical,CA:FALSE',
    '-addext',
    'keyUsage=digitalSignature,keyEncipherment',
    '-addext',
    'extendedKeyUsage=clientAuth',
  );
  expect(parseCsr(rsaRequest)).toMatchObject({ usages: ['client auth'], publicKey: { algorithm: 'RSA', size: 2048 } });
  expect(identifiers(rsaRequest)).toEqual([`dns:${NAME}`, 'ip:10.0.0.1']);
  const ecRequest = request(
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-384',
    '-sha384',
    '-subj',
    '/C=DE/O=Example/CN=a.example.test',
  );
  expect(
    parseCsr(ecRequest)
      .subject.flat()
      .map(({ value }) => value),
  ).toEqual(['DE', 'Example', NAME]);
  expect(identifiers(request('-newkey', 'ed25519', '-subj', '/', ...san))).toHaveLength(2);
  expect(
    refusal(request('-newkey', 'rsa:2048', '-subj', '/CN=a.example.test', '-addext', 'basicConstraints=CA:TRUE'))
      .problem.detail,
  ).toContain('basicConstraints');
  expect(refusal(request('-newkey', 'rsa:2048', '-sha1', '-subj', '/CN=a.example.test')).problem.detail).toContain(
    'sha1WithRsa',
  );
});

// ---- Properties ----------------------------------------------------------------------------------------------------

/** A CSR with facts in normal form, or a badCSR; within the budget either way. */
function judge(csr: Buffer): boolean {
  const work = createCsrWork();
  try {
    const parsed = parseCsr(csr, work);
    for (const name of parsed.names.dnsNames) expect(parseDnsName(name)).toBe(name);
    expect(
      csrIdentifiers(parsed).length +
        parsed.names.uris.length +
        parsed.names.emailAddresses.length +
        parsed.subject.length,
    ).toBeGreaterThan(0);
    expect(parsed.subject.flat().filter(({ oid }) => oid === CN).length).toBeLessThan(2);
    expect(work.operations).toBe(2);
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error.type).toBe('badCSR');
    return false;
  } finally {
    expect(work.budget.nodes).toBeLessThanOrEqual(work.budget.limit + 1);
    expect(work.operations).toBeLessThanOrEqual(2);
  }
}

const ed = generateKeyPairSync('ed25519');

test('property: no changed byte of a request goes unnoticed', () => {
  const samples = [
    build({ commonName: NAME, names: [NAME, 'ip:10.0.0.1'] }),
    buildCsr({ names: [NAME], keys: rsa }).der,
    buildCsr({ names: [NAME], keys: ed }).der,
  ];
  const changed = fc
    .tuple(fc.constantFrom(...samples), fc.nat(), fc.integer({ min: 1, max: 255 }))
    .map(([sample, at, flip]) => {
      const bytes = Buffer.from(sample);
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip;
      return bytes;
    });
  fc.assert(
    fc.property(changed, (csr) => {
      expect(judge(csr)).toBe(false);
    }),
    { numRuns: 2000 },
  );
  for (const sample of samples) expect(judge(sample)).toBe(true);
});

/** Names of 63-character labels that begin with xn--, each of which costs an IDNA check; about so many characters in all. */
function aLabels(length: number): string[] {
  const label = (i: number) => `xn--${String(i).padStart(59, 'a')}`;
  return Array.from({ length: Math.ceil(length / 63) }, (_, i) => label(i));
}

test('names that are compared with an order are not put through IDNA: valid ones are known, others are refused anyway', () => {
  const ordered = new Set(['xn--bcher-kva.test', NAME]);
  const csr = parseCsr(build({ names: ['XN--BCHER-KVA.test', NAME] }), createCsrWork(), ordered);
  expect(csr.names.dnsNames).toEqual(['xn--bcher-kva.test', NAME]);
  const hostile = aLabels(12_000);
  expect(parseCsr(build({ names: hostile }), createCsrWork(), ordered).names.dnsNames).toEqual(hostile);
  expect(() => parseCsr(build({ names: ['a b'] }), createCsrWork(), ordered)).toThrow(/letters, digits/);
});

test('without an order, names that are too long together are refused before any is looked at', () => {
  expect(() => parseCsr(build({ names: aLabels(12_000) }))).toThrow(/more than 4000 characters together/);
  expect(() => parseCsr(build({ names: aLabels(3900) }))).toThrow(/A-label/);
});

test('more names than any door lets a request have are refused, whatever they are', () => {
  const names = Array.from({ length: 257 }, (_, i) => `a${i}.test`);
  const work = createCsrWork();
  expect(() => parseCsr(build({ names }), work, new Set(names))).toThrow(/more than 256 names/);
  expect(work.operations).toBe(0);
  expect(parseCsr(build({ names: names.slice(1) })).names.dnsNames).toHaveLength(256);
});

test('property: whatever is in a well-signed request, it is a request in normal form or a badCSR', () => {
  const text = fc.oneof(
    fc.constantFrom(NAME, '*.x.test', 'a b', '', '10.0.0.1', 'x'.repeat(70)),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const blob = fc.uint8Array({ maxLength: 24 }).map((bytes) => Buffer.from(bytes));
  const value = fc.oneof(text.map(der.utf8String), text.map(der.ia5String), text.map(der.printableString), blob);
  const oid = fc.constantFrom(CN, O, '2.5.4.6', '1.2.840.113549.1.9.1', '2.5.4.5', '1.2.3');
  const plain: fc.Arbitrary<[string, Buffer][][]> = fc.constantFrom(
    [],
    [[[CN, der.utf8String(NAME)]]],
    [[[O, der.utf8String('x')]]],
  );
  const odd: fc.Arbitrary<[string, Buffer][][]> = fc.array(fc.array(fc.tuple(oid, value), { maxLength: 2 }), {
    maxLength: 3,
  });
  const rdns = fc.oneof(plain, odd);
  const name = fc.oneof(
    {
      weight: 12,
      arbitrary: fc.constantFrom(
        der.generalName.dns(NAME),
        der.generalName.ip('10.0.0.1'),
        der.generalName.uri('x:y'),
        der.generalName.email('a@b'),
      ),
    },
    fc.tuple(fc.integer({ min: 0x80, max: 0xbf }), blob).map(([tag, content]) => der.tlv(tag, content)),
    text.map(der.generalName.dns),
  );
  const san = fc.array(name, { maxLength: 4 }).map((names) => ({ oid: '2.5.29.17', value: der.sequence(...names) }));
  const extension = fc.oneof(
    { weight: 3, arbitrary: san },
    fc.record({
      oid: fc.constantFrom('2.5.29.15', '2.5.29.19', '2.5.29.37', '2.5.29.14', '2.5.29.17'),
      critical: fc.boolean(),
      value: blob,
    }),
    fc.constantFrom(
      { oid: '2.5.29.15', value: der.bitString(Buffer.of(0xa0), 5) },
      { oid: '2.5.29.37', value: der.sequence(der.oid('1.3.6.1.5.5.7.3.1')) },
    ),
  );
  const requests = fc.record({
    rdns,
    extensions: fc.array(extension, { minLength: 1, maxLength: 3 }),
    extra: fc.oneof({ weight: 4, arbitrary: fc.constant<Buffer[]>([]) }, fc.array(blob, { maxLength: 1 })),
  });
  const outcomes = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(requests, ({ rdns, extensions, extra }) => {
      const subject = der.sequence(...rdns.map((attributes) => rdn(...attributes)));
      const csr = craft({ signer: ed, subject, attributes: der.context(0, extensionRequest(extensions), ...extra) });
      outcomes[judge(csr) ? 'accepted' : 'refused']++;
    }),
    { numRuns: 3000 },
  );
  expect(outcomes.accepted).toBeGreaterThan(50);
  expect(outcomes.refused).toBeGreaterThan(500);
});
