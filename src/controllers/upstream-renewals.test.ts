// When a CA elsewhere wants its certificates renewed: asked now and then, kept where that is early, and followed by claims and ARI.
import { expect, test } from 'vitest';
import { startRemoteWorld } from '../../test/fakes/remote-world.ts';
import type { Backend } from '../ports.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const RENEWAL = 'countersign.dev/renewal';

async function startWith(renewalInfo: NonNullable<Backend['renewalInfo']>) {
  const asked: Buffer[] = [];
  const world = await startRemoteWorld({
    backend: {
      renewalInfo: (certificate, signal) => {
        asked.push(certificate);
        return renewalInfo(certificate, signal);
      },
    },
  });
  await world.ask(world.request('a'));
  await world.quiet();
  const wait = async (hours: number) => {
    for (let hour = 0; hour < hours; hour++) await world.clock.advance(HOUR);
  };
  const renewal = async () => (await world.record('a'))?.metadata.annotations?.[RENEWAL];
  return { world, asked, wait, renewal };
}

test('is asked once within six hours, and again after as many, about the certificate that was released', async () => {
  const { world, asked, wait, renewal } = await startWith(() => Promise.resolve(undefined));
  await wait(7);
  expect(asked).toHaveLength(1);
  expect(asked[0]?.toString('base64')).toBe((await world.record('a'))?.status?.certificate);
  await wait(7);
  expect(asked).toHaveLength(2);
  expect(await renewal()).toBeUndefined();
  await world.stop();
});

test('where that is earlier than by itself, it is put on record, by one write, and not asked for again', async () => {
  const start = new Date('2026-01-05T00:00:00Z');
  const { world, asked, wait, renewal } = await startWith(() => Promise.resolve(start));
  world.writes();
  await wait(20);
  expect(await renewal()).toBe(start.toISOString());
  expect(asked).toHaveLength(1);
  expect(world.writes()).toEqual(['replace IssuedCertificate']);
  await world.stop();
});

test('a time before the certificate was issued means now, and no certificate is older than that', async () => {
  const { world, wait, renewal } = await startWith(() => Promise.resolve(new Date(0)));
  await wait(7);
  const issuedAt = new Date((await world.record('a'))?.status?.issuedAt ?? 0).getTime();
  expect(new Date((await renewal()) ?? 0).getTime()).toBe(issuedAt + 1_000);
  await world.stop();
});

test('later than by itself changes nothing; nor does a CA that fails', async () => {
  let calls = 0;
  const { world, asked, wait, renewal } = await startWith(() =>
    calls++ === 0 ? Promise.reject(new Error('away')) : Promise.resolve(new Date('2030-01-01T00:00:00Z')),
  );
  world.writes();
  await wait(14);
  expect(asked).toHaveLength(2);
  expect(await renewal()).toBeUndefined();
  expect(world.writes()).toEqual([]);
  expect(world.counted.filter((line) => line.startsWith('opened'))).toEqual([]);
  await world.stop();
});

test('is not asked of what is revoked or has expired', async () => {
  const { world, asked, wait } = await startWith(() => Promise.resolve(undefined));
  await world.clock.advance(100 * DAY);
  const before = asked.length;
  await wait(20);
  expect(asked.length - before).toBe(0);
  await world.stop();
});
