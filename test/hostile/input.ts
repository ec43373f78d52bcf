// Defines a test by the number of its hostile input (coverage.test.ts) and holds each to the same promises: nothing
// written, no object changed, no server error, and the next good request served.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectProblem, type ExpectedProblem } from '../conformance/expectations.ts';
import type { Reply } from '../support/acme-wire.ts';
import { type Arena, type ArenaOptions, goodRequest, startArena, warmUp } from './arena.ts';
import type { RawReply } from './raw.ts';

export interface Expected {
  /** Writes the input causes or tries, as `verb kind`; none when absent. */
  writes?: readonly string[];
  /** Whether one of them makes or changes an object: the outcome of a validation. */
  changes?: boolean;
}

export interface Hostile {
  (number: number, title: string, run: (arena: Arena) => Promise<void>, expected?: Expected): void;
  /** Defines the last tests of the file: what must hold after all its inputs. */
  finish(): void;
}

/** A wait that runs into this is a failure; nothing asserts on wall-clock time. */
const TIMEOUT = 180_000;
const PROTOTYPES = [Object, Array, Function, String, Number, Boolean, RegExp, Promise, Map, Set, Buffer, Error];
const prototypeNames = (): string[] =>
  PROTOTYPES.map(
    ({ name, prototype }) =>
      `${name}: ${Reflect.ownKeys(prototype as object)
        .map(String)
        .sort()
        .join(' ')}`,
  );

/** Starts the program for a test file. */
export function hostile(options: ArenaOptions = {}): Hostile {
  const prototypes = prototypeNames();
  const unheard: unknown[] = [];
  const listener = (reason: unknown): void => void unheard.push(reason);
  let started: Arena | undefined;
  const arenaOf = (): Arena => {
    if (started === undefined) throw new Error('the program did not start');
    return started;
  };
  beforeAll(async () => {
    process.on('unhandledRejection', listener);
    started = await startArena(options);
    await warmUp(started);
  }, TIMEOUT);
  afterAll(async () => {
    await started?.stop();
    process.off('unhandledRejection', listener);
  }, TIMEOUT);

  const input = (
    number: number,
    title: string,
    run: (arena: Arena) => Promise<void>,
    { writes = [], changes = false }: Expected = {},
  ): void => {
    test(`${number}. ${title}`, { timeout: TIMEOUT }, async () => {
      const arena = arenaOf();
      await arena.given(() => Promise.resolve());
      await run(arena);
      expect(arena.writes, 'writes').toEqual(writes);
      if (!changes) expect(await arena.objects(), 'objects').toEqual(arena.baseline);
      expect(await goodRequest(arena.acme), 'a good request afterwards').toMatchObject({ status: 201 });
      expect(arena.failures, 'server errors').toEqual([]);
    });
  };
  const finish = (): void => {
    test('afterwards: no secret and no error is in the log or the audit trail', () => {
      const { lines, operator, secrets } = arenaOf();
      const written = [...lines, ...operator.audit.map((entry) => JSON.stringify(entry))];
      expect(secrets.size, 'secrets to look for').toBeGreaterThan(0);
      expect([...secrets].filter((secret) => written.some((line) => line.includes(secret)))).toEqual([]);
      expect(lines.filter((line) => (JSON.parse(line) as { level: string }).level === 'error')).toEqual([]);
    });
    test('afterwards: prototypes are as they were, and no rejection went unheard', async () => {
      expect(prototypeNames()).toEqual(prototypes);
      // A rejection is reported once the microtasks it belongs to have run.
      await new Promise((resolve) => setImmediate(resolve));
      expect(unheard).toEqual([]);
    });
    test('afterwards: a certificate is issued', async () => {
      await warmUp(arenaOf());
    });
  };
  return Object.assign(input, { finish });
}

/** The reply is one of these problems, and its nonce is fresh and usable. */
export async function refused(arena: Arena, reply: Reply, ...expected: readonly ExpectedProblem[]): Promise<void> {
  expectProblem(reply, ...expected);
  await usableNonce(arena, reply.nonce);
}

export async function usableNonce(arena: Arena, nonce: string | undefined): Promise<void> {
  expect(nonce, 'Replay-Nonce').toMatch(/^[A-Za-z0-9_-]{22,}$/);
  expect(await goodRequest(arena.acme, nonce), 'a good request with the nonce of the refusal').toMatchObject({
    status: 201,
  });
}

/** A refusal in raw bytes: status and type as expected; with a usable nonce where there was a request to answer. */
export async function refusedRaw(
  arena: Arena,
  reply: RawReply,
  expected: ExpectedProblem,
  { nonce = true }: { nonce?: boolean } = {},
): Promise<void> {
  const { type = '', status } = (reply.body === '' ? {} : JSON.parse(reply.body)) as { type?: string; status?: number };
  expect(`${type.replace('urn:ietf:params:acme:error:', '')}/${reply.status}`, reply.body).toBe(expected);
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(status, 'the problem repeats the HTTP status').toBe(reply.status);
  if (nonce) await usableNonce(arena, reply.headers['replay-nonce']);
}
