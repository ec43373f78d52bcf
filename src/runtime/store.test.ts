// The copy gives back what was put in, by name and by index, packed or as it is.
import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../api/kind.ts';
import { createPacking } from './packing.ts';
import { createStore } from './store.ts';

type Thing = KubeObject & { spec: { colours: string[] } };

const thing = (name: string, colours: string[] = [], namespace?: string): Thing => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: `uid of ${name}`,
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: { colours },
});

describe.each([
  ['as they are', undefined],
  ['packed', createPacking<Thing>()],
])('objects %s', (_how, packing) => {
  const start = () => createStore<Thing>({ colour: ({ spec }) => spec.colours }, packing);
  const names = (things: Iterable<Thing>) => [...things].map(({ metadata }) => metadata.name);

  test('are found by name in their namespace alone', () => {
    const store = start();
    store.set(thing('a', [], 'one'));
    store.set(thing('a'));
    expect(store.get({ namespace: 'one', name: 'a' })).toEqual(thing('a', [], 'one'));
    expect(store.get({ name: 'a' })).toEqual(thing('a'));
    expect(store.get({ namespace: 'two', name: 'a' })).toBeUndefined();
    expect(store.delete({ name: 'a' })).toEqual(thing('a'));
    expect(store.delete({ name: 'a' })).toBeUndefined();
    expect(names(store.list())).toEqual(['a']);
  });

  test('are found by each value of an index, as it is now', () => {
    const store = start();
    for (const [name, colours] of Object.entries({ a: ['red'], b: ['red', 'blue'], c: ['red'] }))
      store.set(thing(name, colours));
    expect(names(store.byIndex('colour', 'red'))).toEqual(['a', 'b', 'c']);
    expect(store.set(thing('b', ['blue', 'green']))).toEqual(thing('b', ['red', 'blue']));
    store.delete({ name: 'a' });
    const found = (value: string) => [names(store.byIndex('colour', value)), store.has('colour', value)];
    expect(found('red')).toEqual([['c'], true]);
    expect(found('blue')).toEqual([['b'], true]);
    expect(found('green')).toEqual([['b'], true]);
    store.delete({ name: 'c' });
    expect(found('red')).toEqual([[], false]);
    expect(() => store.byIndex('size', 'red')).toThrow('not declared');
  });

  test('that were there when all was marked are marked until they are set again', () => {
    const store = start();
    for (const name of ['a', 'b', 'c']) store.set(thing(name, [], 'one'));
    store.mark();
    store.set(thing('b', [], 'one'));
    store.set(thing('d', [], 'one'));
    expect(store.marked()).toEqual([
      { namespace: 'one', name: 'a' },
      { namespace: 'one', name: 'c' },
    ]);
    expect(names(store.each())).toEqual(['a', 'b', 'c', 'd']);
  });
});
