// A CA as its Secret holds it: key, issuing certificate and the chains above, each checked once as they are read.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { type CertificateFacts, certificateKey, parseCertificate } from '../../domain/certificate.ts';
import { createLeafBuilder, keyIdentifier, type LeafTemplate } from '../../domain/certificate-builder.ts';
import { type SignatureAlgorithm, signatureAlgorithm } from '../../domain/certificate-signature.ts';
import { authorityFaults, linkChain, linkFault, parsePemCertificates } from '../../domain/chain.ts';
import { renderName } from '../../domain/distinguished-name.ts';
import { KEY_USAGE } from '../../domain/extensions.ts';
import type { BackendDeps } from '../../ports.ts';
import { CaFault } from './ca-fault.ts';
import { opensSoon } from './key-work.ts';

export interface CaMaterial {
  /** PEM of the key. */
  key: Buffer;
  /** PEM of the issuing certificate and those above it. */
  certificates: Buffer;
  passphrase: Buffer | undefined;
  /** PEM bundles with other chains; `name` says where each came from. */
  alternates: readonly { name: string; pem: Buffer }[];
}

export interface Authority {
  key: KeyObject;
  algorithm: SignatureAlgorithm;
  /** subjectKeyIdentifier of the CA, or what it would be. */
  keyIdentifier: Buffer;
  certificate: CertificateFacts;
  /** Issuing certificate first; the default chain before the alternate ones. */
  chains: readonly [readonly CertificateFacts[], ...(readonly CertificateFacts[])[]];
  /** Whether the certificate lets the key sign CRLs. */
  signsCrls: boolean;
  /** The part to be signed of a leaf. */
  buildLeaf: (leaf: LeafTemplate) => Buffer;
}

/** Each is held against each. */
const MAX_CERTIFICATES = 16;
const MIN_RSA_BITS = 2048;
/** A signature with twice as many takes a second. */
const MAX_RSA_BITS = 8192;

/** Throws CaFault where the material is no CA that can sign. Whether the CA is valid now is not looked at. */
export function loadAuthority(material: CaMaterial, urls: BackendDeps['urls']): Authority {
  const key = readKey(material.key, material.passphrase);
  const certificates = readCertificates(material.certificates, 'tls.crt');
  const [certificate] = certificates;
  checkIssuing(certificate, certificates, key);
  const chain = buildChain(certificates, 'tls.crt');
  const alternates = material.alternates.map(({ name, pem }) => alternateChain(certificate, name, pem));
  const algorithm = signatureAlgorithm(key);
  const identifier = certificate.subjectKeyIdentifier ?? keyIdentifier(certificate.spki);
  const signsCrls = certificate.keyUsage?.includes(KEY_USAGE.cRLSign) ?? true;
  return {
    key,
    algorithm,
    keyIdentifier: identifier,
    certificate,
    chains: [chain, ...alternates],
    signsCrls,
    buildLeaf: createLeafBuilder({
      name: certificate.subjectDer,
      keyIdentifier: identifier,
      algorithm,
      // A list that the key may not sign is not pointed to.
      ...(urls && signsCrls ? { crlUrl: urls.crl } : {}),
      ...(urls ? { issuerUrl: urls.issuerCertificate } : {}),
    }),
  };
}

function readKey(bytes: Buffer, passphrase: Buffer | undefined): KeyObject {
  const pem = bytes.toString('latin1');
  const blocks = [...pem.matchAll(/-----BEGIN ([A-Z ]{0,20}PRIVATE KEY)-----[^-]*(?:-[^-]+)*-----END \1-----/g)];
  const [block] = blocks;
  if (!block) throw new CaFault('KeyUnreadable', 'tls.key holds no PEM private key');
  if (blocks.length > 1) throw new CaFault('SeveralKeys', `tls.key holds ${blocks.length} private keys: keep one`);
  const encrypted = block[0].includes('ENCRYPTED');
  if (encrypted && passphrase === undefined)
    throw new CaFault('PassphraseMissing', 'tls.key is encrypted: name its passphrase in passphraseSecretRef');
  if (encrypted) checkWork(block[0]);
  const key = encrypted ? decrypt(block[0], passphrase) : parseKey(block[0]);
  if (!key)
    throw encrypted
      ? new CaFault('KeyUndecryptable', 'tls.key does not open with the passphrase of passphraseSecretRef')
      : new CaFault('KeyUnreadable', 'tls.key is not a private key in PKCS#8, PKCS#1 or SEC1 form');
  checkKey(key);
  return key;
}

function checkWork(pem: string): void {
  let soon: boolean;
  try {
    soon = opensSoon(pem);
  } catch {
    throw new CaFault('KeyUnreadable', 'tls.key is encrypted, but not in PKCS#8 or traditional form');
  }
  if (!soon)
    throw new CaFault(
      'KeyUnsupported',
      'tls.key takes too long to decrypt: encrypt it with at most 1048576 rounds of PBKDF2 or blocks of scrypt',
    );
}

