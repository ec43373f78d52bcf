// Random bytes that a seed decides: the same seed gives the same run.
import { createHash } from 'node:crypto';
import type { Random } from '../../src/ports.ts';

export function createFakeRandom(seed = 'seed'): Random {
  let counter = 0;
  return {
    bytes(length) {
      const blocks: Buffer[] = [];
      for (let have = 0; have < length; have += 32) {
        blocks.push(createHash('sha256').update(`${seed}/${counter++}`).digest());
      }
      return Buffer.concat(blocks).subarray(0, length);
    },
  };
}
