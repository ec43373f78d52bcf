// Public keys: every kind we take, and every way to make one that must not be taken (hostile inputs 17 and 18), with work counted.
import { type KeyObject, generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import * as der from '../../test/support/der-writer.ts';
import { Problem } from './problem.ts';
import { parsePublicKey } from './public-key.ts';

const spkiOf = (pair: { publicKey: KeyObject }) => pair.publicKey.export({ type: 'spki', format: 'der' });

const RSA = der.sequence(der.oid('1.2.840.113549.1.1.1'), der.nullValue());
const rsaSpki = (n: bigint | Buffer, e: bigint | Buffer, algorithm = RSA) =>
  der.sequence(algorithm, der.bitString(der.sequence(der.integer(n), der.integer(e))));
const P256 = '1.2.840.10045.3.1.7';
const ecSpki = (curve: Buffer, point: Buffer) =>
  der.sequence(der.sequence(der.oid('1.2.840.10045.2.1'), curve), der.bitString(point));
const edSpki = (point: Buffer, oid = '1.3.101.112') => der.sequence(der.sequence(der.oid(oid)), der.bitString(point));

const prime = (bits: number) => generatePrimeSync(bits, { bigint: true });
const sound = prime(1024) * prime(1024);
const point = spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' })).subarray(-65);
const compressed = Buffer.concat([Buffer.of(2), point.subarray(1, 33)]);
const offCurve = Buffer.from(point);
offCurve[64] = (offCurve[64] ?? 0) ^ 1;
/** An Ed25519 y coordinate as key bytes. */
const edPoint = (y: bigint) => Buffer.from(Buffer.from(y.toString(16).padStart(64, '0'), 'hex').toReversed());
const FIELD = 2n ** 255n - 19n;

test.each([
  ['RSA 2048', generateKeyPairSync('rsa', { modulusLength: 2048 }), 'RSA', 2048],
  ['RSA 3072', generateKeyPairSync('rsa', { modulusLength: 3072 }), 'RSA', 3072],
  ['RSA 2056', generateKeyPairSync('rsa', { modulusLength: 2056 }), 'RSA', 2056],
  [
    'RSA with exponent 2^31+1',
    generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 2_147_483_659 }),
    'RSA',
    2048,
  ],
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'ECDSA', 256],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'ECDSA', 384],
  ['P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' }), 'ECDSA', 521],
  ['Ed25519', generateKeyPairSync('ed25519'), 'Ed25519', 256],
])('%s is taken, with one key operation', (_, pair, algorithm, size) => {
  const work = { operations: 0 };
  const spki = spkiOf(pair);
  const facts = parsePublicKey(spki, work);
  expect(facts).toMatchObject({ algorithm, size });
  expect(facts.spki).toEqual(spki);
  expect(facts.key.equals(pair.publicKey)).toBe(true);
  expect(work.operations).toBe(1);
});

const refused: [what: string, spki: Buffer, reason: RegExp, operations?: number][] = [
  ['RSA 1024', spkiOf(generateKeyPairSync('rsa', { modulusLength: 1024 })), /1024 bits is too short/],
  ['RSA 2047', rsaSpki(((1n << 2046n) + 1n) | 1n, 65_537n), /2047 bits is too short/],
  ['RSA 4097', rsaSpki((1n << 4096n) | 1n, 65_537n), /4097 bits is too long/],
  ['RSA 16384', rsaSpki((1n << 16_383n) | 1n, 65_537n), /16384 bits is too long/],
  ['RSA of a megabyte', rsaSpki(Buffer.alloc(1_000_000, 0x7f), 65_537n), /too large/],
  ['an even modulus', rsaSpki(sound + 1n, 65_537n), /modulus is odd/],
  [
    'a negative modulus',
    der.sequence(RSA, der.bitString(der.sequence(der.tlv(2, Buffer.alloc(256, 0x81)), der.integer(65_537)))),
    /positive/,
  ],
  ['a modulus with a small factor', rsaSpki(prime(1024) * prime(1024) * 3n, 65_537n), /divisible by 3/],
  ['exponent 1', rsaSpki(sound, 1n), /from 65537/],
  ['exponent 2', rsaSpki(sound, 2n), /from 65537/],
  ['exponent 3', rsaSpki(sound, 3n), /from 65537/],
  ['exponent 65535', rsaSpki(sound, 65_535n), /from 65537/],
  ['exponent 65538', rsaSpki(sound, 65_538n), /exponent is odd/],
  ['exponent 2^32+1', rsaSpki(sound, (1n << 32n) + 1n), /to 2\^32/],
  ['an exponent of 2000 bits', rsaSpki(sound, (1n << 2000n) + 1n), /to 2\^32/],
  [
    'a negative exponent',
    der.sequence(RSA, der.bitString(der.sequence(der.integer(sound), der.tlv(2, Buffer.of(0x81))))),
    /positive/,
  ],
  ['RSA without NULL', rsaSpki(sound, 65_537n, der.sequence(der.oid('1.2.840.113549.1.1.1'))), /NULL expected/],
  [
    'RSA with a third number',
    der.sequence(RSA, der.bitString(der.sequence(der.integer(sound), der.integer(65_537), der.integer(1)))),
    /trailing/,
  ],
  ['RSA-PSS', spkiOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 })), /rsaPss/],
  ['DSA', spkiOf(generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 })), /dsa/],
  ['Ed448', spkiOf(generateKeyPairSync('ed448')), /ed448/],
  ['X25519', spkiOf(generateKeyPairSync('x25519')), /1\.3\.101\.110/],
  ['secp256k1', spkiOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })), /curve 1\.3\.132\.0\.10/],
  ['P-224', spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-224' })), /curve 1\.3\.132\.0\.33/],
  [
    'explicit curve parameters',
    spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' })),
    /by its name/,
  ],
  ['a compressed point', ecSpki(der.oid(P256), compressed), /uncompressed/],
  ['a hybrid point', ecSpki(der.oid(P256), Buffer.concat([Buffer.of(6), point.subarray(1)])), /uncompressed/],
  ['the point at infinity', ecSpki(der.oid(P256), Buffer.of(0)), /uncompressed/],
  ['a point of another curve', ecSpki(der.oid('1.3.132.0.34'), point), /uncompressed point of 97 bytes/],
  ['a point off the curve', ecSpki(der.oid(P256), offCurve), /off the curve/, 1],
  ['the point (0, 0)', ecSpki(der.oid(P256), Buffer.concat([Buffer.of(4), Buffer.alloc(64)])), /off the curve/, 1],
  [
    'coordinates beyond the field',
    ecSpki(der.oid(P256), Buffer.concat([Buffer.of(4), Buffer.alloc(64, 0xff)])),
    /off the curve/,
    1,
  ],
  ['Ed25519 of 31 bytes', edSpki(Buffer.alloc(31, 9)), /32 bytes/],
  [
    'Ed25519 with parameters',
    der.sequence(der.sequence(der.oid('1.3.101.112'), der.nullValue()), der.bitString(Buffer.alloc(32, 9))),
    /trailing/,
  ],
  ['Ed25519 y = 1, the neutral point', edSpki(edPoint(1n)), /anyone/],
  ['Ed25519 y = 0', edSpki(edPoint(0n)), /anyone/],
  ['Ed25519 y = -1', edSpki(edPoint(FIELD - 1n)), /anyone/],
  ['Ed25519 y = p + 1, a second spelling of 1', edSpki(edPoint(FIELD + 1n)), /anyone/],
  [
    'a third element',
    der.sequence(der.sequence(der.oid('1.3.101.112')), der.bitString(Buffer.alloc(32, 9)), der.nullValue()),
    /trailing/,
  ],
  [
    'bytes after the RSA numbers',
    der.sequence(
      RSA,
      der.bitString(Buffer.concat([der.sequence(der.integer(sound), der.integer(65_537)), der.nullValue()])),
    ),
    /trailing/,
  ],
  ['trailing bytes', Buffer.concat([edSpki(Buffer.alloc(32, 9)), Buffer.of(0)]), /trailing/],
  [
    'unused bits',
    der.sequence(der.sequence(der.oid('1.3.101.112')), der.bitString(Buffer.alloc(32, 2), 1)),
    /unused bits/,
  ],
  ['no bytes', Buffer.alloc(0), /found the end/],
  ['nested sequences', Buffer.from('30'.repeat(200), 'hex'), /trailing/],
];

