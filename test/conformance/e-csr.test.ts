// Checklist section E, line 71: what makes a CSR bad, and that the order outlives it.
import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'vitest';
import { complete, finalize, poll, readyOrder } from '../support/acme-flow.ts';
import { basicConstraints, createKeyPair, extendedKeyUsage, keyUsage } from '../support/certificate-builder.ts';
import { attribute, buildCsr, type CsrOptions, extensionRequest, weakRsaKeys } from '../support/csr-builder.ts';
import {
  boolean,
  context,
  type Extension,
  generalName,
  ia5String,
  integer,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  subjectAltName,
  tlv,
  utf8String,
} from '../support/der-writer.ts';
import { freshName } from '../support/names.ts';
import { namesOf, parsed, readCertificate } from './certificates.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

/** The CSR is refused as bad, the order stays ready, and a good CSR then finalizes it. */
function refused(what: string, csrOf: (name: string) => Uint8Array): void {
  line(71, `badCSR, and the order stays ready: ${what}`, async (t) => {
    const acme = await t.shared();
    const name = freshName();
    const order = await readyOrder(acme, t, [name]);
    expectProblem(await finalize(acme, order, csrOf(name)), 'badCSR/400');
    expect((await acme.get(order.url)).json.status).toBe('ready');
    const leaf = await readCertificate(acme, await complete(acme, order));
    expect(namesOf(leaf)).toEqual([`dns:${name}`]);
  });
}

const csr = (options: CsrOptions): Buffer => buildCsr(options).der;

refused('nothing', () => Buffer.alloc(0));
refused('not DER', () => Buffer.from('not DER'));
refused('cut short', (name) => csr({ names: [name] }).subarray(0, -1));
refused('bytes after the end', (name) => Buffer.concat([csr({ names: [name] }), Buffer.from([0])]));
refused('an indefinite length', (name) => {
  const der = csr({ names: [name] });
  const header = 2 + ((der[1] ?? 0) & 0x7f);
  return Buffer.concat([Buffer.from([0x30, 0x80]), der.subarray(header), Buffer.from([0, 0])]);
});
refused('ten thousand nested sets', () => {
  let nested: Buffer = nullValue();
  for (let depth = 0; depth < 10_000 && nested.length < 30_000; depth++) nested = tlv(0x31, nested);
  return nested;
});
refused('the signature of another key', (name) => csr({ names: [name], signer: createKeyPair() }));
refused('a signature with one bit changed', (name) => {
  const der = Buffer.from(csr({ names: [name] }));
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
  return der;
});
refused('a signature with MD5', (name) =>
  csr({ names: [name], keys: generateKeyPairSync('rsa', { modulusLength: 2048 }), hash: 'md5' }),
);
refused('a signature with SHA-1', (name) => csr({ names: [name], hash: 'sha1' }));

refused('no name at all', () => csr({}));
refused('another name', () => csr({ names: [freshName()] }));
refused('a name more', (name) => csr({ names: [name, freshName()] }));
refused('the wildcard of the name', (name) => csr({ names: [`*.${name}`] }));
refused('a common name that the order has not', (name) => csr({ names: [name], commonName: freshName() }));
refused('a common name that is no name', (name) => csr({ names: [name], commonName: 'My Server' }));
refused('two common names', (name) => csr({ names: [name], commonName: name, subject: [['2.5.4.3', freshName()]] }));
refused('an organization that policy does not allow', (name) =>
  csr({ names: [name], commonName: name, subject: [['2.5.4.10', 'Somebody Else']] }),
);
refused('an e-mail address in the subject', (name) =>
  csr({ names: [name], commonName: name, subject: [['1.2.840.113549.1.9.1', 'a@example.test']] }),
);

refused('an e-mail address', (name) => csr({ names: [name], extraNames: [generalName.email('a@example.test')] }));
refused('a URI', (name) => csr({ names: [name], extraNames: [generalName.uri('spiffe://example.test/a')] }));
refused('an IP address', (name) => csr({ names: [name], extraNames: [generalName.ip('127.0.0.1')] }));
refused('an IP address of five bytes', (name) =>
  csr({ names: [name], extraNames: [tlv(0x87, Buffer.from([127, 0, 0, 1, 0]))] }),
);
refused('a user principal name', (name) => csr({ names: [name], extraNames: [generalName.upn('root@example.test')] }));
refused('a directory name', (name) => csr({ names: [name], extraNames: [generalName.directory('root')] }));
refused('a registered identifier', (name) => csr({ names: [name], extraNames: [generalName.registeredID('1.2.3.4')] }));
refused('a name of an unknown type', (name) => csr({ names: [name], extraNames: [tlv(0x89, Buffer.from('x'))] }));
refused('a NUL within a name', (name) =>
  csr({ names: [name], extraNames: [generalName.dns(`${name}\u0000.attacker.example`)] }),
);
refused('an empty SAN', (name) => csr({ commonName: name, extensions: [subjectAltName([])] }));
refused('a second SAN', (name) => csr({ names: [name], extensions: [subjectAltName([generalName.dns(name)])] }));
refused('a second extension request', (name) =>
  csr({ names: [name], attributes: [extensionRequest([subjectAltName([generalName.dns(name)])])] }),
);

