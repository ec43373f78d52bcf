// What a tls-alpn-01 responder must present (RFC 8737 section 3; RFC 8738 section 6 for addresses).
import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { parseAddress } from './address.ts';
import { DerError, DerReader } from './der.ts';
import { sha256 } from './encoding.ts';
import type { Identifier } from './identifier.ts';
import { reverseName } from './reverse-name.ts';

export const ACME_TLS_PROTOCOL = 'acme-tls/1';

const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31';
const SUBJECT_ALT_NAME = '2.5.29.17';
/** X.509 version 3. */
const VERSION_3 = 2;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** The server name to ask for: the name, or the reverse-mapping name of an address. */
export function tlsAlpnServerName(identifier: Identifier): string {
  return (identifier.type === 'ip' ? reverseName(identifier.value) : undefined) ?? identifier.value;
}

/** Why the certificate does not answer the challenge, in words that repeat nothing of it; undefined if it does. */
export function tlsAlpnFault(der: Buffer, identifier: Identifier, keyAuthorization: string): string | undefined {
  try {
    const { extensions, selfIssued } = readCertificate(der);
    return (
      nameFault(extensions, identifier) ??
      digestFault(extensions, keyAuthorization) ??
      (selfIssued && isSelfSigned(der) ? undefined : 'the certificate is not self-signed')
    );
  } catch (error) {
    if (error instanceof DerError) return 'the certificate is malformed';
    throw error;
  }
}

interface Extension {
  oid: string;
  critical: boolean;
  value: Buffer;
}

function readCertificate(der: Buffer): { extensions: Extension[]; selfIssued: boolean } {
  const outer = DerReader.of(der);
  const certificate = outer.readSequence();
  outer.end();
  const fields = certificate.readSequence();
  if (fields.peekTag() !== 0xa0) throw new DerError('no version');
  if (fields.readTagged(0).readSmallInteger() !== VERSION_3) throw new DerError('not version 3');
  fields.readIntegerBytes();
  fields.readSequence();
  const issuer = fields.readRaw();
  fields.readSequence();
  const subject = fields.readRaw();
  fields.readSequence();
  // Unique identifiers, RFC 5280 section 4.1.2.8, may stand before the extensions.
  for (const n of [1, 2]) if (fields.peekTag() === (0x80 | n)) fields.readImplicit(n);
  const extensions = fields.more() ? readExtensions(fields.readTagged(3)) : [];
  fields.end();
  return { extensions, selfIssued: issuer.equals(subject) };
}

function readExtensions(wrapper: DerReader): Extension[] {
  const list = wrapper.readSequence();
  wrapper.end();
  const extensions: Extension[] = [];
  while (list.more()) {
    const parts = list.readSequence();
    const oid = parts.readOid();
    const critical = parts.peekTag() === 0x01 && parts.readBoolean();
    extensions.push({ oid, critical, value: parts.readOctetString() });
    parts.end();
  }
  return extensions;
}

/** The one extension of this kind; undefined for none or several. */
function only(extensions: readonly Extension[], oid: string): Extension | undefined {
  const [first, second] = extensions.filter((extension) => extension.oid === oid);
  return second ? undefined : first;
}

function nameFault(extensions: readonly Extension[], identifier: Identifier): string | undefined {
  const fault = `the certificate does not have ${identifier.value} as its only alternative name`;
  const extension = only(extensions, SUBJECT_ALT_NAME);
  if (!extension) return fault;
  const value = DerReader.of(extension.value);
  const names = value.readSequence();
  value.end();
  const { tag, content } = names.readAny();
  if (names.more()) return fault;
  const address = identifier.type === 'ip' ? parseAddress(identifier.value) : undefined;
  const matches = address
    ? tag === IP_ADDRESS && content.equals(address)
    : tag === DNS_NAME && content.toString('latin1').toLowerCase() === identifier.value;
  return matches ? undefined : fault;
}

function digestFault(extensions: readonly Extension[], keyAuthorization: string): string | undefined {
  const extension = only(extensions, ACME_IDENTIFIER);
  if (!extension) return 'the certificate does not have one acmeIdentifier extension';
  if (!extension.critical) return 'the acmeIdentifier extension is not critical';
  const value = DerReader.of(extension.value);
  const digest = value.readOctetString();
  value.end();
  const expected = sha256(keyAuthorization);
  const matches = digest.length === expected.length && timingSafeEqual(digest, expected);
  return matches ? undefined : 'the acmeIdentifier extension is for another key authorization';
}

function isSelfSigned(der: Buffer): boolean {
  try {
    const certificate = new X509Certificate(der);
    return certificate.verify(certificate.publicKey);
  } catch {
    // A key of a kind that OpenSSL does not know.
    return false;
  }
}
