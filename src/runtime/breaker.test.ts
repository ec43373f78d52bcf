import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { BreakerOpen, createBreaker } from './breaker.ts';
import { TimeUp } from './run.ts';

const { signal } = new AbortController();

function setUp() {
  const clock = createFakeClock();
  const states: string[] = [];
  const breaker = createBreaker({ clock, random: createFakeRandom(), onChange: (state) => void states.push(state) });
  let calls = 0;
  const call = (outcome: 'good' | 'bad') => () => {
    calls++;
    return outcome === 'good' ? Promise.resolve('answer') : Promise.reject(new Error('refused'));
  };
  return { clock, breaker, states, call, calls: () => calls };
}

type Subject = ReturnType<typeof setUp>;

/** Fails as soon as it may, again and again; the waits in between. */
async function failRepeatedly({ breaker, clock, call }: Subject, times: number): Promise<number[]> {
  const waits: number[] = [];
  for (let n = 0; n < times; n++) {
    await clock.advance(breaker.waitMs());
    await expect(breaker.run(call('bad'), signal)).rejects.toThrow('refused');
    waits.push(breaker.waitMs());
  }
  return waits;
}

test('each failure in a row makes all calls wait longer, with jitter, up to half a minute', async () => {
  const subject = setUp();
  const waits = await failRepeatedly(subject, 12);
  waits.forEach((wait, n) => {
    const full = Math.min(30_000, 500 * 2 ** n);
    expect(wait).toBeGreaterThanOrEqual(full / 2);
    expect(wait).toBeLessThanOrEqual(full);
  });
  expect(new Set(waits.slice(7)).size).toBeGreaterThan(1);
});

test('while it waits, the peer is not called', async () => {
  const subject = setUp();
  await failRepeatedly(subject, 3);
  const error: unknown = await subject.breaker.run(subject.call('good'), signal).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BreakerOpen);
  expect((error as BreakerOpen).retryAfterMs).toBe(subject.breaker.waitMs());
  expect(subject.calls()).toBe(3);
});

test('it opens at the fifth failure in a row, then lets one call at a time through, and closes with the first that succeeds', async () => {
  const subject = setUp();
  const { breaker, clock, states } = subject;
  await failRepeatedly(subject, 4);
  expect(breaker.isOpen()).toBe(false);
  await failRepeatedly(subject, 1);
  expect(breaker.isOpen()).toBe(true);
  expect(states).toEqual(['open']);

  await clock.advance(breaker.waitMs());
  const probe = Promise.withResolvers<string>();
  const first = breaker.run(() => probe.promise, signal);
  await expect(breaker.run(subject.call('good'), signal)).rejects.toThrow(BreakerOpen);
  probe.resolve('back');
  expect(await first).toBe('back');
  expect(states).toEqual(['open', 'closed']);
  expect(breaker.isOpen()).toBe(false);
  expect(
    await Promise.all([breaker.run(subject.call('good'), signal), breaker.run(subject.call('good'), signal)]),
  ).toEqual(['answer', 'answer']);
});

test('a probe that fails keeps it open, and longer', async () => {
  const subject = setUp();
  const before = (await failRepeatedly(subject, 5)).at(-1) ?? 0;
  const after = (await failRepeatedly(subject, 1)).at(-1) ?? 0;
  expect(subject.breaker.isOpen()).toBe(true);
  expect(after).toBeGreaterThan(before / 2);
  expect(subject.states).toEqual(['open']);
});

test('calls that fail side by side open it, but are one reason to wait', async () => {
  const { breaker, call, calls } = setUp();
  await Promise.allSettled(Array.from({ length: 8 }, () => breaker.run(call('bad'), signal)));
  expect(calls()).toBe(8);
  expect(breaker.isOpen()).toBe(true);
  expect(breaker.waitMs()).toBeLessThanOrEqual(500);
});

test('what the caller broke off says nothing about the peer', async () => {
  const { breaker, call } = setUp();
  await expect(breaker.run(call('bad'), AbortSignal.abort())).rejects.toThrow('refused');
  expect(breaker.waitMs()).toBe(0);
});

test('a call that is ended for want of time is a failure; one that is ended because the process is, says nothing', async () => {
  for (const [reason, failed] of [
    [new TimeUp('too long'), true],
    [new Error('stopping'), false],
  ] as const) {
    const { breaker, call } = setUp();
    await expect(breaker.run(call('bad'), AbortSignal.abort(reason))).rejects.toThrow('refused');
    expect(breaker.waitMs() > 0).toBe(failed);
  }
});
