// A host of its own for challenge listeners: a network namespace joined to ours by a veth pair, whose ports 80 and 443 lead to
// listeners of this process. So a program that dials what the standards say needs no flag for tests.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { startProgram } from './child-process.ts';

export interface ChallengeHost {
  /** Address of the host; its ports 80 and 443 answer as the listeners do. */
  readonly address: string;
  /** Our end of the pair: an address of this machine. */
  readonly gateway: string;
  stop(): Promise<void>;
}

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** Why there can be no network namespaces here; undefined where there can. */
export function missingNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const name = `cs-probe-${process.pid}`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'delete', name);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made here: ${error instanceof Error ? error.message.trim() : ''}`;
  }
}

/** `ports`: on 127.0.0.1 of this process, by the port of the host that leads there. */
export async function startChallengeHost(ports: Readonly<Record<80 | 443, number>>): Promise<ChallengeHost> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'challenge-host-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const { name, address, gateway } = addNamespace();
  cleanup.defer(() => ip('netns', 'delete', name));
  const routes = await Promise.all(
    Object.entries(ports).map(async ([port, to]) => {
      const path = join(folder, `${port}.sock`);
      const server = await bridge(path, to);
      cleanup.defer(() => void server.close());
      return `${port}=${path}`;
    }),
  );
  const relay = join(import.meta.dirname, 'namespace-relay.ts');
  const program = startProgram('ip', ['netns', 'exec', name, process.execPath, relay, address, ...routes]);
  cleanup.defer(() => program.stop());
  await program.waitFor(/^relaying$/m);
  const running = cleanup.move();
  return { address, gateway, stop: () => running.disposeAsync() };
}

/** A host whose listeners are a program of their own: a script that is given the address, then `args`, and prints `listening`. */
export async function startNamespaceHost(
  script: string,
  args: readonly string[],
): Promise<ChallengeHost & { pid: number }> {
  await using cleanup = new AsyncDisposableStack();
  const { name, address, gateway } = addNamespace();
  cleanup.defer(() => ip('netns', 'delete', name));
  const program = startProgram('ip', ['netns', 'exec', name, process.execPath, script, address, ...args]);
  cleanup.defer(() => program.stop());
  await program.waitFor(/^listening$/m);
  const running = cleanup.move();
  return { address, gateway, pid: program.pid, stop: () => running.disposeAsync() };
}

/** A namespace on a network of four addresses that nobody here has. */
function addNamespace(): { name: string; address: string; gateway: string } {
  for (let attempt = 0; attempt < 50; attempt++) {
    const number = (process.pid * 7 + attempt * 101) % 16_384;
    const base = `10.${231 + Math.floor(number / 8192)}.${Math.floor((number % 8192) / 64) + 64}`;
    const [gateway, address] = [`${base}.${(number % 64) * 4 + 1}`, `${base}.${(number % 64) * 4 + 2}`];
    const name = `cs-${number}`;
    if (!tryAdd(name)) continue;
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'up0', 'netns', name);
    ip('address', 'add', `${gateway}/30`, 'dev', name);
    ip('link', 'set', name, 'up');
    ip('-n', name, 'address', 'add', `${address}/30`, 'dev', 'up0');
    ip('-n', name, 'link', 'set', 'up0', 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'route', 'add', 'default', 'via', gateway);
    return { name, address, gateway };
  }
  throw new Error('no free network namespace');
}

function tryAdd(name: string): boolean {
  try {
    ip('netns', 'add', name);
    return true;
  } catch {
    return false;
  }
}

/** Namespaces of the network share the file system: a socket there leads out of one. */
async function bridge(path: string, port: number): Promise<Server> {
  const server = createServer((inner) => {
    const outer = connect(port, '127.0.0.1');
    inner.on('error', () => outer.destroy());
    outer.on('error', () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}
