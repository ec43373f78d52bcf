// Waits for something of the world to come true.
import { setTimeout as sleep } from 'node:timers/promises';

/** Asks until there is an answer other than `undefined`. The limit ends a wait in vain; it says nothing about speed. */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined>, seconds = 90): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`in ${seconds} s it did not come true that ${what}`);
    await sleep(100);
  }
}
