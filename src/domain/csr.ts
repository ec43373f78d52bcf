// PKCS#10 certificate requests (RFC 2986): what one may carry is a closed list, and all else is refused by name.
import { verify } from 'node:crypto';
import type { Usage } from '../api/kind.ts';
import { parseExact, renderAddress } from './address.ts';
import type {
  AlternativeNames,
  CertificateSigningRequest,
  DistinguishedName,
  NameAttribute,
  PublicKeyFacts,
} from './certificate-model.ts';
import { checkDer, createBudget, type DerBudget, DerError, DerReader } from './der.ts';
import { attributeProblem, readName } from './distinguished-name.ts';
import {
  type Extension,
  parseAlternativeNames,
  parseBasicConstraints,
  parseExtendedKeyUsage,
  parseKeyUsage,
  readExtensions,
} from './extensions.ts';
import { type Identifier, parseDnsName, parseIdentifier, quote, uniqueIdentifiers } from './identifier.ts';
import { describeOid, OID } from './oid.ts';
import { Problem } from './problem.ts';
import { type KeyWork, parsePublicKey } from './public-key.ts';

export const MAX_CSR_BYTES = 16_384;
/** More names than any door lets a request have. */
const MAX_NAMES = 256;
/** DNS names that are checked label by label have at most this many characters together, as those of an order. */
const MAX_CHECKED_LENGTH = 4000;

/** Counts what a request costs, for tests; shared by all steps of the parse. */
export interface CsrWork extends KeyWork {
  budget: DerBudget;
}

export function createCsrWork(): CsrWork {
  return { operations: 0, budget: createBudget() };
}

/**
 * A request whose self-signature is good and which asks for nothing outside the list: subject attributes (for policy to judge),
 * subjectAltName with DNS names, addresses, URIs and e-mail addresses, basicConstraints CA:FALSE, keyUsage of a leaf,
 * extendedKeyUsage of TLS servers and clients. Subject key identifier, challengePassword and unstructuredName are ignored.
 * DNS names, addresses, and a common name that is one of these, come out in normal form. Throws badCSR with a readable reason;
 * the key operations come last. With `ordered`, DNS names in normal form that the request must be compared with, other names come out
 * with their `xn--` labels unchecked: the caller refuses them anyway, and the check is what makes a request dear.
 */
export function parseCsr(
  der: Buffer,
  work: CsrWork = createCsrWork(),
  ordered?: ReadonlySet<string>,
): CertificateSigningRequest {
  if (der.length > MAX_CSR_BYTES) throw bad(`it is larger than ${MAX_CSR_BYTES} bytes`);
  if (der.subarray(0, 10).toString('latin1') === '-----BEGIN') throw bad('it is PEM: send DER');
  try {
    return readCsr(der, work, ordered);
  } catch (error) {
    if (error instanceof DerError) throw bad(`it is not well-formed: ${error.message}`);
    if (error instanceof Problem && error.type !== 'badCSR') throw bad(error.detail);
    throw error;
  }
}

/** The names a request asks for: DNS names and addresses of its SAN, and its common name where that is one. Sorted, each once. */
export function csrIdentifiers(csr: Pick<CertificateSigningRequest, 'subject' | 'names'>): Identifier[] {
  const commonName = csrCommonName(csr);
  const named = commonName === undefined ? undefined : nameIn(commonName);
  return uniqueIdentifiers([
    ...(named ? [named] : []),
    ...csr.names.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...csr.names.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ]);
}

/** The common name, of which a parsed request has at most one. */
export function csrCommonName(csr: Pick<CertificateSigningRequest, 'subject'>): string | undefined {
  return csr.subject.flat().find(({ oid }) => oid === OID.commonName)?.value;
}

function bad(reason: string): Problem {
  return new Problem('badCSR', `the certificate request cannot be accepted: ${reason}`);
}

function readCsr(der: Buffer, work: CsrWork, ordered?: ReadonlySet<string>): CertificateSigningRequest {
  const outer = DerReader.of(der, work.budget);
  const request = outer.readSequence();
  outer.end();
  const signed = request.readRaw();
  const algorithm = readSignatureAlgorithm(request.readSequence());
  const signature = request.readBitString();
  request.end();
  const info = DerReader.of(signed, work.budget).readSequence();
  if (info.readSmallInteger() !== 0) throw bad('its version is not 1');
  const subject = checkSubject(readName(info));
  const spki = info.readRaw();
  const { names, usages } = readAttributes(info.readTagged(0), ordered);
  info.end();
  // What the fields above skip (ignored values, the key) is DER all the same.
  checkDer(der);
  if (csrCommonName({ subject }) === undefined && Object.values(names).every((list) => list.length === 0))
    throw bad('it names nothing: neither a common name nor a subjectAltName');
  const publicKey = parsePublicKey(spki, work);
  work.operations++;
  verifySelf(signed, { algorithm, signature, publicKey });
  return { der, subject, names, publicKey, usages };
}

