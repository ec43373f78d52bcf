// Certificates (RFC 5280 section 4.1) read into facts, and a leaf compared with what was approved.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import type { AlternativeNames, CertificateModel, DistinguishedName } from './certificate-model.ts';
import { DerError, DerReader } from './der.ts';
import { attributeValues, nameKey, readName } from './distinguished-name.ts';
import { sha256 } from './encoding.ts';
import {
  type BasicConstraints,
  type Extension,
  type GeneralNames,
  KEY_USAGE,
  parseAlternativeNames,
  parseAuthorityKeyIdentifier,
  parseBasicConstraints,
  parseExtendedKeyUsage,
  parseKeyUsage,
  readExtensions,
  USAGE_OID,
} from './extensions.ts';
import { type NameConstraints, parseNameConstraints } from './name-constraints.ts';
import { describeOid, OID } from './oid.ts';

export interface CertificateFacts {
  der: Buffer;
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string;
  /** Lower-case hex of the magnitude, two digits an octet. */
  serial: string;
  issuer: DistinguishedName;
  subject: DistinguishedName;
  issuerDer: Buffer;
  subjectDer: Buffer;
  notBefore: Date;
  notAfter: Date;
  /** DER SubjectPublicKeyInfo. */
  spki: Buffer;
  names: AlternativeNames;
  /** Kinds of alternative names that `names` cannot hold, such as otherName. */
  otherNames: readonly string[];
  isCA: boolean;
  pathLength: number | undefined;
  /** Numbers of the bits set; undefined where there is no such extension. */
  keyUsage: readonly number[] | undefined;
  /** Object identifiers of extended usages; undefined where there is no such extension. */
  usages: readonly string[] | undefined;
  subjectKeyIdentifier: Buffer | undefined;
  authorityKeyIdentifier: Buffer | undefined;
  nameConstraints: NameConstraints | undefined;
  /** Critical extensions this reader does not know. */
  unknownCritical: readonly string[];
  /** DER AlgorithmIdentifier. */
  signatureAlgorithm: Buffer;
  /** The part that is signed, DER. */
  tbs: Buffer;
  signature: Buffer;
}

/** Values a certificate for a few hundred names can hold. */
const BUDGET = 8192;
/** No certificate needs more; a list of a hundred long names takes 25 kB. */
const MAX_BYTES = 65_536;

/** Facts of a DER certificate. Throws Error for anything that is not the strict encoding of a version 3 (or plain version 1) certificate. */
export function parseCertificate(der: Buffer): CertificateFacts {
  if (der.length > MAX_BYTES) throw new DerError(`a certificate of more than ${MAX_BYTES} bytes`);
  const input = DerReader.of(der, BUDGET);
  const outer = input.readSequence();
  input.end();
  const tbs = outer.readRaw();
  const signatureAlgorithm = outer.readRaw();
  const signature = outer.readBitString();
  outer.end();
  const fields = readTbs(input.within(tbs), signatureAlgorithm);
  return { der, fingerprint: sha256(der).toString('hex'), ...fields, signatureAlgorithm, tbs, signature };
}

type TbsFacts = Omit<CertificateFacts, 'der' | 'fingerprint' | 'signatureAlgorithm' | 'tbs' | 'signature'>;

function readTbs(outer: DerReader, signatureAlgorithm: Buffer): TbsFacts {
  const tbs = outer.readSequence();
  outer.end();
  const version = readVersion(tbs);
  const serial = readSerial(tbs);
  if (!tbs.readRaw().equals(signatureAlgorithm))
    throw new DerError('a certificate that names two signature algorithms');
  const [issuerDer, issuer] = readWholeName(tbs);
  const validity = tbs.readSequence();
  const [notBefore, notAfter] = [validity.readTime(), validity.readTime()];
  validity.end();
  const [subjectDer, subject] = readWholeName(tbs);
  const spki = tbs.readRaw();
  publicKeyBits(spki);
  // issuerUniqueID [1] and subjectUniqueID [2] are for names used twice, which RFC 5280 forbids.
  if (tbs.more() && (tbs.peekTag() !== 0xa3 || version !== 3))
    throw new DerError('a certificate with unexpected fields');
  const extensions = tbs.more() ? readExtensionsOf(tbs.readTagged(3)) : new Map<string, Extension>();
  tbs.end();
  return { serial, issuer, subject, issuerDer, subjectDer, notBefore, notAfter, spki, ...extensionFacts(extensions) };
}

