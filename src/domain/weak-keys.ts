// Number theory about RSA moduli: keys whose secret part a stranger can compute in no time. Work is bounded by the modulus' size alone.

const SMALL_PRIMES = primesBelow(1000);
/** Products of neighbouring small primes, each below 2^53, so that one long division serves several primes. */
const PRIME_GROUPS = groupPrimes(SMALL_PRIMES.slice(1));
/** Odd primes of the fingerprint, each with the residues that 65537 generates. */
const ROCA_GROUPS = SMALL_PRIMES.filter((prime) => prime > 2 && prime <= 167).map((prime) => ({
  prime,
  generated: powersOf(65_537 % prime, prime),
}));
/** Rounds of Fermat's method: they find factors that differ by up to about 2^(bits/4 + 4.8). */
export const FERMAT_ROUNDS = 100;

/** Why this odd modulus is no key, in words that follow "RSA modulus"; undefined where nothing is known against it. */
export function modulusWeakness(n: bigint): string | undefined {
  const residues = smallResidues(n);
  const divisor = residues.find(({ residue }) => residue === 0)?.prime;
  if (divisor !== undefined) return `is divisible by ${divisor}`;
  if (hasRocaFingerprint(residues)) return 'has the fingerprint of the ROCA fault (CVE-2017-15361)';
  if (hasCloseFactors(n)) return 'is the product of two primes too close to each other';
  return undefined;
}

interface Residue {
  prime: number;
  residue: number;
}

/** n modulo each odd prime below 1000. */
function smallResidues(n: bigint): Residue[] {
  return PRIME_GROUPS.flatMap(({ product, primes }) => {
    const rest = Number(n % product);
    return primes.map((prime) => ({ prime, residue: rest % prime }));
  });
}

/**
 * Primes of the faulty generator are k·M + 65537^a mod M for a product M of the first primes, so their product is a power of
 * 65537 modulo each of those (Nemec et al., "The Return of Coppersmith's Attack"). Other keys pass by chance once in 2^27 or so.
 */
function hasRocaFingerprint(residues: readonly Residue[]): boolean {
  return ROCA_GROUPS.every(({ generated }, index) => generated.has(residues[index]?.residue ?? 0));
}

/** Fermat's method: n = a² − b² with a from √n upwards. The rounds run on residues; big numbers come in where those say "perhaps". */
function hasCloseFactors(n: bigint): boolean {
  const root = squareRoot(n);
  const first = root * root === n ? root : root + 1n;
  let a = Number(first % SQUARES_PRODUCT);
  let difference = Number((first * first - n) % SQUARES_PRODUCT);
  for (let round = 0; round < FERMAT_ROUNDS; round++) {
    if (mayBeSquare(difference) && isSquare((first + BigInt(round)) ** 2n - n)) return true;
    difference = (difference + 2 * a + 1) % Number(SQUARES_PRODUCT);
    a += 1;
  }
  return false;
}

const SQUARES_MOD = [64, 63, 65, 11].map((modulus) => {
  const squares = new Set(Array.from({ length: modulus }, (_, i) => (i * i) % modulus));
  return { modulus, squares };
});
const SQUARES_PRODUCT = BigInt(64 * 63 * 65 * 11);

/** Whether a number with this residue can be a square; true for fewer than one in a hundred. */
function mayBeSquare(residue: number): boolean {
  return SQUARES_MOD.every(({ modulus, squares }) => squares.has(residue % modulus));
}

function isSquare(n: bigint): boolean {
  const root = squareRoot(n);
  return root * root === n;
}

/** Greatest integer whose square is at most n, for n ≥ 0: Newton's method down from above. */
export function squareRoot(n: bigint): bigint {
  if (n < 2n) return n;
  const bits = n.toString(16).length * 4;
  // A double takes the leading bits; an even shift halves exactly.
  const shift = Math.max(0, bits - 100) & ~1;
  const lead = Math.sqrt(Number(n >> BigInt(shift)));
  let root = (BigInt(Math.ceil(lead * (1 + 2 ** -50))) + 1n) << BigInt(shift / 2);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function primesBelow(limit: number): number[] {
  const primes: number[] = [];
  for (let n = 2; n < limit; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

function groupPrimes(primes: readonly number[]): { product: bigint; primes: number[] }[] {
  const groups: { product: bigint; primes: number[] }[] = [];
  for (const prime of primes) {
    const last = groups.at(-1);
    const product = (last?.product ?? 1n) * BigInt(prime);
    if (last && product <= BigInt(Number.MAX_SAFE_INTEGER)) {
      last.product = product;
      last.primes.push(prime);
    } else groups.push({ product: BigInt(prime), primes: [prime] });
  }
  return groups;
}

function powersOf(base: number, modulus: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * base) % modulus) powers.add(power);
  return powers;
}
