import { expect, test } from 'vitest';
import { findCondition, isTrue, removeCondition, setCondition } from './conditions.ts';

const [early, late] = [new Date('2026-01-01T00:00:00Z'), new Date('2026-01-02T00:00:00Z')];
const ready = { type: 'Ready', status: 'True' as const, reason: 'Ok', message: 'fine', observedGeneration: 1 };

test('a new condition has the time it was set; others stay', () => {
  const one = setCondition([], ready, early);
  const two = setCondition(one, { ...ready, type: 'Reachable' }, late);
  expect(two).toEqual([
    { ...ready, lastTransitionTime: '2026-01-01T00:00:00Z' },
    { ...ready, type: 'Reachable', lastTransitionTime: '2026-01-02T00:00:00Z' },
  ]);
});

test('the time moves with the status and with nothing else', () => {
  const before = setCondition([], ready, early);
  const reworded = setCondition(before, { ...ready, reason: 'Fine', message: 'still', observedGeneration: 2 }, late);
  expect(reworded[0]).toEqual({
    ...ready,
    reason: 'Fine',
    message: 'still',
    observedGeneration: 2,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  });
  const turned = setCondition(before, { ...ready, status: 'False' }, late);
  expect(turned[0]?.lastTransitionTime).toBe('2026-01-02T00:00:00Z');
});

test('nothing changed is the same list', () => {
  const before = setCondition([], ready, early);
  expect(setCondition(before, { ...ready }, late)).toBe(before);
  expect(removeCondition(before, 'Other')).toBe(before);
  expect(removeCondition(before, 'Ready')).toEqual([]);
});

test('an absent condition is unknown', () => {
  const list = setCondition([], { ...ready, status: 'Unknown' }, early);
  expect(isTrue(list, 'Ready')).toBe(false);
  expect(isTrue(undefined, 'Ready')).toBe(false);
  expect(isTrue(setCondition([], ready, early), 'Ready')).toBe(true);
  expect(findCondition(undefined, 'Ready')).toBeUndefined();
});

test('a message of several lines, or that a terminal would obey, is one line that it shows', () => {
  const message = 'a\r\nReady: True\u001b[2J\u202egpj\u2028';
  const once = setCondition([], { ...ready, message }, early);
  expect(once[0]?.message).toBe('a\\u000d\\u000aReady: True\\u001b[2J\\u202egpj\\u2028');
  // The same again is no change.
  expect(setCondition(once, { ...ready, message }, late)).toBe(once);
  expect(setCondition([], { ...ready, message: '\u202e'.repeat(20_000) }, early)[0]?.message).toHaveLength(32_768);
});
