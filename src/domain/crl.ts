// Certificate revocation lists (RFC 5280 section 5): written and read in time linear in the entries (plus a sort).
import type { DistinguishedName } from './certificate-model.ts';
import type { SignatureAlgorithm } from './certificate-signature.ts';
import { DerError, DerReader, TAG } from './der.ts';
import { enumerated, integer, rawTag, sequence, tagged, time } from './der-writer.ts';
import { readName } from './distinguished-name.ts';
import {
  encodeAuthorityKeyIdentifier,
  encodeExtension,
  type Extension,
  parseAuthorityKeyIdentifier,
  readExtensions,
} from './extensions.ts';
import { describeOid, OID } from './oid.ts';

export interface CrlEntry {
  /** Lower-case hex of the magnitude. */
  serial: string;
  revokedAt: Date;
  /** CRLReason, RFC 5280 section 5.3.1; 0 is left out. */
  reason: number;
}

export interface CrlTemplate {
  /** DER of the CA's subject. */
  issuer: Buffer;
  /** subjectKeyIdentifier of the CA. */
  keyIdentifier: Buffer;
  algorithm: SignatureAlgorithm;
  number: bigint;
  thisUpdate: Date;
  nextUpdate: Date;
  entries: readonly CrlEntry[];
}

/** The part to be signed of a version 2 CRL. Entries come out by serial number; of two for one certificate the earlier counts. */
export function buildCrlTbs(crl: CrlTemplate): Buffer {
  if (crl.number < 0n || crl.number >= 1n << 159n) throw new RangeError('a CRL number takes at most 20 octets');
  if (!(crl.nextUpdate > crl.thisUpdate)) throw new RangeError('a CRL ends after it begins');
  const entries = encodeEntries(crl.entries);
  return sequence(
    integer(1),
    crl.algorithm.der,
    crl.issuer,
    time(crl.thisUpdate),
    time(crl.nextUpdate),
    // revokedCertificates is absent where nothing is revoked (section 5.1.2.6).
    ...(entries.length > 0 ? [rawTag(TAG.sequence, Buffer.concat(entries))] : []),
    tagged(
      0,
      sequence(
        encodeExtension(OID.authorityKeyIdentifier, encodeAuthorityKeyIdentifier(crl.keyIdentifier)),
        encodeExtension(OID.crlNumber, integer(crl.number)),
      ),
    ),
  );
}

/** The reasons an entry may give; any other is left out rather than the entry: 7 is not used, 8 belongs to delta CRLs. */
const REASONS = new Map(
  [1, 2, 3, 4, 5, 6, 9, 10].map((reason) => [reason, sequence(encodeExtension(OID.reasonCode, enumerated(reason)))]),
);

function encodeEntries(entries: readonly CrlEntry[]): Buffer[] {
  const bySerial = new Map<string, CrlEntry>();
  for (const entry of entries) {
    const key = entry.serial.replace(/^0+(?=.)/, '').padStart(40, '0');
    const known = bySerial.get(key);
    if (!known || entry.revokedAt < known.revokedAt) bySerial.set(key, entry);
  }
  const times = createTimes();
  return [...bySerial.keys()].sort().map((key) => encodeEntry(key, bySerial.get(key), times));
}

function encodeEntry(serial: string, entry: CrlEntry | undefined, times: (date: Date) => Buffer): Buffer {
  if (!entry || !/^[0-9a-f]{40}$/.test(serial)) throw new RangeError('a serial number is hex of at most 20 octets');
  const reason = REASONS.get(entry.reason);
  const fields = [integer(Buffer.from(serial, 'hex')), times(entry.revokedAt)];
  return reason ? sequence(...fields, reason) : sequence(...fields);
}

/** Many entries share a second. */
function createTimes(): (date: Date) => Buffer {
  const known = new Map<number, Buffer>();
  return (date) => {
    const second = Math.floor(date.getTime() / 1000);
    const encoded = known.get(second) ?? time(date);
    known.set(second, encoded);
    return encoded;
  };
}

