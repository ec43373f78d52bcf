// Runs certbot as a child process, for the operator without a cluster. What came of a run lives as long as this process; a child whose
// parent ends is ended with it.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import type { CertbotRun, CertbotRunner, Clock, Random, SecretReader } from '../../ports.ts';
import { readValue } from '../https/mutual-tls.ts';
import { LOG_BYTES, PLAN_VARIABLE, planOf, renderPlan, RUN_PROGRAM } from './program.ts';

export interface ChildRunnerDeps {
  secrets: SecretReader;
  clock: Clock;
  random: Random;
  /** Where answers to http-01 are seen, up to the token. */
  answersURL: string;
}

interface Child {
  marker: string;
  log: string;
  /** As Clock.monotonic; undefined while it runs. */
  ended: number | undefined;
  failure: string | undefined;
  end(): void;
}

/** As long as the Jobs of a cluster stay. */
const KEPT_MS = 3_600_000;

export function createChildRunner(deps: ChildRunnerDeps): CertbotRunner {
  const { clock } = deps;
  const children = new Map<string, Child | Promise<Child>>();

  function forgetOld(): void {
    for (const [name, child] of children)
      if (!(child instanceof Promise) && child.ended !== undefined && clock.monotonic() - child.ended > KEPT_MS)
        children.delete(name);
  }

  return {
    lacks: () => {
      const missing = ['certbot', 'python3'].find((name) => !isOnPath(name));
      if (missing === undefined) return undefined;
      return { reason: 'CertbotMissing', message: `there is no ${missing} on the PATH of this program` };
    },
    async start(run) {
      forgetOld();
      if (children.has(run.name)) return;
      const starting = startChild(deps, run);
      children.set(run.name, starting);
      try {
        children.set(run.name, await starting);
      } catch (error) {
        children.delete(run.name);
        throw error;
      }
    },
    async state(name) {
      const child = await children.get(name);
      if (!child) return { kind: 'absent' };
      const { marker, log, ended, failure } = child;
      if (ended === undefined) return { kind: 'running', marker, log };
      return {
        kind: 'ended',
        marker,
        log,
        ...(failure === undefined ? {} : { cut: { reason: 'CertbotCannotRun', message: failure } }),
      };
    },
    async remove(name) {
      (await children.get(name))?.end();
      children.delete(name);
    },
  };
}

function isOnPath(name: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.some((folder) => existsSync(join(folder, name)));
}

async function startChild(deps: ChildRunnerDeps, run: CertbotRun): Promise<Child> {
  const values = await Promise.all(Object.values(run.secrets).map((ref) => readValue(deps, ref)));
  const folder = mkdtempSync(join(tmpdir(), 'countersign-certbot-'));
  const secrets: Record<string, string> = {};
  for (const [i, path] of Object.keys(run.secrets).entries()) {
    const source = join(folder, `secret-${i}`);
    writeFileSync(source, values[i] ?? '', { mode: 0o600 });
    secrets[source] = path;
  }
  const plan = planOf(run, { random: deps.random, secrets, answersURL: deps.answersURL, attached: true });
  const cwd = join(folder, 'run');
  mkdirSync(cwd);
  const program = spawn('python3', ['-c', RUN_PROGRAM], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', LANG: 'C.UTF-8', [PLAN_VARIABLE]: renderPlan(plan) },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return follow(deps, { program, marker: plan.marker, folder });
}

function follow(
  { clock }: ChildRunnerDeps,
  { program, marker, folder }: { program: ChildProcess; marker: string; folder: string },
): Child {
  // Its standard input stays open for as long as somebody listens to it.
  const child: Child = { marker, log: '', ended: undefined, failure: undefined, end: () => void program.kill() };
  for (const stream of [program.stdout, program.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      if (child.log.length + text.length <= LOG_BYTES) child.log += text;
    });
  program.stdin?.on('error', () => undefined);
  const over = (failure?: string) => {
    child.failure ??= failure;
    child.ended ??= clock.monotonic();
    // At once: this process may be about to end, and the account's key is in it.
    rmSync(folder, { recursive: true, force: true });
  };
  program.on('error', (error: NodeJS.ErrnoException) =>
    over(error.code === 'ENOENT' ? 'there is no python3, which certbot needs, on the PATH' : 'python3 cannot be run'),
  );
  program.on('close', (code, signal) =>
    over(code === 0 ? undefined : `certbot was ended by ${signal ?? `exit code ${code ?? '?'}`}`),
  );
  return child;
}
