import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import type { CertificateRequestPolicy } from '../api/certificate-request-policy.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Cluster, ObjectRef } from '../ports.ts';
import type { Caches } from './caches.ts';
import { createLiveReads, type LiveReadsDeps } from './live-reads.ts';

const object = (name: string, namespace?: string, generation = 1) =>
  ({
    metadata: {
      name,
      uid: `${namespace ?? ''}/${name}`,
      generation,
      ...(namespace === undefined ? {} : { namespace }),
    },
  }) as Issuer;

function world(
  stored: readonly Issuer[],
  cached: readonly Issuer[],
  options: Pick<LiveReadsDeps, 'tenants' | 'isLocal'> = {},
) {
  const clock = createFakeClock();
  const reads: string[] = [];
  const is =
    ({ namespace, name }: ObjectRef) =>
    ({ metadata }: Issuer) =>
      metadata.name === name && metadata.namespace === namespace;
  const cluster = {
    get: async (kind: { kind: string }, ref: ObjectRef) => {
      reads.push(`get ${kind.kind} ${ref.namespace ?? ''}/${ref.name}`);
      return stored.find(is(ref));
    },
    list: async (kind: { kind: string }, options: { namespace?: string } = {}) => {
      reads.push(`list ${kind.kind} ${options.namespace ?? ''}`);
      const items = stored.filter(
        ({ metadata }) =>
          (metadata.namespace === undefined) === (kind.kind !== 'CAIssuer') &&
          (options.namespace === undefined || options.namespace === metadata.namespace),
      );
      return { items, resourceVersion: '1' };
    },
  } as unknown as Cluster;
  const caches = {
    issuers: { get: (ref: ObjectRef) => cached.find(is(ref)) },
    policies: { list: () => cached as unknown as CertificateRequestPolicy[] },
  } as unknown as Pick<Caches, 'issuers' | 'policies'>;
  return { clock, reads, ...createLiveReads({ cluster, clock, caches, ...options }) };
}

test('an issuer is read as it is stored, by its name and namespace', async () => {
  const now = object('a', undefined, 2);
  const { liveIssuer, reads, clock } = world([now, object('a', 'team')], [object('a')]);
  expect(await liveIssuer({ name: 'a' })).toBe(now);
  expect((await liveIssuer({ namespace: 'team', name: 'a' }))?.metadata.namespace).toBe('team');
  const other = liveIssuer({ namespace: 'other', name: 'a' });
  await clock.advance(500);
  expect(await other).toBeUndefined();
  expect(reads[0]).toBe('get ClusterCAIssuer /a');
});

test('where namespaces are listed, those alone are asked', async () => {
  const { liveIssuer, reads } = world([object('a', 'team')], [], { tenants: ['team', 'shop'] });
  expect((await liveIssuer({ namespace: 'team', name: 'a' }))?.metadata.name).toBe('a');
  expect(reads).toEqual(['list CAIssuer team', 'list CAIssuer shop']);
});

test('a flood of made-up names is two reads a second, and everybody gets an answer', async () => {
  const { liveIssuer, reads, clock } = world([object('real')], []);
  const answers = Array.from({ length: 1000 }, (_, i) => liveIssuer({ name: i === 7 ? 'real' : `made-up-${i}` }));
  await settle();
  const more = Array.from({ length: 1000 }, (_, i) => liveIssuer({ name: `more-${i}` }));
  await clock.advance(1000);
  expect(
    (await Promise.all(answers)).filter((issuer) => issuer !== undefined).map(({ metadata }) => metadata.name),
  ).toEqual(['real']);
  await Promise.all(more);
  expect(reads).toEqual(['list ClusterCAIssuer ', 'list ClusterCAIssuer ']);
});

test('policies are told only where they are others than those watched', async () => {
  const [one, other] = [object('p'), object('p', undefined, 2)];
  expect(await world([one], [one]).livePolicies()).toBeUndefined();
  expect(await world([other], [one]).livePolicies()).toEqual([other]);
  expect(await world([], [one]).livePolicies()).toEqual([]);
});

test('a store in this process is read as often as it is asked for', async () => {
  const { liveIssuer, livePolicies, reads } = world([object('a')], [object('a')], { isLocal: true });
  for (let n = 0; n < 3; n++) {
    await liveIssuer({ name: 'a' });
    await liveIssuer({ name: 'made-up' });
    await livePolicies();
  }
  expect(reads).toHaveLength(9);
});