refused('RSA of 1024 bits', (name) => csr({ names: [name], keys: weakRsaKeys() }));

const unsupported: Record<string, Extension> = {
  'basicConstraints CA:TRUE': basicConstraints(true),
  'keyUsage keyCertSign': keyUsage(0, 5),
  'extended key usage code signing': extendedKeyUsage('1.3.6.1.5.5.7.3.3'),
  'extended key usage any': extendedKeyUsage('2.5.29.37.0'),
  'extended key usage OCSP signing': extendedKeyUsage('1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.9'),
  'name constraints': {
    oid: '2.5.29.30',
    critical: true,
    value: sequence(context(0, sequence(generalName.dns('example.test')))),
  },
  'a certificate policy': { oid: '2.5.29.32', value: sequence(sequence(oid('2.23.140.1.2.1'))) },
  'an authority key identifier': { oid: '2.5.29.35', value: sequence(tlv(0x80, Buffer.alloc(20, 1))) },
  'must-staple': { oid: '1.3.6.1.5.5.7.1.24', value: sequence(integer(5)) },
  'a precertificate poison': { oid: '1.3.6.1.4.1.11129.2.4.3', critical: true, value: nullValue() },
  'an acmeIdentifier': { oid: '1.3.6.1.5.5.7.1.31', critical: true, value: octetString(Buffer.alloc(32, 1)) },
  'an unknown extension': { oid: '1.2.3.4.5', value: utf8String('x') },
  'an unknown critical extension': { oid: '1.2.3.4.5', critical: true, value: utf8String('x') },
};
for (const [what, extension] of Object.entries(unsupported)) {
  refused(`the extension ${what}`, (name) => csr({ names: [name], extensions: [extension] }));
}

line(71, 'badCSR names the extension that is not supported', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const reply = await finalize(
    acme,
    order,
    csr({ names: [name], extensions: [{ oid: '1.2.3.4.5', value: boolean(true) }] }),
  );
  expectProblem(reply, 'badCSR/400');
  expect(reply.problem.detail).toContain('1.2.3.4.5');
});

const harmless: Record<string, CsrOptions> = {
  'basicConstraints CA:FALSE': { extensions: [basicConstraints(false)] },
  'keyUsage digitalSignature and keyEncipherment': { extensions: [keyUsage(0, 2)] },
  'extended key usage server authentication': { extensions: [extendedKeyUsage('1.3.6.1.5.5.7.3.1')] },
  'a subject key identifier': { extensions: [{ oid: '2.5.29.14', value: octetString(Buffer.alloc(20, 7)) }] },
  'a challenge password': { attributes: [attribute('1.2.840.113549.1.9.7', printableString('secret'))] },
  'an unstructured name': { attributes: [attribute('1.2.840.113549.1.9.2', ia5String('name'))] },
};
for (const [what, options] of Object.entries(harmless)) {
  line(71, `a CSR may carry ${what}; nothing of it is copied`, async (t) => {
    const acme = await t.shared();
    const name = freshName();
    const order = await readyOrder(acme, t, [name]);
    const { der, keys } = buildCsr({ names: [name], ...options });
    const reply = await finalize(acme, order, der);
    expectReply(reply, 200);
    const { certificate = '' } = await poll(acme, order.url, ({ status }) => status === 'valid');
    const leaf = await readCertificate(acme, { order, keys, certificateUrl: certificate });
    expect(namesOf(leaf)).toEqual([`dns:${name}`]);
    expect(leaf.ca).toBe(false);
    const identifier = parsed(leaf).extensions.find(({ type }) => type === '2.5.29.14');
    expect(Buffer.from(identifier?.value ?? new ArrayBuffer(0)).includes(Buffer.alloc(20, 7))).toBe(false);
  });
}
