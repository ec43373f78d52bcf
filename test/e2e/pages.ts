// Commands of pages: what stands in blocks of `sh` is run as it stands, a block `yaml NAME` is written to that file before. A block that
// says `sh not run: WHY` is not. There are no other commands: a block without a fence would escape.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

export type Step =
  | { line: number; run: string }
  | { line: number; write: string; file: string }
  | { line: number; leave: string };

/** In the order of the page. Throws for what is neither to be run nor says why not. */
export function stepsOf(page: string): Step[] {
  const steps: Step[] = [];
  let [info, from, block] = ['', 0, [] as string[]];
  let isInside = false;
  for (const [i, line] of readFileSync(join(ROOT, page), 'utf8').split('\n').entries()) {
    if (!line.startsWith('```')) {
      if (isInside) block.push(line);
      else if (/^ {4}\S/.test(line)) throw new Error(`${page}:${i + 1}: a block without a fence`);
      continue;
    }
    if (isInside) steps.push(...stepOf(page, { info, line: from, text: `${block.join('\n')}\n` }));
    else [info, from, block] = [line.slice(3).trim(), i + 1, []];
    isInside = !isInside;
  }
  if (isInside) throw new Error(`${page}:${from}: a block without an end`);
  return steps;
}

function stepOf(page: string, { info, line, text }: { info: string; line: number; text: string }): Step[] {
  const [, language = '', more = ''] = /^(\w*)\s*(.*)$/.exec(info) ?? [];
  if (language === 'sh' && more === '') return [{ line, run: text }];
  const [, why] = /^not run: (.{8,})$/.exec(more) ?? [];
  if (language === 'sh' && why !== undefined) return [{ line, leave: why }];
  if (language === 'yaml' && /^[\w.-]+$/.test(more)) return [{ line, write: text, file: more }];
  if ((language === 'yaml' || language === 'text') && more === '') return [];
  throw new Error(`${page}:${line}: what is to be done with a block of "${info}"?`);
}
