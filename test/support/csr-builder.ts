// PKCS#10 requests: good ones by default, hostile ones by option. Independent of src/.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createKeyPair, type KeyPair, signatureAlgorithm, signDer } from './certificate-builder.ts';
import {
  bitString,
  context,
  type Der,
  distinguishedName,
  type Extension,
  extension,
  generalName,
  integer,
  oid,
  sequence,
  setOf,
  subjectAltName,
} from './der-writer.ts';

export interface CsrOptions {
  /** Names in the SAN extension: DNS names, and IP addresses as `ip:127.0.0.1`. */
  names?: readonly string[];
  commonName?: string;
  /** Further subject attributes, by object identifier. */
  subject?: readonly (readonly [oid: string, value: string])[];
  keys?: KeyPair;
  /** Signs instead of `keys`: a request that does not prove possession. */
  signer?: KeyPair;
  hash?: 'md5' | 'sha1' | 'sha256';
  /** General names after those of `names`. */
  extraNames?: readonly Der[];
  /** Extensions after the SAN. */
  extensions?: readonly Extension[];
  /** Attributes beside the extension request, complete DER. */
  attributes?: readonly Der[];
}

export interface Csr {
  der: Buffer;
  keys: KeyPair;
}

const COMMON_NAME = '2.5.4.3';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

export function sanOf(name: string): Der {
  return name.startsWith('ip:') ? generalName.ip(name.slice(3)) : generalName.dns(name);
}

export const attribute = (type: string, ...values: readonly Der[]): Der => sequence(oid(type), setOf(...values));

export const extensionRequest = (extensions: readonly Extension[]): Der =>
  attribute(EXTENSION_REQUEST, sequence(...extensions.map(extension)));

/** Made once: an export costs more than a signature. */
const publicKeyInfos = new WeakMap<KeyObject, Buffer>();

function publicKeyInfo(key: KeyObject): Buffer {
  const info = publicKeyInfos.get(key) ?? key.export({ type: 'spki', format: 'der' });
  publicKeyInfos.set(key, info);
  return info;
}

export function buildCsr(options: CsrOptions): Csr {
  const keys = options.keys ?? createKeyPair();
  const signer = options.signer ?? keys;
  const names = [...(options.names ?? []).map(sanOf), ...(options.extraNames ?? [])];
  const extensions = [...(names.length > 0 ? [subjectAltName(names)] : []), ...(options.extensions ?? [])];
  const subject: (readonly [string, string])[] = [...(options.subject ?? [])];
  if (options.commonName !== undefined) subject.unshift([COMMON_NAME, options.commonName]);
  const attributes = [...(extensions.length > 0 ? [extensionRequest(extensions)] : []), ...(options.attributes ?? [])];
  const content = sequence(
    integer(0),
    distinguishedName(subject),
    publicKeyInfo(keys.publicKey),
    context(0, ...attributes),
  );
  const hash = options.hash ?? 'sha256';
  const signature = bitString(signDer(signer.privateKey, content, hash));
  return { keys, der: sequence(content, signatureAlgorithm(signer.privateKey, hash), signature) };
}

/** Names of an order as `names` of a CSR. */
export function csrNames(identifiers: readonly { type: string; value: string }[]): string[] {
  return identifiers.map(({ type, value }) => (type === 'ip' ? `ip:${value}` : value));
}

export const weakRsaKeys = (): KeyPair => generateKeyPairSync('rsa', { modulusLength: 1024 });
export const rsaKeys = (): KeyPair => generateKeyPairSync('rsa', { modulusLength: 2048 });
