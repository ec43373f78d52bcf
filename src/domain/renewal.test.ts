import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { dueForReissue, firstReissue, type Lifetime, renewalTime, suggestedWindow } from './renewal.ts';

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);
const ninety: Lifetime = { notBefore: at(0), notAfter: at(90 * DAY) };

const lifetimes = fc
  .record({
    start: fc.integer({ min: 0, max: 2 ** 40 }),
    length: fc.integer({ min: 1, max: 20 * 365 * DAY }),
    issued: fc.option(fc.integer({ min: -DAY, max: 400 * DAY }), { nil: undefined }),
  })
  .map(
    ({ start, length, issued }): Lifetime => ({
      notBefore: new Date(start),
      notAfter: new Date(start + length),
      ...(issued === undefined ? {} : { issuedAt: new Date(start + issued) }),
    }),
  );
const instants = fc.integer({ min: 0, max: 2 ** 41 }).map((ms) => new Date(ms));

test('the default is at two thirds of the lifetime or a thirtieth before', () => {
  for (const seed of ['a/web', 'b/web', 'c/web', 'd/web']) {
    const days = (renewalTime(ninety, { seed }).getTime() - at(0).getTime()) / DAY;
    expect(days).toBeGreaterThan(57);
    expect(days).toBeLessThanOrEqual(60);
  }
});

test('a fleet is spread: a thousand names do not renew in one hour', () => {
  const hours = new Set(
    Array.from({ length: 1000 }, (_, n) => Math.floor(renewalTime(ninety, { seed: `ns/claim-${n}` }).getTime() / HOUR)),
  );
  expect(hours.size).toBeGreaterThan(60);
  expect(renewalTime(ninety, { seed: 'ns/x' })).toEqual(renewalTime(ninety, { seed: 'ns/x' }));
});

test('renewBefore is measured against the lifetime there is, and ignored where it does not fit', () => {
  const wished = renewalTime(ninety, { seed: 's', renewBeforeMs: 15 * DAY });
  expect((wished.getTime() - at(0).getTime()) / DAY).toBeGreaterThan(72);
  expect((wished.getTime() - at(0).getTime()) / DAY).toBeLessThanOrEqual(75);
  const day: Lifetime = { notBefore: at(0), notAfter: at(DAY) };
  expect(renewalTime(day, { seed: 's', renewBeforeMs: 15 * DAY })).toEqual(renewalTime(day, { seed: 's' }));
});

test('time before the issuance is no lifetime', () => {
  const backdated: Lifetime = { notBefore: at(-HOUR), notAfter: at(HOUR), issuedAt: at(0) };
  const minutes = (renewalTime(backdated, { seed: 's' }).getTime() - at(0).getTime()) / MINUTE;
  expect(minutes).toBeGreaterThan(37);
  expect(minutes).toBeLessThanOrEqual(40);
});

test('whatever is wished, renewal lies within the lifetime: no loop after issuance, room before expiry', () => {
  fc.assert(
    fc.property(
      lifetimes,
      fc.integer({ min: 0, max: 30 * 365 * DAY }),
      fc.string(),
      (lifetime, renewBeforeMs, seed) => {
        const { notBefore, notAfter, issuedAt } = lifetime;
        const start = issuedAt && issuedAt > notBefore && issuedAt < notAfter ? issuedAt : notBefore;
        const length = notAfter.getTime() - start.getTime();
        const part = (renewalTime(lifetime, { seed, renewBeforeMs }).getTime() - start.getTime()) / length;
        // A millisecond of rounding.
        expect(part).toBeGreaterThanOrEqual(0.1 - 1 / length);
        expect(part).toBeLessThanOrEqual(0.95 + 1 / length);
      },
    ),
  );
});

test('reissueBefore makes older certificates due, then and not before, and newer ones never', () => {
  const issued = { ...ninety, issuedAt: at(0) };
  expect(renewalTime(issued, { seed: 's', reissueBefore: at(DAY) })).toEqual(at(DAY));
  expect(renewalTime(issued, { seed: 's', reissueBefore: at(-DAY) })).toEqual(renewalTime(issued, { seed: 's' }));
  expect(renewalTime(issued, { seed: 's', reissueBefore: at(80 * DAY) })).toEqual(renewalTime(issued, { seed: 's' }));
  // Records may keep whole seconds: one issued later in that very second is not older.
  expect(dueForReissue({ ...ninety, issuedAt: at(0) }, at(700))).toBe(false);
  expect(dueForReissue({ ...ninety, issuedAt: at(0) }, at(1000))).toBe(true);
  expect(dueForReissue(ninety, at(DAY))).toBe(false);
});

