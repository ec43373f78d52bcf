// Hostile inputs 47 to 53: certificate requests at finalize. Each is refused, the order outlives it, and reading it took no more
// work than the budget of the reader allows. Their forms one by one: src/domain/csr.test.ts.
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { expect } from 'vitest';
import { SecretKind } from '../../src/api/core.ts';
import { createCsrWork, parseCsr } from '../../src/domain/csr.ts';
import { DEFAULT_BUDGET } from '../../src/domain/der.ts';
import { NAMESPACE } from '../operator/harness.ts';
import { namesOf, parsed, readCertificate } from '../conformance/certificates.ts';
import { complete, expectStatus, finalize, issue, type Order, readyOrder } from '../support/acme-flow.ts';
import {
  basicConstraints,
  createKeyPair,
  extendedKeyUsage,
  type KeyPair,
  keyUsage,
  pemOf,
  signatureAlgorithm,
  signDer,
} from '../support/certificate-builder.ts';
import {
  attribute,
  buildCsr,
  type CsrOptions,
  extensionRequest,
  rsaKeys,
  weakRsaKeys,
} from '../support/csr-builder.ts';
import * as der from '../support/der-writer.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import type { Arena } from './arena.ts';
import { hostile, refused } from './input.ts';

const input = hostile();
const name = freshName('csr');
/** One order for all: what is refused leaves it ready. */
let ready: Order | undefined;

async function order(a: Arena): Promise<Order> {
  ready ??= await a.given(() => readyOrder(a.acme, a, [name]));
  return ready;
}

interface Work {
  /** Imports of keys and checks of signatures; 0 where the request falls by its form. */
  operations?: number;
  /** Part of the detail. */
  reason: RegExp;
}

/** badCSR for this reason; the order stays ready; one unit of work for each value read, and no key touched before its time. */
async function bad(a: Arena, csr: Buffer, { operations = 0, reason }: Work): Promise<void> {
  const { url, object } = await order(a);
  const reply = await finalize(a.acme, { url, object }, csr);
  await refused(a, reply, 'badCSR/400');
  expect(reply.problem.detail).toMatch(reason);
  expect(reply.problem.detail).toMatch(/^[\x20-\x7e…]{1,600}$/);
  expect((await a.acme.get(url)).json.status).toBe('ready');
  const work = createCsrWork();
  try {
    parseCsr(csr, work);
  } catch {
    // What the request is refused for may also lie outside of it: the order, the keys that are known.
  }
  expect(work.operations).toBe(operations);
  expect(work.budget.nodes).toBeLessThanOrEqual(DEFAULT_BUDGET + 1);
}

const build = (options: CsrOptions): Buffer => buildCsr(options).der;
const PARSED = 2;

// ---- Names ---------------------------------------------------------------------------------------------------------

const CN = '2.5.4.3';
const O = '2.5.4.10';
const extraNames: Record<string, { options: CsrOptions; reason: RegExp; operations?: number }> = {
  'a name more': { options: { names: [name, freshName()] }, reason: /not ordered/, operations: PARSED },
  'another name': { options: { names: [freshName()] }, reason: /not ordered/, operations: PARSED },
  'the parent of the name': { options: { names: [name, 'example.test'] }, reason: /not ordered/, operations: PARSED },
  'the wildcard of the name': { options: { names: [`*.${name}`] }, reason: /not ordered/, operations: PARSED },
  'no name': { options: {}, reason: /names nothing/ },
  'a common name that is not in the SAN': {
    options: { names: [name], commonName: freshName() },
    reason: /not ordered/,
    operations: PARSED,
  },
  'a common name of 65 characters': {
    options: { names: [name], commonName: 'x'.repeat(65) },
    reason: /longer than 64/,
  },
  'two common names': {
    options: { names: [name], commonName: name, subject: [[CN, freshName()]] },
    reason: /more than one/,
  },
  'the name as organization alone': { options: { subject: [[O, name]] }, reason: /names nothing/ },
  'an organization nobody allowed': {
    options: { names: [name], subject: [[O, 'Somebody Else']] },
    reason: /organization|O=/i,
    operations: PARSED,
  },
  'a hundred names more': {
    options: { names: [name, ...Array.from({ length: 100 }, (_, i) => `n${i}.test`)] },
    reason: /and 95 more/,
    operations: PARSED,
  },
};
for (const [what, { options, ...work }] of Object.entries(extraNames)) {
  input(47, `a CSR with ${what}`, (a) => bad(a, build(options), work));
}

