// Public keys as they come in, judged before anything is done with them: kind, size, encoding, known weaknesses.
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { PublicKeyFacts } from './certificate-model.ts';
import { DerError, DerReader, TAG } from './der.ts';
import { describeOid, OID } from './oid.ts';
import { Problem } from './problem.ts';
import { modulusWeakness } from './weak-keys.ts';

const MIN_RSA_BITS = 2048;
export const MAX_RSA_BITS = 4096;
/** RSA of 4096 bits takes 550 bytes. */
const MAX_SPKI_BYTES = 4096;
const MIN_EXPONENT = 65_537n;
const MAX_EXPONENT = 2n ** 32n;

/** Counts what costs: imports of keys and checks of signatures. */
export interface KeyWork {
  operations: number;
}

interface Curve {
  /** Name as JWK has it. */
  name: 'P-256' | 'P-384' | 'P-521';
  size: number;
  /** Octets of one coordinate. */
  length: number;
}

/** Curves by object identifier. */
const CURVES: Readonly<Record<string, Curve>> = {
  [OID.p256]: { name: 'P-256', size: 256, length: 32 },
  [OID.p384]: { name: 'P-384', size: 384, length: 48 },
  [OID.p521]: { name: 'P-521', size: 521, length: 66 },
};

/**
 * Facts of a DER SubjectPublicKeyInfo: RSA of 2048 to 4096 bits without a known weakness, an uncompressed point on P-256, P-384
 * or P-521, or Ed25519. Throws badPublicKey with the reason for all else, without a key operation where the encoding, kind or size
 * is at fault.
 */
export function parsePublicKey(spki: Buffer, work: KeyWork = { operations: 0 }): PublicKeyFacts {
  if (spki.length > MAX_SPKI_BYTES) throw bad('the public key is too large');
  try {
    const facts = readKey(spki);
    return { spki, ...facts, key: importKey(spki, work) };
  } catch (error) {
    if (error instanceof DerError) throw bad(`the public key is not well-formed: ${error.message}`);
    throw error;
  }
}

function bad(detail: string): Problem {
  return new Problem('badPublicKey', detail);
}

type Facts = Pick<PublicKeyFacts, 'algorithm' | 'size'>;

function readKey(spki: Buffer): Facts {
  const outer = DerReader.of(spki, 16);
  const info = outer.readSequence();
  outer.end();
  const algorithm = info.readSequence();
  const oid = algorithm.readOid();
  const read = KEY_READERS[oid];
  if (!read) throw bad(`keys of type ${describeOid(oid)} are not supported: use RSA, ECDSA or Ed25519`);
  const facts = read(algorithm, info);
  algorithm.end();
  info.end();
  return facts;
}

const KEY_READERS: Readonly<Record<string, (algorithm: DerReader, info: DerReader) => Facts>> = {
  [OID.rsaEncryption]: readRsa,
  [OID.ecPublicKey]: readEc,
  [OID.ed25519]: readEd25519,
};

/** RFC 3279 section 2.3.1. */
function readRsa(algorithm: DerReader, info: DerReader): Facts {
  algorithm.readNull();
  const inner = info.within(info.readBitString());
  const key = inner.readSequence();
  inner.end();
  const modulus = key.readIntegerBytes();
  const exponent = key.readIntegerBytes();
  key.end();
  return { algorithm: 'RSA', size: checkRsa(modulus, exponent) };
}

/** Bits of the modulus. Both come as INTEGER content; sizes are judged before any arithmetic. */
function checkRsa(modulus: Buffer, exponent: Buffer): number {
  if ((modulus[0] ?? 0) & 0x80 || (exponent[0] ?? 0) & 0x80) throw bad('an RSA modulus and exponent are positive');
  const leading = modulus[0] === 0 ? 1 : 0;
  const bits = (modulus.length - leading) * 8 - Math.clz32(modulus[leading] ?? 0) + 24;
  if (bits < MIN_RSA_BITS)
    throw bad(`an RSA modulus of ${bits} bits is too short: at least ${MIN_RSA_BITS} are needed`);
  if (bits > MAX_RSA_BITS) throw bad(`an RSA modulus of ${bits} bits is too long: at most ${MAX_RSA_BITS} are allowed`);
  if (((modulus.at(-1) ?? 0) & 1) === 0) throw bad('an RSA modulus is odd');
  checkExponent(exponent);
  const weakness = modulusWeakness(BigInt(`0x${modulus.toString('hex')}`));
  if (weakness !== undefined) throw bad(`the RSA modulus ${weakness}`);
  return bits;
}

function checkExponent(exponent: Buffer): void {
  const e = exponent.length > 8 ? MAX_EXPONENT : BigInt(`0x${exponent.toString('hex')}`);
  if (e < MIN_EXPONENT || e >= MAX_EXPONENT) throw bad('an RSA exponent is from 65537 to 2^32');
  if ((e & 1n) === 0n) throw bad('an RSA exponent is odd');
}

/** RFC 5480 section 2: a named curve, the point uncompressed. Whether it lies on the curve is checked as it is imported. */
function readEc(algorithm: DerReader, info: DerReader): Facts {
  if (algorithm.peekTag() !== TAG.oid) throw bad('an elliptic curve is given by its name');
  const oid = algorithm.readOid();
  const curve = CURVES[oid];
  if (!curve) throw bad(`curve ${describeOid(oid)} is not supported: use P-256, P-384 or P-521`);
  const point = info.readBitString();
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.length)
    throw bad(`a key on ${curve.name} is an uncompressed point of ${1 + 2 * curve.length} bytes`);
  return { algorithm: 'ECDSA', size: curve.size };
}

/** RFC 8410 section 4. */
function readEd25519(_algorithm: DerReader, info: DerReader): Facts {
  const point = info.readBitString();
  if (point.length !== 32) throw bad('an Ed25519 key has 32 bytes');
  const y = BigInt(`0x${Buffer.from(point.toReversed()).toString('hex')}`) & ((1n << 255n) - 1n);
  if (y >= ED25519_P || SMALL_ORDER_Y.includes(y)) throw bad('this Ed25519 key is one that signatures of anyone fit');
  return { algorithm: 'Ed25519', size: 256 };
}

const ED25519_P = 2n ** 255n - 19n;
/** y of the points whose order divides 8 (RFC 8032 section 5.1): under such a key one signature fits many messages. */
const SMALL_ORDER_Y: readonly bigint[] = [
  0n,
  1n,
  ED25519_P - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
];

function importKey(spki: Buffer, work: KeyWork): KeyObject {
  work.operations++;
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    throw bad('the public key is not valid: its point may lie off the curve');
  }
}
