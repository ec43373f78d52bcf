// Runs suites of test/e2e on a real cluster that it makes and ends:
//   npm run e2e -- --cluster local|kind [--suite install,clients] [--keep]
//   npm run e2e -- --use FOLDER [--suite install]
//   npm run e2e -- --down FOLDER
// --suite      those to run, in this order; all of them when absent
// --keep       leaves the cluster and prints its kubeconfig and folder; --use runs suites on it again, --down ends it
// --reporter, --outputFile.json are handed to vitest
// The last line is `N passed, N failed`. What a cluster needs stands in docs/e2e.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { diagnosis } from './diagnosis.ts';
import { missingForKind, startKind, stopKind } from './clusters/kind.ts';
import { missingForLocal, startLocal, stopLocal } from './clusters/local.ts';
import { MEASURES } from './measures.ts';
import { type Session, SESSION, writeSession } from './session.ts';

const PREFIX = 'countersign-e2e-';
/** In the folder of a cluster: the process whose it is; absent for one that is kept. */
const OWNER = 'owner.pid';
const SESSION_FILE = 'session.json';

const SUITES = globSync(join(import.meta.dirname, 'suites/*.e2e.ts')).map((file) => basename(file, '.e2e.ts'));
/** First what shows whether anything works at all. */
const ORDER = ['install', 'clients', ...SUITES.sort()].filter(
  (name, i, all) => all.indexOf(name) === i && SUITES.includes(name),
);

interface Options {
  cluster: 'local' | 'kind';
  suites: readonly string[];
  keep: boolean;
  /** Folder of a cluster that was kept. */
  use: string | undefined;
  vitest: readonly string[];
  report: string | undefined;
}

function options(): Options | { down: string } {
  const { values } = parseArgs({
    options: {
      cluster: { type: 'string', default: 'local' },
      suite: { type: 'string', multiple: true },
      keep: { type: 'boolean', default: false },
      use: { type: 'string' },
      down: { type: 'string' },
      reporter: { type: 'string', multiple: true, default: ['default'] },
      'outputFile.json': { type: 'string' },
    },
  });
  if (values.down !== undefined) return { down: values.down };
  const { cluster } = values;
  if (cluster !== 'local' && cluster !== 'kind') throw new Error(`--cluster is local or kind, not ${cluster}`);
  const suites = values.suite?.flatMap((names) => names.split(',')) ?? ORDER;
  const unknown = suites.filter((name) => !SUITES.includes(name));
  if (unknown.length > 0) throw new Error(`no suite ${unknown.join(', ')}; there are ${ORDER.join(', ')}`);
  const reporters = new Set([...values.reporter, 'json']);
  return {
    cluster,
    suites,
    keep: values.keep,
    use: values.use,
    vitest: [...reporters].map((name) => `--reporter=${name}`),
    report: values['outputFile.json'],
  };
}

const started = performance.now();
const log = (text: string) =>
  console.log(`e2e: ${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`);

/** Clusters of runs that died before they could end them. */
async function endAbandoned(): Promise<void> {
  for (const owner of globSync(join(tmpdir(), `${PREFIX}*`, OWNER))) {
    const folder = join(owner, '..');
    if (existsSync(`/proc/${readFileSync(owner, 'utf8')}`)) continue;
    log(`ending what a dead run left in ${folder}`);
    await stopLocal(folder);
  }
}

