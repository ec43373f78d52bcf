// What every client test needs: a running server, names that resolve, a temporary folder, and programs run to their end.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { type DnsPublisher, startDnsPublisher } from './dns-publisher.ts';
import { startCountersign } from './target-countersign.ts';
import { startPebble } from './target-pebble.ts';

/** Which server is tested. */
export const TARGET = process.env['CLIENTS_TARGET'] ?? 'countersign';

/** A server under test. */
export interface Target {
  readonly directory: string;
  /** File with what a client must trust to reach the directory. */
  readonly ca: string;
  /** File with the root of issued certificates. */
  readonly issuerCa: string;
  /** What the server publishes about a certificate: `chain` is its file, leaf first. */
  isRevoked: (chain: string) => Promise<boolean>;
  stop(): Promise<void>;
}

/** What a target is started with; all of it is made before it. */
export interface TargetOptions {
  /** Where the target may keep files. */
  folder: string;
  port: number;
  http01Port: number;
  tlsAlpn01Port: number;
  /** `address:port` of the DNS server to ask. */
  resolver: string;
}

export interface World extends Pick<TargetOptions, 'folder' | 'http01Port' | 'tlsAlpn01Port'> {
  readonly target: Target;
  readonly dns: DnsServer;
  /** Where programs outside this process publish TXT records. */
  readonly dnsURL: string;
  /** Runs a program to its end and resolves with its standard output; rejects with all it printed when it fails. */
  readonly run: Run;
  /** Runs a program that must fail, and resolves with all it printed. */
  readonly runFailing: Run;
}

type Run = (command: string, args: readonly string[], options?: RunOptions) => Promise<string>;

interface RunOptions {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
}

/** A program that a test needs, and how one gets it. */
export interface Requirement {
  program: string;
  /** Where it may be. */
  folders: readonly string[];
  from: string;
}

/** A program of a Debian package of the same name. */
export const apt = (program: string, from = `apt-get install ${program}`): Requirement => ({
  program,
  folders: (process.env['PATH'] ?? '').split(delimiter),
  from,
});

/** A program that scripts/build-tools.ts builds: the pinned version and no other. */
export const built = (program: string): Requirement => ({
  program,
  folders: [dirname(programFile(program))],
  from: `node scripts/build-tools.ts ${program}`,
});

/** The file of a program that scripts/build-tools.ts builds. */
export function programFile(program: string): string {
  return join(process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign'), 'bin', program);
}

const ALWAYS = [apt('openssl'), apt('curl')];

const isHere = ({ program, folders }: Requirement): boolean =>
  folders.some((folder) => isExecutable(join(folder, program)));

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return existsSync(file);
  } catch {
    return false;
  }
}

/** The tests of one client, with a server of their own. */
export function describeClient(
  client: string,
  needs: readonly Requirement[],
  tests: (world: () => World) => void,
): void {
  describeWith(client, needs, () => tests(useWorld()));
}

/** Tests that need programs. Without one of them they are a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. */
export function describeWith(title: string, needs: readonly Requirement[], tests: () => void): void {
  describe(title, () => {
    const missing = [...needs, ...ALWAYS].filter((need) => !isHere(need));
    const reason = missing.map(({ program, from }) => `${program} is missing (${from})`).join(', ');
    if (missing.length === 0) {
      tests();
    } else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
      test(reason, () => {
        throw new Error(reason);
      });
    } else {
      test.skip(reason, () => {});
    }
  });
}

function useWorld(): () => World {
  let running: { world: World; stop(): Promise<void> } | undefined;
  beforeAll(async () => {
    running = await startWorld();
  });
  afterAll(async () => {
    await running?.stop();
  });
  return () => {
    if (!running) throw new Error('the server did not start');
    return running.world;
  };
}

async function startWorld(): Promise<{ world: World; stop(): Promise<void> }> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'countersign-clients-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const dns = await startDnsServer();
  cleanup.defer(() => dns.stop());
  const publisher: DnsPublisher = await startDnsPublisher(dns);
  cleanup.defer(() => publisher.stop());
  const [port, http01Port, tlsAlpn01Port] = [await challengePort(), await challengePort(), await challengePort()];
  const start = { countersign: startCountersign, pebble: startPebble }[TARGET];
  if (!start) throw new Error(`CLIENTS_TARGET is countersign or pebble, not ${TARGET}`);
  const target = await start({ folder, port, http01Port, tlsAlpn01Port, resolver: dns.address });
  cleanup.defer(() => target.stop());
  const programs = createPrograms();
  cleanup.defer(() => programs.stop());
  const { run, runFailing } = programs;
  const world = { target, dns, folder, http01Port, tlsAlpn01Port, dnsURL: publisher.url, run, runFailing };
  const kept = cleanup.move();
  return { world, stop: () => kept.disposeAsync() };
}

/**
 * A free port for something that starts later, perhaps several times: below the range from which Linux picks ports for
 * `listen(0)` and for outgoing connections, so that nothing else on the machine takes it meanwhile by chance.
 */
export async function challengePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Runs programs; `stop` ends those that a failed test left behind. */
function createPrograms(): { run: Run; runFailing: Run; stop(): Promise<void> } {
  const running = new Map<number, Promise<unknown>>();

  const end = async (command: string, args: readonly string[], { cwd, env }: RunOptions = {}): Promise<Ended> => {
    const child = spawn(command, args, { ...(cwd ? { cwd } : {}), env: { ...process.env, ...env } });
    child.stdin.end();
    let [out, all] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      all += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      all += text;
    });
    const ended = new Promise<boolean>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code === 0));
    });
    const pid = child.pid ?? 0;
    if (pid !== 0) running.set(pid, ended);
    try {
      return { ok: await ended, out, said: `${[command, ...args].join(' ')}\n${all}` };
    } finally {
      running.delete(pid);
    }
  };

  return {
    run: async (command, args, options) => {
      const { ok, out, said } = await end(command, args, options);
      if (!ok) throw new Error(`failed: ${said}`);
      return out;
    },
    runFailing: async (command, args, options) => {
      const { ok, said } = await end(command, args, options);
      if (ok) throw new Error(`did not fail: ${said}`);
      return said;
    },
    stop: async () => {
      for (const pid of running.keys()) process.kill(pid, 'SIGKILL');
      await Promise.allSettled(running.values());
    },
  };
}

interface Ended {
  ok: boolean;
  out: string;
  /** The command and everything it printed. */
  said: string;
}
