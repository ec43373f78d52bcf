// What passes between request, policy, backend and record: plain facts about a wanted or issued certificate.
import type { KeyObject } from 'node:crypto';
import type { Usage } from '../api/kind.ts';

/** One attribute of a relative distinguished name, decoded. */
export interface NameAttribute {
  /** Dotted object identifier, for example 2.5.4.3 for commonName. */
  oid: string;
  value: string;
}

/** A distinguished name in encoding order: outer array RDNs, inner array the attributes of one RDN (usually one). */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

/** Subject alternative names in canonical text: DNS names as lower-case A-labels, addresses in canonical form. */
export interface AlternativeNames {
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
  uris: readonly string[];
  emailAddresses: readonly string[];
}

export type KeyAlgorithm = 'RSA' | 'ECDSA' | 'Ed25519';

/** A public key as policy judges it. */
export interface PublicKeyFacts {
  /** DER SubjectPublicKeyInfo. */
  spki: Buffer;
  algorithm: KeyAlgorithm;
  /** Modulus bits for RSA, field bits for ECDSA (256, 384, 521), 256 for Ed25519. */
  size: number;
  key: KeyObject;
}

/** A parsed, self-signature-checked PKCS#10 request that asks for nothing we do not know (see csr.ts). */
export interface CertificateSigningRequest {
  der: Buffer;
  subject: DistinguishedName;
  names: AlternativeNames;
  publicKey: PublicKeyFacts;
  /** Extended key usages asked for; undefined where the request has no such extension. */
  usages: readonly Usage[] | undefined;
}

/** The certificate as approved: what a backend that controls the field must produce, and what verification compares with. */
export interface CertificateModel {
  subject: DistinguishedName;
  names: AlternativeNames;
  publicKey: PublicKeyFacts;
  usages: readonly Usage[];
  notBefore: Date;
  notAfter: Date;
  profile: string | undefined;
}
