// Makes certificates (RFC 5280) from a model: every field is decided here, nothing is copied from a request.
import type { Usage } from '../api/kind.ts';
import { publicKeyBits } from './certificate.ts';
import type { AlternativeNames, DistinguishedName, PublicKeyFacts } from './certificate-model.ts';
import type { SignatureAlgorithm } from './certificate-signature.ts';
import { bitString, boolean, integer, namedBits, octetString, sequence, tagged, time } from './der-writer.ts';
import { encodeName } from './distinguished-name.ts';
import { sha256 } from './encoding.ts';
import {
  encodeAlternativeNames,
  encodeAuthorityInformationAccess,
  encodeAuthorityKeyIdentifier,
  encodeCrlDistributionPoints,
  encodeExtendedKeyUsage,
  encodeExtension,
  isEmpty,
  KEY_USAGE,
} from './extensions.ts';
import { OID } from './oid.ts';

/** What all certificates of one CA key share. */
export interface IssuerTemplate {
  /** DER of the CA's subject, byte for byte. */
  name: Buffer;
  /** subjectKeyIdentifier of the CA. */
  keyIdentifier: Buffer;
  algorithm: SignatureAlgorithm;
  /** Plain HTTP; absent where nothing is served. */
  crlUrl?: string;
  issuerUrl?: string;
}

export interface LeafTemplate {
  /** Unsigned big-endian, positive, at most 20 octets as INTEGER. */
  serial: Buffer;
  notBefore: Date;
  notAfter: Date;
  subject: DistinguishedName;
  names: AlternativeNames;
  publicKey: PublicKeyFacts;
  usages: readonly Usage[];
}

const VERSION_3 = tagged(0, integer(2));

/**
 * A function that gives the part to be signed of a leaf certificate (TBSCertificate, DER). What depends on the issuer alone is
 * encoded once. It throws RangeError for what a certificate cannot hold.
 */
export function createLeafBuilder(issuer: IssuerTemplate): (leaf: LeafTemplate) => Buffer {
  const { crlUrl, issuerUrl } = issuer;
  const shared = [
    encodeExtension(OID.authorityKeyIdentifier, encodeAuthorityKeyIdentifier(issuer.keyIdentifier)),
    ...(issuerUrl ? [encodeExtension(OID.authorityInfoAccess, encodeAuthorityInformationAccess(issuerUrl))] : []),
    ...(crlUrl ? [encodeExtension(OID.crlDistributionPoints, encodeCrlDistributionPoints(crlUrl))] : []),
  ];
  return (leaf) =>
    sequence(
      VERSION_3,
      integer(checkSerial(leaf.serial)),
      issuer.algorithm.der,
      issuer.name,
      encodeValidity(leaf.notBefore, leaf.notAfter),
      encodeName(leaf.subject),
      leaf.publicKey.spki,
      tagged(3, sequence(...leafExtensions(leaf), ...shared)),
    );
}

const NOT_A_CA = encodeExtension(OID.basicConstraints, sequence(), true);

const SIGN = encodeKeyUsage(KEY_USAGE.digitalSignature);
const SIGN_AND_ENCIPHER = encodeKeyUsage(KEY_USAGE.digitalSignature, KEY_USAGE.keyEncipherment);

/**
 * RSA keys of servers may also carry key exchange (TLS 1.2 and before); clients and all other keys only sign (RFC 5280 section
 * 4.2.1.12, RFC 8813, RFC 8410 section 5).
 */
function keyUsageOf({ publicKey, usages }: LeafTemplate): Buffer {
  return publicKey.algorithm === 'RSA' && usages.includes('server auth') ? SIGN_AND_ENCIPHER : SIGN;
}

function encodeKeyUsage(...bits: number[]): Buffer {
  return encodeExtension(OID.keyUsage, namedBits(bits), true);
}

function leafExtensions(leaf: LeafTemplate): Buffer[] {
  if (isEmpty(leaf.names)) throw new RangeError('a certificate has at least one alternative name');
  if (leaf.usages.length === 0) throw new RangeError('a certificate has at least one extended usage');
  return [
    keyUsageOf(leaf),
    encodeExtension(OID.extKeyUsage, encodeExtendedKeyUsage(leaf.usages)),
    NOT_A_CA,
    encodeExtension(OID.subjectKeyIdentifier, octetString(keyIdentifier(leaf.publicKey.spki))),
    // RFC 5280 section 4.2.1.6: critical where it alone says who the subject is.
    encodeExtension(OID.subjectAltName, encodeAlternativeNames(leaf.names), leaf.subject.length === 0),
  ];
}

function encodeValidity(notBefore: Date, notAfter: Date): Buffer {
  if (!(notAfter > notBefore)) throw new RangeError('a certificate ends after it begins');
  return sequence(time(notBefore), time(notAfter));
}

function checkSerial(serial: Buffer): Buffer {
  const padded = (serial[0] ?? 0) >= 0x80 ? 1 : 0;
  if (serial.length + padded > 20 || serial.every((byte) => byte === 0))
    throw new RangeError('a serial number is positive and has at most 20 octets');
  return serial;
}

/** Key identifier of a public key: 160 bits of SHA-256 over the key's bits (RFC 7093 section 2, method 1). */
export function keyIdentifier(spki: Buffer): Buffer {
  return sha256(publicKeyBits(spki)).subarray(0, 20);
}

/** The signed whole of a certificate or CRL. */
export function seal(tbs: Buffer, algorithm: SignatureAlgorithm, signature: Buffer): Buffer {
  return sequence(tbs, algorithm.der, bitString(signature));
}

/** A leaf certificate in one go; `sign` signs with the key and algorithm of the issuer. */
export function buildCertificate(issuer: IssuerTemplate, leaf: LeafTemplate, sign: (tbs: Buffer) => Buffer): Buffer {
  const tbs = createLeafBuilder(issuer)(leaf);
  return seal(tbs, issuer.algorithm, sign(tbs));
}

export interface RootTemplate {
  serial: Buffer;
  notBefore: Date;
  notAfter: Date;
  subject: DistinguishedName;
  spki: Buffer;
  algorithm: SignatureAlgorithm;
}

/** The part to be signed of a self-signed CA certificate that signs leaves only (path length 0) and CRLs. */
export function buildRootTbs(root: RootTemplate): Buffer {
  const name = encodeName(root.subject);
  return sequence(
    VERSION_3,
    integer(checkSerial(root.serial)),
    root.algorithm.der,
    name,
    encodeValidity(root.notBefore, root.notAfter),
    name,
    root.spki,
    tagged(
      3,
      sequence(
        encodeKeyUsage(KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign),
        encodeExtension(OID.basicConstraints, sequence(boolean(true), integer(0)), true),
        encodeExtension(OID.subjectKeyIdentifier, octetString(keyIdentifier(root.spki))),
      ),
    ),
  );
}
