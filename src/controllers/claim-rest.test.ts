// A claim is left alone only as long as it, and its Secret, are exactly as this process made them.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Cache } from '../ports.ts';
import { createClaimRest } from './claim-rest.ts';

const claim = (resourceVersion: string) =>
  ({
    metadata: { uid: 'u', namespace: 'shop', name: 'c', resourceVersion },
    spec: { secretName: 's' },
  }) as unknown as CertificateClaim;

const HOUR = 3_600_000;

/** A certificate was delivered onto Secret version `before`, which made version 8, and told in version 5 of the claim. */
function delivered({ before, renewalMs = HOUR }: { before?: string; renewalMs?: number } = {}) {
  const clock = createFakeClock('2026-01-01T00:00:00Z');
  let seen: string | undefined = '8';
  const secrets = {
    get: () => (seen === undefined ? undefined : { metadata: { resourceVersion: seen } }),
  } as unknown as Cache<KubeObject>;
  const rest = createClaimRest({ clock, secrets });
  const renewal = new Date(clock.now().getTime() + renewalMs);
  rest.delivered('u', { before, after: '8', renewal });
  rest.reported(claim('4'), '5');
  return { clock, rest, see: (version: string | undefined) => (seen = version) };
}

test('it is left until its renewal when its own writes come back, and its former version is not looked at at all', () => {
  const { rest } = delivered();
  expect(rest.left(claim('5'))).toEqual({ requeueAfterMs: HOUR });
  expect(rest.isSuperseded(claim('4'))).toBe(true);
  expect(rest.isSuperseded(claim('5'))).toBe(false);
});

test('it may come back before the Secret does, where there was one', () => {
  const { rest, see } = delivered({ before: '7' });
  see('7');
  expect(rest.left(claim('5'))).toEqual({ requeueAfterMs: HOUR });
});

test.each([
  ['somebody else changed the Secret', '9'],
  ['the Secret is gone, or not seen yet', undefined],
])('it is looked at where %s', (_why, version) => {
  const { rest, see } = delivered();
  see(version);
  expect(rest.left(claim('5'))).toBeUndefined();
});

test('it is looked at in any other version, when something beside it changed, when it is due, and after a while', async () => {
  expect(delivered().rest.left(claim('6'))).toBeUndefined();
  const disturbed = delivered();
  disturbed.rest.end('u');
  expect(disturbed.rest.left(claim('5'))).toBeUndefined();
  expect(delivered({ renewalMs: -1 }).rest.left(claim('5'))).toBeUndefined();
  const later = delivered();
  await later.clock.advance(31_000);
  expect(later.rest.left(claim('5'))).toBeUndefined();
});
