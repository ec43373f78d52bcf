import { randomBytes } from 'node:crypto';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createKeyring as create, keyIdOf, type RootKey } from './keyring.ts';

const createKeyring = (keys: readonly RootKey[]) => create(keys, () => Promise.resolve(keys));

const old = { id: 1, secret: randomBytes(32) };
const current = { id: 2, secret: randomBytes(32) };

test('what is sealed opens under its purpose alone, and the same text seals to the same text', () => {
  const keyring = createKeyring([current]);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (plaintext) => {
      const sealed = keyring.seal('order', plaintext);
      expect(keyring.seal('order', plaintext)).toBe(sealed);
      expect(keyring.open('order', sealed)).toEqual({ state: 'open', plaintext });
      expect(keyring.open('authorization', sealed)).toEqual({ state: 'invalid' });
    }),
  );
});

test('sealed text changed in any byte does not open', () => {
  const keyring = createKeyring([current]);
  const bytes = Buffer.from(keyring.seal('order', 'some order'), 'base64url');
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes);
    changed[i] = (changed[i] ?? 0) ^ 0x80;
    expect(keyring.open('order', changed.toString('base64url')).state).not.toBe('open');
  }
});

test.each(['', 'A', '====', 'A'.repeat(40), 'A'.repeat(20_000), '../../etc', '%00'])('%j is not ours', (text) => {
  expect(createKeyring([current]).open('order', text).state).not.toBe('open');
});

test('after a rotation old text opens, new text is sealed with the new key, and a key not known is said to be unknown', () => {
  const before = createKeyring([old]);
  const after = createKeyring([current, old]);
  expect(after.open('order', before.seal('order', 'x'))).toEqual({ state: 'open', plaintext: 'x' });
  expect(before.open('order', after.seal('order', 'x'))).toEqual({ state: 'unknown-key' });
  expect(after.verifyMac('account', ['a', 'b'], before.mac('account', ['a', 'b']))).toBe(true);
  expect(before.verifyMac('account', ['a', 'b'], after.mac('account', ['a', 'b']))).toBe(false);
});

test('a MAC names its key, and what is derived with a key stays the same after a rotation', () => {
  const before = createKeyring([old]);
  const after = createKeyring([current, old]);
  const mac = after.mac('account', ['a']);
  expect([before.currentKey(), after.currentKey(), keyIdOf(mac), keyIdOf('none')]).toEqual([1, 2, 2, undefined]);
  expect([before.knowsKeyOf(mac), after.knowsKeyOf(mac), after.knowsKeyOf('3.x'), after.knowsKeyOf('')]).toEqual([
    false,
    true,
    false,
    false,
  ]);
  expect(after.verifyMac('account', ['a'], mac.replace('2.', '1.'))).toBe(false);
  const token = before.derive('token', ['o', '0'], 1);
  expect(token).toMatch(/^[\w-]{43}$/);
  expect(after.derive('token', ['o', '0'], 1)).toBe(token);
  expect(after.derive('token', ['o', '0'], 2)).not.toBe(token);
  expect(before.derive('token', ['o', '0'], 2)).toBeUndefined();
});

test('a MAC holds for its purpose and parts alone, however they are cut', () => {
  const keyring = createKeyring([current]);
  const mac = keyring.mac('secret', ['ab', 'c']);
  expect(keyring.verifyMac('secret', ['ab', 'c'], mac)).toBe(true);
  expect(keyring.verifyMac('secret', ['a', 'bc'], mac)).toBe(false);
  expect(keyring.verifyMac('secret', ['ab', 'c', ''], mac)).toBe(false);
  expect(keyring.verifyMac('account', ['ab', 'c'], mac)).toBe(false);
  expect(keyring.verifyMac('secret', ['ab', 'c'], mac.slice(0, -1))).toBe(false);
  expect(keyring.verifyMac('secret', ['ab', 'c'], '')).toBe(false);
});

test('reload takes up new keys, and does not give up the old ones for an empty Secret', async () => {
  let stored: readonly RootKey[] = [current, old];
  const keyring = create([old], () => Promise.resolve(stored));
  const sealed = createKeyring([current]).seal('order', 'x');
  expect(keyring.open('order', sealed)).toEqual({ state: 'unknown-key' });
  await keyring.reload();
  expect(keyring.open('order', sealed)).toEqual({ state: 'open', plaintext: 'x' });
  stored = [];
  await keyring.reload();
  expect(keyring.open('order', sealed)).toEqual({ state: 'open', plaintext: 'x' });
});

test('of reloads at one time one reads, and a reload that fails leaves the keys as they are', async () => {
  const reads: (() => Promise<readonly RootKey[]>)[] = [
    () => Promise.reject(new Error('no API')),
    () => Promise.resolve([current, old]),
  ];
  const keyring = create([old], () => (reads.shift() ?? (() => Promise.reject(new Error('one read too many'))))());
  const sealed = keyring.seal('order', 'x');
  await expect(Promise.all([keyring.reload(), keyring.reload()])).rejects.toThrow('no API');
  expect(keyring.open('order', sealed)).toEqual({ state: 'open', plaintext: 'x' });
  await Promise.all([keyring.reload(), keyring.reload(), keyring.reload()]);
  expect(keyring.open('order', createKeyring([current]).seal('order', 'y'))).toEqual({ state: 'open', plaintext: 'y' });
});
