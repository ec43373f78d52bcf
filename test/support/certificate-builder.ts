// X.509 certificates of any shape, for the servers and CAs that tests put up. Independent of src/.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import {
  bitString,
  boolean,
  commonName,
  context,
  contextPrimitive,
  type Der,
  type Extension,
  extension,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  subjectAltName,
  time,
} from './der-writer.ts';

export interface KeyPair {
  privateKey: KeyObject;
  publicKey: KeyObject;
}

export interface CertificateOptions {
  /** DER of the subject; a common name as text. */
  subject: string | Der;
  issuer?: string | Der;
  keys: KeyPair;
  /** Key of the issuer; the subject's own when absent. */
  signer?: KeyPair;
  extensions?: readonly Extension[];
  notBefore?: Date;
  notAfter?: Date;
}

const DAY = 86_400_000;

export function createKeyPair(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

export function pemOf(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

export function privateKeyPem(keys: KeyPair): string {
  return keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** AlgorithmIdentifier that goes with a key: ECDSA or RSA with the hash, Ed25519 without. */
export function signatureAlgorithm(key: KeyObject, hash: string): Der {
  if (key.asymmetricKeyType === 'ed25519') return sequence(oid('1.3.101.112'));
  const rsa = { md5: '1.2.840.113549.1.1.4', sha1: '1.2.840.113549.1.1.5', sha256: '1.2.840.113549.1.1.11' };
  const ecdsa = { md5: '', sha1: '1.2.840.10045.4.1', sha256: '1.2.840.10045.4.3.2' };
  const name = hash as keyof typeof rsa;
  return key.asymmetricKeyType === 'rsa' ? sequence(oid(rsa[name]), nullValue()) : sequence(oid(ecdsa[name]));
}

export function signDer(key: KeyObject, content: Der, hash: string): Buffer {
  return sign(key.asymmetricKeyType === 'ed25519' ? null : hash, content, key);
}

const name = (value: string | Der): Der => (typeof value === 'string' ? commonName(value) : value);

export function buildCertificate(options: CertificateOptions): Buffer {
  const signer = options.signer ?? options.keys;
  const algorithm = signatureAlgorithm(signer.privateKey, 'sha256');
  const serial = randomBytes(16);
  serial[0] = (serial[0] ?? 0) & 0x7f || 1;
  const extensions = options.extensions ?? [];
  const content = sequence(
    context(0, integer(2)),
    integer(serial),
    algorithm,
    name(options.issuer ?? options.subject),
    sequence(
      time(options.notBefore ?? new Date(Date.now() - DAY)),
      time(options.notAfter ?? new Date(Date.now() + 30 * DAY)),
    ),
    name(options.subject),
    options.keys.publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [context(3, sequence(...extensions.map(extension)))] : []),
  );
  return sequence(content, algorithm, bitString(signDer(signer.privateKey, content, 'sha256')));
}

/** SHA-1 over the public key, RFC 5280 section 4.2.1.2 method 1, short of unwrapping the bit string: any stable id will do. */
export const keyIdentifier = (keys: KeyPair): Buffer =>
  createHash('sha1')
    .update(keys.publicKey.export({ type: 'spki', format: 'der' }))
    .digest();

export const basicConstraints = (ca: boolean): Extension => ({
  oid: '2.5.29.19',
  critical: true,
  value: sequence(...(ca ? [boolean(true)] : [])),
});

/** `bits` counted from digitalSignature = 0; keyCertSign is 5, cRLSign 6. */
export function keyUsage(...bits: readonly number[]): Extension {
  let byte = 0;
  for (const bit of bits) byte |= 0x80 >> bit;
  return { oid: '2.5.29.15', critical: true, value: bitString(Buffer.from([byte]), 7 - Math.max(...bits)) };
}

export const extendedKeyUsage = (...purposes: readonly string[]): Extension => ({
  oid: '2.5.29.37',
  value: sequence(...purposes.map(oid)),
});

/** A CA certificate, self-signed or under another; a complete CA profile, as a PKI would deliver it. */
export function buildCaCertificate(
  subject: string,
  keys: KeyPair,
  parent?: { subject: string; keys: KeyPair },
): Buffer {
  return buildCertificate({
    subject,
    issuer: parent?.subject ?? subject,
    keys,
    signer: parent?.keys ?? keys,
    notAfter: new Date(Date.now() + 3650 * DAY),
    extensions: [
      basicConstraints(true),
      keyUsage(5, 6),
      { oid: '2.5.29.14', value: octetString(keyIdentifier(keys)) },
      { oid: '2.5.29.35', value: sequence(contextPrimitive(0, keyIdentifier(parent?.keys ?? keys))) },
    ],
  });
}

/** A server certificate for the given names under a CA made on the spot. */
export function buildServerCertificate(names: readonly Der[]): { ca: string; certificate: string; key: string } {
  const [ca, server] = [createKeyPair(), createKeyPair()];
  const authority = buildCaCertificate('conformance test CA', ca);
  const certificate = buildCertificate({
    subject: 'conformance test server',
    issuer: 'conformance test CA',
    keys: server,
    signer: ca,
    extensions: [subjectAltName(names), extendedKeyUsage('1.3.6.1.5.5.7.3.1')],
  });
  return {
    ca: pemOf('CERTIFICATE', authority),
    certificate: pemOf('CERTIFICATE', certificate),
    key: privateKeyPem(server),
  };
}
