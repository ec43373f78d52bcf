import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { observeCluster } from '../../test/fakes/observed-cluster.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { EventKind } from '../api/core.ts';
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

test('equal events within ten minutes are a series of one Event, written every five minutes; later they are new', async () => {
  const { cluster, clock, recorder } = make();
  for (let n = 0; n < 5; n++) recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'other');
  recorder.event(about('two', 'default'), 'Warning', 'Denied', 'no');
  await recorder.drain();
  expect(cluster.writes).toEqual(['create Event', 'create Event', 'create Event']);
  await clock.advance(200_000);
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  await clock.advance(100_000);
  expect(cluster.writes.splice(3)).toEqual(['replace Event']);
  const counts = async () => (await cluster.list(EventKind)).items.flatMap(({ series }) => series ?? []);
  expect(await counts()).toEqual([{ count: 6, lastObservedTime: '2026-01-01T00:03:20.000000Z' }]);
  await clock.advance(600_000);
  expect(cluster.writes).toHaveLength(3);
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  await recorder.drain();
  expect(cluster.writes.splice(3)).toEqual(['create Event']);
  expect(await counts()).toHaveLength(1);
});

test('flushing writes what a series has come to; one whose Event has expired gets another', async () => {
  const { cluster, clock, recorder } = make();
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  await recorder.drain();
  const [event] = (await cluster.list(EventKind)).items;
  if (!event) throw new Error('no Event');
  await cluster.delete(EventKind, event.metadata);
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'no');
  await clock.advance(1_000);
  await recorder.flush();
  const { items } = await cluster.list(EventKind);
  expect(items.map(({ series }) => series?.count)).toEqual([2]);
});

test('a note is one line, with nothing in it that a terminal obeys', async () => {
  const { cluster, recorder } = make();
  recorder.event(about('web', 'default'), 'Warning', 'Denied', 'a\r\nforged\u001b[2J\u202egpj\u009b\u2028');
  await recorder.drain();
  const [event] = (await cluster.list(EventKind)).items;
  expect(event?.note).toBe('a\\u000d\\u000aforged\\u001b[2J\\u202egpj\\u009b\\u2028');
});

test('many alike but for their note are combined', async () => {
  const { cluster, clock, recorder } = make();
  for (let n = 0; n < 100; n++) recorder.event(about('web', 'default'), 'Normal', 'Issued', `certificate ${n}`);
  await recorder.drain();
  expect(cluster.writes).toHaveLength(11);
  await recorder.flush();
  const combined = (await cluster.list(EventKind)).items.filter(({ note }) => note.startsWith('(combined'));
  expect(combined.map(({ note, series }) => [note, series?.count])).toEqual([
    ['(combined from similar events): certificate 10', 90],
  ]);
  await clock.advance(600_000);
  recorder.event(about('web', 'default'), 'Normal', 'Issued', 'certificate 100');
  await recorder.flush();
  expect((await cluster.list(EventKind)).items.map(({ note }) => note)).toContain('certificate 100');
});

test('an object that talks too much is cut short and gets its say back slowly', async () => {
  const { cluster, clock, recorder } = make();
  for (let n = 0; n < 100; n++) recorder.event(about('web', 'default'), 'Normal', `Reason${n}`, 'x');
  await recorder.drain();
  expect(cluster.writes).toHaveLength(25);
  await clock.advance(600_000);
  for (let n = 100; n < 200; n++) recorder.event(about('web', 'default'), 'Normal', `Reason${n}`, 'x');
  recorder.event(about('quiet', 'default'), 'Normal', 'Issued', 'mine');
  await recorder.drain();
  expect(cluster.writes).toHaveLength(28);
});

test('while the API is down there are few attempts; what it takes in the end is there once; flushing does not wait for it', async () => {
  const { cluster, clock, log, recorder } = make();
  let down = true;
  const attempts: number[] = [];
  cluster.intercept = (_call, phase) => {
    if (phase === 'before') attempts.push(clock.monotonic());
    if (down) throw new ClusterError('Unavailable', 'not now');
  };
  for (let n = 0; n < 50; n++) recorder.event(about(`o${n}`, 'default'), 'Normal', 'Issued', 'x');
  await clock.advance(60_000);
  expect(attempts.length).toBeGreaterThan(3);
  expect(attempts.length).toBeLessThan(12);
  expect(log.lines).toEqual([]);
  down = false;
  await clock.advance(60_000);
  expect(cluster.writes).toHaveLength(50);
  down = true;
  attempts.length = 0;
  for (let n = 50; n < 100; n++) recorder.event(about(`o${n}`, 'default'), 'Normal', 'Issued', 'x');
  await recorder.flush();
  expect(attempts).toHaveLength(1);
  expect(cluster.writes).toHaveLength(50);
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

test('long names, notes and reasons fit, counted in bytes and cut between characters', async () => {
  const { cluster, recorder } = make();
  const notes = ['x'.repeat(5000), 'é'.repeat(1000), `a${'🙂'.repeat(400)}`, '語'.repeat(341), '\ud800 alone', ''];
  for (const [n, note] of notes.entries())
    recorder.event(about(`${'a'.repeat(199)}.${'b'.repeat(53)}`, 'default'), 'Normal', `R${n}${'r'.repeat(200)}`, note);
  recorder.event(about('web', 'default'), 'Normal', '', 'no reason');
  await recorder.drain();
  const { items } = await cluster.list(EventKind);
  expect(items).toHaveLength(notes.length + 1);
  for (const { metadata, note, reason, action } of items) {
    expect(metadata.name.length).toBeLessThanOrEqual(253);
    expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024);
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(128);
    expect(action).toBe(reason);
    if (!note.includes('alone')) expect(note).not.toContain('\ufffd');
  }
  expect(items.some(({ note }) => note === '語'.repeat(341))).toBe(true);
});

test('a backlog is bound: what does not fit is dropped', async () => {
  const { cluster, recorder } = make();
  for (let n = 0; n < 1500; n++) recorder.event(about(`o${n}`, 'default'), 'Normal', 'Issued', 'x');
  await recorder.drain();
  expect(cluster.writes).toHaveLength(1000);
});
