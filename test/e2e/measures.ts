// Figures of a run: suites add lines to a file, the runner prints it.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

export const MEASURES = 'measures.txt';

export function addMeasure(folder: string, what: string, value: string): void {
  appendFileSync(join(folder, MEASURES), `${what.padEnd(60)} ${value}\n`);
}
