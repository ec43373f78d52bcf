import { expect, test } from 'vitest';
import { createFakeClock, settle } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { createGate, type Pass } from './kubernetes-gate.ts';

function aGate() {
  const clock = createFakeClock();
  const gate = createGate({ clock, random: createFakeRandom() });
  /** What became of one who asks to enter, with so much patience. */
  const ask = (patienceMs = 5_000) => {
    const asked: { pass?: Pass; refused?: ClusterError } = {};
    gate.enter(clock.monotonic() + patienceMs).then(
      (pass) => void (asked.pass = pass),
      (error: ClusterError) => void (asked.refused = error),
    );
    return asked;
  };
  return { clock, gate, ask };
}

test('while all is well everyone enters', async () => {
  const { ask } = aGate();
  const asked = Array.from({ length: 50 }, () => ask());
  await settle();
  expect(asked.every(({ pass }) => pass !== undefined)).toBe(true);
});

test('after a failure one goes ahead, and the others follow once it is answered', async () => {
  const { clock, gate, ask } = aGate();
  (await gate.enter(0))('down');
  const asked = [ask(), ask(), ask()];
  await clock.advance(400);
  expect(asked.filter(({ pass }) => pass)).toEqual([]);
  await clock.advance(700);
  expect(asked.filter(({ pass }) => pass)).toHaveLength(1);
  asked.find(({ pass }) => pass)?.pass?.('up');
  await settle();
  expect(asked.every(({ pass }) => pass !== undefined)).toBe(true);
});

test('a probe that learns nothing leaves its place to the next', async () => {
  const { clock, gate, ask } = aGate();
  (await gate.enter(0))('down');
  const [first, second] = [ask(), ask()];
  await clock.advance(1_100);
  first.pass?.('unsure');
  await settle();
  expect(second.pass).toBeDefined();
});

test('of many that fail at once one counts', async () => {
  const { clock, gate, ask } = aGate();
  const passes = await Promise.all(Array.from({ length: 20 }, () => gate.enter(0)));
  for (const pass of passes) pass('down');
  const next = ask();
  await clock.advance(1_100);
  expect(next.pass).toBeDefined();
});

test('what the server asks for is granted', async () => {
  const { clock, gate, ask } = aGate();
  (await gate.enter(0))('down', 10_000);
  const [impatient, patient] = [ask(5_000), ask(60_000)];
  await settle();
  expect(impatient.refused?.reason).toBe('Unavailable');
  expect(impatient.refused?.retryAfterMs).toBe(10_000);
  await clock.advance(9_900);
  expect(patient.pass).toBeUndefined();
  await clock.advance(200);
  expect(patient.pass).toBeDefined();
});

test('in an outage nobody waits, and few requests go', async () => {
  const { clock, gate } = aGate();
  let [sent, refused, slowest] = [0, 0, 0];
  let over = false;
  const caller = async () => {
    while (!over) {
      const from = clock.monotonic();
      try {
        const pass = await gate.enter(from + 5_000);
        sent++;
        pass('down');
      } catch {
        refused++;
        if (from > 10_000) slowest = Math.max(slowest, clock.monotonic() - from);
      }
      await clock.sleep(50);
    }
  };
  const callers = Array.from({ length: 10 }, caller);
  await clock.advance(60_000);
  over = true;
  await clock.advance(1_000);
  await Promise.all(callers);
  expect(sent).toBeGreaterThan(10);
  expect(sent).toBeLessThan(60);
  expect(refused).toBeGreaterThan(5_000);
  expect(slowest).toBe(0);
});
