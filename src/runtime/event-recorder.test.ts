import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { observeCluster } from '../../test/fakes/observed-cluster.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { EventKind, SecretKind } from '../api/core.ts';
import type { KubeObject } from '../api/kind.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { createEventRecorder } from './event-recorder.ts';

function make() {
  const [clock, log] = [createFakeClock(), createCapturingLog()];
  const cluster = observeCluster(createFakeStore().cluster);
  return {
    clock,
    log,
    cluster,
    recorder: createEventRecorder({ cluster, clock, log, random: createFakeRandom(), instance: 'pod-1' }),
  };
}

const about = (name: string, namespace?: string): KubeObject => ({
  apiVersion: 'countersign.dev/v1alpha1',
  kind: 'CertificateClaim',
  metadata: {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: `uid-${name}`,
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
});

test('an event is one object about another, in its namespace; of cluster-scoped objects in default', async () => {
  const { cluster, recorder } = make();
  recorder.event(about('web', 'default'), 'Normal', 'Issued', 'done');
  recorder.event(about('corporate'), 'Warning', 'Expired', 'gone');
  await recorder.drain();
  expect(cluster.writes).toEqual(['create Event', 'create Event']);
  const { items } = await cluster.list(EventKind);
  expect(
    items.map(({ type, reason, note, regarding, metadata }) => ({
      type,
      reason,
      note,
      regarding,
      namespace: metadata.namespace,
    })),
  ).toEqual(
    expect.arrayContaining([
      {
        type: 'Normal',
        reason: 'Issued',
        note: 'done',
        namespace: 'default',
        regarding: {
          apiVersion: 'countersign.dev/v1alpha1',
          kind: 'CertificateClaim',
          name: 'web',
          namespace: 'default',
          uid: 'uid-web',
        },
      },
      {
        type: 'Warning',
        reason: 'Expired',
        note: 'gone',
        namespace: 'default',
        regarding: {
          apiVersion: 'countersign.dev/v1alpha1',
          kind: 'CertificateClaim',
          name: 'corporate',
          uid: 'uid-corporate',
        },
      },
    ]),
  );
});

test('equal events within ten minutes are one; later they are new', async () => {
  const { cluster, clock, recorder } = make();
  for (let n = 0; n < 5; n++) recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'other');
  recorder.event(about('two', 'default'), 'Warning', 'Denied', 'no');
  await clock.advance(600_000);
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  await recorder.drain();
  expect(cluster.writes).toHaveLength(4);
});

test('an object that talks too much is cut short and gets its say back slowly', async () => {
  const { cluster, clock, recorder } = make();
  for (let n = 0; n < 100; n++) recorder.event(about('web', 'default'), 'Normal', 'Issued', `certificate ${n}`);
  await recorder.drain();
  expect(cluster.writes).toHaveLength(25);
  await clock.advance(600_000);
  for (let n = 100; n < 200; n++) recorder.event(about('web', 'default'), 'Normal', 'Issued', `certificate ${n}`);
  recorder.event(about('quiet', 'default'), 'Normal', 'Issued', 'mine');
  await recorder.drain();
  expect(cluster.writes).toHaveLength(28);
});

test('a failing API costs the event and a log line, never the caller', async () => {
  const { cluster, log, recorder } = make();
  cluster.intercept = () => {
    throw new ClusterError('Forbidden', 'no events for you');
  };
  recorder.event(about('web', 'default'), 'Normal', 'Issued', 'done');
  await recorder.drain();
  expect(log.lines.map(({ level }) => level)).toEqual(['warn']);
  cluster.intercept = () => undefined;
  recorder.event(about('web', 'default'), 'Normal', 'Issued', 'again');
  await recorder.drain();
  expect(cluster.writes).toEqual(['create Event']);
});

test('long names and long notes fit', async () => {
  const { cluster, recorder } = make();
  recorder.event(about(`${'a'.repeat(199)}.${'b'.repeat(53)}`, 'default'), 'Normal', 'Issued', 'x'.repeat(5000));
  await recorder.drain();
  const [event] = (await cluster.list(EventKind)).items;
  expect(event?.metadata.name.length).toBeLessThanOrEqual(253);
  expect(event?.note).toHaveLength(1024);
  expect((await cluster.list(SecretKind)).items).toEqual([]);
});

test('a backlog is bound: what does not fit is dropped', async () => {
  const { cluster, recorder } = make();
  for (let n = 0; n < 1500; n++) recorder.event(about(`o${n}`, 'default'), 'Normal', 'Issued', 'x');
  await recorder.drain();
  expect(cluster.writes).toHaveLength(1000);
});