// ---- Subject ------------------------------------------------------------------------------------------------------

/** Closed to every doubt: one common name, standing alone; no type twice in an RDN; values a certificate could hold. */
function checkSubject(name: DistinguishedName): DistinguishedName {
  const commonNames = name.flat().filter(({ oid }) => oid === OID.commonName);
  if (commonNames.length > 1) throw bad('it has more than one common name');
  return name.map((rdn) => {
    if (new Set(rdn.map(({ oid }) => oid)).size < rdn.length)
      throw bad('a part of its subject has one attribute twice');
    if (rdn.length > 1 && rdn.some(({ oid }) => oid === OID.commonName))
      throw bad('its common name shares a part of the subject with other attributes');
    return rdn.map(checkAttribute);
  });
}

function checkAttribute(attribute: NameAttribute): NameAttribute {
  const problem = attributeProblem(attribute);
  if (problem !== undefined) throw bad(`in its subject ${problem}`);
  if (attribute.oid !== OID.commonName) return attribute;
  return { oid: attribute.oid, value: checkCommonName(attribute.value) };
}

/** Normal form of a common name that is a DNS name or an address; others as they are. One that only looks like a name is refused. */
function checkCommonName(text: string): string {
  const address = parseExact(text);
  if (address) return checkAddress(renderAddress(address));
  const named = nameIn(text);
  if (named) return named.value;
  // Dots or stars without anything that stands in people's, devices' or other systems' names: meant as a DNS name, and not one.
  if (/[.*。．｡]/.test(text) && !/[\s@/,:=]/.test(text)) return checkDnsName(text);
  return text;
}