const others: Record<string, { value: Buffer; reason: RegExp; operations?: number }> = {
  'an e-mail address': { value: der.generalName.email('root@example.test'), reason: /e-mail/, operations: PARSED },
  'a URI': {
    value: der.generalName.uri('spiffe://cluster.local/ns/kube-system/sa/admin'),
    reason: /URI/,
    operations: PARSED,
  },
  'an address': { value: der.generalName.ip('127.0.0.1'), reason: /not ordered/, operations: PARSED },
  'the address of the API server': {
    value: der.generalName.ip('10.96.0.1'),
    reason: /not ordered/,
    operations: PARSED,
  },
  'a user principal name': { value: der.generalName.upn('administrator@example.test'), reason: /otherName/ },
  'a directory name': { value: der.generalName.directory('root'), reason: /directoryName/ },
  'a registered identifier': { value: der.generalName.registeredID('1.2.3.4'), reason: /registeredID/ },
  'an X.400 address': { value: der.tlv(0xa3, Buffer.from('x')), reason: /x400Address/ },
  'a name of no known kind': { value: der.tlv(0x89, Buffer.from('x')), reason: /GeneralName/ },
};
for (const [what, { value, ...work }] of Object.entries(others)) {
  input(48, `a CSR with ${what} beside the name`, (a) => bad(a, build({ names: [name], extraNames: [value] }), work));
}

const san = (...names: string[]) => der.subjectAltName(names.map((each) => der.generalName.dns(each)));
const shapes: Record<string, { csr: () => Buffer; reason: RegExp }> = {
  'a second SAN': { csr: () => build({ names: [name], extensions: [san('evil.example')] }), reason: /twice/ },
  'a second SAN before the first': {
    csr: () => build({ extensions: [san('evil.example'), san(name)] }),
    reason: /twice/,
  },
  'two extension requests': {
    csr: () => build({ names: [name], attributes: [extensionRequest([san('evil.example')])] }),
    reason: /more than one extensionRequest/,
  },
  'two values in one extension request': {
    csr: () => {
      const values = [san(name), san('evil.example')].map((each) => der.sequence(der.extension(each)));
      return build({ attributes: [attribute('1.2.840.113549.1.9.14', ...values)] });
    },
    reason: /trailing/,
  },
  'a critical SAN without names': {
    csr: () => build({ commonName: name, extensions: [der.subjectAltName([], true)] }),
    reason: /without names/,
  },
  'a Microsoft template': {
    csr: () =>
      build({
        names: [name],
        extensions: [{ oid: '1.3.6.1.4.1.311.20.2', value: der.utf8String('DomainController') }],
      }),
    reason: /1\.3\.6\.1\.4\.1\.311\.20\.2/,
  },
  'a Microsoft attribute': {
    csr: () => build({ names: [name], attributes: [attribute('1.3.6.1.4.1.311.13.2.1', der.sequence())] }),
    reason: /1\.3\.6\.1\.4\.1\.311\.13\.2\.1/,
  },
};
for (const [what, { csr, reason }] of Object.entries(shapes)) {
  input(49, `a CSR with ${what}`, (a) => bad(a, csr(), { reason }));
}

// ---- Extensions ----------------------------------------------------------------------------------------------------

