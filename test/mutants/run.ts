// npm run mutants: breaks the ACME server in one place at a time, in a copy of the tree, and asks the conformance tests of one line
// to notice. Prints a line a mutant and at last "N passed, N failed"; a mutant that survives, or no longer applies, has failed.
//   npm run mutants              all of them
//   npm run mutants -- 28 105    those of some lines of the checklist
import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { applied, type Mutant, MUTANTS } from './mutants.ts';

const ROOT = join(import.meta.dirname, '../..');
const SUITE = 'test/conformance';
/** What the program and its conformance tests are made of. */
const PARTS = ['package.json', 'vitest.config.ts', 'tsconfig.json', 'src', 'scripts', SUITE, 'test/support'];
/** Half the processors, since each run has a server and a test beside it; never fewer than two. */
const AT_ONCE = Math.max(2, Math.floor(availableParallelism() / 2));
/** Ends what hangs; nothing is judged by the time it takes. */
const LIMIT_MS = 10 * 60_000;

interface Outcome {
  title: string;
  status: string;
  failureMessages: string[];
}

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'countersign-mutants-')));
const running = new Set<number>();
process.on('exit', () => {
  for (const group of running) end(group);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => process.exit(code));

/** Ends a run with everything it started: it has a process group of its own. */
function end(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It is over already.
  }
}

/** A copy of everything, so that nobody's edits meet a run, and no run meets the work tree. */
function copyTree(from: string, name: string): string {
  const tree = join(folder, name);
  for (const part of PARTS) cpSync(join(from, part), join(tree, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  return tree;
}

/** The tests of some lines, as vitest saw them end. Throws where it gave no report. */
async function runLines(
  tree: string,
  files: readonly string[],
  lines: readonly number[],
  bail: boolean,
): Promise<Outcome[]> {
  const report = join(tree, 'report.json');
  const args = [
    join(ROOT, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...files.map((file) => join(SUITE, file)),
    `--testNamePattern=^(${lines.join('|')})\\. `,
    '--reporter=json',
    `--outputFile=${report}`,
    '--cache=false',
    '--fsModuleCache=false',
    ...(bail ? ['--bail=1'] : []),
  ];
  const output = await execute(args, tree);
  let results: { assertionResults: Outcome[] }[];
  try {
    results = (JSON.parse(readFileSync(report, 'utf8')) as { testResults: { assertionResults: Outcome[] }[] })
      .testResults;
  } catch {
    throw new Error(`no report from vitest:\n${output}`);
  }
  const outcomes = results.flatMap(({ assertionResults }) => assertionResults);
  return outcomes.filter(({ title }) => lines.some((line) => title.startsWith(`${line}. `)));
}

function execute(args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const group = child.pid;
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-4000);
      });
    if (group !== undefined) running.add(group);
    const timer = setTimeout(() => group !== undefined && end(group), LIMIT_MS);
    child.once('error', reject);
    child.once('close', () => {
      clearTimeout(timer);
      if (group !== undefined) {
        end(group);
        running.delete(group);
      }
      resolve(output);
    });
  });
}

/** Files of the suite by the lines they have tests for. */
function filesByLine(): Map<number, string[]> {
  const files = new Map<number, string[]>();
  for (const file of readdirSync(join(ROOT, SUITE)).filter((name) => name.endsWith('.test.ts'))) {
    const text = readFileSync(join(ROOT, SUITE, file), 'utf8');
    const lines = new Set([...text.matchAll(/\bline\(\s*(\d+),/g)].map(([, number]) => Number(number)));
    for (const line of lines) files.set(line, [...(files.get(line) ?? []), file]);
  }
  return files;
}

/** Calls `work` for each item, several at once, in order of the list. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const why = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Lines that are green without any mutant. */
async function baseline(tree: string, lines: readonly number[]): Promise<Set<number>> {
  const byFile = new Map<string, number[]>();
  for (const line of lines)
    for (const file of files.get(line) ?? []) byFile.set(file, [...(byFile.get(file) ?? []), line]);
  const red = new Set(lines.filter((line) => !files.has(line)));
  await each([...byFile], async ([file, its]) => {
    let outcomes: Outcome[] = [];
    try {
      outcomes = await runLines(copyTree(tree, `baseline-${file}`), [file], its, false);
    } catch (error) {
      say(`not ok baseline ${file}: ${why(error)}`);
    }
    const bad = outcomes.filter(({ status }) => status !== 'passed');
    for (const { title, failureMessages } of bad)
      say(`not ok baseline ${file}: ${title}\n  ${failureMessages[0] ?? ''}`);
    for (const line of its) {
      const own = outcomes.filter(({ title }) => title.startsWith(`${line}. `));
      if (own.length === 0 || own.some((test) => bad.includes(test))) red.add(line);
    }
    if (its.every((line) => !red.has(line))) say(`baseline ${file}: ${outcomes.length} tests green`);
  });
  return new Set(lines.filter((line) => !red.has(line)));
}

/** The test that turned red. Throws where none did. */
async function kill(original: string, mutant: Mutant, index: number): Promise<string> {
  const source = readFileSync(join(original, mutant.file), 'utf8');
  const text = applied(mutant, source);
  const tree = copyTree(original, `mutant-${index}`);
  writeFileSync(join(tree, mutant.file), text);
  try {
    const outcomes = await runLines(tree, files.get(mutant.line) ?? [], [mutant.line], true);
    const red = outcomes.find(({ status }) => status === 'failed');
    if (red) return red.title;
    if (outcomes.every(({ status }) => status === 'passed')) throw new Error('it survives');
    throw new Error('the tests did not run: the program does not even start with it');
  } finally {
    rmSync(tree, { recursive: true, force: true, maxRetries: 5 });
  }
}

const asked = process.argv.slice(2).map(Number);
const mutants = MUTANTS.filter(({ line }) => asked.length === 0 || asked.includes(line));
const original = copyTree(ROOT, 'original');
const files = filesByLine();
const lines = [...new Set(mutants.map(({ line }) => line))];
const green = await baseline(original, lines);
let [passed, failed] = [0, 0];
await each([...mutants.entries()], async ([index, mutant]) => {
  const name = `line ${mutant.line}, ${mutant.file}: ${mutant.breaks}`;
  try {
    if (!green.has(mutant.line)) throw new Error(`line ${mutant.line} is not green without it`);
    const red = await kill(original, mutant, index);
    passed++;
    say(`ok ${name} → ${red}`);
  } catch (error) {
    failed++;
    say(`not ok ${name}: ${why(error)}`);
  }
});
if (mutants.length === 0) failed++;
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
