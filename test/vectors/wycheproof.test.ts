// Project Wycheproof's vectors against what verifies here, end to end: account keys, JWS, external account bindings. The folder of
// JSON files (testvectors_v1 of C2SP/wycheproof) is named by WYCHEPROOF_DIR. Every vector is accounted for: a valid one is accepted
// unless it is listed, by number, as using what this program refuses by ruling; an invalid one is refused.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importJwk } from '../../src/domain/jwk.ts';
import {
  type BindingJws,
  type Jws,
  MAC_ALGORITHMS,
  parseBindingJws,
  parseJws,
  verifyBinding,
  verifyJws,
} from '../../src/domain/jws.ts';
import { Problem } from '../../src/domain/problem.ts';

interface Vector {
  tcId: number;
  comment: string;
  result: 'valid' | 'invalid' | 'acceptable';
  [field: string]: unknown;
}

type Group = { tests: readonly Vector[] } & Readonly<Record<string, unknown>>;
type Jwk = Readonly<Record<string, unknown>>;

interface Expectation {
  file: string;
  total: number;
  /** Throws Problem where the vector is refused. */
  verify: (group: Group, vector: Vector) => void;
  /** Valid vectors that must be refused, by what they use. */
  refused?: Readonly<Record<string, readonly number[]>>;
  /** Vectors called invalid that have the very bytes of one called valid. */
  contradicted?: readonly number[];
  /** Vectors about what does not exist here, which cannot be put to it. */
  inapplicable?: Readonly<Record<string, readonly number[]>>;
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const bytes = (hex: unknown) => Buffer.from(hex as string, 'hex');
const b64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');
const decode = (text: string) => Buffer.from(text, 'base64url');

/** Raw message and signature under a key, as verifyJws has them after parsing. */
function verifyRaw(alg: Jws['header']['alg'], jwk: Jwk, { msg, sig }: Vector): void {
  const jws: Jws = {
    header: { alg, kid: 'x' },
    payload: Buffer.alloc(0),
    signature: bytes(sig),
    signingInput: bytes(msg),
  };
  verifyJws(jws, importJwk(jwk));
}

function ecJwk(crv: string, group: Group): Jwk {
  const point = (group.publicKey as { uncompressed: string }).uncompressed.slice(2);
  return { kty: 'EC', crv, x: b64(point.slice(0, point.length / 2)), y: b64(point.slice(point.length / 2)) };
}

/** The key of a group: its only one, or the one that the signature names. */
function keyOf(group: Group, compact: string): Jwk {
  const given = (group.public ?? group.private) as Jwk;
  const { kid } = JSON.parse(decode(compact.split('.')[0] ?? '').toString() || '{}') as { kid?: string };
  const keys = (given.keys as Jwk[] | undefined) ?? [given];
  return keys.length === 1 ? (keys[0] as Jwk) : (keys.find((key) => key.kid === kid) as Jwk);
}

/** A compact JWS as flattened JSON; what has not three parts goes as it is. */
function flatten(jws: unknown): unknown {
  const parts = typeof jws === 'string' ? jws.split('.') : [];
  return parts.length === 3 ? { protected: parts[0], payload: parts[1], signature: parts[2] } : jws;
}

function verifyCompact(group: Group, { jws }: Vector): void {
  const jwk = keyOf(group, typeof jws === 'string' && jws.startsWith('ey') ? jws : '');
  if (jwk.kty === 'oct') return verifyMac(jwk, flatten(jws));
  const body = flatten(jws);
  verifyJws(parseJws(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))), importJwk(jwk));
}

/** A binding has a `url`, which the vectors have not: that must be the last thing held against their form, and the MAC is judged then. */
function verifyMac(jwk: Jwk, flattened: unknown): void {
  try {
    parseBindingJws(flattened);
    expect.unreachable('a binding without url was accepted');
  } catch (error) {
    if (!(error instanceof Problem) || !error.detail.includes('must have "url"')) throw error;
  }
  const parts = flattened as { protected: string; payload: string; signature: string };
  const { alg, kid } = JSON.parse(decode(parts.protected).toString()) as BindingJws['header'];
  // Which algorithm an external account binding key is for is not recorded: it is for any MAC.
  if (!MAC_ALGORITHMS.some((known) => known === jwk.alg)) throw new Problem('unauthorized', 'a key for something else');
  const signingInput = Buffer.from(`${parts.protected}.${parts.payload}`);
  const jws = {
    header: { alg, kid, url: '' },
    payload: decode(parts.payload),
    signature: decode(parts.signature),
    signingInput,
  };
  verifyBinding(jws, decode(jwk.k as string));
}