test('a replacement is never due by the reissueBefore that caused it', () => {
  fc.assert(
    fc.property(instants, fc.integer({ min: 0, max: 10_000 }), (reissueBefore, late) => {
      const issuedAt = new Date(Math.floor((reissueBefore.getTime() + late) / 1000) * 1000);
      expect(
        dueForReissue({ notBefore: issuedAt, notAfter: new Date(issuedAt.getTime() + DAY), issuedAt }, reissueBefore),
      ).toBe(false);
    }),
  );
});

test('the window of ARI ends at two thirds; one for a revoked or reissued certificate lies in the past', () => {
  const now = at(10 * DAY);
  const natural = suggestedWindow(ninety, { revoked: false, now });
  expect([natural.start, natural.end]).toEqual([at(57 * DAY), at(60 * DAY)]);
  expect(suggestedWindow(ninety, { revoked: true, now }).end.getTime()).toBeLessThan(now.getTime());
  const issued = { ...ninety, issuedAt: at(0) };
  expect(suggestedWindow(issued, { revoked: false, reissueBefore: at(DAY), now }).end.getTime()).toBeLessThan(
    now.getTime(),
  );
  expect(suggestedWindow(issued, { revoked: false, reissueBefore: at(11 * DAY), now }).start).toEqual(at(11 * DAY));
  expect(suggestedWindow(issued, { revoked: false, reissueBefore: at(-DAY), now })).toEqual(natural);
});

test('a reissueBefore that comes while a certificate is due by itself does not move its window past its renewal', () => {
  const lifetime = { notBefore: at(0), notAfter: at(60_001), issuedAt: at(0) };
  const reissueBefore = at(36_444);
  const { start, end } = suggestedWindow(lifetime, { revoked: false, now: at(-DAY), name: '', reissueBefore });
  const renewal = renewalTime(lifetime, { name: '', seed: '', reissueBefore }).getTime();
  expect([renewal >= start.getTime(), renewal <= end.getTime()]).toEqual([true, true]);
});

test('a claim renews within the window that ARI suggests for its record, or when reissueBefore opens it', () => {
  fc.assert(
    fc.property(
      lifetimes.filter(({ notBefore, notAfter }) => notAfter.getTime() - notBefore.getTime() > 60_000),
      fc.record({ name: fc.string(), seed: fc.string(), reissueBefore: fc.option(instants, { nil: undefined }) }),
      (lifetime, { name, seed, reissueBefore }) => {
        // Before the issuance nothing that lies ahead has come.
        const now = new Date(0);
        const { start, end } = suggestedWindow(lifetime, { revoked: false, now, name, reissueBefore });
        const renewal = renewalTime(lifetime, { name, seed, reissueBefore });
        expect(renewal.getTime()).toBeGreaterThanOrEqual(start.getTime() - 1);
        expect(renewal.getTime()).toBeLessThanOrEqual(end.getTime());
      },
    ),
  );
});

test('windows are windows: start before end, to the second, whatever the certificate', () => {
  fc.assert(
    fc.property(
      lifetimes,
      fc.record({
        revoked: fc.boolean(),
        reissueBefore: fc.option(instants, { nil: undefined }),
        now: instants,
        name: fc.option(fc.string(), { nil: undefined }),
      }),
      (lifetime, { name, ...options }) => {
        const { start, end } = suggestedWindow(lifetime, { ...options, ...(name === undefined ? {} : { name }) });
        expect(Math.floor(end.getTime() / 1000)).toBeGreaterThan(Math.floor(start.getTime() / 1000));
        if (options.revoked) expect(end.getTime()).toBeLessThanOrEqual(options.now.getTime());
      },
    ),
  );
});

test('of several instants before which a certificate is to be reissued, the first that it is older than counts', () => {
  const lifetime = { ...ninety, issuedAt: at(10 * DAY) };
  const text = (days: number) => at(days * DAY).toISOString();
  expect(firstReissue(lifetime)).toBeUndefined();
  expect(firstReissue(lifetime, undefined, text(5), text(10))).toBeUndefined();
  expect(firstReissue(lifetime, text(30), undefined, text(20), text(5))).toEqual(at(20 * DAY));
});