async function main(): Promise<number> {
  const chosen = options();
  if ('down' in chosen) {
    await down(chosen.down);
    last = undefined;
    return 0;
  }
  const abort = new AbortController();
  const onSignal = () => {
    if (abort.signal.aborted) process.exit(1);
    log('ending');
    abort.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  if (chosen.use !== undefined) return finish(await runSuites(sessionOf(chosen.use), chosen, abort.signal));
  return onFreshCluster(chosen, abort.signal);
}

async function onFreshCluster(chosen: Options, signal: AbortSignal): Promise<number> {
  const missing = chosen.cluster === 'local' ? missingForLocal() : await missingForKind();
  if (missing !== undefined) throw new Error(missing);
  if (chosen.cluster === 'local') await endAbandoned();
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  if (!chosen.keep) writeFileSync(join(folder, OWNER), String(process.pid));
  const stop = chosen.cluster === 'local' ? stopLocal : stopKind;
  let kept = false;
  try {
    log(`making a ${chosen.cluster} cluster in ${folder}`);
    const session =
      chosen.cluster === 'local' ? await startLocal(folder, { outlives: chosen.keep, log }) : await startKind(folder);
    log('the cluster is ready');
    writeSession(join(folder, SESSION_FILE), session);
    signal.throwIfAborted();
    const counts = await runSuites(session, chosen, signal);
    kept = chosen.keep && !signal.aborted;
    if (kept) printKept(session);
    return finish(counts);
  } finally {
    if (!kept) await stop(folder);
    log(kept ? 'the cluster stays' : 'the cluster is gone');
  }
}

interface Counts {
  passed: number;
  failed: number;
}

/** Nothing for what is no run of suites. */
let last: string | undefined = '0 passed, 1 failed';

function finish({ passed, failed }: Counts): number {
  last = `${passed} passed, ${failed} failed`;
  return failed > 0 ? 1 : 0;
}

function printKept({ kubeconfig, folder }: Session): void {
  console.log(`\nexport KUBECONFIG=${kubeconfig}\nnpm run e2e -- --down ${folder}   # ends it\n`);
}

const sessionOf = (folder: string) => JSON.parse(readFileSync(join(folder, SESSION_FILE), 'utf8')) as Session;

async function down(folder: string): Promise<void> {
  if (!basename(folder).startsWith(PREFIX)) throw new Error(`${folder} is not the folder of a cluster of ours`);
  const { kind } = sessionOf(folder);
  await (kind === 'local' ? stopLocal(folder) : stopKind(folder));
}

async function runSuites(session: Session, { suites, vitest, report }: Options, signal: AbortSignal): Promise<Counts> {
  const file = join(session.folder, SESSION_FILE);
  mkdirSync(join(session.folder, 'scratch'), { recursive: true });
  rmSync(join(session.folder, MEASURES), { force: true });
  const results = report ?? join(session.folder, 'results.json');
  const config = join(import.meta.dirname, 'vitest.config.ts');
  const program = join(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
  const args = ['run', '--config', config, ...vitest, `--outputFile.json=${results}`];
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, [SESSION]: file, COUNTERSIGN_E2E_SUITES: suites.join(',') },
  });
  const end = () => child.kill('SIGTERM');
  signal.addEventListener('abort', end);
  const [status] = (await once(child, 'exit')) as [number | null];
  signal.removeEventListener('abort', end);
  const counts = count(results, status);
  if (counts.failed > 0) console.log(await diagnosis(session.kubeconfig));
  const measures = join(session.folder, MEASURES);
  if (existsSync(measures)) console.log(`\nmeasures\n${readFileSync(measures, 'utf8')}`);
  return counts;
}

interface Report {
  testResults: { status: string; assertionResults: { status: string }[] }[];
}

/** A suite that did not load is one failure, and so is a runner that died; what was skipped has failed. */
function count(results: string, status: number | null): Counts {
  let [passed, failed] = [0, 0];
  const { testResults } = existsSync(results)
    ? (JSON.parse(readFileSync(results, 'utf8')) as Report)
    : { testResults: [] };
  for (const { status, assertionResults } of testResults) {
    const missed = assertionResults.filter((test) => test.status !== 'passed').length;
    passed += assertionResults.length - missed;
    failed += missed === 0 && (status === 'failed' || assertionResults.length === 0) ? 1 : missed;
  }
  if ((status !== 0 && failed === 0) || passed + failed === 0) failed += 1;
  return { passed, failed };
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`e2e: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exitCode = 1;
}
if (last !== undefined) console.log(last);
