// The operating system's random numbers, drawn a block at a time: one call for each few bytes costs more than the bytes.
import { randomFillSync } from 'node:crypto';
import type { Random } from '../ports.ts';

const BLOCK = 4096;

export function createRandom(): Random {
  let block = Buffer.alloc(0);
  return {
    bytes: (length) => {
      if (length > BLOCK) return randomFillSync(Buffer.allocUnsafeSlow(length));
      if (block.length < length) block = randomFillSync(Buffer.allocUnsafeSlow(BLOCK));
      const bytes = Buffer.from(block.subarray(0, length));
      // What was handed out is not kept a second time.
      block.fill(0, 0, length);
      block = block.subarray(length);
      return bytes;
    },
  };
}
