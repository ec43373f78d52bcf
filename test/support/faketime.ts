// libfaketime (Debian: faketime) gives one process another time of day than the machine's.
import { globSync } from 'node:fs';

const [LIBRARY] = globSync('/usr/lib/{*/,}faketime/libfaketimeMT.so.1');

export const missingFaketime: string | undefined =
  LIBRARY === undefined ? 'libfaketime is missing: install faketime' : undefined;

/** Environment of a process whose clock is off by so much, such as `+400d` or `-1h`; time passes as it does. */
export function clockOffBy(offset: string): Record<string, string> {
  if (LIBRARY === undefined) throw new Error(missingFaketime);
  return { LD_PRELOAD: LIBRARY, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1', FAKETIME_DONT_RESET: '1' };
}