test.each(refused)('%s is refused', (_, spki, reason, operations = 0) => {
  const work = { operations: 0 };
  const act = () => parsePublicKey(spki, work);
  expect(act).toThrow(Problem);
  expect(work.operations).toBe(operations);
  expect(act).toThrow(expect.objectContaining({ type: 'badPublicKey', detail: expect.stringMatching(reason) }));
});

/** Ed25519's addition law (RFC 8032 section 5.1.4), affine: enough to find the points whose order divides 8. */
test('the small-order points of Ed25519 are the ones refused', () => {
  const inverse = (a: bigint) => power(((a % FIELD) + FIELD) % FIELD, FIELD - 2n);
  const power = (base: bigint, exponent: bigint) => {
    let result = 1n;
    for (let rest = exponent, square = base; rest > 0n; rest >>= 1n, square = (square * square) % FIELD)
      if (rest & 1n) result = (result * square) % FIELD;
    return result;
  };
  const mod = (a: bigint) => ((a % FIELD) + FIELD) % FIELD;
  const d = mod(-121_665n * inverse(121_666n));
  /** x² of a point with this y, and y of its double. */
  const xSquared = (y: bigint) => mod((y * y - 1n) * inverse(d * y * y + 1n));
  const double = (y: bigint) => {
    const [xx, yy] = [xSquared(y), mod(y * y)];
    return mod((yy + xx) * inverse(1n - d * xx * yy));
  };
  const order8 = [
    0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
    0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
  ];
  for (const y of order8) {
    expect(double(double(double(y)))).toBe(1n);
    expect(() => parsePublicKey(edSpki(edPoint(y)))).toThrow(/anyone/);
    // The sign of x is the top bit: the negative of the point is refused as well.
    expect(() => parsePublicKey(edSpki(edPoint(y | (1n << 255n))))).toThrow(/anyone/);
  }
  const base = mod(4n * inverse(5n));
  expect(double(double(double(base)))).not.toBe(1n);
  expect(parsePublicKey(edSpki(edPoint(base))).algorithm).toBe('Ed25519');
});

test('property: changed bytes give a key or a problem, and a key is one encoding', () => {
  const samples = [
    spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
    spkiOf(generateKeyPairSync('rsa', { modulusLength: 2048 })),
    spkiOf(generateKeyPairSync('ed25519')),
  ];
  const changed = fc.tuple(fc.constantFrom(...samples), fc.nat(), fc.nat(255)).map(([sample, at, value]) => {
    const bytes = Buffer.from(sample);
    bytes[at % bytes.length] = value;
    return bytes;
  });
  fc.assert(
    fc.property(changed, (spki) => {
      try {
        expect(parsePublicKey(spki).key.export({ type: 'spki', format: 'der' })).toEqual(spki);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        expect(error.type).toBe('badPublicKey');
      }
    }),
    { numRuns: 500 },
  );
});
