// Reads issued certificates, CRLs and chains with libraries other than ours.
import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  SubjectAlternativeNameExtension,
  X509Certificate as ParsedCertificate,
} from '@peculiar/x509';
import { expectStatus, type Issued } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { base64url } from '../support/jws.ts';

export function readChain(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** The leaf. */
export async function readCertificate(acme: AcmeWire, issued: Issued): Promise<X509Certificate> {
  const reply = expectStatus(await acme.get(issued.certificateUrl), 200, 'certificate');
  const [leaf] = readChain(reply.text);
  if (!leaf) throw new Error(`no certificate in ${reply.text}`);
  return leaf;
}

export const parsed = (certificate: X509Certificate): ParsedCertificate => new ParsedCertificate(certificate.raw);

/** `dns:name` and `ip:address`, sorted. */
export function namesOf(certificate: X509Certificate): string[] {
  const extension = parsed(certificate).getExtension(SubjectAlternativeNameExtension);
  return (extension?.names.items ?? []).map(({ type, value }) => `${type}:${value}`).sort();
}

/** RFC 9773 section 4.1: key identifier of the issuer and serial number, each base64url. */
export function certificateID(certificate: X509Certificate): string {
  const keyId = parsed(certificate).getExtension(AuthorityKeyIdentifierExtension)?.keyId;
  if (keyId === undefined) throw new Error('the certificate has no authority key identifier');
  const digits = certificate.serialNumber.length % 2 === 0 ? certificate.serialNumber : `0${certificate.serialNumber}`;
  const serial = Buffer.from(digits, 'hex');
  const content = (serial[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), serial]) : serial;
  return `${base64url(Buffer.from(keyId, 'hex'))}.${base64url(content)}`;
}
