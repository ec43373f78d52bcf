// Account keys: what is taken, its thumbprint by an independent library, and hostile inputs 17 to 19.
import { createHash, generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { expect, test } from 'vitest';
import { createSigningKey } from '../../test/support/jws.ts';
import { importJwk } from './jwk.ts';
import { Problem } from './problem.ts';

const p256 = createSigningKey('ES256').jwk;
const p384 = createSigningKey('ES384').jwk;
const ed25519 = createSigningKey('EdDSA').jwk;
const rsa = createSigningKey('RS256').jwk;
const b64 = (bytes: Buffer) => bytes.toString('base64url');
const decoded = (text: string | undefined) => Buffer.from(text ?? '', 'base64url');

test.each([
  ['P-256', p256, 'ES256', 64],
  ['P-384', p384, 'ES384', 96],
  ['Ed25519', ed25519, 'EdDSA', 64],
  ['RSA 2048', rsa, 'RS256', 256],
  ['RSA 2050', createSigningKey('RS256', 2050).jwk, 'RS256', 257],
  ['RSA 4096', createSigningKey('RS256', 4096).jwk, 'RS256', 512],
])('%s is taken, with one key operation', async (_, jwk, algorithm, signatureLength) => {
  const work = { operations: 0 };
  const key = importJwk({ ...jwk, alg: algorithm, use: 'sig', key_ops: ['verify'], kid: 'mine', 'x-other': 1 }, work);
  expect(work.operations).toBe(1);
  expect(key).toMatchObject({ jwk, algorithms: [algorithm], signatureLength });
  expect(key.key.export({ format: 'jwk' })).toEqual(jwk);
  expect(key.thumbprint).toBe(await calculateJwkThumbprint(jwk as JWK, 'sha256'));
  const spki = key.key.export({ type: 'spki', format: 'der' });
  expect(key.spkiHash).toEqual(createHash('sha256').update(spki).digest());
  expect(importJwk(key.jwk).thumbprint).toBe(key.thumbprint);
});

const n = decoded(rsa.n);
const even = Buffer.from(n);
even[255] = (even[255] ?? 0) & 0xfe;
const prime = generatePrimeSync(1024, { bigint: true });
const square = Buffer.from((prime * prime).toString(16).padStart(512, '0'), 'hex');
const y = decoded(p256.y);
const other = Buffer.from(y);
other[31] = (other[31] ?? 0) ^ 1;
const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' });
const p521 = createSigningKey('ES512').jwk;
const privateJwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const privateRsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
/** 256 bytes leave four spare bits in the last character: another one spells the same bytes. */
const loose = `${b64(n).slice(0, -1)}${String.fromCharCode(b64(n).charCodeAt(b64(n).length - 1) + 1)}`;

const refused: [what: string, jwk: unknown, reason: RegExp, operations?: number][] = [
  ['nothing', undefined, /JSON object/],
  ['null', null, /JSON object/],
  ['text', 'key', /JSON object/],
  ['a list', [p256], /JSON object/],
  ['no members', {}, /"kty"/],
  ['an unknown kty', { kty: 'AKP', x: 'AA' }, /"kty"/],
  ['a symmetric key', { kty: 'oct', k: 'AAAA' }, /private member "k"/],
  ['a private EC key', privateJwk, /private member "d"/],
  ['a private RSA key', privateRsa, /private member "d"/],
  ['primes of an RSA key', { ...rsa, p: 'AA', q: 'AA' }, /private member "p"/],
  ['other primes of an RSA key', { ...rsa, oth: [] }, /private member "oth"/],
  ['P-521', p521, /"crv"/],
  ['secp256k1', secp256k1, /"crv"/],
  ['secp256k1 called P-256', { ...secp256k1, crv: 'P-256' }, /off the curve/, 1],
  ['P-256 called P-384', { ...p256, crv: 'P-384' }, /48 bytes/],
  ['a curve by an inherited name', { ...p256, crv: 'constructor' }, /"crv"/],
  ['a curve that is no text', { ...p256, crv: ['P-256'] }, /"crv"/],
  ['X25519', { kty: 'OKP', crv: 'X25519', x: ed25519.x }, /"crv"/],
  ['Ed448', generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' }), /"crv"/],
  ['a point off the curve', { ...p256, y: b64(other) }, /off the curve/, 1],
  [
    'the point at infinity as zeros',
    { ...p256, x: b64(Buffer.alloc(32)), y: b64(Buffer.alloc(32)) },
    /off the curve/,
    1,
  ],
  ['no y', { kty: 'EC', crv: 'P-256', x: p256.x }, /needs "y"/],
  ['an empty x', { ...p256, x: '' }, /needs "x"/],
  ['x that is no text', { ...p256, x: 5 }, /needs "x"/],
  ['x of 31 bytes', { ...p256, x: b64(Buffer.alloc(31, 1)) }, /32 bytes/],
  ['x with a leading zero byte', { ...p256, x: b64(Buffer.concat([Buffer.of(0), decoded(p256.x)])) }, /32 bytes/],
  ['padding', { ...p256, x: `${p256.x}=` }, /base64url/],
  ['the alphabet of base64', { ...p256, x: `+/${(p256.x ?? '').slice(2)}` }, /base64url/],
  ['white space', { ...p256, x: `${p256.x}\n` }, /base64url/],
  ['spare bits that are not zero', { ...rsa, n: loose }, /base64url/],
  ['Ed25519 of 31 bytes', { ...ed25519, x: b64(Buffer.alloc(31, 7)) }, /32 bytes/],
  ['Ed25519 of small order', { ...ed25519, x: b64(Buffer.concat([Buffer.of(1), Buffer.alloc(31)])) }, /anyone/],
  ['RSA 1024', createSigningKey('RS256', 1024).jwk, /1024 bits is too short/],
  ['RSA 4104', { ...rsa, n: b64(Buffer.alloc(513, 0xff)) }, /too long/],
  ['RSA 16384', { ...rsa, n: b64(Buffer.alloc(2048, 0xff)) }, /"n" is too long/],
  ['an RSA exponent of 16384 bits', { ...rsa, e: b64(Buffer.alloc(2048, 0xff)) }, /"e" is too long/],
  ['a leading zero byte in n', { ...rsa, n: b64(Buffer.concat([Buffer.of(0), n])) }, /leading zero/],
  ['a leading zero byte in e', { ...rsa, e: 'AAEAAQ' }, /leading zero/],
  ['exponent 1', { ...rsa, e: 'AQ' }, /from 65537/],
  ['exponent 2', { ...rsa, e: 'Ag' }, /from 65537/],
  ['exponent 3', { ...rsa, e: 'Aw' }, /from 65537/],
  ['an even exponent', { ...rsa, e: b64(Buffer.of(1, 0, 2)) }, /odd/],
  ['an even modulus', { ...rsa, n: b64(even) }, /odd/],
  ['a square modulus', { ...rsa, n: b64(square) }, /too close/],
  ['another alg', { ...p256, alg: 'ES384' }, /"alg"/],
  ['RSA for PSS', { ...rsa, alg: 'PS256' }, /"alg"/],
  ['use enc', { ...p256, use: 'enc' }, /"use"/],
  ['key_ops without verify', { ...p256, key_ops: ['sign'] }, /"key_ops"/],
  ['key_ops that is no list', { ...p256, key_ops: 'verify' }, /"key_ops"/],
];

test.each(refused)('%s is refused', (_, jwk, reason, operations = 0) => {
  const work = { operations: 0 };
  const act = () => importJwk(jwk, work);
  expect(act).toThrow(Problem);
  expect(work.operations).toBe(operations);
  expect(act).toThrow(expect.objectContaining({ type: 'badPublicKey', detail: expect.stringMatching(reason) }));
});

test('a private member is named and its value is not', () => {
  try {
    importJwk(privateJwk);
    expect.unreachable();
  } catch (error) {
    expect(JSON.stringify(error)).toContain('private member');
    expect(JSON.stringify(error) + String(error)).not.toContain(privateJwk.d);
  }
});
