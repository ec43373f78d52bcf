import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { createFakeClock, type FakeClock, settle } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { errorOf } from './kubernetes-errors.ts';
import { type Reply, TransportFailure } from './kubernetes-exchange.ts';
import { AnswerTooLarge, type ApiRequest, createRequests } from './kubernetes-requests.ts';
import type { Transport } from './kubernetes-transport.ts';

type Step = Reply | TransportFailure | IncomingMessage;

function reply(status: number, body: unknown = {}, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  };
}

const failed = (facts: Partial<TransportFailure> = {}) =>
  new TransportFailure('cut', { sent: true, reused: false, ...facts });
const OK = reply(200, { ok: true });
const read: ApiRequest = {
  method: 'GET',
  path: '/api/v1/secrets?limit=1',
  headers: {},
  timeoutMs: 1,
  maxBytes: 1,
  safe: true,
};
const write: ApiRequest = { ...read, method: 'POST', safe: false };

interface Tried {
  /** Monotonic ms. */
  at: number;
  fresh: boolean;
}

/** A server that answers step by step, the last for ever. */
function scripted(...steps: Step[]) {
  const clock = createFakeClock();
  const tries: Tried[] = [];
  const next = async <R extends Step>(fresh: boolean): Promise<R> => {
    const step = steps[Math.min(tries.push({ at: clock.monotonic(), fresh }), steps.length) - 1];
    if (step instanceof TransportFailure) throw step;
    return step as R;
  };
  const transport: Transport = {
    exchange: (_request, fresh) => next(fresh),
    open: (_request, fresh) => next(fresh),
    openSockets: () => 0,
    close: () => undefined,
  };
  const requests = createRequests({ transport, clock, random: createFakeRandom(), heard: () => undefined });
  return { clock, tries, requests };
}

/** The end of the call, time passing meanwhile as it needs. */
async function outcome(clock: FakeClock, work: Promise<unknown>): Promise<unknown> {
  let end: { value: unknown } | undefined;
  work.then(
    (value) => (end = { value }),
    (error: unknown) => (end = { value: error }),
  );
  for (let ms = 0; end === undefined && ms < 120_000; ms += 100) await clock.advance(100);
  return end?.value;
}

async function run(request: ApiRequest, ...steps: Step[]) {
  const { clock, tries, requests } = scripted(...steps);
  const result = await outcome(
    clock,
    requests.send(request).then((end) => ('refusal' in end ? errorOf(end.refusal, !request.safe) : end.value)),
  );
  return { result, tries, error: result as ClusterError };
}

test('an answer is an answer', async () => {
  expect(await run(read, OK)).toMatchObject({ result: { ok: true }, tries: [{ fresh: false }] });
});

test('429: reads and writes go again when they are told to', async () => {
  for (const request of [read, write]) {
    const { result, tries } = await run(request, reply(429, {}, { 'retry-after': '3' }), OK);
    expect(result).toEqual({ ok: true });
    expect(tries).toHaveLength(2);
    expect(tries[1]?.at).toBeGreaterThanOrEqual(3_000);
  }
});

test('429 without a time is no reason to hurry', async () => {
  const { tries } = await run(read, reply(429), OK);
  expect(tries[1]?.at).toBeGreaterThanOrEqual(1_000);
});

test('429 for longer than anyone waits is handed on with its time', async () => {
  const { error, tries } = await run(write, reply(429, {}, { 'retry-after': '60' }));
  expect(error).toMatchObject({ reason: 'Unavailable', retryAfterMs: 60_000, outcomeUnknown: false });
  expect(tries).toHaveLength(1);
});

test('429 for ever ends', async () => {
  const { error, tries } = await run(read, reply(429));
  expect(error.reason).toBe('Unavailable');
  expect(tries.length).toBeLessThan(7);
});

test('503 with Retry-After did nothing: a write goes again', async () => {
  const { result, tries } = await run(write, reply(503, {}, { 'retry-after': '2' }), OK);
  expect(result).toEqual({ ok: true });
  expect(tries[1]?.at).toBeGreaterThanOrEqual(2_000);
});

