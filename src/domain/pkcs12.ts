// Writes PKCS#12 stores (RFC 7292) that OpenSSL 1.1.1 and later, Java 8u301 and later, and Node read: contents under PBES2 with AES-256-CBC and
// PBKDF2-HMAC-SHA-256 (RFC 8018), the whole under an HMAC-SHA-256. Nothing of older algorithms, and nothing is read.
import { createCipheriv, createHash, createHmac, type KeyObject, pbkdf2 } from 'node:crypto';
import { integer, nul, octetString, oid, rawTag, sequence, set, tagged } from './der-writer.ts';
import { OID } from './oid.ts';

const P12 = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyID: '1.2.840.113549.1.9.21',
  /** Of Java: says that a certificate is a trust anchor; without it keytool leaves the certificate out. */
  trustedKeyUsage: '2.16.840.1.113894.746875.1.1',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacWithSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const;

/** As OpenSSL has it: the store stands beside the same key in the clear, so its password guards copies of it alone. */
const ITERATIONS = 2048;
const SALT_LENGTH = 16;

/** What stores can hold as a name, and all readers show alike. */
export const FRIENDLY_NAME = '^[!-~]([ -~]{0,62}[!-~])?$';

/** Java takes passwords of printable ASCII alone. Undefined where the password is fit for a store. */
export function passwordProblem(password: string): string | undefined {
  if (password === '') return 'is empty';
  if (password.length > 128) return 'is longer than 128 characters';
  return /^[ -~]*$/.test(password)
    ? undefined
    : 'has characters beyond printable ASCII, such as a line break at its end';
}

export interface Protection {
  /** Without a passwordProblem. */
  password: string;
  random: { bytes(length: number): Buffer };
}

/** A store with a key and its certificate chain, DER, leaf first. */
export async function buildKeystore(
  { key, chain, friendlyName }: { key: KeyObject; chain: readonly Buffer[]; friendlyName: string | undefined },
  protection: Protection,
): Promise<Buffer> {
  const [leaf = Buffer.alloc(0), ...others] = chain;
  const own = [
    attribute(P12.localKeyID, octetString(createHash('sha1').update(leaf).digest())),
    ...(friendlyName === undefined ? [] : [nameAttribute(friendlyName)]),
  ];
  const shrouded = await encrypt(key.export({ type: 'pkcs8', format: 'der' }), protection);
  const keyBag = safeBag(P12.shroudedKeyBag, sequence(shrouded.algorithm, octetString(shrouded.content)), own);
  const certificates = sequence(certBag(leaf, own), ...others.map((der) => certBag(der, [])));
  return seal([await encryptedData(certificates, protection), data(sequence(keyBag))], protection);
}

/** A store of trust anchors, DER. */
export async function buildTruststore(anchors: readonly Buffer[], protection: Protection): Promise<Buffer> {
  const trusted = attribute(P12.trustedKeyUsage, oid(OID.anyExtendedKeyUsage));
  const bags = anchors.map((der, i) => certBag(der, [nameAttribute(i === 0 ? 'ca' : `ca-${i + 1}`), trusted]));
  return seal([await encryptedData(sequence(...bags), protection)], protection);
}

/** RFC 7292 section 4: AuthenticatedSafe under a MAC. */
function seal(contents: readonly Buffer[], { password, random }: Protection): Buffer {
  const safe = sequence(...contents);
  const salt = random.bytes(SALT_LENGTH);
  const mac = createHmac('sha256', macKey(password, salt)).update(safe).digest();
  const digestInfo = sequence(sequence(oid(P12.sha256), nul()), octetString(mac));
  return sequence(integer(3), data(safe), sequence(digestInfo, octetString(salt), integer(ITERATIONS)));
}

function data(content: Buffer): Buffer {
  return sequence(oid(P12.data), tagged(0, octetString(content)));
}

async function encryptedData(content: Buffer, protection: Protection): Promise<Buffer> {
  const { algorithm, content: encrypted } = await encrypt(content, protection);
  // RFC 5652 section 8: version 0; the content is [0] IMPLICIT.
  const info = sequence(oid(P12.data), algorithm, rawTag(0x80, encrypted));
  return sequence(oid(P12.encryptedData), tagged(0, sequence(integer(0), info)));
}

function safeBag(type: string, value: Buffer, attributes: readonly Buffer[]): Buffer {
  return sequence(oid(type), tagged(0, value), ...(attributes.length === 0 ? [] : [set(...attributes)]));
}

function certBag(der: Buffer, attributes: readonly Buffer[]): Buffer {
  const certificate = sequence(oid(P12.x509Certificate), tagged(0, octetString(der)));
  return safeBag(P12.certBag, certificate, attributes);
}

function attribute(type: string, value: Buffer): Buffer {
  return sequence(oid(type), set(value));
}

/** A BMPString, which is UTF-16 with the high byte first. */
function nameAttribute(name: string): Buffer {
  return attribute(P12.friendlyName, rawTag(0x1e, bigEndian(name)));
}

function bigEndian(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/** In the thread pool. */
function stretch(password: string, salt: Buffer): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  pbkdf2(password, salt, ITERATIONS, 32, 'sha256', (error, key) => (error ? reject(error) : resolve(key)));
  return promise;
}

async function encrypt(
  plaintext: Buffer,
  { password, random }: Protection,
): Promise<{ algorithm: Buffer; content: Buffer }> {
  const [salt, iv] = [random.bytes(SALT_LENGTH), random.bytes(16)];
  const cipher = createCipheriv('aes-256-cbc', await stretch(password, salt), iv);
  const prf = sequence(oid(P12.hmacWithSha256), nul());
  const derivation = sequence(oid(P12.pbkdf2), sequence(octetString(salt), integer(ITERATIONS), prf));
  const algorithm = sequence(oid(P12.pbes2), sequence(derivation, sequence(oid(P12.aes256Cbc), octetString(iv))));
  return { algorithm, content: Buffer.concat([cipher.update(plaintext), cipher.final()]) };
}

/** RFC 7292 appendix B.2 for SHA-256 with purpose 3, whose 32 bytes are all that a MAC key needs: one round, no carrying over. */
function macKey(password: string, salt: Buffer): Buffer {
  const blockOf = 64;
  const filled = (bytes: Buffer) => Buffer.alloc(Math.ceil(bytes.length / blockOf) * blockOf, bytes);
  const secret = bigEndian(`${password}\0`);
  let key = createHash('sha256').update(Buffer.alloc(blockOf, 3)).update(filled(salt)).update(filled(secret)).digest();
  for (let i = 1; i < ITERATIONS; i++) key = createHash('sha256').update(key).digest();
  return key;
}