function readVersion(tbs: DerReader): number {
  if (tbs.peekTag() !== 0xa0) return 1;
  const version = tbs.readTagged(0);
  const value = version.readSmallInteger();
  version.end();
  if (value !== 2) throw new DerError(`a certificate of version ${value + 1}`);
  return 3;
}

/** RFC 5280 section 4.1.2.2: at most 20 octets; 0 occurs in old roots. */
function readSerial(tbs: DerReader): string {
  const bytes = tbs.readIntegerBytes();
  if ((bytes[0] ?? 0) & 0x80) throw new DerError('a negative serial number');
  const magnitude = bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes;
  if (magnitude.length > 20) throw new DerError('a serial number of more than 20 octets');
  return magnitude.toString('hex');
}

function readWholeName(tbs: DerReader): [Buffer, DistinguishedName] {
  const der = tbs.readRaw();
  const reader = tbs.within(der);
  const name = readName(reader, true);
  reader.end();
  return [der, name];
}

function readExtensionsOf(field: DerReader): Map<string, Extension> {
  const extensions = readExtensions(field);
  field.end();
  return extensions;
}

/** Content of the BIT STRING of a SubjectPublicKeyInfo. */
export function publicKeyBits(spki: Buffer): Buffer {
  const reader = DerReader.of(spki);
  const info = reader.readSequence();
  reader.end();
  info.readRaw();
  const bits = info.readBitString();
  info.end();
  return bits;
}

/** Those whose criticality we meet, by reading them or, for policies, because every policy is acceptable to us. */
const KNOWN: ReadonlySet<string> = new Set([
  OID.subjectAltName,
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  OID.subjectKeyIdentifier,
  OID.authorityKeyIdentifier,
  OID.nameConstraints,
  OID.certificatePolicies,
]);

const NO_NAMES: GeneralNames = { names: { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] }, others: [] };
const NO_CONSTRAINTS: BasicConstraints = { isCA: false, pathLength: undefined };

function extensionFacts(extensions: Map<string, Extension>) {
  const read = <T>(oid: string, parse: (value: Buffer) => T): T | undefined => {
    const extension = extensions.get(oid);
    return extension && parse(extension.value);
  };
  const { names, others } = read(OID.subjectAltName, parseAlternativeNames) ?? NO_NAMES;
  const { isCA, pathLength } = read(OID.basicConstraints, parseBasicConstraints) ?? NO_CONSTRAINTS;
  return {
    names,
    otherNames: others,
    isCA,
    pathLength,
    keyUsage: read(OID.keyUsage, parseKeyUsage),
    usages: read(OID.extKeyUsage, parseExtendedKeyUsage),
    subjectKeyIdentifier: read(OID.subjectKeyIdentifier, parseKeyIdentifier),
    authorityKeyIdentifier: read(OID.authorityKeyIdentifier, parseAuthorityKeyIdentifier),
    nameConstraints: read(OID.nameConstraints, parseNameConstraints),
    unknownCritical: [...extensions].flatMap(([oid, { critical }]) => (critical && !KNOWN.has(oid) ? [oid] : [])),
  };
}

function parseKeyIdentifier(value: Buffer): Buffer {
  const reader = DerReader.of(value);
  const identifier = reader.readOctetString();
  reader.end();
  return identifier;
}

/** Keys of certificates asked for before: importing one costs as much as a verification. Nothing but a memory of what is a pure function. */
const keys = new WeakMap<Pick<CertificateFacts, 'spki'>, KeyObject>();

/** The public key. Throws Error where node:crypto cannot use it. */
export function certificateKey(certificate: Pick<CertificateFacts, 'spki'>): KeyObject {
  const key = keys.get(certificate) ?? createPublicKey({ key: certificate.spki, format: 'der', type: 'spki' });
  keys.set(certificate, key);
  return key;
}

/** Whether issuer and subject are one name (RFC 5280 section 7.1). */
export function isSelfIssued(certificate: CertificateFacts): boolean {
  return (
    certificate.issuerDer.equals(certificate.subjectDer) || nameKey(certificate.issuer) === nameKey(certificate.subject)
  );
}