const extensions: Record<string, { extension: der.Extension; reason: RegExp }> = {
  'basicConstraints CA:TRUE': { extension: basicConstraints(true), reason: /2\.5\.29\.19/ },
  'keyUsage certSign': { extension: keyUsage(0, 5), reason: /keyCertSign/ },
  'keyUsage cRLSign': { extension: keyUsage(6), reason: /cRLSign/ },
  'EKU any': { extension: extendedKeyUsage('2.5.29.37.0'), reason: /anyExtendedKeyUsage/ },
  'EKU code signing': { extension: extendedKeyUsage('1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.3'), reason: /codeSigning/ },
  'EKU OCSP signing': { extension: extendedKeyUsage('1.3.6.1.5.5.7.3.9'), reason: /ocspSigning/ },
  'EKU smart card logon': { extension: extendedKeyUsage('1.3.6.1.4.1.311.20.2.2'), reason: /311\.20\.2\.2/ },
  'name constraints': {
    extension: { oid: '2.5.29.30', critical: true, value: der.sequence() },
    reason: /nameConstraints/,
  },
  'a policy': {
    extension: { oid: '2.5.29.32', value: der.sequence(der.sequence(der.oid('2.5.29.32.0'))) },
    reason: /certificatePolicies/,
  },
  'a forged authority key identifier': {
    extension: { oid: '2.5.29.35', value: der.sequence(der.contextPrimitive(0, Buffer.alloc(20, 7))) },
    reason: /authorityKeyIdentifier/,
  },
  'the poison': {
    extension: { oid: '1.3.6.1.4.1.11129.2.4.3', critical: true, value: der.nullValue() },
    reason: /ctPoison/,
  },
  'must-staple': {
    extension: { oid: '1.3.6.1.5.5.7.1.24', value: der.sequence(der.integer(5)) },
    reason: /tlsFeature/,
  },
  acmeIdentifier: {
    extension: { oid: '1.3.6.1.5.5.7.1.31', critical: true, value: der.octetString(Buffer.alloc(32)) },
    reason: /acmeIdentifier/,
  },
  'an unknown extension': { extension: { oid: '1.2.3.4', value: der.nullValue() }, reason: /1\.2\.3\.4/ },
  'an unknown critical extension': {
    extension: { oid: '1.2.3.4', critical: true, value: der.nullValue() },
    reason: /1\.2\.3\.4/,
  },
};
for (const [what, { extension, reason }] of Object.entries(extensions)) {
  input(50, `a CSR with ${what}`, (a) => bad(a, build({ names: [name], extensions: [extension] }), { reason }));
}

input(
  50,
  'a forged subject key identifier and a challengePassword are not in the certificate',
  async (a) => {
    const forged = Buffer.alloc(20, 7);
    const one = await a.given(() => readyOrder(a.acme, a, [freshName()]));
    const csr = buildCsr({
      names: one.object.identifiers.map(({ value }) => value),
      extensions: [{ oid: '2.5.29.14', value: der.octetString(forged) }],
      attributes: [attribute('1.2.840.113549.1.9.7', der.utf8String('planted-challenge-password'))],
    });
    a.secrets.add('planted-challenge-password');
    const reply = expectStatus(await finalize(a.acme, one, csr.der), 200, 'finalize');
    const certificateUrl = reply.json.certificate ?? '';
    const leaf = await readCertificate(a.acme, { order: one, keys: csr.keys, certificateUrl });
    expect(leaf.raw.includes(forged)).toBe(false);
    expect(leaf.raw.includes(Buffer.from('planted'))).toBe(false);
    expect(parsed(leaf).extensions.length).toBeGreaterThan(3);
  },
  { writes: ['create IssuedCertificate'], changes: true },
);

// ---- Signatures and keys -------------------------------------------------------------------------------------------

const keys = createKeyPair();
const rsa = rsaKeys();
const spki = (pair: KeyPair) => pair.publicKey.export({ type: 'spki', format: 'der' });

interface Parts {
  key?: Buffer;
  algorithm: Buffer;
  signature: (content: Buffer) => Buffer;
}

/** A request with the right name, signed in any way. */
function signedAs({ key = spki(keys), algorithm, signature }: Parts): Buffer {
  const attributes = der.context(0, extensionRequest([san(name)]));
  const content = der.sequence(der.integer(0), der.sequence(), key, attributes);
  return der.sequence(content, algorithm, der.bitString(signature(content)));
}

