// Starts a program, collects what it prints, waits for a line of it, and ends it by its process id.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';

export interface RunningProgram {
  readonly pid: number;
  /** Everything printed so far, both streams interleaved as they came. */
  output(): string;
  /** The first match in standard output, past or future. Rejects with the output when the program ends or `seconds` pass. */
  waitFor(pattern: RegExp, seconds?: number): Promise<RegExpExecArray>;
  /** SIGTERM, then SIGKILL after ten seconds; resolves once the process is gone. */
  stop(): Promise<void>;
  /** SIGKILL; resolves once the process is gone. */
  kill(): Promise<void>;
  /** Resolves with the exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
}

export interface ProgramOptions {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** The program must not outlive this process. Where the kernel cannot be asked for that, it is ended as this process exits. */
  bound?: boolean;
}

/** setpriv (util-linux) has the kernel end a program with its parent, however that dies. */
const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv'].find((file) => process.platform === 'linux' && existsSync(file));

export function startProgram(command: string, args: readonly string[], options: ProgramOptions = {}): RunningProgram {
  const [file, ...words] =
    options.bound && SETPRIV !== undefined
      ? [SETPRIV, '--pdeathsig', 'KILL', '--', command, ...args]
      : [command, ...args];
  const child = spawn(file, words, {
    ...(options.cwd ? { cwd: options.cwd } : {}),
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, all] = ['', ''];
  const listeners = new Set<() => void>();
  const notify = (): void => {
    for (const listener of listeners) listener();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    all += text;
    notify();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    all += text;
  });
  let exit: number | string | undefined;
  const ended = new Promise<number | string>((resolve) => {
    const finish = (value: number | string): void => {
      exit = value;
      resolve(value);
      notify();
    };
    child.once('error', (error) => finish(error.message));
    child.once('close', (code, signal) => finish(code ?? signal ?? 'unknown'));
  });

  if (options.bound) {
    const end = (): void => void child.kill('SIGKILL');
    process.once('exit', end);
    void ended.then(() => process.off('exit', end));
  }

  const waitFor = (pattern: RegExp, seconds = 120): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(new Error(`no ${pattern} in ${seconds} s from ${command}:\n${all}`)),
        seconds * 1000,
      );
      const settle = (result: Error | RegExpExecArray): void => {
        clearTimeout(timer);
        listeners.delete(check);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      const check = (): void => {
        const match = pattern.exec(out);
        if (match) settle(match);
        else if (exit !== undefined) settle(new Error(`${command} ended (${exit}) before ${pattern}:\n${all}`));
      };
      listeners.add(check);
      check();
    });

  const stop = async (): Promise<void> => {
    if (exit !== undefined) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  };

  const kill = async (): Promise<void> => {
    if (exit === undefined) child.kill('SIGKILL');
    await ended;
  };

  return { pid: child.pid ?? -1, output: () => all, waitFor, stop, kill, ended };
}

/** A TCP port of the loopback interface that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
