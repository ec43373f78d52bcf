// Chains of certificates: read from PEM, put in order, verified link by link, and cut to what is handed out.
import { X509Certificate } from 'node:crypto';
import { type CertificateFacts, certificateKey, isSelfIssued } from './certificate.ts';
import { verifiesWith } from './certificate-signature.ts';
import { attributeValues, nameKey, renderName } from './distinguished-name.ts';
import { sha256 } from './encoding.ts';
import { KEY_USAGE } from './extensions.ts';
import { OID } from './oid.ts';

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** DER of every certificate in PEM text (RFC 7468), in order; text around them is passed over. Throws Error for a block that is broken. */
export function parsePemCertificates(pem: string): Buffer[] {
  const found: Buffer[] = [];
  for (let at = pem.indexOf(BEGIN); at >= 0; at = pem.indexOf(BEGIN, at)) {
    const end = pem.indexOf(END, at);
    const body = end < 0 ? '' : pem.slice(at + BEGIN.length, end).replace(/\s+/g, '');
    if (!BASE64.test(body)) throw new Error(`PEM block ${found.length + 1} is broken`);
    found.push(Buffer.from(body, 'base64'));
    at = end + END.length;
  }
  return found;
}

/** A root: its own issuer, by name and by signature. */
export function isRoot(certificate: CertificateFacts): boolean {
  return isSelfIssued(certificate) && isSignedBy(certificate, certificate);
}

function isSignedBy(child: CertificateFacts, parent: CertificateFacts): boolean {
  try {
    const key = certificateKey(parent);
    if (verifiesWith(key, child.signatureAlgorithm, child.tbs, child.signature)) return true;
    // Algorithms we do not sign with ourselves, such as RSA-PSS, are for OpenSSL to judge.
    return new X509Certificate(child.der).verify(key);
  } catch {
    // A key or algorithm OpenSSL does not know signs nothing.
    return false;
  }
}

/** Whether names and key identifiers let `parent` be the issuer of `child`; says nothing of the signature. */
function mayIssue(parent: CertificateFacts, child: CertificateFacts): boolean {
  const [ski, aki] = [parent.subjectKeyIdentifier, child.authorityKeyIdentifier];
  if (ski && aki && !ski.equals(aki)) return false;
  return parent.subjectDer.equals(child.issuerDer) || nameKey(parent.subject) === nameKey(child.issuer);
}

/** Why `parent` is not the issuer of `child`, if it is not: name, CA flag, key usage, signature. */
export function linkFault(child: CertificateFacts, parent: CertificateFacts): string | undefined {
  const issuer = renderName(parent.subject);
  if (!mayIssue(parent, child)) return `${renderName(child.subject)} is not issued by ${issuer}`;
  if (!parent.isCA) return `${issuer} is not a CA`;
  if (parent.keyUsage && !parent.keyUsage.includes(KEY_USAGE.keyCertSign))
    return `the key of ${issuer} may not sign certificates`;
  return isSignedBy(child, parent) ? undefined : `the signature of ${renderName(child.subject)} is not by ${issuer}`;
}

/**
 * The chain from `first` upwards through `pool`, each the issuer of the one before, to a root or as far as the pool goes. Of several
 * issuers (cross certificates) the first in the pool is taken.
 */
export function linkChain(first: CertificateFacts, pool: readonly CertificateFacts[]): CertificateFacts[] {
  const chain = [first];
  for (let last = first; !isRoot(last); ) {
    const child = last;
    const issuer = pool.find(
      (candidate) =>
        !chain.some((link) => link.spki.equals(candidate.spki)) && linkFault(child, candidate) === undefined,
    );
    if (!issuer) break;
    chain.push(issuer);
    last = issuer;
  }
  return chain;
}

/** Each reason why the certificates, leaf first, are no chain: links, path lengths, critical extensions unknown to us. */
export function chainFaults(chain: readonly CertificateFacts[]): string[] {
  const faults: string[] = [];
  chain.forEach((certificate, i) => {
    const parent = chain[i + 1];
    const fault = parent && linkFault(certificate, parent);
    if (fault !== undefined) faults.push(fault);
    if (i > 0) faults.push(...authorityFaults(certificate, chain.slice(1, i)));
  });
  return faults;
}

/** What forbids this CA certificate above a leaf and the given CA certificates below it. */
export function authorityFaults(certificate: CertificateFacts, below: readonly CertificateFacts[]): string[] {
  const faults = certificate.unknownCritical.map(
    (oid) => `${renderName(certificate.subject)} has the critical extension ${oid}, which is not understood`,
  );
  // RFC 5280 section 4.2.1.9: self-issued certificates do not count.
  const depth = below.filter((ca) => !isSelfIssued(ca)).length;
  if (certificate.pathLength !== undefined && depth > certificate.pathLength)
    faults.push(
      `${renderName(certificate.subject)} allows ${certificate.pathLength} CA certificates below it, not ${depth}`,
    );
  return faults;
}

/**
 * What to hand out of the certificates above a leaf, issuing CA first. A root goes, since clients have it or have no reason to trust
 * it; but one that is itself the issuing CA only if `wanted` says so, because some clients refuse a leaf alone. A last certificate that
 * another CA signed always stays, and `wanted` false keeps all.
 */
export function trimRoot(above: readonly CertificateFacts[], wanted: boolean | undefined): readonly CertificateFacts[] {
  const last = above.at(-1);
  if (!last || wanted === false || !isRoot(last)) return above;
  return above.length > 1 || wanted === true ? above.slice(0, -1) : above;
}

/**
 * Index of the chain to hand out: the first that leads to the most preferred root, else 0. A preference is a common name, or a
 * SHA-256 fingerprint in hex with or without colons. Where a chain stops short of its root, the issuer of its last certificate counts.
 */
export function preferredChain(chains: readonly (readonly CertificateFacts[])[], preferred: readonly string[]): number {
  for (const wanted of preferred) {
    const index = chains.findIndex((chain) => leadsTo(chain, wanted));
    if (index >= 0) return index;
  }
  return 0;
}

function leadsTo(chain: readonly CertificateFacts[], wanted: string): boolean {
  const last = chain.at(-1);
  if (!last) return false;
  if (last.fingerprint === wanted.replaceAll(':', '').toLowerCase()) return true;
  return attributeValues(last.issuer, OID.commonName).includes(wanted);
}

/** SHA-256 of the concatenated DER certificates, lower-case hex. */
export function chainFingerprint(chain: readonly Buffer[]): string {
  return sha256(Buffer.concat(chain)).toString('hex');
}
