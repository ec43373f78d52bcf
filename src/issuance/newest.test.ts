import { expect, test } from 'vitest';
import type { KubeObject } from '../api/kind.ts';
import type { Cache } from '../ports.ts';
import { createNewest } from './newest.ts';

const NAMESPACE = 'pki';
const version = (generation: number, uid = 'u'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: {
    name: 'a',
    namespace: NAMESPACE,
    uid,
    resourceVersion: String(generation),
    generation,
    creationTimestamp: '',
  },
});

/** A watched copy of one object. */
function fakeCache() {
  let current: KubeObject | undefined;
  const listeners = new Set<Parameters<Cache<KubeObject>['onChange']>[0]>();
  const cache: Cache<KubeObject> = {
    get: ({ name, namespace }) => (name === 'a' && namespace === NAMESPACE ? current : undefined),
    list: () => (current ? [current] : []),
    each: () => [],
    byIndex: () => [],
    has: () => false,
    hasSynced: () => true,
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  return {
    cache,
    brings: (object: KubeObject) => {
      current = object;
      for (const listener of listeners) listener(object, 'MODIFIED');
    },
    removes: (object: KubeObject) => {
      current = undefined;
      for (const listener of listeners) listener(object, 'DELETED');
    },
  };
}

const generationOf = (object: KubeObject | undefined) => object?.metadata.generation;

test('what this process wrote is there before the watch brings it, and an older version never comes back', () => {
  const { cache, brings } = fakeCache();
  const newest = createNewest(cache, NAMESPACE);
  newest.saw(version(1));
  expect(generationOf(newest.get('a'))).toBe(1);
  newest.saw(version(2));
  brings(version(1));
  expect(generationOf(newest.get('a'))).toBe(2);
  newest.saw(version(1));
  expect(generationOf(newest.get('a'))).toBe(2);
  brings(version(3));
  expect(generationOf(newest.get('a'))).toBe(3);
});

test('what another replica wrote makes older versions unknown until one of that generation is seen', () => {
  const { cache, brings } = fakeCache();
  const newest = createNewest(cache, NAMESPACE);
  brings(version(1));
  newest.outdate('a', 3);
  expect(newest.get('a')).toBeUndefined();
  brings(version(2));
  expect(newest.get('a')).toBeUndefined();
  newest.saw(version(3));
  expect(generationOf(newest.get('a'))).toBe(3);
  brings(version(3));
  expect(generationOf(newest.get('a'))).toBe(3);
});

test('news of a version the watch has brought already changes nothing', () => {
  const { cache, brings } = fakeCache();
  const newest = createNewest(cache, NAMESPACE);
  brings(version(3));
  newest.outdate('a', 2);
  newest.saw(version(2));
  expect(generationOf(newest.get('a'))).toBe(3);
});

test('a deleted object is gone, whatever was known of it, and one of the same name starts anew', () => {
  const { cache, brings, removes } = fakeCache();
  const newest = createNewest(cache, NAMESPACE);
  newest.saw(version(5));
  newest.outdate('a', 6);
  removes(version(5));
  expect(newest.get('a')).toBeUndefined();
  brings(version(1, 'other'));
  expect(generationOf(newest.get('a'))).toBe(1);
});

test('objects of other namespaces are none of ours', () => {
  const { cache, brings } = fakeCache();
  const newest = createNewest(cache, NAMESPACE);
  newest.saw(version(2));
  const foreign = version(9);
  brings({ ...foreign, metadata: { ...foreign.metadata, namespace: 'elsewhere' } });
  newest.outdate('b', 1);
  expect(newest.get('b')).toBeUndefined();
});
