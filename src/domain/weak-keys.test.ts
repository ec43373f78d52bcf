// Weak moduli made the way the faults made them, and sound ones beside.
import { checkPrimeSync, generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { FERMAT_ROUNDS, modulusWeakness, squareRoot } from './weak-keys.ts';

const prime = (bits: number) => generatePrimeSync(bits, { bigint: true });

function nextPrime(from: bigint): bigint {
  let candidate = from | 1n;
  while (!checkPrimeSync(candidate)) candidate += 2n;
  return candidate;
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

/** A prime k·M + 65537^a mod M of about 1024 bits, M the product of the first 126 primes, as the faulty library made them. */
function rocaPrime(exponent: bigint): bigint {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < 126; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n);
  const product = primes.reduce((a, b) => a * b, 1n);
  const residue = power(65_537n, exponent, product);
  const shift = BigInt(1023 - product.toString(2).length);
  let k = 1n << shift;
  while (!checkPrimeSync(k * product + residue)) k++;
  return k * product + residue;
}

test('keys as they should be have no weakness', () => {
  for (const modulusLength of [2048, 3072]) {
    const { n = '' } = generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'jwk' });
    expect(modulusWeakness(BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`))).toBeUndefined();
  }
});

test('a factor below 1000 is found and named', () => {
  const large = prime(1024) * prime(1000);
  for (const small of [3n, 5n, 167n, 751n, 997n])
    expect(modulusWeakness(large * small)).toBe(`is divisible by ${small}`);
  expect(modulusWeakness(large * 1009n)).toBeUndefined();
});

test('the product of two primes of the faulty generator has the fingerprint', () => {
  const n = rocaPrime(0x1234_5678_9abc_def0n) * rocaPrime(0xfedc_ba98_7654_3210n);
  expect(modulusWeakness(n)).toContain('ROCA');
});

test('close primes are found within the rounds, distant ones are not', () => {
  const p = prime(1024);
  const close = nextPrime(p + (1n << 300n));
  expect(modulusWeakness(p * close)).toContain('too close');
  expect(modulusWeakness(p * p)).toContain('too close');
  // The distance at which the root of n is some 10,000 rounds short of the mean of the primes.
  const distant = nextPrime(p + squareRoot(8n * 10_000n * p));
  expect(FERMAT_ROUNDS).toBeLessThan(10_000);
  expect(modulusWeakness(p * distant)).toBeUndefined();
});

test('close primes are found at the edge of the rounds', () => {
  const p = prime(512);
  // p·q with q − p = 2d is found in about d² / 2p rounds.
  const half = squareRoot(2n * 90n * p);
  expect(modulusWeakness(p * nextPrime(p + 2n * half))).toContain('too close');
});

test('property: the square root is the greatest integer whose square is not above', () => {
  const numbers = fc.oneof(fc.bigInt({ min: 0n, max: 1n << 64n }), fc.bigInt({ min: 0n, max: 1n << 4096n }));
  const check = (n: bigint) => {
    const root = squareRoot(n);
    expect(root * root <= n && (root + 1n) * (root + 1n) > n).toBe(true);
  };
  fc.assert(fc.property(numbers, check), { numRuns: 1000 });
  const squares = fc.tuple(fc.bigInt({ min: 0n, max: 1n << 2048n }), fc.bigInt({ min: -1n, max: 1n }));
  fc.assert(
    fc.property(squares, ([root, off]) => check(root === 0n ? 0n : root * root + off)),
    { numRuns: 1000 },
  );
});

test('property: numbers without small factors are not taken for faulty keys', () => {
  const numbers = fc.bigInt({ min: 1n << 2047n, max: (1n << 2048n) - 1n }).map((n) => n | 1n);
  fc.assert(
    fc.property(numbers, (n) => {
      expect(modulusWeakness(n) ?? 'is divisible').toContain('is divisible');
    }),
    { numRuns: 500, seed: 20_260_101 },
  );
});