/** A passphrase made with an editor often ends in a line break that is not part of it. */
function decrypt(pem: string, passphrase: Buffer | undefined): KeyObject | undefined {
  const text = passphrase?.toString('utf8') ?? '';
  const line = text.replace(/\r?\n$/, '');
  return parseKey(pem, text) ?? (line === text ? undefined : parseKey(pem, line));
}

function parseKey(pem: string, passphrase?: string): KeyObject | undefined {
  try {
    return createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    // What OpenSSL says of a key is kept out of every message.
    return undefined;
  }
}

function checkKey(key: KeyObject): void {
  try {
    signatureAlgorithm(key);
  } catch (error) {
    throw new CaFault('KeyUnsupported', `tls.key cannot be used: ${(error as Error).message}`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS))
    throw new CaFault(
      'KeyUnsupported',
      `tls.key is RSA of ${bits} bits: ${MIN_RSA_BITS} to ${MAX_RSA_BITS} can be used`,
    );
}

function readCertificates(bytes: Buffer, from: string): [CertificateFacts, ...CertificateFacts[]] {
  let ders: Buffer[];
  try {
    ders = parsePemCertificates(bytes.toString('latin1'));
  } catch (error) {
    throw new CaFault('CertificateUnreadable', `${from}: ${(error as Error).message}`);
  }
  if (ders.length > MAX_CERTIFICATES)
    throw new CaFault('ChainBroken', `${from} holds ${ders.length} certificates: at most ${MAX_CERTIFICATES}`);
  const facts = ders.map((der, i) => readCertificate(der, `certificate ${i + 1} of ${from}`));
  const [first, ...rest] = new Map(facts.map((certificate) => [certificate.fingerprint, certificate])).values();
  if (!first) throw new CaFault('CertificateUnreadable', `${from} holds no PEM certificate`);
  return [first, ...rest];
}

function readCertificate(der: Buffer, what: string): CertificateFacts {
  try {
    const certificate = parseCertificate(der);
    certificateKey(certificate);
    return certificate;
  } catch (error) {
    throw new CaFault('CertificateUnreadable', `${what} is not well-formed: ${(error as Error).message}`);
  }
}

function checkIssuing(first: CertificateFacts, all: readonly CertificateFacts[], key: KeyObject): void {
  const publicKey = createPublicKey(key);
  if (!certificateKey(first).equals(publicKey)) {
    const place = all.findIndex((certificate) => certificateKey(certificate).equals(publicKey));
    const hint = place > 0 ? `: certificate ${place + 1} belongs to it and must come first` : '';
    throw new CaFault('KeyMismatch', `tls.key is not the key of the first certificate in tls.crt${hint}`);
  }
  const subject = renderName(first.subject);
  if (first.subject.length === 0) throw new CaFault('NotACA', 'the certificate in tls.crt has no subject');
  if (!first.isCA) throw new CaFault('NotACA', `${subject} is not a CA certificate (basicConstraints)`);
  if (first.keyUsage && !first.keyUsage.includes(KEY_USAGE.keyCertSign))
    throw new CaFault(
      'KeyUsageForbids',
      `the keyUsage of ${subject} does not allow it to sign certificates (keyCertSign)`,
    );
}

/** The chain from the first certificate; the rest must be part of it or of another way up. */
function buildChain(
  certificates: readonly [CertificateFacts, ...CertificateFacts[]],
  from: string,
): CertificateFacts[] {
  const [first, ...rest] = certificates;
  const chain = linkChain(first, rest);
  for (const certificate of rest) {
    const used =
      chain.includes(certificate) ||
      certificates.some((child) => child !== certificate && !linkFault(child, certificate));
    if (!used)
      throw new CaFault(
        'ChainBroken',
        `${from}: ${renderName(certificate.subject)} issued none of the other certificates`,
      );
  }
  const [fault] = chain.flatMap((certificate, i) => authorityFaults(certificate, chain.slice(0, i)));
  if (fault !== undefined) throw new CaFault('ChainBroken', `${from}: ${fault}`);
  return chain;
}

/** A bundle starts with another certificate for the CA's own key, or with one that issued the CA's certificate. */
function alternateChain(issuing: CertificateFacts, name: string, pem: Buffer): readonly CertificateFacts[] {
  const bundle = readCertificates(pem, name);
  const [first] = bundle;
  if (!first.spki.equals(issuing.spki)) return buildChain([issuing, ...bundle], name);
  checkTwin(first, issuing, name);
  return buildChain(bundle, name);
}

/** Leaves name the CA by subject and key identifier, so both certificates must have the same. */
function checkTwin(twin: CertificateFacts, issuing: CertificateFacts, name: string): void {
  const ids = [twin, issuing].map((certificate) => certificate.subjectKeyIdentifier ?? keyIdentifier(certificate.spki));
  if (!twin.subjectDer.equals(issuing.subjectDer) || !ids[0]?.equals(ids[1] ?? Buffer.of()))
    throw new CaFault(
      'AlternateChainInvalid',
      `${name}: ${renderName(twin.subject)} has another subject or key identifier than the certificate in tls.crt`,
    );
  if (!twin.isCA)
    throw new CaFault('AlternateChainInvalid', `${name}: ${renderName(twin.subject)} is not a CA certificate`);
}