const ecdsa = signatureAlgorithm(keys.privateKey, 'sha256');
const ed448 = generateKeyPairSync('ed448');
const dsa = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 });
const signatures: Record<string, { csr: () => Buffer; reason: RegExp; operations?: number }> = {
  'over other bytes': {
    csr: () =>
      signedAs({ algorithm: ecdsa, signature: () => signDer(keys.privateKey, Buffer.from('other'), 'sha256') }),
    reason: /self-signature is wrong/,
    operations: 2,
  },
  'of another key': {
    csr: () => build({ names: [name], signer: keys }),
    reason: /self-signature is wrong/,
    operations: 2,
  },
  'of no bytes': {
    csr: () => signedAs({ algorithm: ecdsa, signature: () => Buffer.alloc(0) }),
    reason: /self-signature/,
    operations: 2,
  },
  'of zeros': {
    csr: () => signedAs({ algorithm: ecdsa, signature: () => der.sequence(der.integer(0), der.integer(0)) }),
    reason: /self-signature/,
    operations: 2,
  },
  'with MD5': { csr: () => build({ names: [name], keys: rsa, hash: 'md5' }), reason: /md5WithRsa/ },
  'with SHA-1 and RSA': { csr: () => build({ names: [name], keys: rsa, hash: 'sha1' }), reason: /sha1WithRsa/ },
  'with SHA-1 and ECDSA': { csr: () => build({ names: [name], hash: 'sha1' }), reason: /ecdsaWithSha1/ },
  'with RSA-PSS and odd parameters': {
    csr: () =>
      signedAs({
        key: spki(rsa),
        algorithm: der.sequence(
          der.oid('1.2.840.113549.1.1.10'),
          der.sequence(der.context(2, der.integer(1_000_000_000))),
        ),
        signature: (content) => sign('sha256', content, rsa.privateKey),
      }),
    reason: /rsaPss/,
  },
  'of a DSA key': {
    csr: () =>
      signedAs({ key: spki(dsa), algorithm: ecdsa, signature: (content) => sign('sha256', content, dsa.privateKey) }),
    reason: /dsa/,
  },
  'of an Ed448 key': {
    csr: () =>
      signedAs({
        key: spki(ed448),
        algorithm: der.sequence(der.oid('1.3.101.113')),
        signature: (content) => sign(null, content, ed448.privateKey),
      }),
    reason: /ed448/,
  },
  'of an RSA key of 1024 bits': { csr: () => build({ names: [name], keys: weakRsaKeys() }), reason: /1024 bits/ },
  'of a key on secp256k1': {
    csr: () => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
      return signedAs({
        key: spki(pair),
        algorithm: ecdsa,
        signature: (content) => sign('sha256', content, pair.privateKey),
      });
    },
    reason: /curve/,
  },
};
for (const [what, { csr, ...work }] of Object.entries(signatures)) {
  input(51, `a CSR with a signature ${what}`, (a) => bad(a, csr(), work));
}

input(52, 'a CSR with the key of its account, or of another account', async (a) => {
  const other = await a.given(() => a.client());
  for (const pair of [a.acme.account.key, other.account.key]) {
    await bad(a, build({ names: [name], keys: pair }), { reason: /key of an account/, operations: PARSED });
  }
});

input(52, 'a CSR with the key of the CA', async (a) => {
  const secret = await a.operator.cluster.get(SecretKind, { namespace: NAMESPACE, name: 'main-ca' });
  const pem = Buffer.from((secret as { data?: Record<string, string> }).data?.['tls.key'] ?? '', 'base64').toString();
  const privateKey = createPrivateKey(pem);
  const pair = { privateKey, publicKey: createPublicKey(privateKey) };
  await bad(a, build({ names: [name], keys: pair }), { reason: /key of a CA/, operations: PARSED });
});

input(52, 'a CSR with a key that somebody revoked as compromised', async (a) => {
  const compromised = await a.given(async () => {
    const other = await a.client();
    const issued = await issue(other, a, [freshName()]);
    const leaf = await readCertificate(other, issued);
    const payload = { certificate: base64url(leaf.raw), reason: 1 };
    expectStatus(await other.post(other.directory.revokeCert, payload), 200, 'revokeCert');
    return issued.keys;
  });
  await bad(a, build({ names: [name], keys: compromised }), { reason: /compromised/, operations: PARSED });
});

// ---- Encodings -----------------------------------------------------------------------------------------------------

