// Certificates as a CA in a test signs them: as asked for, or wrong in every way a test thinks of. Independent of src/.
import { createPublicKey } from 'node:crypto';
import {
  basicConstraints,
  buildCaCertificate,
  buildCertificate,
  createKeyPair,
  extendedKeyUsage,
  type KeyPair,
  pemOf,
} from './certificate-builder.ts';
import { sanOf } from './csr-builder.ts';
import { contextPrimitive, type Der, type Extension, sequence, subjectAltName } from './der-writer.ts';
import type { Wrong } from './webhook-signer-words.ts';

const HOUR = 3_600_000;
const USAGES: Record<string, string> = { 'server auth': '1.3.6.1.5.5.7.3.1', 'client auth': '1.3.6.1.5.5.7.3.2' };

/** Where the content of the DER value at an offset begins and ends. */
function extent(der: Buffer, at: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0;
  const more = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + more;
  return { start, end: start + (more === 0 ? first : der.readUIntBE(at + 2, more)) };
}

/** Subject and key of a PKCS#10 request. */
function readCsr(der: Buffer): { subject: Der; spki: Der } {
  const info = extent(der, extent(der, 0).start);
  const version = extent(der, info.start);
  const subject = extent(der, version.end);
  const spki = extent(der, subject.end);
  return { subject: der.subarray(version.end, subject.end), spki: der.subarray(subject.end, spki.end) };
}

export interface Certifier {
  /** CN of the issuing certificate. */
  issuer: string;
  keys: KeyPair;
  /** PEM above the leaf. */
  above: string;
  /** Of leaves; left out when absent. */
  authorityKeyID?: Buffer;
}

export interface Certification {
  /** DER. */
  csr: Buffer;
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
  usages: readonly string[];
  notBefore: Date;
  notAfter: Date;
}

/** PEM of the leaf and what is above it. */
export function certify(
  { issuer, keys, above, authorityKeyID }: Certifier,
  asked: Certification,
  wrong?: Wrong,
): string {
  const { subject, spki } = readCsr(asked.csr);
  const names = [...asked.dnsNames, ...asked.ipAddresses.map((address) => `ip:${address}`)];
  if (wrong === 'name') names.push('extra.example.test');
  if (wrong === 'missing name') names.pop();
  const publicKey =
    wrong === 'key' ? createKeyPair().publicKey : createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const usages = wrong === 'usages' ? ['1.3.6.1.5.5.7.3.3'] : asked.usages.map((usage) => USAGES[usage] ?? '');
  const start = Math.max(asked.notBefore.getTime(), Date.now() - 5 * 60_000);
  const extensions: Extension[] = [basicConstraints(wrong === 'ca'), extendedKeyUsage(...usages)];
  if (authorityKeyID) extensions.push({ oid: '2.5.29.35', value: sequence(contextPrimitive(0, authorityKeyID)) });
  if (names.length > 0) extensions.push(subjectAltName(names.map(sanOf)));
  const other = createKeyPair();
  const signed = buildCertificate({
    subject,
    issuer,
    keys: { publicKey } as KeyPair,
    signer: wrong === 'issuer' || wrong === 'chain' ? other : keys,
    notBefore: new Date(wrong === 'past' ? start - 24 * HOUR : start),
    notAfter: new Date(asked.notAfter.getTime() + (wrong === 'validity' ? HOUR : 0)),
    extensions,
  });
  // A whole chain of a CA that nobody knows, or the right chain above a leaf that it did not sign.
  const chain = wrong === 'issuer' ? pemOf('CERTIFICATE', buildCaCertificate(issuer, other)) : above;
  return pemOf('CERTIFICATE', signed) + chain;
}
