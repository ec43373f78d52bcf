// Counts the calls a program makes through its ports, and ends the program by SIGKILL before or after the one it was told to die at.
import { writeSync } from 'node:fs';

/**
 * What a call can leave behind or learn outside the process: `local` nothing (time, randomness, counters, log), `read` learns,
 * `write` changes what survives the process.
 */
export type Reach = 'local' | 'read' | 'write';

/** Calls that count: all of them, those that leave the process, those that write, those of one name. */
export type Among = 'all' | 'outside' | 'writes' | { call: string };

/** `after`: the call is done and its caller does not know yet. */
export interface Kill {
  when: 'before' | 'after';
  among: Among;
  /** Which of the calls that count, from 1. */
  at: number;
}

export interface Meter {
  /** Makes the call; perhaps its last. */
  call<R>(name: string, reach: Reach, action: () => R): R;
  /** Counts from now on; `undefined` for a program that is to live. */
  arm(kill: Kill | undefined): void;
  /** Milliseconds since a call was made or ended. */
  quietFor(): number;
}

function counts(among: Among, name: string, reach: Reach): boolean {
  if (typeof among === 'object') return among.call === name;
  return among === 'all' || reach === 'write' || (reach === 'read' && among === 'outside');
}

/** The file open at `descriptor` then says at which call it was. */
export function createMeter(descriptor: number): Meter {
  let kill: Kill | undefined;
  let count = 0;
  let last = performance.now();

  /** Whether the call is the one. */
  function enter(name: string, reach: Reach): boolean {
    last = performance.now();
    if (!kill || !counts(kill.among, name, reach)) return false;
    count++;
    if (count === kill.at && kill.when === 'before') die(name);
    return count === kill.at;
  }

  function leave(name: string, isDue: boolean): void {
    last = performance.now();
    if (isDue) die(name);
  }

  function die(name: string): never {
    writeSync(descriptor, name);
    process.kill(process.pid, 'SIGKILL');
    // The signal may reach another thread first: this one does nothing more.
    for (;;);
  }

  return {
    call(name, reach, action) {
      const isDue = enter(name, reach);
      let result: ReturnType<typeof action>;
      try {
        result = action();
      } catch (error) {
        leave(name, isDue);
        throw error;
      }
      if (!(result instanceof Promise)) {
        leave(name, isDue);
        return result;
      }
      return result.finally(() => leave(name, isDue)) as typeof result;
    },
    arm(next) {
      kill = next;
      count = 0;
    },
    quietFor: () => performance.now() - last,
  };
}
