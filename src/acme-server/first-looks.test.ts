import { expect, test } from 'vitest';
import type { Order } from '../domain/order.ts';
import { createFirstLooks } from './first-looks.ts';

const DAY = 86_400_000;

function orderOf(id: string, count: number, reused: readonly number[] = []): Order {
  return {
    id,
    account: 'ac-1',
    issuerUID: 'uid',
    created: new Date(0),
    expires: new Date(DAY),
    identifiers: Array.from({ length: count }, (_, i) => ({ type: 'dns' as const, value: `n${i}.test` })),
    reused: new Map(reused.map((index) => [index, { orderID: 'before', index: 0 }])),
    tokenKey: 1,
  };
}

function atTime() {
  const time = { ms: 0 };
  const clock = { now: () => new Date(time.ms), monotonic: () => time.ms, sleep: () => Promise.resolve() };
  return { time, looks: createFirstLooks({ clock }) };
}

test('each authorization of a new order has one first look', () => {
  const { looks } = atTime();
  looks.made(orderOf('a', 2));
  expect([0, 1, 2].map((index) => looks.take({ orderID: 'a', index }))).toEqual([true, true, false]);
  expect([0, 1].map((index) => looks.take({ orderID: 'a', index }))).toEqual([false, false]);
  expect(looks.take({ orderID: 'of another replica', index: 0 })).toBe(false);
});

test('what is reused was validated before', () => {
  const { looks } = atTime();
  looks.made(orderOf('a', 2, [1]));
  expect([0, 1].map((index) => looks.take({ orderID: 'a', index }))).toEqual([true, false]);
});

test('after five seconds it is one no more', () => {
  const { time, looks } = atTime();
  looks.made(orderOf('a', 2));
  time.ms = 4999;
  expect(looks.take({ orderID: 'a', index: 0 })).toBe(true);
  time.ms = 5000;
  expect(looks.take({ orderID: 'a', index: 1 })).toBe(false);
});

test('many orders nobody looks at do not pile up: the oldest are forgotten', () => {
  const { looks } = atTime();
  for (let i = 0; i < 101; i++) looks.made(orderOf(`o${i}`, 100));
  expect(looks.take({ orderID: 'o0', index: 99 })).toBe(false);
  expect(looks.take({ orderID: 'o1', index: 0 })).toBe(true);
});