/** The identifier a common name is, if it is one. */
function nameIn(text: string): Identifier | undefined {
  try {
    return parseIdentifier({ type: parseExact(text) ? 'ip' : 'dns', value: text });
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

// ---- Attributes and extensions ------------------------------------------------------------------------------------

interface Requested {
  names: AlternativeNames;
  usages: readonly Usage[] | undefined;
}

const NO_NAMES: AlternativeNames = { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] };
const IGNORED_ATTRIBUTES: readonly string[] = [OID.challengePassword, OID.unstructuredName];

/** Order of the attributes is not held against anyone: much-used software does not sort them. */
function readAttributes(attributes: DerReader, ordered: ReadonlySet<string> | undefined): Requested {
  let requested: Requested | undefined;
  while (attributes.more()) {
    const attribute = attributes.readSequence();
    const type = attribute.readOid();
    const values = attribute.readSet();
    attribute.end();
    if (IGNORED_ATTRIBUTES.includes(type)) continue;
    if (type !== OID.extensionRequest) throw bad(`attribute ${describeOid(type)} is not allowed`);
    if (requested) throw bad('it has more than one extensionRequest');
    requested = readRequested(readExtensions(values), ordered);
    values.end();
  }
  return requested ?? { names: NO_NAMES, usages: undefined };
}

function readRequested(
  extensions: ReadonlyMap<string, Extension>,
  ordered: ReadonlySet<string> | undefined,
): Requested {
  for (const [type, { value }] of extensions) {
    const check = EXTENSION_CHECKS[type];
    if (!check) throw bad(`extension ${describeOid(type)} is not allowed`);
    check(value);
  }
  const san = extensions.get(OID.subjectAltName);
  const usage = extensions.get(OID.extKeyUsage);
  return { names: san ? readNames(san.value, ordered) : NO_NAMES, usages: usage && readUsages(usage.value) };
}

const ignore = (): void => undefined;

const EXTENSION_CHECKS: Readonly<Record<string, (value: Buffer) => void>> = {
  [OID.subjectAltName]: ignore,
  [OID.extKeyUsage]: ignore,
  [OID.subjectKeyIdentifier]: ignore,
  [OID.basicConstraints]: (value) => {
    if (parseBasicConstraints(value).isCA) throw bad('basicConstraints (2.5.29.19) asks for a CA certificate');
  },
  [OID.keyUsage]: (value) => {
    const refused = parseKeyUsage(value).find((bit) => !LEAF_KEY_USAGES.includes(bit));
    if (refused !== undefined)
      throw bad(`keyUsage (2.5.29.15) asks for ${KEY_USAGE_NAMES[refused] ?? `bit ${refused}`}, which is not allowed`);
  },
};

/** Bits of KeyUsage, RFC 5280 section 4.2.1.3. */
const KEY_USAGE_NAMES: readonly string[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];
const LEAF_KEY_USAGES: readonly number[] = [0, 2, 4];

const USAGES: Readonly<Record<string, Usage>> = { [OID.serverAuth]: 'server auth', [OID.clientAuth]: 'client auth' };

function readUsages(value: Buffer): readonly Usage[] {
  const usages = parseExtendedKeyUsage(value).map((oid) => {
    const usage = USAGES[oid];
    if (!usage) throw bad(`extended key usage ${describeOid(oid)} is not allowed`);
    return usage;
  });
  return [...new Set(usages)];
}

function readNames(value: Buffer, ordered: ReadonlySet<string> | undefined): AlternativeNames {
  const { names, others } = parseAlternativeNames(value);
  const count = Object.values(names).reduce((sum, list) => sum + list.length, 0);
  if (count > MAX_NAMES) throw bad(`its subjectAltName has more than ${MAX_NAMES} names`);
  if (others.length > 0) throw bad(`subjectAltName (2.5.29.17) has names of type ${[...new Set(others)].join(', ')}`);
  return {
    dnsNames: readDnsNames(names.dnsNames, ordered),
    ipAddresses: unique(names.ipAddresses.map(checkAddress)),
    uris: unique(names.uris.map((uri) => checkText(uri, /^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i, 'a URI'))),
    emailAddresses: unique(
      names.emailAddresses.map((email) =>
        checkText(email, /^[\x21-\x3f\x41-\x7e]+@[\x21-\x3f\x41-\x7e]+$/, 'an e-mail address'),
      ),
    ),
  };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function readDnsNames(names: readonly string[], ordered: ReadonlySet<string> | undefined): string[] {
  const each = unique(names);
  if (ordered) return each.map((name) => (ordered.has(name) ? name : checkDnsName(name, () => true)));
  const length = each.reduce((sum, name) => sum + name.length, 0);
  if (length > MAX_CHECKED_LENGTH) throw bad(`its DNS names have more than ${MAX_CHECKED_LENGTH} characters together`);
  return unique(each.map((name) => checkDnsName(name)));
}

function checkDnsName(text: string, isValid?: (aLabel: string) => boolean): string {
  try {
    return parseDnsName(text, isValid);
  } catch (error) {
    throw error instanceof Problem ? bad(error.detail) : error;
  }
}

function checkAddress(canonical: string): string {
  if (canonical.startsWith('::ffff:')) throw bad('it has an IPv4-mapped IPv6 address: use the IPv4 address');
  return canonical;
}

function checkText(text: string, pattern: RegExp, what: string): string {
  if (!pattern.test(text)) throw bad(`${quote(text)} is not ${what}`);
  return text;
}

// ---- Self-signature -----------------------------------------------------------------------------------------------

interface SignatureAlgorithm {
  key: PublicKeyFacts['algorithm'];
  hash: 'sha256' | 'sha384' | 'sha512' | null;
}

const SIGNATURE_ALGORITHMS: Readonly<Record<string, SignatureAlgorithm>> = {
  [OID.sha256WithRsa]: { key: 'RSA', hash: 'sha256' },
  [OID.sha384WithRsa]: { key: 'RSA', hash: 'sha384' },
  [OID.sha512WithRsa]: { key: 'RSA', hash: 'sha512' },
  [OID.ecdsaWithSha256]: { key: 'ECDSA', hash: 'sha256' },
  [OID.ecdsaWithSha384]: { key: 'ECDSA', hash: 'sha384' },
  [OID.ecdsaWithSha512]: { key: 'ECDSA', hash: 'sha512' },
  [OID.ed25519]: { key: 'Ed25519', hash: null },
};

/** RFC 4055 section 5 (parameters NULL, or absent in old software), RFC 5758 section 3.2 and RFC 8410 section 3 (absent). */
function readSignatureAlgorithm(reader: DerReader): SignatureAlgorithm {
  const oid = reader.readOid();
  const algorithm = SIGNATURE_ALGORITHMS[oid];
  if (!algorithm)
    throw bad(`it is signed with ${describeOid(oid)}: use SHA-256 or stronger with RSA (PKCS #1) or ECDSA, or Ed25519`);
  if (algorithm.key === 'RSA' && reader.more()) reader.readNull();
  reader.end();
  return algorithm;
}

/** Proof that the requester holds the key. */
function verifySelf(
  signed: Buffer,
  { algorithm, signature, publicKey }: { algorithm: SignatureAlgorithm; signature: Buffer; publicKey: PublicKeyFacts },
): void {
  if (algorithm.key !== publicKey.algorithm) throw bad('its signature algorithm does not fit its key');
  if (!verify(algorithm.hash, signed, publicKey.key, signature)) throw bad('its self-signature is wrong');
}
