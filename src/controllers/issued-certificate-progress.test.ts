// What a backend puts on record in the middle of its work: it is there for whoever comes next, and what was kept last counts.
import { expect, test } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { away } from '../../test/fakes/remote-backend.ts';
import { startRemoteWorld } from '../../test/fakes/remote-world.ts';
import { IssuedCertificateKind, isIssued } from '../api/issued-certificate.ts';
import { keyAuthorizationIn } from '../issuance/records.ts';
import type { SigningRequest } from '../ports.ts';

const HANDLE = 'countersign.dev/handle';
const ANSWERS = 'countersign.dev/key-authorizations';

test('is on the reservation at once, with what the CA may fetch meanwhile, and goes with it', async () => {
  const world = await startRemoteWorld({ backend: { search: undefined as never } });
  const seen: unknown[] = [];
  world.remote.behave = async (request: SigningRequest) => {
    await request.keep?.('order-1', ['token-1.thumb', 'token-2.thumb']);
    const annotations = (await world.record('a'))?.metadata.annotations;
    seen.push(annotations?.[HANDLE], annotations?.[ANSWERS]);
    await request.keep?.('order-1 ready');
    seen.push((await world.record('a'))?.metadata.annotations?.[ANSWERS]);
    return undefined;
  };
  await world.ask(world.request('a'));
  await world.quiet();
  expect(seen).toEqual(['order-1', 'token-1.thumb token-2.thumb', undefined]);
  const record = await world.record('a');
  expect(record && isIssued(record)).toBe(true);
  expect(record?.metadata.annotations ?? {}).toEqual({});
  // Created, kept twice, finished: with what was kept it is read no more often.
  expect(world.writes()).toEqual(['create IssuedCertificate', ...Array(3).fill('replace IssuedCertificate')]);
  await world.stop();
});

test('of two kept in attempts that failed, the later is asked with', async () => {
  const world = await startRemoteWorld({ backend: { search: undefined as never } });
  const given: (string | undefined)[] = [];
  world.remote.behave = async (request: SigningRequest) => {
    given.push(request.handle);
    if (given.length === 1) return { kind: 'pending', retryAfterMs: 1000, handle: 'first' };
    if (given.length > 2) return undefined;
    await request.keep?.('second');
    throw away();
  };
  await world.ask(world.request('a'));
  for (let round = 0; round < 5; round++) await world.clock.advance(60_000);
  await world.quiet();
  expect(given).toEqual([undefined, 'first', 'second']);
  await world.stop();
});

test('where somebody else changed the record meanwhile, it is kept beside that', async () => {
  const world = await startRemoteWorld({ backend: { search: undefined as never } });
  world.remote.behave = async (request: SigningRequest) => {
    const record = await world.record('a');
    if (record && request.handle === undefined)
      await world.cluster.replace(IssuedCertificateKind, {
        ...record,
        metadata: { ...record.metadata, annotations: { ...record.metadata.annotations, note: 'x' } },
      });
    await request.keep?.('order-1');
    return undefined;
  };
  await world.ask(world.request('a'));
  await world.quiet();
  const record = await world.record('a');
  expect(record && isIssued(record)).toBe(true);
  expect(record?.metadata.annotations).toMatchObject({ note: 'x' });
  await world.stop();
});

test('where nobody waits any longer, the backend is told so', async () => {
  const world = await startRemoteWorld({ backend: { search: undefined as never } });
  const outcomes: string[] = [];
  world.remote.behave = async (request: SigningRequest) => {
    const record = await world.record('a');
    if (record) await world.cluster.delete(IssuedCertificateKind, record.metadata);
    const outcome = await request.keep?.('order-1').then(
      () => 'kept',
      (error: Error) => error.name,
    );
    outcomes.push(outcome ?? 'nothing');
    throw away();
  };
  await world.ask(world.request('a'));
  await eventually('the backend was asked', () => Promise.resolve(outcomes[0]));
  expect(outcomes[0]).toBe('ClusterError');
  await world.stop();
});

test('key authorizations are found by their whole token alone', () => {
  const records = [{ metadata: { annotations: { [ANSWERS]: 'abc.thumb abcd.thumb' } } }];
  const answer = keyAuthorizationIn({ byIndex: () => records } as never);
  expect([answer('abc'), answer('abcd'), answer('ab'), answer('')]).toEqual([
    'abc.thumb',
    'abcd.thumb',
    undefined,
    undefined,
  ]);
});