/** What of the model a backend controls, and so must have met. */
export interface LeafLimits {
  /** Earliest notBefore and latest notAfter acceptable; absent where the backend decides for itself. */
  notBefore?: Date;
  notAfter?: Date;
  /** Extended usages must be exactly those of the model; else they must at least hold them. */
  exactUsages: boolean;
}

/** Each reason why the certificate is not what was approved, fit to be shown; none if it is. */
export function verifyLeaf(leaf: CertificateFacts, model: CertificateModel, limits: LeafLimits): string[] {
  const reasons: string[] = [];
  if (!leaf.spki.equals(model.publicKey.spki)) reasons.push('the key is not that of the request');
  reasons.push(...nameReasons(leaf, model));
  if (leaf.isCA || leaf.keyUsage?.includes(KEY_USAGE.keyCertSign)) reasons.push('it is a CA certificate');
  reasons.push(...validityReasons(leaf, limits), ...usageReasons(leaf, model, limits));
  for (const oid of leaf.unknownCritical) reasons.push(`it has a critical extension ${describeOid(oid)}`);
  return reasons;
}

const LISTS = ['dnsNames', 'ipAddresses', 'uris', 'emailAddresses'] as const;

function nameReasons(leaf: CertificateFacts, model: CertificateModel): string[] {
  const reasons = leaf.otherNames.map((kind) => `it has an alternative name of kind ${kind}`);
  for (const list of LISTS) {
    const [has, wanted] = [new Set(leaf.names[list]), new Set(model.names[list])];
    const extra = leaf.names[list].filter((name) => !wanted.has(name));
    const missing = model.names[list].filter((name) => !has.has(name));
    if (extra.length > 0) reasons.push(`it has names that were not approved: ${shown(extra)}`);
    if (missing.length > 0) reasons.push(`it lacks names that were approved: ${shown(missing)}`);
  }
  // Some clients still read host names from common names.
  const hosts = new Set([...model.names.dnsNames, ...model.names.ipAddresses]);
  const imposed = new Set(attributeValues(model.subject, OID.commonName));
  const foreign = attributeValues(leaf.subject, OID.commonName).filter(
    (name) => isHostLike(name) && !hosts.has(name.toLowerCase()) && !imposed.has(name),
  );
  if (foreign.length > 0) reasons.push(`it has a common name that was not approved: ${shown(foreign)}`);
  return reasons;
}

function isHostLike(name: string): boolean {
  return isIP(name) !== 0 || /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/i.test(name);
}

function shown(names: readonly string[]): string {
  const quoted = names.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 80).replace(/[^\x20-\x7e]/g, '?')));
  return names.length > 3 ? `${quoted.join(', ')} and ${names.length - 3} more` : quoted.join(', ');
}

function validityReasons(leaf: CertificateFacts, limits: LeafLimits): string[] {
  const reasons: string[] = [];
  if (leaf.notAfter <= leaf.notBefore) reasons.push('it is never valid');
  // Certificates hold whole seconds.
  if (limits.notBefore && leaf.notBefore.getTime() < seconds(limits.notBefore))
    reasons.push(`it is valid from ${leaf.notBefore.toISOString()}, earlier than approved`);
  if (limits.notAfter && leaf.notAfter.getTime() > seconds(limits.notAfter))
    reasons.push(`it is valid until ${leaf.notAfter.toISOString()}, later than approved`);
  return reasons;
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000) * 1000;
}

function usageReasons(leaf: CertificateFacts, model: CertificateModel, { exactUsages }: LeafLimits): string[] {
  const wanted = model.usages.map((usage) => USAGE_OID[usage]);
  const has = leaf.usages ?? [];
  const extra = has.filter((oid) => !wanted.includes(oid));
  const missing = wanted.filter((oid) => !has.includes(oid));
  const reasons: string[] = [];
  if (missing.length > 0) reasons.push(`it lacks the usage ${missing.map(describeOid).join(', ')}`);
  if (extra.includes(OID.anyExtendedKeyUsage) || (exactUsages && extra.length > 0))
    reasons.push(`it has usages that were not approved: ${extra.map(describeOid).join(', ')}`);
  return reasons;
}
