import { createPrivateKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { expect, test } from 'vitest';
import type { KeyParameters } from '../api/ca-issuer.ts';
import {
  generatePrivateKey,
  keyMatches,
  keyParametersProblem,
  parsePrivateKey,
  renderPrivateKey,
  spkiOf,
} from './private-key.ts';

const KINDS: KeyParameters[] = [
  { algorithm: 'ECDSA' },
  { algorithm: 'ECDSA', size: 256 },
  { algorithm: 'ECDSA', size: 384 },
  { algorithm: 'ECDSA', size: 521 },
  { algorithm: 'RSA' },
  { algorithm: 'RSA', size: 3072 },
  { algorithm: 'Ed25519' },
];

test.each(KINDS)('$algorithm $size is made, written as PKCS#8 and read back', async (parameters) => {
  const key = await generatePrivateKey(parameters);
  expect(keyMatches(key, parameters)).toBe(true);
  const pem = renderPrivateKey(key);
  expect(pem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  const read = parsePrivateKey(pem);
  expect(read?.equals(key)).toBe(true);
  expect(spkiOf(createPrivateKey(pem))).toEqual(spkiOf(key));
});

test('two keys are two keys', async () => {
  const [a, b] = await Promise.all([
    generatePrivateKey({ algorithm: 'Ed25519' }),
    generatePrivateKey({ algorithm: 'Ed25519' }),
  ]);
  expect(spkiOf(a)).not.toEqual(spkiOf(b));
  const signature = sign(null, Buffer.from('x'), a);
  expect(verify(null, Buffer.from('x'), b, signature)).toBe(false);
});

test('a key matches the parameters it was made of and no others', async () => {
  const keys = await Promise.all(KINDS.map(generatePrivateKey));
  const distinct = ['ECDSA 256', 'ECDSA 256', 'ECDSA 384', 'ECDSA 521', 'RSA 2048', 'RSA 3072', 'Ed25519'];
  keys.forEach((key, i) =>
    KINDS.forEach((parameters, j) => expect(keyMatches(key, parameters)).toBe(distinct[i] === distinct[j])),
  );
});

test('parameters that name no key are said, and make none', () => {
  expect(keyParametersProblem({ algorithm: 'ECDSA', size: 2048 })).toMatch(/256, 384 or 521/);
  expect(keyParametersProblem({ algorithm: 'RSA', size: 256 })).toMatch(/2048, 3072 or 4096/);
  expect(keyParametersProblem({ algorithm: 'Ed25519', size: 256 })).toMatch(/no size/);
  expect(KINDS.map(keyParametersProblem)).toEqual(KINDS.map(() => undefined));
  expect(() => generatePrivateKey({ algorithm: 'RSA', size: 256 })).toThrow(RangeError);
});

test('old forms are read; what is no key, or is locked, is none', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  expect(parsePrivateKey(privateKey.export({ type: 'pkcs1', format: 'pem' }))?.equals(privateKey)).toBe(true);
  const locked = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  expect(parsePrivateKey(locked)).toBeUndefined();
  expect(parsePrivateKey('')).toBeUndefined();
  expect(parsePrivateKey('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----')).toBeUndefined();
});
