import 'reflect-metadata';
import {
  cryptoProvider,
  ExtendedKeyUsageExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { parseCsr } from './csr.ts';
import { buildCsr } from './csr-builder.ts';
import { OID } from './oid.ts';
import { generatePrivateKey, spkiOf } from './private-key.ts';

cryptoProvider.set(globalThis.crypto);

const NONE = { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] };
const names = {
  dnsNames: ['a.example', '*.b.example'],
  ipAddresses: ['10.0.0.1', '2001:db8::1'],
  uris: ['spiffe://example/ns/web'],
  emailAddresses: ['a@example.org'],
};

test.each(['ECDSA', 'RSA', 'Ed25519'] as const)(
  'an independent reader verifies a request signed with %s and finds what was asked',
  async (algorithm) => {
    const key = await generatePrivateKey({ algorithm });
    const subject = [[{ oid: OID.organizationName, value: 'Example' }], [{ oid: OID.commonName, value: 'a.example' }]];
    const der = await buildCsr({ subject, names, usages: ['server auth', 'client auth'] }, key);
    const read = new Pkcs10CertificateRequest(der);
    expect(await read.verify()).toBe(true);
    expect(Buffer.from(read.publicKey.rawData)).toEqual(spkiOf(key));
    expect(read.subject).toBe('O=Example, CN=a.example');
    const san = read.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension);
    expect(san?.critical).toBe(false);
    expect(san?.names.items.map(({ type, value }) => `${type}:${value}`)).toEqual([
      'dns:a.example',
      'dns:*.b.example',
      'ip:10.0.0.1',
      'ip:2001:db8::1',
      'url:spiffe://example/ns/web',
      'email:a@example.org',
    ]);
    expect(read.extensions.find((extension) => extension instanceof ExtendedKeyUsageExtension)?.usages).toEqual([
      OID.serverAuth,
      OID.clientAuth,
    ]);
  },
);

test('our own strict reader takes what we write', async () => {
  const key = await generatePrivateKey({ algorithm: 'ECDSA', size: 521 });
  const csr = parseCsr(await buildCsr({ subject: [], names, usages: ['client auth'] }, key));
  expect(csr.names).toEqual(names);
  expect(csr.usages).toEqual(['client auth']);
  expect(csr.subject).toEqual([]);
  expect(csr.publicKey.spki).toEqual(spkiOf(key));
});

test('an empty subject makes the names critical; what is not asked for is not there', async () => {
  const key = await generatePrivateKey({ algorithm: 'Ed25519' });
  const read = new Pkcs10CertificateRequest(await buildCsr({ subject: [], names }, key));
  expect(read.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension)?.critical).toBe(
    true,
  );
  expect(read.extensions.find((extension) => extension instanceof ExtendedKeyUsageExtension)).toBeUndefined();
  const bare = new Pkcs10CertificateRequest(
    await buildCsr({ subject: [[{ oid: OID.commonName, value: 'x' }]], names: NONE }, key),
  );
  expect(bare.attributes).toHaveLength(0);
  expect(await bare.verify()).toBe(true);
});

test('any names come back as they went in', async () => {
  const key = await generatePrivateKey({ algorithm: 'Ed25519' });
  const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/).filter((text) => text.slice(2, 4) !== '--');
  const dnsNames = fc.uniqueArray(
    fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.')),
    { minLength: 1, maxLength: 20 },
  );
  await fc.assert(
    fc.asyncProperty(dnsNames, fc.uniqueArray(fc.ipV4(), { maxLength: 5 }), async (dns, ips) => {
      const asked = { ...NONE, dnsNames: dns, ipAddresses: ips };
      expect(parseCsr(await buildCsr({ subject: [], names: asked }, key)).names).toEqual(asked);
    }),
    { numRuns: 50 },
  );
});

test('what cannot be encoded is refused', async () => {
  const key = await generatePrivateKey({ algorithm: 'Ed25519' });
  await expect(buildCsr({ subject: [], names: { ...NONE, dnsNames: ['münchen.example'] } }, key)).rejects.toThrow(
    RangeError,
  );
  await expect(buildCsr({ subject: [], names: { ...NONE, ipAddresses: ['nowhere'] } }, key)).rejects.toThrow(
    RangeError,
  );
  await expect(buildCsr({ subject: [[{ oid: OID.countryName, value: 'Germany' }]], names: NONE }, key)).rejects.toThrow(
    RangeError,
  );
});
