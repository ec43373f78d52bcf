// What is refused is held against a real API server by test/integration/runtime.test.ts; here: what an update may change.
import { expect, test } from 'vitest';
import { createFakeStore } from '../../test/fakes/world.ts';
import { EventKind, LeaseKind } from '../api/core.ts';

const event = {
  metadata: { namespace: 'default', name: 'one' },
  type: 'Normal' as const,
  reason: 'Issued',
  note: 'done',
  regarding: { apiVersion: 'v1', kind: 'Secret', namespace: 'default', name: 'x', uid: 'u' },
  eventTime: '2026-01-01T00:00:00.000000Z',
  reportingController: 'countersign.dev/controller',
  reportingInstance: 'pod',
  action: 'Issued',
};

test('of an Event only the series may change', async () => {
  const { cluster } = createFakeStore();
  const made = await cluster.create(EventKind, event);
  const series = { count: 2, lastObservedTime: '2026-01-01T00:00:01.000000Z' };
  const updated = await cluster.replace(EventKind, { ...made, series });
  expect(updated.series).toEqual(series);
  await expect(cluster.replace(EventKind, { ...updated, note: 'other' })).rejects.toThrow('note is immutable');
  await expect(cluster.replace(EventKind, { ...updated, reason: 'Other' })).rejects.toThrow('reason is immutable');
  await expect(cluster.create(EventKind, { ...event, note: 'é'.repeat(513) })).rejects.toThrow('1024 bytes');
});

test('times of Events and Leases have six digits after the second', async () => {
  const { cluster } = createFakeStore();
  const short = '2026-01-01T00:00:00.000Z';
  await expect(cluster.create(EventKind, { ...event, eventTime: short })).rejects.toThrow('six digits');
  const metadata = { namespace: 'default', name: 'leader' };
  await expect(cluster.create(LeaseKind, { metadata, spec: { renewTime: short } })).rejects.toThrow('six digits');
  await expect(cluster.create(LeaseKind, { metadata, spec: { leaseDurationSeconds: 0 } })).rejects.toThrow(
    'greater than 0',
  );
});
