import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../runtime/random.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { buildCaCertificate, buildCertificate, createKeyPair } from '../../test/support/certificate-builder.ts';
import { buildKeystore, buildTruststore, FRIENDLY_NAME, passwordProblem } from './pkcs12.ts';
import { generatePrivateKey, spkiOf } from './private-key.ts';

const [OPENSSL, KEYTOOL] = ['openssl', 'keytool'];

/** Tests with a program that may not be there: skipped by name, or, under COUNTERSIGN_REQUIRE=all, failing. */
const needs = (program: string, argument: string) =>
  test.skipIf(spawnSync(program, [argument]).status !== 0 && process.env['COUNTERSIGN_REQUIRE'] !== 'all');
const [opensslTest, keytoolTest] = [needs(OPENSSL, 'version'), needs(KEYTOOL, '-help')];
const JAVA_MS = 120_000;

const PASSWORD = 'correct horse "battery" $taple';
const authority = createKeyPair();
const root = buildCaCertificate('Test Root', authority);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pkcs12-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

async function aKeystore(algorithm: 'RSA' | 'ECDSA' | 'Ed25519', friendlyName?: string) {
  const key = await generatePrivateKey({ algorithm });
  const keys = { publicKey: createPublicKey(key) } as Parameters<typeof buildCertificate>[0]['keys'];
  const leaf = buildCertificate({
    subject: 'leaf',
    issuer: 'Test Root',
    keys,
    signer: authority,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 86_400_000),
  });
  const random = createRandom();
  const pfx = await buildKeystore({ key, chain: [leaf, root], friendlyName }, { password: PASSWORD, random });
  return { key, leaf, pfx };
}

function stored(pfx: Buffer): string {
  const path = join(folder, 'store.p12');
  writeFileSync(path, pfx);
  return path;
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

const openssl = (pfx: Buffer, password = PASSWORD) =>
  run(OPENSSL, ['pkcs12', '-in', stored(pfx), '-passin', `pass:${password}`, '-noenc']);

describe.each(['RSA', 'ECDSA', 'Ed25519'] as const)('a store with a key of %s', (algorithm) => {
  opensslTest('gives OpenSSL its key and chain, and nothing for another password', async () => {
    const { key, leaf, pfx } = await aKeystore(algorithm, 'shop');
    const text = openssl(pfx);
    const [pem = ''] = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(text) ?? [];
    expect(spkiOf(createPrivateKey(pem))).toEqual(spkiOf(key));
    const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    expect(found.map((each) => new X509Certificate(each).raw)).toEqual([leaf, root]);
    expect(text).toContain('friendlyName: shop');
    expect(() => openssl(pfx, 'wrong')).toThrow('invalid password');
  });

  test('is read by Node', async () => {
    const { pfx } = await aKeystore(algorithm);
    createSecureContext({ pfx, passphrase: PASSWORD });
    expect(() => createSecureContext({ pfx, passphrase: 'wrong' })).toThrow(/mac verify failure/);
  });

  keytoolTest('is read by Java', { timeout: JAVA_MS }, async () => {
    const { pfx, leaf } = await aKeystore(algorithm, 'shop');
    const text = run(KEYTOOL, [
      '-list',
      '-v',
      '-storetype',
      'PKCS12',
      '-keystore',
      stored(pfx),
      '-storepass',
      PASSWORD,
    ]);
    expect(text).toContain('Alias name: shop');
    expect(text).toContain('Entry type: PrivateKeyEntry');
    expect(text).toContain('Certificate chain length: 2');
    expect(text).toContain(new X509Certificate(leaf).fingerprint256);
    // The key itself is opened when the entry is copied.
    const copy = join(folder, `${algorithm}.jks`);
    const source = ['-srckeystore', stored(pfx), '-srcstoretype', 'PKCS12', '-srcstorepass', PASSWORD];
    run(KEYTOOL, ['-importkeystore', ...source, '-destkeystore', copy, '-deststorepass', 'changeit']);
    expect(run(KEYTOOL, ['-list', '-keystore', copy, '-storepass', 'changeit'])).toContain('PrivateKeyEntry');
  });
});

opensslTest('OpenSSL names the algorithms asked for', async () => {
  const { pfx } = await aKeystore('ECDSA');
  const args = ['pkcs12', '-in', stored(pfx), '-passin', `pass:${PASSWORD}`, '-info', '-noout'];
  const { stderr } = spawnSync(OPENSSL, args, { encoding: 'utf8' });
  expect(stderr).toContain('MAC: sha256, Iteration 2048');
  expect(stderr.match(/PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256/g)).toHaveLength(2);
});

function aTruststore() {
  const second = buildCaCertificate('Second Root', createKeyPair());
  return buildTruststore([root, second], { password: PASSWORD, random: createRandom() });
}

opensslTest('a truststore gives OpenSSL its certificates', async () => {
  expect(openssl(await aTruststore()).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
});

keytoolTest('a truststore gives Java its anchors as trusted', { timeout: JAVA_MS }, async () => {
  const pfx = await aTruststore();
  const text = run(KEYTOOL, ['-list', '-storetype', 'PKCS12', '-keystore', stored(pfx), '-storepass', PASSWORD]);
  expect(text.match(/^(\S+), .*trustedCertEntry/gm)?.map((line) => line.split(',')[0])).toEqual(['ca', 'ca-2']);
});

test('salts and vectors come from the source of randomness, no two alike', async () => {
  const key = await generatePrivateKey({ algorithm: 'ECDSA' });
  const build = (seed: string) =>
    buildKeystore({ key, chain: [root], friendlyName: undefined }, { password: 'x', random: createFakeRandom(seed) });
  expect(await build('one')).toEqual(await build('one'));
  expect(await build('one')).not.toEqual(await build('two'));
  const asked: Buffer[] = [];
  const random = { bytes: (length: number) => asked[asked.push(createRandom().bytes(length)) - 1] ?? Buffer.of() };
  const pfx = await buildKeystore({ key, chain: [root], friendlyName: undefined }, { password: 'x', random });
  expect(asked.map(({ length }) => length)).toEqual([16, 16, 16, 16, 16]);
  for (const bytes of asked) expect(pfx.indexOf(bytes)).toBe(pfx.lastIndexOf(bytes));
});

test.each([
  ['', 'is empty'],
  ['x'.repeat(129), 'is longer than 128 characters'],
  ['secret\n', 'has characters beyond printable ASCII, such as a line break at its end'],
  ['pässword', 'has characters beyond printable ASCII, such as a line break at its end'],
])('the password %j is not fit', (password, problem) => {
  expect(passwordProblem(password)).toBe(problem);
});

test('a password and a name may have all that a keyboard has', () => {
  const all = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
  expect(passwordProblem(all)).toBeUndefined();
  expect(new RegExp(FRIENDLY_NAME).test('my key (2)')).toBe(true);
  for (const bad of ['', ' x', 'x ', 'x\n', 'é', 'x'.repeat(65)])
    expect(new RegExp(FRIENDLY_NAME).test(bad)).toBe(false);
});
