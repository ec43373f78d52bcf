import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createKeyAuthorizations } from './key-authorizations.ts';

const TOKEN = 'a-token-of-some-length';

function setUp() {
  const clock = createFakeClock();
  const answers = new Map<string, string>();
  const listeners = new Set<() => void>();
  const records = {
    onChange: (listener: () => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const find = createKeyAuthorizations({ records, find: (token) => answers.get(token), clock });
  const put = (token: string) => {
    answers.set(token, `${token}.thumbprint`);
    for (const listener of listeners) listener();
  };
  return { clock, find, put, listeners };
}

test('an answer that is known is given at once', async () => {
  const { find, put } = setUp();
  put(TOKEN);
  expect(await find(TOKEN)).toBe(`${TOKEN}.thumbprint`);
});

test('one that is on its way is waited for, whatever else comes before', async () => {
  const { find, put, listeners } = setUp();
  const asked = find(TOKEN);
  put('another-token-of-some-length');
  put(TOKEN);
  expect(await asked).toBe(`${TOKEN}.thumbprint`);
  expect(listeners.size).toBe(0);
});

test('one that does not come is not waited for longer than a CA would', async () => {
  const { clock, find, listeners } = setUp();
  const asked = find(TOKEN);
  await clock.advance(2_999);
  expect(await Promise.race([asked.then(() => 'over'), Promise.resolve('waiting')])).toBe('waiting');
  await clock.advance(2);
  expect(await asked).toBeUndefined();
  expect(listeners.size).toBe(0);
});

test.each(['short', 'a/b-of-some-length-here', `a${'b'.repeat(512)}`])(
  '%s is no token: nobody waits',
  async (token) => {
    const { find, listeners } = setUp();
    const asked = find(token);
    expect(listeners.size).toBe(0);
    expect(await asked).toBeUndefined();
  },
);

test('of many who ask for nothing, so many wait and no more', async () => {
  const { clock, find, listeners } = setUp();
  const asked = Array.from({ length: 1_000 }, (_, i) => find(`nothing-of-the-kind-${i}`));
  expect(listeners.size).toBe(256);
  await clock.advance(3_001);
  expect(new Set(await Promise.all(asked))).toEqual(new Set([undefined]));
  const again = find(TOKEN);
  expect(listeners.size).toBe(1);
  await clock.advance(3_001);
  await again;
});