const good = build({ names: [name] });
const nested = (levels: number, tag: number): Buffer => {
  let bytes: Buffer = der.nullValue();
  for (let level = 0; level < levels; level++) bytes = der.tlv(tag, bytes);
  return bytes;
};
const inSubject = (value: Buffer): Buffer => {
  const subject = der.sequence(der.setOf(der.sequence(der.oid(O), value)));
  const content = der.sequence(der.integer(0), subject, spki(keys), der.context(0, extensionRequest([san(name)])));
  return der.sequence(content, ecdsa, der.bitString(signDer(keys.privateKey, content, 'sha256')));
};
const withName = (value: Buffer) => build({ names: [name], extraNames: [value] });
const ignored = (value: Buffer) => build({ names: [name], attributes: [attribute('1.2.840.113549.1.9.7', value)] });
const bytesAfterHeader = good.subarray(4);
const encodings: Record<string, { csr: () => Buffer; reason: RegExp }> = {
  'no bytes': { csr: () => Buffer.alloc(0), reason: /found/ },
  text: { csr: () => Buffer.from('not DER'), reason: /expected/ },
  PEM: { csr: () => Buffer.from(pemOf('CERTIFICATE REQUEST', good)), reason: /PEM/ },
  'an indefinite length': {
    csr: () => Buffer.concat([Buffer.of(0x30, 0x80), bytesAfterHeader, Buffer.of(0, 0)]),
    reason: /indefinite/,
  },
  'a length longer than need be': {
    csr: () => Buffer.concat([Buffer.of(0x30, 0x83, 0), good.subarray(2, 4), bytesAfterHeader]),
    reason: /not minimal/,
  },
  'a length of 2^32': {
    csr: () => Buffer.concat([Buffer.of(0x30, 0x85, 1, 0, 0, 0, 0), bytesAfterHeader]),
    reason: /past the end/,
  },
  'trailing bytes': { csr: () => Buffer.concat([good, Buffer.of(0)]), reason: /trailing/ },
  'a negative version': {
    csr: () => Buffer.from(good.toString('latin1').replace('\x02\x01\x00', '\x02\x01\xff'), 'latin1'),
    reason: /out of range/,
  },
  'an OID with an arc beyond 2^128': {
    csr: () => {
      const type = der.tlv(6, Buffer.concat([Buffer.of(0x69, 0x84), Buffer.alloc(18, 0x80), Buffer.of(0)]));
      return build({ names: [name], attributes: [der.sequence(type, der.setOf(der.nullValue()))] });
    },
    reason: /128 bits/,
  },
  'eight thousand nested SETs': { csr: () => nested(8_000, 0x31), reason: /larger than 16384/ },
  'nested SEQUENCEs up to the limit': { csr: () => nested(4_000, 0x30), reason: /./ },
  'nested SETs in an ignored attribute': { csr: () => ignored(nested(2_000, 0x31)), reason: /nested deeper/ },
  'five thousand values in an ignored attribute': {
    csr: () => ignored(der.sequence(...Array.from({ length: 5_000 }, () => der.nullValue()))),
    reason: /more than 4096/,
  },
  'thirty kilobytes': { csr: () => Buffer.alloc(30_000, 0x30), reason: /larger than 16384/ },
  'a BMPString': { csr: () => inSubject(der.tlv(0x1e, Buffer.from('\u0161', 'utf16le'))), reason: /BMPString/ },
  'a TeletexString': { csr: () => inSubject(der.tlv(0x14, Buffer.from('a'))), reason: /TeletexString/ },
  'a UniversalString': { csr: () => inSubject(der.tlv(0x1c, Buffer.from('aaaa'))), reason: /UniversalString/ },
  'a control character in the subject': { csr: () => inSubject(der.utf8String('a\r\nX: y')), reason: /control/ },
  'UTF-8 in a dNSName': { csr: () => withName(der.contextPrimitive(2, Buffer.from('bücher.test'))), reason: /ASCII/ },
  'a UTF8String as dNSName': { csr: () => withName(der.utf8String(name)), reason: /GeneralName/ },
  'NUL in a dNSName': { csr: () => withName(der.generalName.dns(`${name}\0.evil.example`)), reason: /NUL/ },
  'a second name in a dNSName': {
    csr: () => withName(der.generalName.dns(`${name},DNS:evil.example`)),
    reason: /labels/,
  },
  'an address of 5 bytes': { csr: () => withName(der.contextPrimitive(7, Buffer.alloc(5, 1))), reason: /4 nor 16/ },
  'a network as address': {
    csr: () => withName(der.contextPrimitive(7, Buffer.of(10, 0, 0, 0, 255, 0, 0, 0))),
    reason: /4 nor 16/,
  },
};
for (const [what, { csr, reason }] of Object.entries(encodings)) {
  input(53, `a CSR with ${what}`, (a) => bad(a, csr(), { reason }));
}

input(53, 'a CSR of a megabyte does not fit into a request', async (a) => {
  await refused(a, await finalize(a.acme, await order(a), Buffer.alloc(1_000_000, 0x30)), 'malformed/413');
});

input(
  53,
  'after all of these the order gives its certificate, with its name and nothing else',
  async (a) => {
    const leaf = await readCertificate(a.acme, await complete(a.acme, await order(a), keys));
    expect(namesOf(leaf)).toEqual([`dns:${name}`]);
  },
  { writes: ['create IssuedCertificate'], changes: true },
);

input.finish();