test('503 with Retry-After for a minute: no request before its time, whoever asks', async () => {
  const { clock, tries, requests } = scripted(reply(503, {}, { 'retry-after': '4' }));
  const ends: unknown[] = [];
  const callers = Array.from({ length: 8 }, async () => {
    while (clock.monotonic() < 60_000) {
      ends.push(await requests.send(read).catch((error: unknown) => error));
      await clock.sleep(100);
    }
  });
  await clock.advance(70_000);
  await Promise.all(callers);
  // The eight of the first moment, and one probe in each four seconds.
  expect(tries.length).toBeLessThanOrEqual(8 + 16);
  expect(ends.length).toBeGreaterThan(100);
});

test.each([500, 504])('%i: a write is not repeated, and may have been done', async (status) => {
  const { error, tries } = await run(write, reply(status), OK);
  expect(error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: true });
  expect(tries).toHaveLength(1);
});

test('500 of a read is the caller’s to retry', async () => {
  const { error, tries } = await run(read, reply(500), OK);
  expect(error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: false });
  expect(tries).toHaveLength(1);
});

test.each([502, 503])('%i: a read goes again, a write without Retry-After does not', async (status) => {
  expect((await run(read, reply(status), OK)).result).toEqual({ ok: true });
  const { error, tries } = await run(write, reply(status), OK);
  expect(error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: true });
  expect(tries).toHaveLength(1);
});

test('lost on the way: a read goes again, a write does not and may have been done', async () => {
  expect((await run(read, failed(), OK)).result).toEqual({ ok: true });
  for (const loss of [failed(), failed({ reused: true }), failed({ timedOut: true })]) {
    const { error, tries } = await run(write, loss, OK);
    expect(error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: true });
    expect(tries).toHaveLength(1);
  }
});

test('never sent: both go again, after a pause', async () => {
  for (const request of [read, write]) {
    const { result, tries } = await run(request, failed({ sent: false }), OK);
    expect(result).toEqual({ ok: true });
    expect(tries[1]?.at).toBeGreaterThanOrEqual(500);
  }
  const { error, tries } = await run(write, failed({ sent: false }));
  expect(error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: false });
  expect(tries.length).toBeLessThanOrEqual(4);
});

test('a connection that had gone stale costs a read no time, and does not count as an outage', async () => {
  const { clock, tries, requests } = scripted(failed({ reused: true }), failed({ reused: true }), OK);
  const end = requests.send(read);
  await settle();
  expect(await end).toEqual({ value: { ok: true } });
  expect(tries.map(({ at }) => at)).toEqual([0, 0, 0]);
  expect(clock.monotonic()).toBe(0);
  const { error, tries: all } = await run(read, failed({ reused: true }));
  expect(error.reason).toBe('Unavailable');
  expect(all).toHaveLength(3);
});

test('401: credentials are read anew, once', async () => {
  for (const request of [read, write]) {
    const good = await run(request, reply(401), OK);
    expect(good.result).toEqual({ ok: true });
    expect(good.tries.map(({ fresh }) => fresh)).toEqual([false, true]);
    const bad = await run(request, reply(401));
    expect(bad.error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: false });
    expect(bad.tries.map(({ fresh }) => fresh)).toEqual([false, true]);
  }
});

test('an answer that is too large is said to be so, and not asked for again', async () => {
  const { error, tries } = await run(read, failed({ tooLarge: true }));
  expect(error).toBeInstanceOf(AnswerTooLarge);
  expect(tries).toHaveLength(1);
});

test.each([
  ['compressed', reply(200, '{}', { 'content-encoding': 'gzip' })],
  ['of another type', reply(200, '{}', { 'content-type': 'text/html' })],
  ['no JSON', reply(200, '{"a":')],
])('an answer that is %s is none; after a write nobody knows', async (_name, odd) => {
  expect((await run(read, odd)).error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: false });
  expect((await run(write, odd)).error).toMatchObject({ reason: 'Unavailable', outcomeUnknown: true });
  expect((await run(write, odd)).tries).toHaveLength(1);
});
