// Certificate extensions (RFC 5280 section 4.2): the container and the simple values. Name constraints have their own file.
import type { Usage } from '../api/kind.ts';
import { parseExact, renderAddress } from './address.ts';
import type { AlternativeNames } from './certificate-model.ts';
import { DerError, DerReader, TAG } from './der.ts';
import { decodeIa5 } from './der-values.ts';
import { boolean, implicit, octetString, oid, sequence, tagged } from './der-writer.ts';
import { describeOid, OID } from './oid.ts';

/** Bits of KeyUsage, RFC 5280 section 4.2.1.3. */
export const KEY_USAGE = {
  digitalSignature: 0,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const;

export const USAGE_OID: Readonly<Record<Usage, string>> = {
  'server auth': OID.serverAuth,
  'client auth': OID.clientAuth,
};

export interface Extension {
  critical: boolean;
  /** Content of the extnValue OCTET STRING. */
  value: Buffer;
}

/**
 * The next value of the reader, SEQUENCE OF Extension, by object identifier. A second extension of one type is refused
 * (RFC 5280 section 4.2). `critical` written out as FALSE is taken: CAs in use do that, and it can mean nothing else.
 */
export function readExtensions(reader: DerReader): Map<string, Extension> {
  const found = new Map<string, Extension>();
  const list = reader.readSequence();
  if (!list.more()) throw new DerError('an empty list of extensions');
  while (list.more()) {
    const extension = list.readSequence();
    const type = extension.readOid();
    const critical = extension.peekTag() === TAG.boolean ? extension.readBoolean() : false;
    const value = extension.readOctetString();
    extension.end();
    if (found.has(type)) throw new DerError(`extension ${describeOid(type)} occurs twice`);
    found.set(type, { critical, value });
  }
  return found;
}

export function encodeExtension(type: string, value: Buffer, critical = false): Buffer {
  return critical ? sequence(oid(type), boolean(true), octetString(value)) : sequence(oid(type), octetString(value));
}

/** GeneralNames in our text forms; `others` names the kinds that have none (otherName, directoryName, …). */
export interface GeneralNames {
  names: AlternativeNames;
  others: readonly string[];
}

const OTHER_KINDS: Readonly<Record<number, string>> = {
  0xa0: 'otherName',
  0xa3: 'x400Address',
  0xa4: 'directoryName',
  0xa5: 'ediPartyName',
  0x88: 'registeredID',
};

/** Content of a subjectAltName extension. DNS names come out in lower case and are not checked further. */
export function parseAlternativeNames(value: Buffer): GeneralNames {
  const reader = DerReader.of(value);
  const list = reader.readSequence();
  reader.end();
  if (!list.more()) throw new DerError('a subjectAltName without names');
  const names = {
    dnsNames: [] as string[],
    ipAddresses: [] as string[],
    uris: [] as string[],
    emailAddresses: [] as string[],
  };
  const others: string[] = [];
  while (list.more()) {
    const { tag, content } = list.readAny();
    if (tag === 0x81) names.emailAddresses.push(decodeIa5(content));
    else if (tag === 0x82) names.dnsNames.push(decodeIa5(content).toLowerCase());
    else if (tag === 0x86) names.uris.push(decodeIa5(content));
    else if (tag === 0x87) names.ipAddresses.push(decodeAddress(content));
    else others.push(OTHER_KINDS[tag] ?? refuseKind(tag));
  }
  return { names, others };
}

function decodeAddress(content: Buffer): string {
  if (content.length !== 4 && content.length !== 16) throw new DerError('an iPAddress of neither 4 nor 16 bytes');
  return renderAddress(content);
}

function refuseKind(tag: number): never {
  throw new DerError(`a GeneralName with tag ${tag.toString(16)}`);
}

/** Content of a subjectAltName extension, in the order of the lists. Throws RangeError for text that is not ASCII or no address. */
export function encodeAlternativeNames(names: AlternativeNames): Buffer {
  return sequence(
    ...names.dnsNames.map((name) => asciiName(2, name)),
    ...names.ipAddresses.map(addressName),
    ...names.uris.map((name) => asciiName(6, name)),
    ...names.emailAddresses.map((name) => asciiName(1, name)),
  );
}

function asciiName(kind: number, text: string): Buffer {
  // oxlint-disable-next-line no-control-regex -- the range is what "visible ASCII" means
  if (!/^[\x21-\x7e]+$/.test(text)) throw new RangeError('a name is not visible ASCII');
  return implicit(kind, Buffer.from(text, 'latin1'));
}

function addressName(text: string): Buffer {
  const bytes = parseExact(text);
  if (!bytes) throw new RangeError('not an IP address');
  return implicit(7, bytes);
}

export function isEmpty(names: AlternativeNames): boolean {
  return names.dnsNames.length + names.ipAddresses.length + names.uris.length + names.emailAddresses.length === 0;
}

/** Object identifiers of an extendedKeyUsage extension. */
export function parseExtendedKeyUsage(value: Buffer): string[] {
  const reader = DerReader.of(value);
  const list = reader.readSequence();
  reader.end();
  const usages: string[] = [];
  while (list.more()) usages.push(list.readOid());
  if (usages.length === 0) throw new DerError('an extendedKeyUsage without usages');
  return usages;
}

export function encodeExtendedKeyUsage(usages: readonly Usage[]): Buffer {
  return sequence(...usages.map((usage) => oid(USAGE_OID[usage])));
}

/** Numbers of the bits set; none set is refused (RFC 5280 section 4.2.1.3). */
export function parseKeyUsage(value: Buffer): number[] {
  const reader = DerReader.of(value);
  const bits = reader.readNamedBits();
  reader.end();
  if (bits.length === 0) throw new DerError('a keyUsage without any usage');
  return bits;
}

export interface BasicConstraints {
  isCA: boolean;
  /** Most CA certificates that may stand below this one. */
  pathLength: number | undefined;
}

export function parseBasicConstraints(value: Buffer): BasicConstraints {
  const reader = DerReader.of(value);
  const content = reader.readSequence();
  reader.end();
  // cA written out as FALSE is taken, as with `critical`.
  const isCA = content.peekTag() === TAG.boolean ? content.readBoolean() : false;
  const pathLength = content.more() ? content.readSmallInteger() : undefined;
  content.end();
  if (pathLength !== undefined && !isCA) throw new DerError('a path length on a certificate that is not a CA');
  return { isCA, pathLength };
}

/** keyIdentifier of an authorityKeyIdentifier extension, where it has one. */
export function parseAuthorityKeyIdentifier(value: Buffer): Buffer | undefined {
  const reader = DerReader.of(value);
  const content = reader.readSequence();
  reader.end();
  const keyIdentifier = content.peekTag() === 0x80 ? content.readImplicit(0) : undefined;
  // authorityCertIssuer [1] and authorityCertSerialNumber [2]: a hint we do not use.
  if (content.peekTag() === 0xa1) content.readTagged(1);
  if (content.peekTag() === 0x82) content.readImplicit(2);
  content.end();
  return keyIdentifier;
}

export function encodeAuthorityKeyIdentifier(keyIdentifier: Buffer): Buffer {
  return sequence(implicit(0, keyIdentifier));
}

/** One distribution point with one URL. */
export function encodeCrlDistributionPoints(url: string): Buffer {
  return sequence(sequence(tagged(0, tagged(0, asciiName(6, url)))));
}

/** caIssuers with one URL, RFC 5280 section 4.2.2.1. */
export function encodeAuthorityInformationAccess(caIssuers: string): Buffer {
  return sequence(sequence(oid(OID.caIssuers), asciiName(6, caIssuers)));
}
