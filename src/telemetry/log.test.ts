import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { Problem } from '../domain/problem.ts';
import { createAudit } from './audit.ts';
import { createLog, type LogLevel } from './log.ts';

function capture(level?: LogLevel) {
  const lines: string[] = [];
  const sink = { write: (line: string) => void lines.push(line) };
  const clock = createFakeClock('2026-01-02T03:04:05Z');
  return { lines, log: createLog({ clock, sink, ...(level ? { level } : {}) }), audit: createAudit({ clock, sink }) };
}

const parsed = (lines: string[]) => lines.map((line) => JSON.parse(line) as Record<string, never>);

test('a line is JSON: level, time, constant message, fields', () => {
  const { lines, log } = capture();
  log.info({ issuer: 'corporate', count: 3, ok: true, at: new Date(0), none: null, absent: undefined }, 'issued');
  expect(lines).toEqual([expect.stringMatching(/^[^\n]+\n$/)]);
  expect(parsed(lines)).toEqual([
    {
      level: 'info',
      time: '2026-01-02T03:04:05.000Z',
      issuer: 'corporate',
      count: 3,
      ok: true,
      at: '1970-01-01T00:00:00.000Z',
      none: null,
      msg: 'issued',
    },
  ]);
});

test('levels below the chosen one are left out', () => {
  const { lines, log } = capture('warn');
  log.debug({}, 'a');
  log.info({}, 'b');
  log.warn({}, 'c');
  log.error({}, 'd');
  expect(parsed(lines).map(({ msg }) => msg)).toEqual(['c', 'd']);
});

test('planted secrets do not come out, wherever they hide', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const planted = 's3cr3t-value-4711';
  const body = pem.split('\n')[1] ?? '';
  const error = Object.assign(new Error(`could not read:\n${pem}`), {
    request: { headers: { authorization: `Basic ${planted}` } },
    config: { passphrase: planted },
  });
  class Session {
    readonly token = planted;
  }
  const everywhere = {
    error,
    cause: new Error('outer', { cause: new Error(`inner ${pem}`) }),
    key: privateKey,
    hmac: createSecretKey(Buffer.from(planted)),
    bytes: Buffer.from(planted),
    jwk: { kty: 'EC', x: 'public', d: planted },
    symmetric: { kty: 'oct', k: planted },
    secret: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'x', namespace: 'y' },
      data: { password: planted },
      stringData: { a: planted },
    },
    password: planted,
    nested: { deep: { keyPassphrase: planted, list: [{ privateKey: planted }] } },
    header: `Bearer ${planted}`,
    headers: { Cookie: planted, 'x-auth-token': planted },
    session: new Session(),
    url: new URL(`https://user:${planted}@host/path?token=${planted}`),
    fn: () => planted,
    map: new Map([['a', planted]]),
    pem,
  };
  const { lines, log, audit } = capture();
  log.error(everywhere, 'failed');
  audit.record('decision', everywhere);
  for (const line of lines) {
    expect(line).not.toContain(planted);
    expect(line).not.toContain(body);
    expect(line).not.toContain(Buffer.from(planted).toString('base64'));
  }
  expect(parsed(lines)[0]).toMatchObject({
    secret: { kind: 'Secret', namespace: 'y', name: 'x' },
    key: '[private key]',
    bytes: `[${planted.length} bytes]`,
    session: '[Session]',
    url: 'https://host/path',
  });
});

test('an error shows its name, message, known members, positions and causes', () => {
  const { lines, log } = capture();
  log.warn(
    { error: new ClusterError('Conflict', 'changed', { retryAfterMs: 5 }), problem: new Problem('badCSR', 'no') },
    'x',
  );
  log.warn(
    { error: new Error('outer', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) }) },
    'y',
  );
  const [first, second] = parsed(lines);
  expect(first).toMatchObject({
    error: {
      name: 'ClusterError',
      message: 'changed',
      reason: 'Conflict',
      retryAfterMs: 5,
      stack: expect.stringMatching(/^at .*log\.test/) as string,
    },
    problem: { name: 'Problem', type: 'badCSR', detail: 'no', status: 400 },
  });
  expect(second).toMatchObject({ error: { message: 'outer', cause: { message: 'refused', code: 'ECONNREFUSED' } } });
});

test('nobody writes lines of their own, or moves the cursor', () => {
  const { lines, log } = capture();
  const nasty =
    'a\r\n{"level":"error","msg":"forged"}\u001b[2J\u0007\u0085\u2028\u2029\u202egpj.exe\u009b\u007f\u200e\u061c\u200b';
  log.info({ name: nasty, [nasty]: 1 }, nasty);
  expect(lines).toHaveLength(1);
  // oxlint-disable-next-line no-control-regex -- the range is what must not be there
  expect(lines[0]?.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e\u200e\u061c\u200b]/);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'info',
    name: expect.stringContaining('\\u000d\\u000a') as string,
  });
});

test('fields cannot pass for the line’s own members', () => {
  const { lines, log, audit } = capture();
  log.info({ level: 'error', time: 'x', msg: 'forged' }, 'real');
  expect(lines[0]?.match(/"(level|time|msg)":/g)).toEqual(['"level":', '"time":', '"msg":']);
  expect(parsed(lines)[0]).toMatchObject({ level: 'info', msg: 'real', field_msg: 'forged' });
  audit.record('decision', { audit: 'forged', time: 'x', decisionID: 'd1' });
  expect(parsed(lines)[1]).toEqual({ audit: 'decision', time: '2026-01-02T03:04:05.000Z', decisionID: 'd1' });
});

test('whatever is logged, it is one parsable line of bounded size, and logging does not throw', () => {
  const { lines, log } = capture();
  const cycle: Record<string, unknown> = { a: 1 };
  cycle.self = cycle;
  log.info({ cycle, big: 'x'.repeat(1e6), list: Array.from({ length: 1e5 }, (_, i) => i) }, 'x');
  expect(lines[0]?.length).toBeLessThan(10_000);
  const trap = {
    get inside(): string {
      throw new Error('trapped');
    },
  };
  log.info({ trap }, 'y');
  expect(lines[1]).toContain('[unreadable]');
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string(),
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true, withNullPrototype: true }),
      ),
      fc.string({ unit: 'binary' }),
      (fields, message) => {
        lines.length = 0;
        log.info(fields, message);
        expect(lines).toHaveLength(1);
        expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1);
        expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info' });
      },
    ),
  );
});
