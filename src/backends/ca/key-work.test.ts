import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Der, integer, octetString, oid, sequence } from '../../../test/support/der-writer.ts';
import { pemOf } from '../../../test/support/certificate-builder.ts';
import { opensSoon } from './key-work.ts';

const SALT = octetString(Buffer.alloc(8));
const AES = sequence(oid('2.16.840.1.101.3.4.1.42'), octetString(Buffer.alloc(16)));

const keyOf = (...algorithm: Der[]): string =>
  pemOf('ENCRYPTED PRIVATE KEY', sequence(sequence(...algorithm), octetString(Buffer.alloc(32))));
const pbes2 = (scheme: string, ...parameters: Der[]): string =>
  keyOf(oid('1.2.840.113549.1.5.13'), sequence(sequence(oid(scheme), sequence(SALT, ...parameters)), AES));
const pbkdf2 = (...numbers: number[]) => pbes2('1.2.840.113549.1.5.12', ...numbers.map((n) => integer(n)));
const scrypt = (...numbers: number[]) => pbes2('1.3.6.1.4.1.11591.4.11', ...numbers.map((n) => integer(n)));
const pbes1 = (rounds: number) => keyOf(oid('1.2.840.113549.1.12.1.3'), sequence(SALT, integer(rounds)));

test.each([
  ['PBKDF2 as OpenSSL writes it', pbkdf2(2048), true],
  ['PBKDF2 at the limit, with a key length', pbkdf2(1_048_576, 32), true],
  ['PBKDF2 beyond it', pbkdf2(1_048_577), false],
  ['PBKDF2 for an hour', pbkdf2(2_147_483_647), false],
  ['scrypt as OpenSSL writes it', scrypt(16_384, 8, 1), true],
  ['scrypt with a high cost', scrypt(1_048_576, 8, 1), false],
  ['scrypt with a high parallelization', scrypt(2, 8, 131_072), false],
  ['an older scheme', pbes1(2048), true],
  ['an older scheme for an hour', pbes1(2_147_483_647), false],
  ['a scheme nobody knows, by its numbers', pbes2('1.2.3.4', integer(2_147_483_647)), false],
])('%s', (_what, pem, soon) => {
  expect(opensSoon(pem)).toBe(soon);
});

test('what OpenSSL writes opens soon, PKCS#8 or traditional', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  for (const type of ['pkcs8', 'sec1'] as const) {
    const pem = privateKey.export({ type, format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string;
    expect(opensSoon(pem)).toBe(true);
    expect(createPrivateKey({ key: pem, passphrase: 'x' }).asymmetricKeyType).toBe('ec');
  }
});

test('a header before the content, which has a passphrase decrypt twice, is no way round', () => {
  const dressed = pbkdf2(2_147_483_647).replace('\n', '\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n');
  expect(() => opensSoon(dressed)).toThrow();
  expect(() => opensSoon(pemOf('ENCRYPTED PRIVATE KEY', Buffer.from('3080', 'hex')))).toThrow();
});