const FILES: readonly Expectation[] = [
  {
    file: 'json_web_signature_test.json',
    total: 401,
    verify: verifyCompact,
    contradicted: [367, 370],
    refused: {
      RS384: range(264, 267),
      RS512: range(268, 271),
      PS256: [...range(272, 275), 287, 288, 346, 350],
      PS384: range(320, 323),
      PS512: range(325, 328),
      'curve P-521': [347, 351],
      'characters outside base64url (RFC 7515 section 2)': [372, 373],
    },
  },
  {
    file: 'json_web_key_test.json',
    total: 26,
    verify: verifyCompact,
    inapplicable: { 'key sets with two keys for one signature: an account or binding has one': [1, 4] },
  },
  {
    file: 'json_web_crypto_test.json',
    total: 83,
    verify: verifyCompact,
    inapplicable: {
      'key sets with two keys for one signature: an account or binding has one': [47],
      'JSON Web Encryption': range(50, 83),
    },
  },
  {
    file: 'ecdsa_secp256r1_sha256_p1363_test.json',
    total: 262,
    verify: (group, vector) => verifyRaw('ES256', ecJwk('P-256', group), vector),
  },
  {
    file: 'ecdsa_secp384r1_sha384_p1363_test.json',
    total: 280,
    verify: (group, vector) => verifyRaw('ES384', ecJwk('P-384', group), vector),
  },
  {
    file: 'ed25519_test.json',
    total: 151,
    verify: (group, vector) => verifyRaw('EdDSA', group.publicKeyJwk as Jwk, vector),
  },
  {
    file: 'rsa_signature_2048_sha256_test.json',
    total: 259,
    verify: (group, vector) => verifyRaw('RS256', group.keyJwk as Jwk, vector),
    refused: { 'public exponent 3': [258, 259] },
  },
  {
    file: 'hmac_sha256_test.json',
    total: 174,
    verify: verifyHmac,
    refused: {
      'a tag cut to 128 bits': [...range(82, 108), ...range(172, 174)],
      'a key shorter than the hash (RFC 7518 section 3.2)': range(163, 168),
    },
  },
];

function verifyHmac(_: Group, { key, msg, tag }: Vector): void {
  verifyBinding(
    {
      header: { alg: 'HS256', kid: 'x', url: '' },
      payload: Buffer.alloc(0),
      signature: bytes(tag),
      signingInput: bytes(msg),
    },
    bytes(key),
  );
}

function accepted(verify: Expectation['verify'], group: Group, vector: Vector): boolean {
  try {
    verify(group, vector);
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

function runFile(
  folder: string,
  { file, total, verify, refused = {}, contradicted = [], inapplicable = {} }: Expectation,
): void {
  const { testGroups } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { testGroups: Group[] };
  const skipped = new Set(Object.values(inapplicable).flat());
  const excluded = Object.values(refused).flat();
  const all = testGroups.flatMap((group) => group.tests.map((vector) => ({ group, vector })));
  const judged = all
    .filter(({ vector }) => !skipped.has(vector.tcId))
    .map(({ group, vector }): Vector & { accepted: boolean } => ({
      ...vector,
      accepted: accepted(verify, group, vector),
    }));
  const select = (result: string, taken: boolean) =>
    judged.filter((vector) => vector.result === result && vector.accepted === taken);
  const label = ({ tcId, comment }: Vector) => `${tcId} ${comment}`;
  const listed = (numbers: readonly number[]) => judged.filter(({ tcId }) => numbers.includes(tcId)).map(label);
  expect(select('invalid', true).map(label)).toEqual(listed(contradicted));
  expect(select('acceptable', true).map(label)).toEqual([]);
  expect(select('valid', false).map(label)).toEqual(listed(excluded));
  for (const { jws } of judged.filter(({ tcId }) => contradicted.includes(tcId)))
    expect(select('valid', true).map((vector) => vector.jws)).toContain(jws);
  expect(all).toHaveLength(total);
  expect(judged.length + skipped.size).toBe(total);
  expect(select('valid', true).length).toBeGreaterThan(0);
}

const folder = process.env['WYCHEPROOF_DIR'];

describe('Wycheproof', () => {
  if (folder !== undefined) {
    test.each(FILES)('$file', (expectation) => runFile(folder, expectation));
  } else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
    test('WYCHEPROOF_DIR is not set', () => {
      throw new Error('WYCHEPROOF_DIR must name the folder of Wycheproof test vectors');
    });
  } else {
    test.skip('WYCHEPROOF_DIR is not set: it names the folder of Wycheproof test vectors', () => {});
  }
});