export interface CrlFacts {
  issuer: DistinguishedName;
  issuerDer: Buffer;
  thisUpdate: Date;
  nextUpdate: Date | undefined;
  number: bigint | undefined;
  authorityKeyIdentifier: Buffer | undefined;
  entries: readonly CrlEntry[];
  /** DER AlgorithmIdentifier. */
  signatureAlgorithm: Buffer;
  tbs: Buffer;
  signature: Buffer;
}

/** Facts of a DER CRL; the signature is not checked. Throws Error for malformed bytes and for critical extensions, which all narrow a list's meaning. */
export function parseCrl(der: Buffer): CrlFacts {
  // Each value takes at least two bytes, so the size bounds the work by itself.
  const input = DerReader.of(der, der.length);
  const outer = input.readSequence();
  input.end();
  const tbs = outer.readRaw();
  const signatureAlgorithm = outer.readRaw();
  const signature = outer.readBitString();
  outer.end();
  return { ...readTbs(input.within(tbs), signatureAlgorithm), signatureAlgorithm, tbs, signature };
}

function readTbs(outer: DerReader, signatureAlgorithm: Buffer) {
  const tbs = outer.readSequence();
  outer.end();
  if (tbs.readSmallInteger() !== 1) throw new DerError('a CRL of a version other than 2');
  if (!tbs.readRaw().equals(signatureAlgorithm)) throw new DerError('a CRL that names two signature algorithms');
  const issuerDer = tbs.readRaw();
  const issuerReader = tbs.within(issuerDer);
  const issuer = readName(issuerReader, true);
  issuerReader.end();
  const thisUpdate = tbs.readTime();
  const nextUpdate = isTime(tbs.peekTag()) ? tbs.readTime() : undefined;
  const entries = tbs.peekTag() === TAG.sequence ? readEntries(tbs.readSequence()) : [];
  const extensions = tbs.more() ? readListExtensions(tbs.readTagged(0)) : new Map<string, Extension>();
  tbs.end();
  const number = extensions.get(OID.crlNumber);
  const authority = extensions.get(OID.authorityKeyIdentifier);
  return {
    issuer,
    issuerDer,
    thisUpdate,
    nextUpdate,
    entries,
    number: number && readWhole(number.value, (reader) => reader.readInteger()),
    authorityKeyIdentifier: authority && parseAuthorityKeyIdentifier(authority.value),
  };
}

function isTime(tag: number | undefined): boolean {
  return tag === TAG.utcTime || tag === TAG.generalizedTime;
}

function readListExtensions(field: DerReader): Map<string, Extension> {
  const extensions = readExtensions(field);
  field.end();
  refuseCritical(extensions);
  return extensions;
}

function refuseCritical(extensions: Map<string, Extension>): void {
  for (const [oid, { critical }] of extensions)
    if (critical) throw new DerError(`a CRL with the critical extension ${describeOid(oid)}`);
}

function readEntries(list: DerReader): CrlEntry[] {
  const entries: CrlEntry[] = [];
  if (!list.more()) throw new DerError('an empty list of revoked certificates');
  while (list.more()) entries.push(readEntry(list.readSequence()));
  return entries;
}

function readEntry(entry: DerReader): CrlEntry {
  const bytes = entry.readIntegerBytes();
  if ((bytes[0] ?? 0) & 0x80) throw new DerError('a negative serial number');
  const serial = (bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes).toString('hex');
  const revokedAt = entry.readTime();
  const extensions = entry.more() ? readExtensions(entry) : new Map<string, Extension>();
  entry.end();
  refuseCritical(extensions);
  const reason = extensions.get(OID.reasonCode);
  return { serial, revokedAt, reason: reason ? readWhole(reason.value, (reader) => reader.readEnumerated()) : 0 };
}

function readWhole<T>(bytes: Buffer, read: (reader: DerReader) => T): T {
  const reader = DerReader.of(bytes);
  const value = read(reader);
  reader.end();
  return value;
}
