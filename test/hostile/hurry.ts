// Validation in a hurry: pauses between attempts a hundredth of what they are, attempts cut off after half a second.
import type { DenyList } from '../../src/domain/deny-list.ts';
import type { Clock } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createValidators } from '../../src/validators/index.ts';
import type { HarnessOptions } from '../operator/harness.ts';
import type { Responders } from '../support/acme-flow.ts';

/** Seconds between attempts, as the server has them. */
const PAUSES = [1, 3, 7, 15, 30];
/** How often a failure that may mend is tried. */
export const ATTEMPTS = PAUSES.length + 1;
const ATTEMPT_MS = 500;

/** Overrides for the harness: validators with this deny-list. */
export function inAHurry(
  denyList: DenyList,
  { http01, tlsAlpn }: Responders,
): NonNullable<HarnessOptions['overrides']> {
  const clock = createClock();
  const pauses = new Set(PAUSES.map((seconds) => seconds * 1000));
  const hurried: Clock = {
    ...clock,
    sleep: (ms, signal) => clock.sleep(pauses.has(ms) ? ms / 100 : ms, signal),
  };
  const ports = { http01Port: http01.port, tlsAlpn01Port: tlsAlpn.port };
  return { clock: hurried, validators: createValidators({ denyList, clock, timeoutMs: ATTEMPT_MS, ...ports }) };
}
